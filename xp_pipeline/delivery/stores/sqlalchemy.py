"""A store in PostgreSQL, through SQLAlchemy, shared by machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from xp_pipeline.delivery.errors import StoreError
from xp_pipeline.delivery.stores.relational import SCHEMA, RelationalStore, Run
from xp_pipeline.errors import XpError

if TYPE_CHECKING:
    import sqlalchemy

_SCHEMA_LOCK = 0x7870_6C67
"""Number of the advisory lock under which tables are created, for PostgreSQL lets two creators collide."""


class SqlAlchemyStore(RelationalStore):
    """Experiments, assignments and algorithms in a PostgreSQL database.

    Args:
        url: Its address, such as ``postgresql+psycopg://user:password@host/database``; messages never show it.
        timeout: Seconds to wait for a connection, and for another transaction's lock.
        pool_size: Connections kept open.

    Raises:
        XpError: SQLAlchemy or the driver is not installed.
        StoreError: the address is none.
    """

    def __init__(self, url: str, *, timeout: float = 5.0, pool_size: int = 5) -> None:
        try:
            import sqlalchemy

            self._sql = sqlalchemy
            self._engine = self._created(url, timeout, pool_size)
        except ImportError as problem:
            raise XpError(
                "the database's driver is not installed",
                found=problem,
                next_step="pip install 'xp_pipeline[postgres]'",
            ) from None
        self._is_ready = False

    def _run(self, statement: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        with self._transaction() as run:
            return run(statement, parameters)

    def _inserts(self, statement: str, parameters: Mapping[str, Any]) -> bool:
        return bool(self._run(f"{statement} RETURNING 1", parameters))

    @contextmanager
    def _writing(self) -> Iterator[Run]:
        with self._transaction() as run:
            yield run

    def close(self) -> None:
        """Close the pool; the next use opens it again."""
        self._engine.dispose()

    def _created(self, url: str, timeout: float, pool_size: int) -> sqlalchemy.Engine:
        milliseconds = int(timeout * 1000)
        try:
            return self._sql.create_engine(
                url,
                pool_size=pool_size,
                pool_timeout=timeout,
                pool_pre_ping=True,
                connect_args={
                    "connect_timeout": max(2, round(timeout)),
                    "options": f"-c lock_timeout={milliseconds} -c statement_timeout={2 * milliseconds}",
                },
            )
        except self._sql.exc.ArgumentError:
            raise StoreError("this is no address of a database", allowed="postgresql+psycopg://…") from None

    @contextmanager
    def _transaction(self) -> Iterator[Run]:
        try:
            self._prepare()
            with self._engine.begin() as connection:
                yield self._runner(connection)
        except self._sql.exc.SQLAlchemyError as problem:
            told = next(iter(str(getattr(problem, "orig", None) or type(problem).__name__).splitlines()), "")
            raise StoreError(
                f"the store refused: {told}",
                where=self._engine.url.render_as_string(hide_password=True),
                next_step="check that the database runs, and which transaction holds its locks",
            ) from problem

    def _prepare(self) -> None:
        """Create the tables where they are missing, once per object."""
        if not self._is_ready:
            with self._engine.begin() as connection:
                run = self._runner(connection)
                run("SELECT pg_advisory_xact_lock(:key)", {"key": _SCHEMA_LOCK})
                for statement in SCHEMA:
                    run(statement, {})
            self._is_ready = True

    def _runner(self, connection: sqlalchemy.Connection) -> Run:
        def run(statement: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
            result = connection.execute(self._sql.text(statement), dict(parameters))
            return [tuple(row) for row in result] if result.returns_rows else []

        return run
