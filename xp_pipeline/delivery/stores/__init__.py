"""Stores of experiments, assignments and algorithms: in memory, in SQLite, in PostgreSQL."""

from xp_pipeline.delivery.stores.memory import MemoryStore
from xp_pipeline.delivery.stores.sqlite import SqliteStore

__all__ = ["MemoryStore", "SqliteStore"]
