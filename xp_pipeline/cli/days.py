"""Days on the command line."""

from __future__ import annotations

from datetime import date

from xp_pipeline.errors import SpecError


def parsed(text: str | None) -> date | None:
    """A day, or None where none is given."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SpecError("not a day", found=text, allowed="YYYY-MM-DD") from None
