"""The caller's frame, read where it lies: pandas, Polars, Arrow, DuckDB, or anything lazy that narwhals knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import duckdb
import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from xp_pipeline.engine.duckdb import connect
from xp_pipeline.engine.predicates import identifier
from xp_pipeline.errors import DataError, nearest
from xp_pipeline.experiment.tables import Kind
from xp_pipeline.spec.values import ColumnType

_ROWS = "frame_rows"

SHORT = 50_000
"""Rows below which a frame is read in one piece; fixed, so that numbers never depend on the machine."""

KINDS = "a pandas or Polars frame, a Polars LazyFrame, an Arrow table, a DuckDB relation"


class Frame:
    """A frame with its columns' types; rows are scanned in place, NaN is a missing value.

    Args:
        data: Any frame that narwhals knows.

    Attributes:
        native: The caller's own object, never copied, never written to.
        types: Column to the type that a spec calls it; None for one that no metric can read.

    Raises:
        DataError: it is no frame, or two columns have one name.
    """

    def __init__(self, data: Any) -> None:
        try:
            self._frame: nw.DataFrame[Any] | nw.LazyFrame[Any] = nw.from_native(data)
            schema = self._frame.collect_schema()
        except TypeError:
            raise DataError("the data is no frame", found=type(data).__name__, allowed=KINDS) from None
        except nw.exceptions.DuplicateError as problem:
            raise DataError(f"column names are not unique: {problem}") from None
        self.native = data
        self.types: Mapping[str, ColumnType | None] = {name: _type(dtype) for name, dtype in schema.items()}

    @property
    def kind(self) -> Kind:
        """The library that small results are given back in; Polars where the caller's has no frames of its own."""
        implementation = self._frame.implementation
        return "pandas" if implementation.is_pandas() else "pyarrow" if implementation.is_pyarrow() else "polars"

    def check(self, columns: Iterable[str], *, what: str, allowed: Sequence[ColumnType]) -> None:
        """Refuse columns that are not there, or not of a type that can be read so.

        Raises:
            DataError: naming the first.
        """
        for name in columns:
            if not isinstance(name, str) or name not in self.types:
                raise DataError(f"{what} {name!r} is not in the data", allowed=nearest(str(name), map(str, self.types)))
            if self.types[name] not in allowed:
                found = self._frame.collect_schema()[name]
                raise DataError(f"{what} {name!r} cannot be used", found=str(found), allowed=", ".join(allowed))

    def view(self, columns: Sequence[str]) -> View:
        """Some columns, read over the frame's own memory; of several views of a frame, the newest can be read.

        A DuckDB relation stays on its connection; a lazy frame is collected, these columns only.
        """
        return self._views(columns, parts=1)[0]

    def slices(self, columns: Sequence[str]) -> list[View]:
        """The same as two halves that can be read at once; a short frame, or a relation of DuckDB's, as one."""
        return self._views(columns, parts=2)

    def _views(self, columns: Sequence[str], *, parts: int) -> list[View]:
        names = list(dict.fromkeys(columns))
        unclean = self._with_nan(names)
        cleaned = ", ".join(_cleaned(name) if name in unclean else identifier(name) for name in names)
        return [View(source, f"SELECT {cleaned} FROM {_ROWS}") for source in self._scanned(names, parts)]

    def _scanned(self, columns: list[str], parts: int) -> Sequence[duckdb.DuckDBPyConnection | duckdb.DuckDBPyRelation]:
        if isinstance(self.native, duckdb.DuckDBPyRelation):
            return [self.native]
        whole = nw.from_native(self._eager(columns), eager_only=True)
        size = len(whole)
        halves = [whole] if parts == 1 or size < SHORT else [whole[: size // 2], whole[size // 2 :]]
        for connection, half in zip(self._connections, halves, strict=False):
            connection.register(_ROWS, half.to_native())
        return self._connections[: len(halves)]

    @cached_property
    def _connections(self) -> tuple[duckdb.DuckDBPyConnection, duckdb.DuckDBPyConnection]:
        """Two of one database, which has no threads of its own: each works in the thread that asks."""
        first = connect()
        return first, first.cursor()

    def _eager(self, columns: list[str]) -> Any:
        import polars as pl

        chosen = self._frame.select(columns)
        with reading():
            eager = chosen.collect() if isinstance(chosen, nw.LazyFrame) else chosen
        native = eager.to_native()
        if isinstance(native, pl.DataFrame):  # its newest layout is Arrow's own: nothing is converted
            return native.to_arrow(compat_level=pl.CompatLevel.newest())
        return native

    def _with_nan(self, columns: Iterable[str]) -> set[str]:
        """The columns that have, or where nobody can look beforehand may have, NaN, which is then read as null."""
        schema = self._frame.collect_schema()
        floats = [name for name in columns if schema[name].is_float()]
        if self.kind == "pandas":  # DuckDB itself reads NaN in NumPy's arrays as null
            floats = [name for name in floats if not isinstance(self.native.dtypes[name], np.dtype)]
        if not floats or isinstance(self._frame, nw.LazyFrame):
            return set(floats)
        found = self._frame.select(nw.col(*floats).is_nan().any()).row(0)
        return {name for name, has in zip(floats, found, strict=True) if has}


@dataclass(frozen=True)
class View:
    """Rows of a frame as a query reads them.

    Attributes:
        source: The caller's DuckDB relation, or a connection of ours that knows the frame's rows.
        select: What the view shows of them.
    """

    source: duckdb.DuckDBPyConnection | duckdb.DuckDBPyRelation
    select: str

    def project(self, columns: Iterable[str], where: str = "TRUE") -> View:
        """Other columns of the same rows, or of some of them."""
        return replace(self, select=f"SELECT {', '.join(columns)} FROM ({self.select}) WHERE {where}")

    def rows(self, name: str, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query that calls the view by a name.

        Raises:
            DataError: the frame cannot be read.
        """
        with reading():
            return list(self._result(name, query).fetchall())

    def numbers(self, name: str) -> NDArray[np.float64]:
        """The non-null numbers of one column.

        Raises:
            DataError: the frame cannot be read.
        """
        with reading():
            found = self._result("shown", f"SELECT {name} FROM shown WHERE {name} IS NOT NULL").fetchnumpy()
        return np.asarray(found[name], dtype=np.float64)

    def relation(self) -> duckdb.DuckDBPyRelation:
        """The view as a relation of DuckDB's."""
        if isinstance(self.source, duckdb.DuckDBPyConnection):
            found: duckdb.DuckDBPyRelation | None = self.source.sql(self.select)
        else:
            found = self.source.query(_ROWS, self.select)
        assert found is not None
        return found

    def _result(self, name: str, query: str) -> Any:
        if not isinstance(self.source, duckdb.DuckDBPyConnection):
            return self.relation().query(name, query)
        self.source.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {self.select}")
        return self.source.execute(query)


def rows_of_each(views: Sequence[View], name: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query on every view, in order of views, each in a thread of its own.

    Raises:
        DataError: the frame cannot be read.
    """
    with ThreadPoolExecutor(len(views)) as pool:
        parts = list(pool.map(lambda view: view.rows(name, query), views))
    return [row for part in parts for row in part]


def _cleaned(name: str) -> str:
    column = identifier(name)
    return f"nullif({column}, 'NaN') AS {column}"


@contextmanager
def reading() -> Iterator[None]:
    """Turn what goes wrong in a scan into one line of ours.

    Raises:
        DataError: the frame cannot be read.
    """
    import polars as pl

    try:
        yield
    except (duckdb.Error, pl.exceptions.PolarsError, nw.exceptions.NarwhalsError) as problem:
        raise DataError(f"the data cannot be read: {str(problem).splitlines()[0]}") from problem


def _type(dtype: nw.dtypes.DType) -> ColumnType | None:
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "number"
    if dtype == nw.Boolean:
        return "boolean"
    return "text" if dtype in (nw.String, nw.Categorical, nw.Enum, nw.Object) else None
