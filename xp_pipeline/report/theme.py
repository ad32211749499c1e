"""Colours and style sheets: one palette in light and dark, one set of rules for page and chart."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1b1d21",
    "muted": "#5c6370",
    "rule": "#dcdcd6",
    "grid": "#e9e9e4",
    "good": "#0a6b5d",
    "bad": "#b0281c",
    "caution": "#85570a",
    "neutral": "#4c5566",
    "good-wash": "#e6f2ee",
    "bad-wash": "#faeae7",
    "caution-wash": "#f8f0de",
    "neutral-wash": "#eef0f3",
}
"""Text colours have a contrast of at least 4.5 on paper and on every wash."""

DARK = {
    "paper": "#15171a",
    "ink": "#e7e8ea",
    "muted": "#a0a6b1",
    "rule": "#373b42",
    "grid": "#2a2e34",
    "good": "#56c2a6",
    "bad": "#ff9082",
    "caution": "#e2b45a",
    "neutral": "#b3bac6",
    "good-wash": "#172c27",
    "bad-wash": "#351f1c",
    "caution-wash": "#2f2817",
    "neutral-wash": "#23272d",
}


@cache
def sheet(name: str) -> str:
    """A style sheet of the package, as written: colours are ``var(--name)``."""
    return files("xp_pipeline.report").joinpath("templates", name).read_text(encoding="utf-8")


def variables(palette: dict[str, str]) -> str:
    """A palette as CSS custom properties."""
    return " ".join(f"--{name}: {colour};" for name, colour in palette.items())


def fixed(css: str, palette: dict[str, str]) -> str:
    """Rules with the palette's colours written out, for readers of SVG that know no custom properties."""
    return re.sub(r"var\(--([a-z-]+)\)", lambda match: palette[match[1]], css)
