"""Where well-known tools leave their promise: their formulas and ours on the same draws, as a table.

    python benchmarks/calibration_others.py [--replicates 2000] [--out docs/calibration_others.md]

Formulas are those the tools document. Where tea-tasting is installed, its own answers are compared with the formula
that stands for it here, and the largest difference is printed. Seeds follow from the names of the rows.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xp_pipeline.calibration.cells.covariates import correlated
from xp_pipeline.calibration.cells.sequences import UNITS, grow
from xp_pipeline.calibration.draws import Law, bernoulli, normal, zero_heavy
from xp_pipeline.calibration.looks import stops, watch, z_scores
from xp_pipeline.calibration.model import Vector
from xp_pipeline.calibration.seeds import stream
from xp_pipeline.stats.boundaries import Look, boundary
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.estimates import Estimate, Relative, Status
from xp_pipeline.stats.means import satterthwaite, t_quantile, welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.proportions import proportion
from xp_pipeline.stats.relative import delta, log_ratio
from xp_pipeline.stats.sequences import boundary as sequence_boundary
from xp_pipeline.stats.skew import tails_unreliable
from xp_pipeline.stats.spending import Spending

KIM_DEMETS = Spending("kim_demets", 2.0)
PER_LOOK = 500
Z = 1.959963984540054
ZERO_HEAVY = zero_heavy(0.05, 1.2)


class Line(NamedTuple):
    """One row: what was simulated, what is promised, and what each method gave, as rates."""

    situation: str
    promised: float
    found: Mapping[str, float]


def main() -> None:
    """Simulate every table and print or write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    text = page(given.replicates)
    if given.out:
        given.out.write_text(text, encoding="utf-8")
    else:
        print(text)


