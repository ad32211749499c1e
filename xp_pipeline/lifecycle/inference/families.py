"""Families of hypotheses: p-values adjusted within each, with the simultaneous intervals that go with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from xp_pipeline.errors import SpecError
from xp_pipeline.lifecycle.comparisons import decided
from xp_pipeline.lifecycle.inference.margins import margin_test, needed
from xp_pipeline.lifecycle.inference.rows import Row, Setting
from xp_pipeline.stats.dunnett import dunnett_family
from xp_pipeline.stats.estimates import NAN
from xp_pipeline.stats.means import t_quantile
from xp_pipeline.stats.multiplicity import (
    adjust,
    critical_p,
    preferential_weights,
    simultaneous_alpha,
    weighted_bonferroni,
)
from xp_pipeline.stats.score import Counts, score_interval


def adjust_families(setting: Setting, rows: list[Row]) -> None:
    """Adjust within families; each metric enters once, by its main reading, the others stand beside it.

    It enters by the p-value of its own test, of a difference or of equivalence.

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
        name = _family_of(setting, row, methods)
        if row.pop("main") and name:
            families.setdefault((row["population"], name), []).append(row)
    for (_, name), members in families.items():
        method = methods.get(name, "fdr_bh")
        special: Mapping[str, Any] = {"dunnett": _dunnett, "preferential": _preferential}
        special.get(method, _family)(setting, members, name, method)


def _family_of(setting: Setting, row: Row, methods: Mapping[str, str]) -> str | None:
    if row["role"] == "guardrail" or (row["role"] == "primary" and "tests" in row):
        return None
    if row["segment"]:
        return "segments"
    if row["arm"] not in decided(setting.bound):
        return "contrasts"
    shared = methods["primary"] == "preferential" and row["role"] == "secondary"
    return "primary" if shared else str(row["role"])


def _family(setting: Setting, rows: Sequence[Row], name: str, method: Any) -> None:
    alpha = setting.level_alpha
    p_values = [_claimed(row) for row in rows]
    adjusted = adjust(p_values, method=method)
    size = sum(p is not None for p in adjusted)
    for i, (row, p) in enumerate(zip(rows, adjusted, strict=True)):
        _enter(row, f"{name}:{method}", size, p, alpha)
        if p is None or name != "primary":
            continue
        level = critical_p(p_values, i, method=method, alpha=alpha)
        if is_equivalence(row):
            _within(setting, row, level)
        else:
            row["winning_effect"] = _threshold(row, level)
            row["sure_effect"] = _threshold(row, simultaneous_alpha(alpha, size))
            if method != "none":
                _simultaneous(row, simultaneous_alpha(alpha, size))


def _preferential(setting: Setting, rows: Sequence[Row], name: str, method: str) -> None:
    """Primary and secondary tests in one family that divides alpha between them by declared shares."""
    analysis, alpha = setting.bound.experiment.analysis, setting.level_alpha
    first = [row["role"] == "primary" for row in rows]
    weights = preferential_weights(first, primary_share=analysis.primary_share)
    raw = [NAN if (p := _claimed(row)) is None else p for row in rows]
    adjusted = weighted_bonferroni(raw, weights)
    size = sum(not math.isnan(p) for p in adjusted)
    for row, p, weight in zip(rows, adjusted, weights, strict=True):
        _enter(row, f"{name}:{method}", size, None if math.isnan(p) else float(p), alpha)
        if row["status"] == "ok" and is_equivalence(row):
            _within(setting, row, weight * alpha)
        elif row["status"] == "ok":
            row["winning_effect"] = row["sure_effect"] = _threshold(row, weight * alpha)
            _simultaneous(row, weight * alpha)


def _dunnett(setting: Setting, rows: Sequence[Row], name: str, method: str) -> None:
    """Every treatment against one control, exactly; several metrics divide alpha between them."""
    if any(is_equivalence(row) for row in rows):
        raise SpecError("dunnett corrects tests of a difference, not of equivalence", allowed="holm, bonferroni, none")
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    size = sum(row.get("p_value") is not None for row in rows)
    for metric in metrics:
        members = [row for row in rows if row["metric"] == metric]
        share = setting.level_alpha / len(metrics)
        found = dunnett_family([row["estimate"] for row in members], alpha=share)
        for row, one in zip(members, found, strict=True):
            p = None if math.isnan(one.p_adjusted) else min(1.0, one.p_adjusted * len(metrics))
            _enter(row, f"{name}:{method}", size, p, setting.level_alpha)
            row |= {"ci_adjusted_low": one.low, "ci_adjusted_high": one.high}
            half = (one.high - one.low) / 2
            row["winning_effect"] = row["sure_effect"] = half if math.isfinite(half) else None


def _enter(row: Row, family: str, size: int, p: float | None, alpha: float) -> None:
    row |= {"p_adjusted": p, "family": family, "family_size": size}
    claim = "margin_holds" if is_equivalence(row) else "significant"
    row[claim] = None if p is None else p <= alpha


def is_equivalence(row: Row) -> bool:
    """Whether a row's own test is that of equivalence: of a guardrail it is no member of a family."""
    return row.get("margin_kind") == "equivalence" and row["role"] != "guardrail"


def _claimed(row: Row) -> float | None:
    """The p-value of a row's own test; None where it has none."""
    p: float | None = row.get("margin_p_value" if is_equivalence(row) else "p_value")
    return None if p is None or math.isnan(p) else p


def _within(setting: Setting, row: Row, alpha: float) -> None:
    """The bound of a test of equivalence, and the margin it needed, at the level that its family leaves it."""
    _, use = setting.roles[row["metric"]]
    metric, estimate = setting.metrics[row["metric"]], row["estimate"]
    row["margin_bound"] = margin_test(use, metric, estimate, alpha=alpha).bound
    row |= needed(use, metric, estimate, alpha=alpha)


def _threshold(row: Row, level: float) -> float | None:
    """The smallest effect that is significant at a two-sided level, with the row's standard error."""
    if not math.isfinite(row["se"]) or row["estimator"].endswith("score"):
        return None
    return float(t_quantile(1 - level / 2, row["df"]) * row["se"])


def _simultaneous(row: Row, alpha: float) -> None:
    """The interval at the family's level; a score interval is found anew at it."""
    if row["status"] == "ok" and row["estimator"].endswith("score"):
        low, high = score_interval(_counts(row), alpha=alpha)
    else:
        half = _threshold(row, alpha)
        low, high = (NAN, NAN) if half is None else (row["effect"] - half, row["effect"] + half)
    row |= {"ci_adjusted_low": low, "ci_adjusted_high": high}


def _counts(row: Row) -> Counts:
    n_c, n_t = row["n_baseline"], row["n_arm"]
    return Counts(round(row["mean_baseline"] * n_c), n_c, round(row["mean_arm"] * n_t), n_t)
