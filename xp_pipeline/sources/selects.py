"""The SELECT of an sql source: checked to be only that, its files found from the project folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from xp_pipeline.engine.predicates import literal
from xp_pipeline.errors import SpecError
from xp_pipeline.sources.paths import ENDINGS, resolved
from xp_pipeline.sources.readers import register
from xp_pipeline.spec.source import Source

if TYPE_CHECKING:
    from sqlglot import exp


def select(con: duckdb.DuckDBPyConnection, source: Source, *, root: Path) -> str:
    """The query with the paths of its files resolved, on a connection that can read them.

    Raises:
        SpecError: it is not one SELECT.
        SourceError: a variable in a path is not set, or a driver is missing.
    """
    where = f"source {source.name}, sql"
    text = (source.location.sql or "").strip().rstrip(";")
    paths = {path: resolved(path, root=root, where=where) for path in set(_paths(_parsed(text, where)))}
    register(con, list(paths.values()), where=where)
    con.execute("SET python_enable_replacements = false")
    return _replaced(text, paths)


def _parsed(text: str, where: str) -> exp.Query:
    import sqlglot
    from sqlglot import exp

    try:
        statements = sqlglot.parse(text, read="duckdb")
    except sqlglot.errors.SqlglotError as problem:
        raise SpecError("sql cannot be parsed", where=where, found=str(problem).splitlines()[0]) from None
    query = statements[0] if len(statements) == 1 else None
    writing = (exp.DDL, exp.DML, exp.Into, exp.Command, exp.Copy, exp.Attach, exp.Detach, exp.Pragma, exp.Set)
    if not isinstance(query, exp.Select | exp.SetOperation) or any(
        isinstance(node, writing) and not isinstance(node, exp.Query) for node in query.walk()
    ):
        raise SpecError("sql is one SELECT, and nothing that writes", where=where, found=" ".join(text.split())[:60])
    return query


def _paths(query: exp.Query) -> Iterator[str]:
    """What stands for a file: a quoted table name that looks like one, or the first argument of a reader."""
    from sqlglot import exp

    for table in query.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier):
            if table.this.quoted and _is_file(table.name):
                yield table.name
        elif isinstance(table.this, exp.Func) and _is_reader(table.this):
            argument = next((value for value in _arguments(table.this)), None)
            yield from (found.name for found in argument.find_all(exp.Literal) if found.is_string) if argument else ()


def _is_file(name: str) -> bool:
    return "/" in name or name.endswith((*ENDINGS["csv"], *ENDINGS["parquet"]))


def _is_reader(function: exp.Func) -> bool:
    from sqlglot import exp

    name = (function.name if isinstance(function, exp.Anonymous) else function.sql_name()).lower()
    return name.startswith("read_") or name.endswith("_scan")


def _arguments(function: exp.Func) -> Iterator[exp.Expression]:
    from sqlglot import exp

    for value in (function.args.get("this"), *function.expressions):
        if isinstance(value, exp.Expression):
            yield value


def _replaced(text: str, paths: dict[str, str]) -> str:
    """The text with its paths replaced where they stand, so that the rest runs as it was written."""
    from sqlglot import TokenType
    from sqlglot.dialects.duckdb import DuckDB

    pieces, end = [], 0
    for token in DuckDB().tokenize(text):
        if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER) and token.text in paths:
            pieces += [text[end : token.start], literal(paths[token.text])]
            end = token.end + 1
    return "".join([*pieces, text[end:]])
