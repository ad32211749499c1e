"""Data sets on which other tools are right, as moments with the tools' answers, for the tests to hold ours to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import Generator

from others.cells import bernoulli, lognormal, normal, stream
from others.formulas import Vector

EACH = 8
"""Data sets of a kind."""

SAMPLES: list[tuple[list[int], list[float]]] = [
    ([5021, 4979], [0.5, 0.5]),
    ([5200, 4800], [0.5, 0.5]),
    ([9110, 890], [0.9, 0.1]),
    ([333, 350, 317], [1.0, 1.0, 1.0]),
]
"""Units by arm, and weights."""

LOOKS = 16
"""Looks of the first laws that are kept."""

Watched = tuple[int, list[float], list[float], float]
"""Units an arm, sums and sums of squares of both, and the mixture's tau."""

Drawn = tuple[str, tuple[Vector, Vector]]


def samples() -> dict[str, Drawn]:
    """Name to kind and values of both arms, shapes (n, k)."""
    found: dict[str, Drawn] = {}
    for kind in ("mean", "proportion", "ratio", "cuped", "ratio_cuped"):
        rng = stream(f"fixtures/{kind}")
        found |= {f"fixture/{kind}/{i}": (kind, _pair(kind, rng, i)) for i in range(EACH)}
    return found


def fixtures(theirs: dict[str, Any], watched: Sequence[Watched]) -> dict[str, Any]:
    """Moments of every data set with what each package answered.

    Args:
        theirs: The packages' answers.
        watched: Looks at experiments, in the order in which they were asked.
    """
    sets = [
        {
            "kind": kind,
            "control": _moments(pair[0]),
            "treatment": _moments(pair[1]),
            "answers": theirs["intervals"][name],
        }
        for name, (kind, pair) in samples().items()
    ]
    looks = [
        {"n": n, "sums": sums, "squares": squares, "gbstats": told}
        for (n, sums, squares, _), told in list(zip(watched, theirs["watched"], strict=True))[:LOOKS]
    ]
    counts = [{"units": u, "weights": w, "p_value": p} for (u, w), p in zip(SAMPLES, theirs["ratios"], strict=True)]
    return {
        "versions": theirs["versions"],
        "sets": sets,
        "looks": looks,
        "sample_ratios": counts,
        "kim_demets_2_of_10": theirs["rescaled"][:10],
    }


def _pair(kind: str, rng: Generator, i: int) -> tuple[Vector, Vector]:
    """Arms of different sizes, with an effect in every other data set."""
    n = (300 + 40 * i, 500 + 25 * i) if i % 2 else (400, 400)
    c, t = (_arm(kind, rng, size, 0.1 * (arm * (i % 2)), i) for arm, size in enumerate(n))
    return c, t


def _arm(kind: str, rng: Generator, n: int, lift: float, i: int) -> Vector:
    if kind == "mean":
        law = (normal(), lognormal(1.0))[i % 4 // 2]
        return law.draw(rng, (n, 1), lift)
    if kind == "proportion":
        return bernoulli(0.3).draw(rng, (n, 1), lift)
    before = rng.gamma(2.0, 1.0, n)
    if kind == "cuped":
        return np.column_stack([(1 + lift) * before + rng.standard_normal(n), before])
    views = rng.poisson(3 + before)
    clicks = rng.binomial(views, np.clip(0.2 * (1 + lift) + 0.05 * (before - 2), 0.01, 0.9)) * 1.0
    return np.column_stack([clicks, views, before][: 3 if kind == "ratio_cuped" else 2])


def _moments(values: Vector) -> dict[str, Any]:
    centred = values - values.mean(axis=0)
    return {"n": len(values), "mean": values.mean(axis=0).tolist(), "comoment": (centred.T @ centred).tolist()}
