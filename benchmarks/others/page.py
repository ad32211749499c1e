"""The page of against_others.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from others.cells import CHECKED, Coverage

TOLERATED = 0.01
"""A figure is bold where it is worse than promised by more than this and three Monte-Carlo errors."""


class Line(NamedTuple):
    """One figure: a method in a situation.

    Attributes:
        table, situation, method: Where it stands.
        measure: ``covers``, ``wrong``, ``power`` or ``share``.
        promised: What the method promises; NaN where nothing.
        found: A share of replicates.
        replicates: Those that gave an answer.
        coverage: Misses by side and answers missing, where intervals are judged.
    """

    table: str
    situation: str
    method: str
    measure: str
    promised: float
    found: float
    replicates: int
    coverage: Coverage | None = None

    @property
    def error(self) -> float:
        """Monte-Carlo standard error."""
        return math.sqrt(self.found * (1 - self.found) / max(self.replicates, 1))

    @property
    def broken(self) -> bool:
        """Whether it misses the promise on the wrong side."""
        slack = TOLERATED + 3 * math.sqrt(0.0475 / max(self.replicates, 1))
        if self.measure == "covers":
            return self.found < self.promised - slack
        return self.measure == "wrong" and self.found > self.promised + slack


TEXTS = {
    "Relative lift": (
        "Relative lift",
        "Share of 95 % intervals of the lift that contain it. gbstats uses the delta method, tea-tasting the log "
        "ratio; spotify-confidence and xpyrment divide the interval of the difference by the control mean. Ours is "
        "Fieller's set: where the control mean cannot be told from 0 it has no bounds, and is reported as such.",
    ),
    "CUPED": (
        "CUPED, relative lift",
        "Share of 95 % intervals of the lift that contain it, adjusted by one covariate. gbstats 0.8.0 divides by the "
        "unadjusted mean with the variance of the adjusted one; tea-tasting drops what both adjusted means share.",
    ),
    "Small counts": (
        "Small counts",
        "Share of 95 % intervals that contain the truth, for the difference and the lift of a proportion. Experiments "
        "without an answer, because an arm has no event (gbstats then says (0, 0) with p = 1), are shown in brackets "
        "and count for nobody. tea-tasting's intervals are corrected for continuity, which makes them wide.",
    ),
    "Ratio": (
        "Ratios, units without a denominator included",
        "Share of 95 % intervals of the difference of two ratios of sums that contain it. spotify-confidence has no "
        "delta method: it takes events of the denominator for units. xpyrment leaves out units whose denominator is "
        "0, which is another ratio where those units have a numerator.",
    ),
    "90/10": (
        "90/10 and skewed outcomes",
        "Share of 95 % intervals of the difference that contain it. Every tool gives Welch's interval, whose tails "
        "are unequal where skewness does not cancel; ours says so beside it (last column), the others do not.",
    ),
    "Peeking": (
        "Read after every unit",
        "Share of experiments in which an interval leaves out the truth, or a test rejects it, at any time from 100 "
        "to 5,000 units an arm. Ours also wait for 25 units other than 0 in each arm. gbstats' sequence is tuned as "
        "shipped, to 5,000 units in all; tea-tasting has no sequential method; xpyrment's mSPRT documents the metric's "
        "variance where that of the difference belongs.",
    ),
    "Plan kept": (
        "Group-sequential plans",
        "Share of experiments stopped by equal looks, two-sided at 5 %; power is at the effect that a fixed horizon "
        "finds 90 % of the time. xpyrment spends increments of alpha as if earlier looks had not happened.",
    ),
    "Overrun": (
        "More data than planned",
        "Share of experiments without an effect that are stopped; ten looks planned, alpha t^2 spent. "
        "spotify-confidence re-scales past fractions when the plan is overrun, which gives back alpha that was spent; "
        "ours ends at the plan, or at the first look beyond it where that was missed.",
    ),
}

BAD_TEXT = (
    "Interval of the difference, of the lift, and p, as each tool gives them on a handful of values; an exception by "
    "its name. A tool that answers (0, 0) with p = 1 says that there is no effect, where it has not measured one. "
    "gbstats and spotify-confidence take sums, in which a missing value is the caller's matter; tea-tasting's mean "
    "leaves it out while its number of units counts it."
)


def page(
    lines: Sequence[Line],
    *,
    replicates: int,
    versions: Mapping[str, str],
    gaps: Mapping[str, float],
    bad: Sequence[tuple[str, Mapping[str, str]]],
) -> str:
    """The whole page, as Markdown."""
    parts = [_head(replicates, versions, gaps)]
    for table, (title, sentence) in TEXTS.items():
        chosen = [line for line in lines if line.table == table]
        parts += [f"## {title}", sentence, "\n".join(_table(chosen))]
    parts += ["## Bad input", BAD_TEXT, "\n".join(_bad(bad))]
    return "\n\n".join(parts) + "\n"


def _head(replicates: int, versions: Mapping[str, str], gaps: Mapping[str, float]) -> str:
    peeks, plans = max(replicates * 2 // 5, 50), 10 * replicates
    near, far = _error(0.05, replicates), _error(0.3, replicates)
    apart = ", ".join(f"{tool} {gap:.0e}" for tool, gap in gaps.items())
    return "\n".join([
        "# Against other tools\n",
        "Made by `python benchmarks/against_others.py --others PYTHON --out docs`; nobody edits it. "
        "`against_others.csv` has every figure with the misses on either side.\n",
        f"* **The tools**: {', '.join(f'{tool} {number}' for tool, number in versions.items())}.",
        f"* **R** is {replicates:,} experiments a situation ({peeks:,} where they are read after every unit, {plans:,} "
        f"for group-sequential plans). The Monte-Carlo error is {near:.2f} points near 5 % and 95 % and {far:.2f} near "
        f"30 %; {_error(0.05, peeks):.2f} when read after every unit, {_error(0.05, plans):.2f} for plans.",
        "* **Seeds are not chosen**: random numbers follow from the SHA-256 of a situation's name.",
        "* **Same data**: every method sees the same draws. Ours are the shipped functions, called on each experiment "
        "(of sequences, a vectorised twin that decides as they do on 300 looks). Theirs are their formulas, computed "
        "for all experiments at once and compared in the same run with the packages themselves on "
        f"{CHECKED} data sets of each situation; largest difference, in widths of the interval: {apart}.",
        "* **Bold** is worse than promised by more than one point and three Monte-Carlo errors.",
    ])  # fmt: skip


def _error(share: float, replicates: int) -> float:
    """Monte-Carlo error in points."""
    return 100 * math.sqrt(share * (1 - share) / replicates)


def _table(lines: Sequence[Line]) -> list[str]:
    methods = list(dict.fromkeys(line.method for line in lines))
    found = {(line.situation, line.method): line for line in lines}
    situations = list(dict.fromkeys(line.situation for line in lines))
    rows = [["situation", *methods], ["---"] * (1 + len(methods))]
    for situation in situations:
        cells = (found.get((situation, method)) for method in methods)
        rows.append([situation, *(_cell(line) if line else "" for line in cells)])
    return ["| " + " | ".join(row) + " |" for row in rows]


def _cell(line: Line) -> str:
    text = f"{100 * line.found:.1f} %"
    text = f"**{text}**" if line.broken else text
    if line.coverage and line.coverage.unbounded >= 0.0005:
        text += f" ({100 * line.coverage.unbounded:.1f} % without bounds)"
    if line.coverage and line.coverage.none >= 0.0005:
        text += f" ({100 * line.coverage.none:.1f} % no answer)"
    return text


def _bad(cases: Sequence[tuple[str, Mapping[str, str]]]) -> list[str]:
    tools = list(cases[0][1])
    rows = [["input", *tools], ["---"] * (1 + len(tools))]
    rows += [[name, *(found[tool] for tool in tools)] for name, found in cases]
    return ["| " + " | ".join(row) + " |" for row in rows]
