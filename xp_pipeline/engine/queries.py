"""The SQL files: found by name in a checkout or an installed wheel, rendered with Jinja."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateNotFound

from xp_pipeline.errors import SourceError

_PACKAGE = Path(__file__).resolve().parent.parent


def folder() -> Path:
    """The folder of SQL files: inside an installed package, or beside it in a checkout."""
    for candidate in (_PACKAGE / "sql", _PACKAGE.parent / "sql"):
        if (candidate / "moments.sql").is_file():
            return candidate
    raise SourceError("the SQL files are missing", where=str(_PACKAGE), next_step="reinstall xp_pipeline")


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(folder()), undefined=StrictUndefined, keep_trailing_newline=True)


def names() -> list[str]:
    """Every query, without its ending."""
    return sorted(path.stem for path in folder().glob("*.sql"))


def render(name: str, **parameters: object) -> str:
    """One query with its parameters filled in; a parameter left out is an error, never an empty text."""
    try:
        template = _environment().get_template(f"{name}.sql")
    except TemplateNotFound:
        raise SourceError(f"no query {name!r}", allowed=", ".join(names())) from None
    return template.render(**parameters)
