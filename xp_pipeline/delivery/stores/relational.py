"""The statements of a store in SQL, the same for SQLite and PostgreSQL."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from xp_pipeline.delivery.errors import CorruptStateError
from xp_pipeline.delivery.protocols import AlgorithmRow
from xp_pipeline.delivery.variants import ExperimentRecord, UserVariant

Run = Callable[[str, Mapping[str, Any]], Sequence[Sequence[Any]]]
"""Run one statement with its named parameters; the rows it gives, or none."""

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS xp_experiments (
        name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, is_enabled INTEGER NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS xp_assignments (
        experiment_id TEXT NOT NULL REFERENCES xp_experiments (id) ON DELETE CASCADE,
        user_id TEXT NOT NULL, variant INTEGER NOT NULL, propensity DOUBLE PRECISION,
        version TEXT NOT NULL, assigned_at TEXT NOT NULL, PRIMARY KEY (experiment_id, user_id)
    )""",
    """CREATE TABLE IF NOT EXISTS xp_algorithms (
        experiment_id TEXT PRIMARY KEY REFERENCES xp_experiments (id) ON DELETE CASCADE,
        state TEXT NOT NULL, version INTEGER NOT NULL
    )""",
)
_ENABLED = "EXISTS (SELECT 1 FROM xp_experiments WHERE id = :experiment AND is_enabled = 1)"
_ROW = "experiment_id, variant, user_id, propensity, version"
_OF_USER = "experiment_id = :experiment AND user_id = :user"
_EXPERIMENT = "SELECT name, is_enabled, id FROM xp_experiments WHERE name = :name"
_ENABLE = """INSERT INTO xp_experiments (name, id, is_enabled) VALUES (:name, :id, 1)
    ON CONFLICT (name) DO UPDATE SET is_enabled = 1 RETURNING name, is_enabled, id"""
_FIRST_STATE = """INSERT INTO xp_algorithms (experiment_id, state, version) VALUES (:experiment, :state, 1)
    ON CONFLICT (experiment_id) DO NOTHING"""
_SWITCH = "UPDATE xp_experiments SET is_enabled = :enabled WHERE name = :name RETURNING name, is_enabled, id"
_REMOVE = "DELETE FROM xp_experiments WHERE name = :name RETURNING id"
_ASSIGNMENT = f"SELECT {_ROW} FROM xp_assignments WHERE {_OF_USER}"
_ASSIGN = f"""INSERT INTO xp_assignments (experiment_id, user_id, variant, propensity, version, assigned_at)
    SELECT CAST(:experiment AS TEXT), CAST(:user AS TEXT), CAST(:variant AS INTEGER),
    CAST(:propensity AS DOUBLE PRECISION), CAST(:version AS TEXT), CAST(:at AS TEXT) WHERE {_ENABLED}
    ON CONFLICT (experiment_id, user_id) DO NOTHING"""
_ALGORITHM = "SELECT state, version FROM xp_algorithms WHERE experiment_id = :experiment"
_PUBLISH = """UPDATE xp_algorithms SET state = :state, version = version + 1 WHERE experiment_id = :experiment
    AND (CAST(:expected AS INTEGER) IS NULL OR version = CAST(:expected AS INTEGER)) RETURNING state, version"""
_CLAIM = f"DELETE FROM xp_assignments WHERE {_OF_USER} AND {_ENABLED} RETURNING {_ROW}"
_NEXT_VERSION = """UPDATE xp_algorithms SET version = version + 1 WHERE experiment_id = :experiment
    RETURNING state"""
_LEARNED = "UPDATE xp_algorithms SET state = :state WHERE experiment_id = :experiment"


class RelationalStore(ABC):
    """A store in a relational database; subclasses open transactions and translate errors."""

    blocks = True

    @abstractmethod
    def _run(self, statement: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Run one statement, atomic for itself."""

    @abstractmethod
    def _inserts(self, statement: str, parameters: Mapping[str, Any]) -> bool:
        """Run one INSERT, atomic for itself; whether it stored its row."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Run]:
        """One transaction: committed as a whole, or, after any error, not at all."""

    def experiment(self, name: str) -> ExperimentRecord | None:
        return _experiment(self._run(_EXPERIMENT, {"name": name}))

    def enable(self, name: str, state: str | None, *, experiment_id: str | None = None) -> ExperimentRecord:
        with self._writing() as run:
            record = _experiment(run(_ENABLE, {"name": name, "id": experiment_id or uuid.uuid4().hex}))
            assert record is not None
            if state is not None:
                run(_FIRST_STATE, {"experiment": record.id, "state": state})
            return record

    def switch(self, name: str, *, is_enabled: bool) -> ExperimentRecord | None:
        return _experiment(self._run(_SWITCH, {"name": name, "enabled": int(is_enabled)}))

    def remove(self, name: str) -> bool:
        return bool(self._run(_REMOVE, {"name": name}))

    def assignment(self, experiment_id: str, user: str) -> UserVariant | None:
        return _assignment(self._run(_ASSIGNMENT, {"experiment": experiment_id, "user": user}))

    def assign(self, row: UserVariant) -> UserVariant | None:
        values = {
            "experiment": row.experiment_id,
            "user": row.user_id,
            "variant": row.index,
            "propensity": row.propensity,
            "version": row.version,
            "at": _now(),
        }
        return row if self._inserts(_ASSIGN, values) else self.assignment(row.experiment_id, row.user_id)

    def algorithm(self, experiment_id: str) -> AlgorithmRow | None:
        return _algorithm(self._run(_ALGORITHM, {"experiment": experiment_id}))

    def publish(self, experiment_id: str, state: str, *, expected: int | None = None) -> AlgorithmRow | None:
        values = {"experiment": experiment_id, "state": state, "expected": expected}
        return _algorithm(self._run(_PUBLISH, values))

    def reward(self, experiment_id: str, user: str, learn: Callable[[UserVariant, str], str]) -> bool:
        with self._writing() as run:
            row = _assignment(run(_CLAIM, {"experiment": experiment_id, "user": user}))
            if row is None:
                return False
            held = run(_NEXT_VERSION, {"experiment": experiment_id})
            if not held:
                raise CorruptStateError("the enabled experiment has no algorithm", where=experiment_id)
            run(_LEARNED, {"experiment": experiment_id, "state": learn(row, held[0][0])})
            return True

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""


def _experiment(rows: Sequence[Sequence[Any]]) -> ExperimentRecord | None:
    return ExperimentRecord(rows[0][0], bool(rows[0][1]), rows[0][2]) if rows else None


def _assignment(rows: Sequence[Sequence[Any]]) -> UserVariant | None:
    if not rows:
        return None
    experiment, index, user, propensity, version = rows[0]
    return UserVariant(experiment, index, user, None, propensity, version)


def _algorithm(rows: Sequence[Sequence[Any]]) -> AlgorithmRow | None:
    return AlgorithmRow(rows[0][0], rows[0][1]) if rows else None


def _now() -> str:
    """UTC in ISO 8601 with microseconds; ``isoformat`` alone takes a sixth of the time of an INSERT."""
    seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
    return f"{_second(seconds)}.{microseconds:06d}+00:00"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
