"""How numbers are printed: digits that suit the uncertainty, a real minus sign, and no false zeros."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

DASH = "—"
MINUS = "−"
MAX_DECIMALS = 8
MAX_PLAIN = 1e15
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Figure(NamedTuple):
    """A number beside its printed form.

    Attributes:
        value: The number itself, or None where there is none to show.
        text: The number as people read it; an em dash for None.
    """

    value: float | None
    text: str


class Interval(NamedTuple):
    """An interval beside its printed form.

    Attributes:
        low: Lower end, or None when unbounded or absent.
        high: Upper end, or None when unbounded or absent.
        text: ``−1.4 to +3.2``; an em dash when absent.
    """

    low: float | None
    high: float | None
    text: str


@dataclass(frozen=True)
class Unit:
    """A scale of printing.

    Attributes:
        factor: What a number is multiplied by before it is printed.
        suffix: What follows it.
    """

    factor: float = 1.0
    suffix: str = ""


PLAIN = Unit()
PERCENT = Unit(100.0, "%")
POINTS = Unit(100.0, " pp")
BLANK = Figure(None, DASH)
NO_INTERVAL = Interval(None, None, DASH)


def finite(value: Any) -> float | None:
    """The value as a float, or None for null, NaN and infinities."""
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def decimals_for(width: float | None, *, unit: Unit = PLAIN) -> int | None:
    """Decimals that show two significant digits of an interval's half-width; None without a width."""
    scaled = (width or 0.0) * unit.factor
    if not math.isfinite(scaled) or scaled <= 0:
        return None
    return max(0, 1 - math.floor(math.log10(scaled)))


def shared_decimals(intervals: Iterable[tuple[Any, Any]], *, unit: Unit = PLAIN) -> int | None:
    """Decimals for numbers that stand below each other: those of the narrowest of their intervals."""
    ends = [(finite(low), finite(high)) for low, high in intervals]
    widths = [(high - low) / 2 for low, high in ends if low is not None and high is not None and high > low]
    return decimals_for(min(widths), unit=unit) if widths else None


def number(value: Any, *, decimals: int | None = None, unit: Unit = PLAIN, signed: bool = False) -> str:
    """A number in its unit; without ``decimals``, three significant digits."""
    known = finite(value)
    if known is None:
        return DASH
    scaled = known * unit.factor
    places = _natural_decimals(scaled) if decimals is None else decimals
    plain = places <= MAX_DECIMALS and abs(scaled) < MAX_PLAIN
    text = f"{abs(scaled):,.{places}f}" if plain else _scientific(scaled)
    return _sign(scaled, text, signed) + text + unit.suffix


def figure(value: Any, *, decimals: int | None = None, unit: Unit = PLAIN, signed: bool = False) -> Figure:
    """A number beside its printed form; see :func:`number`."""
    known = finite(value)
    return BLANK if known is None else Figure(known, number(known, decimals=decimals, unit=unit, signed=signed))


def interval(
    low: Any, high: Any, *, decimals: int | None = None, unit: Unit = PLAIN, unbounded: bool = False
) -> Interval:
    """An interval in its unit. With ``unbounded``, a missing end is infinite rather than unknown."""
    bottom, top = finite(low), finite(high)
    bare = Unit(unit.factor)
    texts = [number(end, decimals=decimals, unit=bare, signed=True) for end in (bottom, top)]
    if bottom is not None and top is not None:
        return Interval(bottom, top, f"{texts[0]} to {texts[1]}{unit.suffix}")
    if not unbounded:
        return NO_INTERVAL
    if bottom is None and top is None:
        return Interval(None, None, "unbounded")
    words = f"above {texts[0]}" if top is None else f"below {texts[1]}"
    return Interval(bottom, top, words + unit.suffix)


def count(value: Any) -> Figure:
    """A whole number with thousands separators."""
    known = finite(value)
    return BLANK if known is None else Figure(known, number(round(known), decimals=0))


def p_value(value: Any) -> Figure:
    """A p-value to four decimals, which stay below each other; ``<0.0001`` rather than a zero."""
    known = finite(value)
    if known is None:
        return BLANK
    if known < 0.0001:
        return Figure(known, "<0.0001")
    return Figure(known, f"{known:.4f}")


def share(value: Any) -> Figure:
    """A share as a percentage of three significant digits, never rounded up to 100% or down to 0%."""
    known = finite(value)
    if known is None:
        return BLANK
    if known in (0.0, 1.0):
        return Figure(known, f"{known * 100:.0f}%")
    if 0.9995 <= known < 1:
        return Figure(known, ">99.9%")
    if 0 < known < 0.0001:
        return Figure(known, "<0.01%")
    decimals = 2 if known < 0.01 else 1
    return Figure(known, number(known, decimals=decimals, unit=PERCENT))


def compact(value: Any) -> str:
    """A number of any size in three significant digits: ``0.00017``, ``1,000``, ``4.10×10¹²``."""
    known = finite(value)
    if known is None:
        return DASH
    if known and not 1e-6 <= abs(known) < 1e6:
        return _sign(known, "1", False) + _scientific(known)
    return number(known, decimals=0) if abs(known) >= 1000 else f"{known:.3g}".replace("-", MINUS)


def percent_level(level: Any) -> str:
    """A confidence level as words use it: ``95%``, ``99.5%``."""
    known = finite(level)
    return "" if known is None else f"{known * 100:g}%"


def moment(text: str) -> str:
    """An ISO moment to the minute: ``2026-01-05 14:30``; midnight is just the date."""
    return text[:16].replace("T", " ").removesuffix(" 00:00")


def sentence(text: str) -> str:
    """Text with a capital at its beginning and a full stop at its end."""
    bare = text.strip()
    return bare[:1].upper() + bare[1:] + ("" if bare.endswith((".", "!", "?", "…")) else ".")


def _natural_decimals(scaled: float) -> int:
    if scaled == 0 or (float(scaled).is_integer() and abs(scaled) < MAX_PLAIN):
        return 0
    return max(0, 2 - math.floor(math.log10(abs(scaled))))


def _scientific(scaled: float) -> str:
    mantissa, exponent = f"{abs(scaled):.2e}".split("e")
    if float(mantissa) == 0:
        return "0"
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def _sign(scaled: float, text: str, signed: bool) -> str:
    """The sign of what is printed: a number that rounds to zero has none."""
    if not any(digit in "123456789" for digit in text.split("×")[0]):
        return ""
    if scaled < 0:
        return MINUS
    return "+" if signed else ""
