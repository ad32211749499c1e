"""The packages themselves: run by against_others.py in the interpreter that has them, never in this project's own.

    OTHERS_PYTHON others/installed.py FOLDER

Reads ``request.json`` and ``data.npz`` from the folder and writes ``answers.json``: every tool's own intervals on the
data sets given, spotify-confidence's and xpyrment's boundaries, and what each tool says of bad input.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from gbstats.bayesian.tests import EffectBayesianABTest, EffectBayesianConfig
from gbstats.frequentist.tests import FrequentistConfig, SequentialConfig, SequentialTwoSidedTTest, TwoSidedTTest
from gbstats.models.statistics import (
    ProportionStatistic,
    RatioStatistic,
    RegressionAdjustedStatistic,
    SampleMeanStatistic,
)
from gbstats.utils import check_srm
from spotify_confidence import StudentsTTest, ZTest, ZTestLinreg
from spotify_confidence.analysis.frequentist.confidence_computers.z_test_computer import sequential_bounds
from tea_tasting import Experiment
from tea_tasting.aggr import Aggregates
from tea_tasting.metrics import Mean, Proportion, RatioOfMeans
from xpyrment.analyze.sequential import GroupSequentialMonitor
from xpyrment.metrics.taxonomy import MeanMetric, RatioMetric
from xpyrment.run.stopping import StoppingRules

TOOLS = ("gbstats", "tea-tasting", "spotify-confidence", "xpyrment")
NAMES = "yxz"


def main() -> None:
    """Answer everything that is asked in one process."""
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    request = json.loads((folder / "request.json").read_text())
    data = np.load(folder / "data.npz")
    with contextlib.redirect_stdout(io.StringIO()):
        found = {
            "versions": {tool: version(tool) for tool in TOOLS},
            "intervals": {
                name: intervals(kind, data[f"{name}/0"], data[f"{name}/1"]) for name, kind in request["sets"]
            },
            "rescaled": [rescaled(fractions) for fractions in request["rescaled"]],
            "unconditional": {str((kind, k)): unconditional(kind, k) for kind, k in request["unconditional"]},
            "watched": [watched(*case) for case in request["watched"]],
            "ratios": [float(check_srm(*case)) for case in request["ratios"]],
            "bad": {name: bad(np.array(c), np.array(t)) for name, c, t in request["bad"]},
        }
    (folder / "answers.json").write_text(json.dumps(found))


def intervals(kind: str, control: np.ndarray, treatment: np.ndarray) -> dict[str, Any]:
    """By tool: low and high of the difference, low and high of the lift, and the p-value; null where it fails."""
    tools = {"tea-tasting": tea} if kind == "ratio_cuped" else ASKED
    found: dict[str, Any] = {}
    for tool, answer in tools.items():
        try:
            found[tool] = [float(value) for value in answer(kind, control, treatment)]
        except Exception as failure:
            found[tool] = type(failure).__name__
    return found


def gbstats(kind: str, control: np.ndarray, treatment: np.ndarray) -> tuple[float, ...]:
    """TwoSidedTTest, on either scale."""
    absolute, relative = (
        TwoSidedTTest(
            *(_statistic(kind, arm) for arm in (control, treatment)), FrequentistConfig(difference_type=scale)
        ).compute_result()
        for scale in ("absolute", "relative")
    )
    return *absolute.ci, *relative.ci, absolute.p_value


def tea(kind: str, control: np.ndarray, treatment: np.ndarray) -> tuple[float, ...]:
    """Mean, RatioOfMeans, or Proportion by the normal law, which has intervals."""
    metric = {
        "mean": lambda: Mean("y"),
        "cuped": lambda: Mean("y", "x"),
        "ratio": lambda: RatioOfMeans("y", "x"),
        "ratio_cuped": lambda: RatioOfMeans("y", "x", "z", "x0"),
        "proportion": lambda: Proportion("y", method="norm"),
    }[kind]()
    r = metric.analyze_aggregates(_aggregates(control), _aggregates(treatment))
    ends = r.effect_size_ci_lower, r.effect_size_ci_upper, r.rel_effect_size_ci_lower, r.rel_effect_size_ci_upper
    return *ends, r.pvalue


def tea_frame(_: str, control: np.ndarray, treatment: np.ndarray) -> tuple[float, ...]:
    """Mean of a frame, which tea-tasting aggregates itself."""
    arm = np.repeat([0, 1], [len(control), len(treatment)])
    frame = pd.DataFrame({"variant": arm, "y": np.concatenate([control[:, 0], treatment[:, 0]])})
    r = Experiment(y=Mean("y")).analyze(frame).to_dicts()[0]
    ends = (f"{scale}effect_size_ci_{end}" for scale in ("", "rel_") for end in ("lower", "upper"))
    return *(r[end] for end in ends), r["pvalue"]


def spotify(kind: str, control: np.ndarray, treatment: np.ndarray) -> tuple[float, ...]:
    """StudentsTTest for means, ZTest for proportions and for events of a denominator, ZTestLinreg with a covariate."""
    rows = [_sums(kind, arm) for arm in (control, treatment)]
    frame = pd.DataFrame({"arm": ["control", "treatment"], **{k: [row[k] for row in rows] for k in rows[0]}})
    if kind == "mean":
        test = StudentsTTest(frame, "y", "yy", "n", "arm")
    elif kind == "cuped":
        test = ZTestLinreg(frame, "y", "yy", "n", "x", "xx", "xy", "arm")
    else:
        test = ZTest(frame, "y", "yy", "n", "arm")
    absolute, relative = (test.difference("control", "treatment", absolute=scale).iloc[0] for scale in (True, False))
    return absolute["ci_lower"], absolute["ci_upper"], relative["ci_lower"], relative["ci_upper"], absolute["p-value"]


def xpyrment(kind: str, control: np.ndarray, treatment: np.ndarray) -> tuple[float, ...]:
    """MeanMetric and RatioMetric."""
    columns = {NAMES[i]: np.concatenate([control[:, i], treatment[:, i]]) for i in range(control.shape[1])}
    frame = pd.DataFrame({"arm": ["control"] * len(control) + ["treatment"] * len(treatment), **columns})
    metric = RatioMetric("m", "y", "x") if kind == "ratio" else MeanMetric("m", "y", "x" if kind == "cuped" else None)
    r = metric.calculate(frame, "arm", "control", "treatment")
    return r["ci_lower"], r["ci_upper"], r["rel_ci_lower"], r["rel_ci_upper"], r["p_value"]


def rescaled(units: list[float]) -> float:
    """spotify-confidence's bound of the last look; the largest of these units and the plan's is the whole."""
    *seen, planned = units
    return float(sequential_bounds(np.array(seen) / max(*seen, planned), 0.05, 2).bounds[-1])


def unconditional(kind: str, looks: int) -> list[float]:
    """xpyrment's bounds of equal looks."""
    monitor = GroupSequentialMonitor(0.05, kind)
    return list(monitor.compute_boundaries([(k + 1) / looks for k in range(looks)])["critical_z_boundaries"])


