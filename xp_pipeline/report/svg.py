"""A few lines of SVG: elements that escape what they are given."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def tag(name: str, *children: str, **attributes: Any) -> Markup:
    """An element. ``class_`` means ``class``, other underscores mean hyphens, attributes that are None are left out."""
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    written = Markup("").join(Markup(' {}="{}"').format(key, value) for key, value in pairs)
    opening = Markup("<{}{}").format(Markup(name), written)
    if not children:
        return opening + Markup("/>")
    return opening + Markup(">") + Markup("").join(children) + Markup("</{}>").format(Markup(name))


def share_of_width(position: float) -> str:
    """A position between 0 and 1 as a percentage, rounded so that equal documents give equal bytes."""
    return f"{position * 100:.2f}%"


def printable(text: str) -> str:
    """The text with characters that neither HTML nor XML can carry replaced by a question mark in a lozenge."""
    return _UNPRINTABLE.sub("\ufffd", text)


def shortened(text: str, length: int) -> str:
    """The text in at most ``length`` characters, an ellipsis standing for its end."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
