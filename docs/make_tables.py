"""Writes docs/tables.md, the data dictionary, from the schema in xp_pipeline.spec.tables."""

from __future__ import annotations

from pathlib import Path

from xp_pipeline.spec.tables import INTERACTIONS, SCHEMA_VERSION, TABLES


def dictionary() -> str:
    """The data dictionary as Markdown."""
    parts = [f"# Data dictionary\n\nSchema version {SCHEMA_VERSION}; made by `python docs/make_tables.py`.\n"]
    for table, fields in {**TABLES, "interactions": INTERACTIONS}.items():
        rows = "\n".join(f"| `{name}` | {field.kind} | {field.meaning} |" for name, field in fields.items())
        parts.append(f"## {table}\n\n| column | type | meaning |\n|---|---|---|\n{rows}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("tables.md").write_text(dictionary(), encoding="utf-8")