def page(replicates: int) -> str:
    """All tables, as Markdown."""
    made = f"python benchmarks/calibration_others.py --replicates {replicates} --out docs/calibration_others.md"
    near, far = (math.sqrt(p * (1 - p) / replicates) for p in (0.05, 0.3))
    parts = [
        "# Beside other tools",
        "",
        f"Made by `{made}`. A rate rests on {replicates:,} replicates (half as many where experiments are read after",
        f"every unit); its Monte-Carlo error is {near:.2%} near 5 % and 95 %, {far:.2%} near 30 %. Formulas are those",
        "that the tools document (gbstats 0.8.0, tea-tasting 1.14, spotify-confidence 4.1, xpyrment 1.6), on the draws",
        "that ours get. Replicates in which a method has no answer are left out.",
        "",
        agreement_with_tea_tasting(),
        "",
    ]
    for title, sentence, lines in (
        ("Relative lift on zero-heavy data", RELATIVE, relative_lifts(replicates)),
        ("CUPED, relative lift", ADJUSTED, adjusted_lifts(replicates)),
        ("Read after every unit", PEEKING, peeking(max(replicates // 2, 200))),
        ("90/10 on zero-heavy spending", SKEWED, skewed(replicates)),
        ("More looks than planned", OVERRUN, overrun(replicates)),
    ):
        parts += [f"## {title}", "", sentence, "", *_table(lines), ""]
    return "\n".join(parts)


def _table(lines: list[Line]) -> list[str]:
    columns = list(lines[0].found)
    rows = [["situation", "promised", *columns], ["---"] * (2 + len(columns))]
    for line in lines:
        rows.append([line.situation, f"{line.promised:.0%}", *(f"{100 * rate:.1f} %" for rate in line.found.values())])
    return ["| " + " | ".join(row) + " |" for row in rows]


RELATIVE = (
    "Share of 95 % intervals of the lift that contain it. The delta method is the default of gbstats, the log "
    "ratio that of tea-tasting; spotify-confidence and xpyrment divide the absolute interval by the control mean. "
    "Where Fieller's set has no bounds it is reported as such (last column)."
)


def relative_lifts(replicates: int) -> list[Line]:
    """Coverage of the lift by four methods."""
    cases: list[tuple[Law, int, float]] = [(ZERO_HEAVY, n, lift) for n in (100, 500, 2000) for lift in (0.0, 0.5)]
    cases += [(bernoulli(0.01), 200, 0.0), (bernoulli(0.01), 1000, 0.0), (normal(), 200, 0.5)]
    return [_relative(law, n, lift, replicates) for law, n, lift in cases]


def _relative(law: Law, n: int, lift: float, replicates: int) -> Line:
    name = f"{law.name}, n={n:,}, lift {lift:.0%}"
    rng = stream("others", name, 1, 0)
    ours = proportion if law.name.startswith("bernoulli") else welch
    rows: list[dict[str, float]] = []
    for pair in zip(law.moments(rng, replicates, n), law.moments(rng, replicates, n, lift), strict=True):
        plain, found = welch(*pair), ours(*pair).relative
        if math.isnan(plain.se) or not plain.mean_control:
            continue
        covered = {"Fieller or score (ours)": found.contains(lift)} | _theirs(plain, lift)
        rows.append(covered | {"without bounds": found.status == Status.UNBOUNDED})
    return Line(name, 0.95, _shares(rows))


def _theirs(e: Estimate, lift: float) -> dict[str, float]:
    """Whether the intervals of a lift that other tools give contain it."""
    numbers = e.mean_control, e.mean_treatment, e.var_mean_control, e.var_mean_treatment
    q = (e.high - e.effect) / e.se
    return {
        "delta (gbstats)": delta(*numbers, 0.0, q).contains(lift),
        "log (tea-tasting)": _tea(e).contains(lift),
        "naive (spotify, xpyrment)": e.low / e.mean_control <= lift <= e.high / e.mean_control,
    }


def _tea(e: Estimate) -> Relative:
    """The log ratio's interval with degrees of freedom on its own scale."""
    numbers = e.mean_control, e.mean_treatment, e.var_mean_control, e.var_mean_treatment
    if e.mean_treatment == 0:
        return log_ratio(*numbers, 0.0, Z)
    squared = e.var_mean_control / e.mean_control**2, e.var_mean_treatment / e.mean_treatment**2
    df = satterthwaite(squared[0], e.n_control, squared[1], e.n_treatment)
    return log_ratio(*numbers, 0.0, t_quantile(0.975, df))


def _shares(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


ADJUSTED = (
    "Share of 95 % intervals of the lift that contain it; outcome with cv 0.5 and a covariate correlated by 0.9, "
    "200 units an arm. gbstats 0.8.0 divides by the unadjusted mean with the variance of the adjusted one, "
    "tea-tasting's log interval drops what both adjusted means share, and spotify-confidence and xpyrment divide the "
    "absolute interval by the control mean."
)


def adjusted_lifts(replicates: int) -> list[Line]:
    """Coverage of the lift after adjustment."""
    return [_adjusted(lift, replicates) for lift in (0.0, 0.5, 1.0)]


def _adjusted(lift: float, replicates: int) -> Line:
    name, n = f"rho 0.9, lift {lift:.0%}", 200
    rng = stream("others", name, 1, 0)
    rows: list[dict[str, float]] = []
    for _ in range(replicates):
        both = 1 + 0.5 * correlated(rng, (2, n), 0.9)
        both[1, :, 0] += lift
        e = cuped(Moments.of(both[0]), Moments.of(both[1]))
        variances, q, plain = (e.var_control / n, e.var_treatment / n), (e.high - e.effect) / e.se, both[0, :, 0].mean()
        gbstats = delta(plain, plain + e.effect, *variances, 0.0, q)
        tea = log_ratio(e.mean_control, e.mean_treatment, *variances, 0.0, q)
        rows.append({
            "joint Fieller (ours)": e.relative.contains(lift),
            "delta (gbstats)": gbstats.contains(lift),
            "log (tea-tasting)": tea.contains(lift),
            "naive (spotify, xpyrment)": e.low / e.mean_control <= lift <= e.high / e.mean_control,
        })  # fmt: skip
    return Line(name, 0.95, _shares(rows))


PEEKING = (
    "Share of A/A experiments whose interval, or test, is wrong at any time from 100 to 5,000 units an arm. "
    "gbstats puts the confidence sequence around the delta method's lift; xpyrment's mSPRT documents the variance "
    "of the baseline in place of that of the difference; the fixed-horizon test is what a tool without a "
    "sequential method offers. Our methods also wait for 25 units other than 0; without an effect their two "
    "scales decide alike."
)


def peeking(replicates: int) -> list[Line]:
    """Ever wrong under continuous monitoring."""
    return [_peeked(law, replicates) for law in (normal(), bernoulli(0.2), bernoulli(0.02), ZERO_HEAVY)]


@cache
def _sequence() -> Vector:
    return np.array([sequence_boundary(2 * n, 2 * UNITS, 0.05) for n in range(1, UNITS + 1)])


def _peeked(law: Law, replicates: int) -> Line:
    found: dict[str, float] = {}
    tau2 = 2.8**2 * law.variance * 2 / UNITS
    for batch in range(math.ceil(replicates / 50)):
        grown = grow(law, stream("others", f"peeking, {law.name}", 1, batch), min(50, replicates - 50 * batch), 0.0)
        seen = np.arange(1, UNITS + 1) >= 100
        (m_c, m_t), (v_c, v_t), q = grown.mean, grown.mean_variance, _sequence()
        with np.errstate(invalid="ignore", divide="ignore"):
            se = np.sqrt(v_c + v_t)
            effect = np.abs(m_t - m_c)
            lift_se = np.sqrt(v_t / m_c**2 + v_c * m_t**2 / m_c**4)
            wrong: dict[str, NDArray[np.bool_]] = {
                "sequence, both scales (ours)": (effect > q * se) & grown.ready,
                "sequence, delta lift (gbstats)": np.abs(m_t / m_c - 1) > q * lift_se,
                "mSPRT (ours)": _mixture(effect, v_c + v_t, tau2) & grown.ready,
                "mSPRT, baseline variance (xpyrment)": _mixture(effect, v_c, tau2),
                "fixed horizon": effect > Z * se,
            }
        for method, at in wrong.items():
            found[method] = found.get(method, 0.0) + float((at & seen).any(axis=1).sum()) / replicates
    return Line(law.name, 0.05, found)


def _mixture(effect: Vector, variance: Vector, tau2: float) -> NDArray[np.bool_]:
    """Whether the mixture's likelihood ratio exceeds 1 / 0.05."""
    with np.errstate(invalid="ignore", divide="ignore"):
        evidence = tau2 * effect**2 / (2 * variance * (variance + tau2)) - 0.5 * np.log1p(tau2 / variance)
    return np.asarray(evidence >= -math.log(0.05), dtype=np.bool_)


SKEWED = (
    "Share of 95 % intervals of the difference that contain it, 9,000 units against 1,000. All tools give Welch's "
    "interval or nearly so; ours says with it that the tails are unreliable (guard)."
)


def skewed(replicates: int) -> list[Line]:
    """Welch on unequal arms, and how often the guard speaks."""
    lines = []
    for law in (ZERO_HEAVY, normal()):
        name = f"{law.name}, n=9,000/1,000"
        rng = stream("others", name, 1, 0)
        arms = list(zip(law.moments(rng, replicates, 9000), law.moments(rng, replicates, 1000), strict=True))
        covered = [estimate.low <= 0 <= estimate.high for estimate in (welch(*pair) for pair in arms)]
        guarded = [bool(tails_unreliable(*pair)) for pair in arms]
        lines.append(Line(name, 0.95, {"Welch (all)": _share(covered), "guard raised (ours)": _share(guarded)}))
    return lines


def _share(flags: list[bool]) -> float:
    return sum(flags) / len(flags)


OVERRUN = (
    "Share of A/A experiments called when looks go on beyond ten planned ones (Kim-DeMets 2). spotify-confidence "
    "puts past fractions anew over the units so far, which gives back alpha that was spent; ours ends with the "
    "alpha: the planned end is the last look, or the first one beyond it where that was missed."
)


def overrun(replicates: int) -> list[Line]:
    """False positives after 0, 1, 5 and 20 extra looks."""
    return [_overrun(extra, replicates) for extra in (0, 1, 5, 20)]


def _overrun(extra: int, replicates: int) -> Line:
    total, name = 10 + extra, f"10 looks and {extra} more"
    z = z_scores(watch(normal(), stream("others", name, 1, 0), replicates, [PER_LOOK * (k + 1) for k in range(total)]))
    ours = stops(_planned(10), z[:, :10]).crossed != 0
    rescaled = np.abs(z) >= np.array([_rescaled(k).upper for k in range(1, total + 1)])
    return Line(name, 0.05, {"ours": float(ours.mean()), "re-scaled (spotify)": float(rescaled.any(axis=1).mean())})


@cache
def _planned(looks: int) -> tuple[Look, ...]:
    return boundary([(k + 1) / looks for k in range(looks)], spending=KIM_DEMETS)


def _rescaled(look: int) -> Look:
    """The boundary of a look whose fractions are put over itself once it lies beyond the plan."""
    return _planned(max(look, 10))[look - 1]


def agreement_with_tea_tasting() -> str:
    """How far tea-tasting's own interval of the lift is from the log ratio's formula, on 200 data sets."""
    try:
        from tea_tasting.aggr import Aggregates  # type: ignore[import-untyped]
        from tea_tasting.metrics import Mean  # type: ignore[import-untyped]
    except ImportError:
        return "tea-tasting is not installed: its formula was not compared with the package."
    rng, gap = stream("others", "tea-tasting", 1, 0), 0.0
    for _ in range(200):
        arms = [Moments.of(ZERO_HEAVY.values(rng, (400,))) for _ in range(2)]
        sums = [Aggregates(m.n, {"y": float(m.mean[0])}, {"y": m.variance()}, {}) for m in arms]
        theirs, here = Mean("y").analyze_aggregates(*sums), _tea(welch(*arms))
        ends = theirs.rel_effect_size_ci_lower - here.low, theirs.rel_effect_size_ci_upper - here.high
        gap = max(gap, *map(abs, ends))
    return f"The log ratio's interval is tea-tasting's own to {gap:.0e} on 200 data sets."


if __name__ == "__main__":
    main()