def watched(n: int, sums: list[float], squares: list[float], tau: float) -> dict[str, Any]:
    """At one look of n units an arm: gbstats' sequences, its chance to win, and xpyrment's likelihood ratio."""
    arms = [SampleMeanStatistic(n=n, sum=s, sum_squares=ss) for s, ss in zip(sums, squares, strict=True)]
    ends = [
        SequentialTwoSidedTTest(*arms, SequentialConfig(difference_type=scale)).compute_result().ci
        for scale in ("absolute", "relative")
    ]
    chance = EffectBayesianABTest(*arms, EffectBayesianConfig()).compute_result().chance_to_win
    difference = arms[1].mean - arms[0].mean
    ratio = StoppingRules().calculate_msprt_lambda(n, difference, arms[0].variance, tau)
    return {"absolute": list(ends[0]), "relative": list(ends[1]), "chance": float(chance), "ratio": ratio}


def bad(control: np.ndarray, treatment: np.ndarray) -> dict[str, str]:
    """What each tool says of the difference, the lift and p, in a few words."""
    found = {}
    for tool, answer in (ASKED | {"tea-tasting": tea_frame}).items():
        try:
            low, high, rel_low, rel_high, p = answer("mean", control[:, None], treatment[:, None])
            found[tool] = f"({low:.3g}, {high:.3g}), lift ({rel_low:.3g}, {rel_high:.3g}), p {p:.3g}"
        except Exception as failure:
            found[tool] = type(failure).__name__
    return found


def _statistic(kind: str, arm: np.ndarray) -> Any:
    n, y = len(arm), arm[:, 0]
    if kind == "proportion":
        return ProportionStatistic(n=n, sum=float(y.sum()))
    post = SampleMeanStatistic(n=n, sum=float(y.sum()), sum_squares=float((y**2).sum()))
    if kind == "mean":
        return post
    x = arm[:, 1]
    other = SampleMeanStatistic(n=n, sum=float(x.sum()), sum_squares=float((x**2).sum()))
    if kind == "ratio":
        return RatioStatistic(n=n, m_statistic=post, d_statistic=other, m_d_sum_of_products=float((x * y).sum()))
    return RegressionAdjustedStatistic(
        n=n, post_statistic=post, pre_statistic=other, post_pre_sum_of_products=float((x * y).sum()), theta=0
    )


def _aggregates(arm: np.ndarray) -> Aggregates:
    """A third variable is the numerator of a pre-period ratio whose denominator is 1 for everybody."""
    names = NAMES[: arm.shape[1]]
    cov = {(a, b): float(np.cov(arm[:, i], arm[:, j])[0, 1])
           for i, a in enumerate(names) for j, b in enumerate(names) if a < b}  # fmt: skip
    mean = {name: float(arm[:, i].mean()) for i, name in enumerate(names)} | {"x0": 1.0}
    var = {name: float(arm[:, i].var(ddof=1)) for i, name in enumerate(names)} | {"x0": 0.0}
    return Aggregates(len(arm), mean, var, cov | {tuple(sorted((name, "x0"))): 0.0 for name in names})


def _sums(kind: str, arm: np.ndarray) -> dict[str, float]:
    y = arm[:, 0]
    if kind == "ratio":
        return {"y": y.sum(), "yy": y.sum(), "n": arm[:, 1].sum()}
    found = {"y": y.sum(), "yy": (y**2).sum(), "n": len(arm)}
    x = arm[:, 1] if kind == "cuped" else y
    return found | {"x": x.sum(), "xx": (x**2).sum(), "xy": (x * y).sum()}


ASKED: dict[str, Callable[[str, np.ndarray, np.ndarray], tuple[float, ...]]] = {
    "gbstats": gbstats,
    "tea-tasting": tea,
    "spotify": spotify,
    "xpyrment": xpyrment,
}

if __name__ == "__main__":
    main()
