"""Planning in a notebook: baselines measured on the frame over all arms together, and the plan made from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.experiment.evidence import pooled
from xp_pipeline.experiment.frames import Frame
from xp_pipeline.experiment.metrics import BaseMetric
from xp_pipeline.experiment.spec import Declared
from xp_pipeline.experiment.tables import Kind, as_frame, html_table
from xp_pipeline.experiment.workspace import promise_of, workspace_of
from xp_pipeline.lifecycle.measurement.measure import Reading, decisive_variant
from xp_pipeline.lifecycle.planning.plan import DEFAULT_PLANNED_UNITS, make_plan
from xp_pipeline.spec.binding import Bound
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.ratios import linearise

PLANNED = (
    "metric", "role", "arm", "n", "n_control", "units", "days", "planned_effect", "mde", "mde_relative",
    "baseline_mean", "baseline_sd", "variance_explained", "baseline",
)  # fmt: skip
Amounts = float | str | Mapping[str, float | str] | None


@dataclass(frozen=True)
class PowerPlan:
    """What the experiment needs in order to see what it is after.

    Attributes:
        entries: One dict a metric and treatment arm, as the pipeline seals it: ``n`` and ``n_control`` units of
            the arm and of control, ``units`` of all arms together, ``days`` at the given traffic,
            ``planned_effect`` in the metric's unit, and what ``baseline`` they rest on.
        assumptions: What the plan rests on, as sentences.
        units_per_day: Traffic assumed, None where none was given.
        kind: Frame library of ``summary()``.
    """

    entries: tuple[Mapping[str, Any], ...]
    assumptions: tuple[str, ...]
    units_per_day: float | None
    kind: Kind

    def summary(self) -> Any:
        """The entries as a frame of the library that the data came in."""
        return as_frame(self.entries, PLANNED, kind=self.kind)

    @property
    def planned_units(self) -> int:
        """Units of two arms that interim bands are tuned to."""
        sizes = [entry["n"] + (entry.get("n_control") or entry["n"]) for entry in self.entries if entry["n"]]
        return int(max(sizes, default=DEFAULT_PLANNED_UNITS))

    def document(self) -> dict[str, Any]:
        """The plan as reports take it."""
        return {"metrics": list(self.entries), "run_days": None, "assumptions": list(self.assumptions)}

    def _repr_html_(self) -> str:
        return html_table(self.entries, PLANNED, notes=self.assumptions)


def with_plan(
    declared: Declared, *, mde: Any, baseline: Mapping[str, Any] | None, units_per_day: float | None
) -> Declared:
    """The declaration with effects worth detecting, typed baselines, and traffic.

    Raises:
        SpecError: one of an unknown metric, or out of range.
    """
    if units_per_day is not None and not units_per_day > 0:
        raise SpecError("units_per_day is a number above 0", where=declared.name, found=repr(units_per_day))
    said: dict[str, dict[str, Any]] = {}
    for key, given in (("mde", mde), ("baseline", baseline)):
        for name, value in _by_metric(given, declared.metrics, what=key).items():
            said.setdefault(name, {})[key] = dict(value) if isinstance(value, Mapping) else value
    return replace(declared, planned=said, units_per_day=units_per_day)


def _by_metric(given: Any, metrics: Iterable[BaseMetric], *, what: str) -> dict[str, Any]:
    """One value for every metric, or a mapping by metric name, as a mapping by slug."""
    names = {name: metric.slug for metric in metrics for name in (metric.name, metric.slug)}
    if not isinstance(given, Mapping):
        return {} if given is None else dict.fromkeys(names.values(), given)
    for name in given:
        if name not in names:
            raise SpecError(f"{what} of an unknown metric", found=repr(name), allowed=nearest(str(name), names))
    return {names[name]: value for name, value in given.items()}


def with_baselines(declared: Declared, frame: Frame) -> tuple[Declared, dict[str, str]]:
    """The declaration with a baseline for every metric that has none, and where each of those comes from.

    They are measured over all arms together, so a plan made on the experiment's own data stays blind to
    its effect.
    """
    bound = declared.bound()
    readings = pooled(frame, workspace_of(bound, declared.source()), bound)
    said = {name: dict(numbers) for name, numbers in declared.planned.items()}
    origins = {}
    for name, (numbers, units) in _measured(bound, readings).items():
        if "baseline" not in said.setdefault(name, {}):
            said[name]["baseline"] = numbers
            origins[name] = f"measured over all arms together, on {units:,} units"
    return replace(declared, planned=said), origins


def _measured(bound: Bound, readings: Iterable[Reading]) -> dict[str, tuple[dict[str, float], int]]:
    """Metric to its mean, standard deviation and share of variance explained by covariates, and its units."""
    found = {}
    for reading in readings:
        metric = bound.metrics[reading.metric]
        moments = next(iter(reading.cells.values()), None)
        if reading.variant != decisive_variant(metric) or moments is None or moments.n < 2:
            continue
        if metric.type == "ratio" and not moments.mean[1]:
            continue
        one = linearise(moments) if metric.type == "ratio" else moments
        numbers = {"mean": float(one.mean[0]), "sd": float(np.sqrt(one.variance()))}
        if all(np.isfinite(list(numbers.values()))):
            found[metric.name] = (numbers | {"variance_explained": explained(one)}, one.n)
    return found


def explained(moments: Moments) -> float:
    """Squared multiple correlation of the outcome with its covariates, 0 without any; below 1."""
    total, cross, own = moments.comoment[0, 0], moments.comoment[0, 1:], moments.comoment[1:, 1:]
    if not cross.size or not total > 0:
        return 0.0
    return float(np.clip(cross @ np.linalg.pinv(own, hermitian=True) @ cross / total, 0.0, 1 - 1e-9))


def power_plan(declared: Declared, origins: Mapping[str, str], *, kind: Kind) -> PowerPlan:
    """The plan as the pipeline makes it, under the split that is declared."""
    bound = declared.bound()
    made = make_plan(workspace_of(bound, declared.source()), promise_of(bound))
    entries = [entry | {"baseline": origins.get(entry["metric"], entry["baseline"])} for entry in made["metrics"]]
    return PowerPlan(tuple(entries), tuple(made["assumptions"]), made["units_per_day"], kind)
