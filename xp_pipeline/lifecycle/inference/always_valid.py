"""Tests that hold at any number of looks: confidence sequences, or the mixture sequential probability ratio test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xp_pipeline.lifecycle.comparisons import Comparison
from xp_pipeline.lifecycle.inference.along import tested_by_role
from xp_pipeline.lifecycle.inference.margins import beyond, declared, harm_stands, stands
from xp_pipeline.lifecycle.inference.rows import Row, Setting
from xp_pipeline.lifecycle.planning.plan import absolute
from xp_pipeline.lifecycle.schedule import Occasion
from xp_pipeline.spec.experiment import MetricUse
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.estimates import Estimate, Relative, Status
from xp_pipeline.stats.msprt import Running, msprt
from xp_pipeline.stats.sequences import always_valid_p, confidence_sequence


def always_valid(
    setting: Setting,
    occasion: Occasion,
    role: str,
    use: MetricUse,
    metric: Metric,
    c: Comparison,
    estimate: Estimate,
    nonzero: tuple[float, float],
) -> Row:
    """What this reading says of a deciding row's tests; ``tests`` is for the ledger.

    ``nonzero`` counts the units of control and treatment with an outcome other than 0.
    """
    return tested_by_role(_Test(setting, occasion, use, metric, c, estimate, nonzero), role)


@dataclass(frozen=True)
class _Test:
    setting: Setting
    occasion: Occasion
    use: MetricUse
    metric: Metric
    comparison: Comparison
    estimate: Estimate
    nonzero: tuple[float, float]

    def before(self, purpose: str) -> tuple[str, Mapping[str, Any] | None, Mapping[str, Any] | None]:
        """Name of a test in the ledger, its last look, and the first one that claimed."""
        key = f"{self.metric.name}|{self.comparison.name}|{purpose}"
        kept = [look["tests"][key] for look in self.occasion.earlier if key in look["tests"]]
        still = {"margin": stands, "equivalence": stands, "harm": harm_stands}.get(purpose)
        crossed = (test for test in kept if test["crossed"] and (still is None or still(test, self.use)))
        return key, kept[-1] if kept else None, next(crossed, None)

    def benefit(self, tests: Row) -> Row:
        """A primary metric at its Bonferroni share of alpha."""
        size = self.setting.primary_tests
        alpha = self.setting.level_alpha / size
        key, last, stopped = self.before("benefit")
        mixture = self.setting.bound.looks.method == "msprt"
        said, excluded = self._mixture(alpha, last) if mixture else self._sequence(alpha, last)
        row: Row = {"family": f"primary:{self.setting.bound.looks.method}", "family_size": size, "ci_level": 1 - alpha}
        row |= {"interval_kind": "always_valid", "p_value": None, "significant": True if stopped else None}
        if stopped:
            row["stopped_look"] = stopped["look"]
        if said is None or not self.occasion.claims:
            return row | {k: v for k, v in (said or {}).items() if k.startswith(("ci_", "lift_"))}
        crossed = 0 if not excluded else 1 if self.estimate.effect > self.estimate.null else -1
        kept = {"look": self.occasion.number, "units": self._units, "crossed": crossed, "p": said["p_value"]}
        kept |= {"effect": self.estimate.effect, "low": said["ci_low"], "high": said["ci_high"]}
        tests[key] = kept | {name: said.pop(name) for name in ("running",) if name in said}
        row |= said | {"p_adjusted": min(1.0, said["p_value"] * size), "significant": bool(stopped or crossed)}
        return row | ({"stopped_look": self.occasion.number} if crossed and not stopped else {})

    def _sequence(self, alpha: float, last: Mapping[str, Any] | None) -> tuple[Row | None, bool]:
        planned = self.setting.planned_n
        band = confidence_sequence(self.estimate, planned_n=planned, alpha=alpha, nonzero=self.nonzero)
        if band.status != Status.OK:
            return None, False
        p = always_valid_p(self.estimate, planned_n=planned, alpha=alpha)
        said = {"p_value": min(p, last["p"] if last else 1.0), "ci_low": band.low, "ci_high": band.high}
        return said | self._lift(band.relative), not band.low <= self.estimate.null <= band.high

    def _mixture(self, alpha: float, last: Mapping[str, Any] | None) -> tuple[Row | None, bool]:
        previous = Running(**last["running"]) if last else None
        tau = previous.tau if previous else self._size()
        found = msprt(self.estimate, tau=tau, alpha=alpha, previous=previous, nonzero=self.nonzero)
        if found.status != Status.OK or found.running is None:
            return None, False
        said = {"p_value": found.p_value, "ci_low": found.low, "ci_high": found.high, "running": vars(found.running)}
        return said | self._lift(found.relative), found.p_value < alpha

    def _size(self) -> float:
        """The effect that the mixture looks for: the minimum detectable one of the spec."""
        size = absolute(self.use.mde, self.estimate.mean_control)
        assert size is not None
        return size

    def _lift(self, lift: Relative) -> Row:
        if self.metric.log:
            return {}
        return {
            "lift_low": lift.low, "lift_high": lift.high, "lift_status": str(lift.status), "lift_reason": lift.reason,
        }  # fmt: skip

    def equivalence(self, tests: Row) -> Row:
        """Equivalence of a primary metric, at its Bonferroni share of alpha."""
        size = self.setting.primary_tests
        row = self.margin("equivalence", self.setting.level_alpha / size, tests)
        whole = {"alpha": self.setting.level_alpha, "family": "primary:confidence_sequence", "family_size": size}
        return row | whole

    def margin(self, purpose: str, alpha: float, tests: Row) -> Row:
        """Whether a confidence sequence clears the margin: on the side of harm, or for equivalence on both."""
        use = self.use
        assert use.tolerated is not None
        key, _, stopped = self.before(purpose)
        row: Row = declared(use) | {
            "alpha": alpha, "margin_holds": True if stopped else None, "margin_p_value": None, "p_value": None,
            "interval_kind": "always_valid",
        }  # fmt: skip
        if stopped:
            row |= {"stopped_look": stopped["look"], "held_since": stopped["look"]}
        between = self._between(2 * alpha, relative=use.tolerated.relative)
        if between is None or not self.occasion.claims:
            return row
        worst = min(between[0], -between[1]) if use.equivalence else between[0]
        holds = worst > -use.tolerated.value
        kept = {"look": self.occasion.number, "units": self._units, "crossed": int(holds)}
        tests[key] = kept | {"margin": declared(use)}
        bound = between[0] if worst == between[0] else between[1]
        row |= {"margin_bound": self._good * bound, "margin_holds": bool(stopped or holds), "margin_needed": -worst}
        return row | ({"stopped_look": self.occasion.number} if holds and not stopped else {})

    def harm(self, tests: Row) -> Row:
        """Deterioration, one-sided, with a budget of its own."""
        key, _, stopped = self.before("harm")
        amount = self.use.equivalence
        between = self._between(2 * self.setting.harm_level, relative=bool(amount and amount.relative))
        if stopped or between is None or not self.occasion.claims:
            return {"harmed": True if stopped else None}
        harmed = between[1] < -(amount.value if amount else 0.0)
        tests[key] = {"look": self.occasion.number, "units": self._units, "crossed": int(harmed)} | {
            "margin": beyond(self.use)
        }
        return {"harmed": harmed}

    def _between(self, alpha: float, *, relative: bool = False) -> tuple[float, float] | None:
        """The worst and the best effect (or lift) that a confidence sequence leaves, counted in the good direction."""
        band = confidence_sequence(self.estimate, planned_n=self.setting.planned_n, alpha=alpha, nonzero=self.nonzero)
        if band.status != Status.OK or (relative and band.relative.status != Status.OK):
            return None
        ends = (band.relative.low, band.relative.high) if relative else (band.low, band.high)
        worst, best = sorted(self._good * end for end in ends)
        return worst, best

    @property
    def _good(self) -> int:
        return 1 if self.metric.direction == "increase" else -1

    @property
    def _units(self) -> int:
        return self.estimate.n_control + self.estimate.n_treatment
