"""``MetricResult``: one result as the eighteen numbers and names that people hold in their hands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict, cast

MetricType = Literal["mean", "proportion", "ratio", "revenue", "count", "retention", "quantile"]
"""The kinds of metric that a spec can declare."""


class MetricResult(TypedDict):
    """A view of one row of the published results; NaN where the row has no number.

    ``control_var`` and ``treatment_var`` are per-unit variances (of the linearised residual for a ratio);
    ``relative_lift`` and its interval are fractions, the interval Fieller's; ``variance_reduction`` is a
    share; ``power`` is power at the planned effect with the observed n and variance.
    """

    metric_name: str
    metric_type: str
    control_mean: float
    treatment_mean: float
    control_var: float
    treatment_var: float
    control_n: int
    treatment_n: int
    absolute_difference: float
    relative_lift: float
    cuped_applied: bool
    variance_reduction: float
    p_value: float
    ci_lower: float
    ci_upper: float
    rel_ci_lower: float
    rel_ci_upper: float
    power: float


_NUMBERS = {
    "control_mean": "mean_baseline",
    "treatment_mean": "mean_arm",
    "control_var": "variance_baseline",
    "treatment_var": "variance_arm",
    "absolute_difference": "effect",
    "relative_lift": "lift",
    "variance_reduction": "variance_reduction",
    "p_value": "p_value",
    "ci_lower": "ci_low",
    "ci_upper": "ci_high",
    "rel_ci_lower": "lift_low",
    "rel_ci_upper": "lift_high",
    "power": "power",
}


def metric_result(row: Mapping[str, Any]) -> MetricResult:
    """The view of a row of the ``results`` table."""
    numbers = {name: float("nan") if row[column] is None else float(row[column]) for name, column in _NUMBERS.items()}
    result = {
        "metric_name": row["metric"],
        "metric_type": str(row["metric_type"]).capitalize(),
        "control_n": int(row["n_baseline"] or 0),
        "treatment_n": int(row["n_arm"] or 0),
        "cuped_applied": bool(row["cuped_applied"]),
        **numbers,
    }
    return cast(MetricResult, {name: result[name] for name in MetricResult.__annotations__})
