"""Families of hypotheses: p-values adjusted within each, with the simultaneous intervals that go with them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xp_pipeline.lifecycle.rows import Row, Setting
from xp_pipeline.stats.estimates import NAN
from xp_pipeline.stats.multiplicity import adjust, simultaneous_alpha


def adjust_families(setting: Setting, rows: list[Row]) -> None:
    """Adjust within families; each metric enters once, by its main reading, the others stand beside it.

    Primary x treatment is one family, secondary another; contrasts, exploratory metrics and segments are
    families of their own. Guardrails are not adjusted: all of them must hold. Primary metrics tested along the
    looks have their share of alpha already.
    """
    analysis = setting.bound.experiment.analysis
    methods = {
        "primary": setting.correction or analysis.primary_correction,
        "secondary": setting.correction or analysis.secondary_correction,
    }
    families: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        name = _family_of(setting, row)
        if row.pop("main") and name:
            families.setdefault((row["population"], name), []).append(row)
    for (_, name), members in families.items():
        _family(members, name, methods.get(name, "fdr_bh"), setting.level_alpha)


def _family_of(setting: Setting, row: Row) -> str | None:
    if row["role"] == "guardrail" or (row["role"] == "primary" and "tests" in row):
        return None
    if row["segment"]:
        return "segments"
    if row["arm"] not in setting.bound.experiment.assignment.treatments:
        return "contrasts"
    return str(row["role"])


def _family(rows: Sequence[Row], name: str, method: str, alpha: float) -> None:
    adjusted = adjust([row.get("p_value") for row in rows], method=method)  # type: ignore[arg-type]
    size = sum(p is not None for p in adjusted)
    for row, p in zip(rows, adjusted, strict=True):
        row |= {"p_adjusted": p, "family": f"{name}:{method}", "family_size": size}
        row["significant"] = None if p is None else p <= alpha
        if p is not None and name == "primary" and method != "none":
            low, high = _simultaneous(row, simultaneous_alpha(alpha, size))
            row |= {"ci_adjusted_low": low, "ci_adjusted_high": high}


def _simultaneous(row: Row, alpha: float) -> tuple[float, float]:
    """The interval at the family's level; not drawn for a score interval, which has no standard error."""
    from xp_pipeline.stats.means import t_quantile

    if not math.isfinite(row["se"]) or row["estimator"].endswith("score"):
        return NAN, NAN
    q = t_quantile(1 - alpha / 2, row["df"])
    return row["effect"] - q * row["se"], row["effect"] + q * row["se"]
