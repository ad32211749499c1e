"""Names that become folders, partition keys and command-line arguments, checked before they do."""

from __future__ import annotations

import unicodedata

from xp_pipeline.errors import SpecError

MAX_CHARACTERS = 128
MAX_BYTES = 240  # as a file name in UTF-8, with room below the 255 bytes of common file systems for a suffix
ALLOWED = f"up to {MAX_CHARACTERS} letters of any alphabet, digits, and _ - . inside"


def check_id(text: str, *, what: str = "experiment id", where: str | None = None) -> str:
    """Return a usable name unchanged.

    Raises:
        SpecError: it is empty, too long, not in Unicode's composed form (NFC), or holds a character that a
            file system, a terminal or a command line would read as something else.
    """
    problem = _problem(text) if isinstance(text, str) else "is not text"
    if problem:
        raise SpecError(f"the {what} {problem}", where=where, found=ascii(text)[:60], allowed=ALLOWED)
    return text


def _problem(text: str) -> str | None:
    if not text:
        return "is empty"
    if len(text) > MAX_CHARACTERS or len(text.encode(errors="replace")) > MAX_BYTES:
        return f"is longer than {MAX_CHARACTERS} characters or {MAX_BYTES} bytes"
    strange = next((c for c in text if not _is_allowed(c)), None)
    if strange:
        return f"holds the character {strange!a}"
    if text[0] in ".-" or text[-1] == "." or ".." in text:
        return "begins with a dot or a hyphen, ends with a dot, or has two dots in a row"
    if not any(unicodedata.category(c)[0] in "LN" for c in text):
        return "has neither a letter nor a digit"
    if not unicodedata.is_normalized("NFC", text):
        return "is not in Unicode's composed form, so another text would look the same"
    return None


def _is_allowed(character: str) -> bool:
    category = unicodedata.category(character)
    return character in "_-." or category[0] in "LM" or category == "Nd"
