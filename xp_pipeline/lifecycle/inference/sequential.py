"""Tests along the looks: each primary, margin and deterioration test against the boundary that its looks leave it.

Alpha is spent along the calendar and the correlation of the looks read from the units they had (Lan, DeMets 1989,
Stat. Med. 8): traffic that comes faster or slower than planned changes no error rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from xp_pipeline.decision.counterfactual import winning_effect
from xp_pipeline.lifecycle.comparisons import Comparison
from xp_pipeline.lifecycle.inference.along import tested_by_role
from xp_pipeline.lifecycle.inference.margins import (
    beyond,
    declared,
    harm_p,
    harm_stands,
    harm_threshold,
    margin_test,
    needed,
    stands,
)
from xp_pipeline.lifecycle.inference.rows import Row, Setting
from xp_pipeline.lifecycle.planning.plan import absolute
from xp_pipeline.lifecycle.schedule import Occasion
from xp_pipeline.spec.experiment import MetricUse
from xp_pipeline.spec.looks import Looks
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.boundaries import Look, crossing, grown, next_look, repeated_interval, z_of, z_of_p
from xp_pipeline.stats.estimates import Estimate, Relative, Status
from xp_pipeline.stats.futility import futility_bounds
from xp_pipeline.stats.means import t_sf
from xp_pipeline.stats.sequences import burn_in, confidence_band
from xp_pipeline.stats.spending import Spending
from xp_pipeline.stats.stagewise import stagewise


@dataclass(frozen=True)
class Hypothesis:
    """One test over all looks.

    Attributes:
        key: Its name in the ledger.
        alpha, two_sided: Its error rate and sides.
        stands: Whether a crossing of an earlier look is one today; a margin may have been amended since.
    """

    key: str
    alpha: float
    two_sided: bool = False
    stands: Callable[[Mapping[str, Any]], bool] = field(default=lambda _: True)


@dataclass(frozen=True)
class Course:
    """A test up to this reading.

    Attributes:
        looks: Its looks; the last is this one where ``new``.
        new: Whether this reading is a look of the test.
        stopped: What the ledger keeps of the look that crossed a boundary before this reading; None if none did.
    """

    looks: tuple[Look, ...]
    new: bool
    stopped: Mapping[str, Any] | None = None

    @property
    def crossed(self) -> int:
        """1 or -1 where an earlier look crossed the upper or lower boundary, and stands; else 0."""
        return int(self.stopped["crossed"]) if self.stopped else 0


@dataclass(frozen=True)
class _Scheduled(Spending):
    """The same spending function, read at the share of the planned time that has passed."""

    share: float = 1.0

    def spent(self, information: float, *, alpha: float) -> float:
        return super().spent(self.share, alpha=alpha)


def group_sequential(
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
    waits = "" if occasion.final or estimate.status != Status.OK else burn_in(estimate, nonzero=nonzero)
    if waits:
        occasion = replace(occasion, claims=False)
    row = tested_by_role(_Test(setting, occasion, use, metric, c, estimate), role)
    return row | ({"reason": waits} if waits else {})


@dataclass(frozen=True)
class _Test:
    setting: Setting
    occasion: Occasion
    use: MetricUse
    metric: Metric
    comparison: Comparison
    estimate: Estimate

    def course(self, hypothesis: Hypothesis) -> Course:
        return course(self.setting.bound.looks, self.occasion, hypothesis, _units(self.estimate))

    def hypothesis(self, purpose: str, alpha: float, *, two_sided: bool = False) -> Hypothesis:
        return Hypothesis(f"{self.metric.name}|{self.comparison.name}|{purpose}", alpha, two_sided)

    def benefit(self, tests: Row) -> Row:
        """The two-sided test of a primary metric, at its Bonferroni share of alpha."""
        size = self.setting.primary_tests
        hypothesis = self.hypothesis("benefit", self.setting.level_alpha / size, two_sided=True)
        found = self.course(hypothesis)
        named = {"family": f"primary:{self.setting.bound.looks.spending}", "family_size": size}
        if found.stopped:
            return named | self._stands(found.stopped)
        if not found.new or self.estimate.status != Status.OK:
            return named | {"p_value": None, "significant": None}
        look, z = found.looks[-1], z_of(self.estimate)
        threshold = winning_effect(self.estimate, level=2 * t_sf(look.upper, math.inf))
        row = named | {
            "winning_effect": threshold,
            "sure_effect": threshold,
            "significant": bool(look.crossed(z)),
            "information": look.information,
            "alpha_spent": 2 * look.alpha_spent,
            "boundary": look.upper,
            "statistic": z,
        }
        said = self._after_stop(found, hypothesis, size) if row["significant"] or self.occasion.final else {}
        if row["significant"]:
            row["stopped_look"] = self.occasion.number
        row["futile"] = self._futile(found, z)
        tests[hypothesis.key] = _kept(self.estimate, self.occasion, look, z, said)
        return row | (said or self._repeated(look))

    def _futile(self, found: Course, z: float) -> bool:
        """Whether the planned effect has become so improbable that stopping is advised, without binding anyone."""
        looks, analysis = self.setting.bound.looks, self.setting.bound.experiment.analysis
        effect = absolute(self.use.mde, self.estimate.mean_control)
        if not looks.futility or self.occasion.final or effect is None:
            return False
        drift = effect / self.estimate.se / math.sqrt(found.looks[-1].information)
        spending = Spending(looks.spending, looks.parameter)
        bounds = futility_bounds(found.looks, drift=drift, beta=1 - analysis.power, spending=spending)
        return z * (1 if self.metric.direction == "increase" else -1) < bounds[-1]

    def _stands(self, stopped: Mapping[str, Any]) -> Row:
        """An earlier look's claim, beside a band of what the data say now."""
        said = {k: v for k, v in stopped["said"].items() if not k.startswith(("ci_", "lift_", "interval"))}
        n = self.setting.planned_n
        low, high, lift = confidence_band(self.estimate, planned_n=n, alpha=self.setting.level_alpha)
        now = {"ci_low": low, "ci_high": high, "interval_kind": "sequence"} | ({} if self.metric.log else _lift(lift))
        return now | said | {"significant": True, "stopped_look": stopped["look"]}

    def _repeated(self, look: Look) -> Row:
        low, high, lift = repeated_interval(self.estimate, look)
        return {
            "ci_low": low, "ci_high": high,
            "ci_level": 1 - self.setting.level_alpha / self.setting.primary_tests,
            "interval_kind": "repeated", "p_value": None, "p_adjusted": None,
        } | ({} if self.metric.log else _lift(lift))  # fmt: skip

    def _after_stop(self, found: Course, hypothesis: Hypothesis, size: int) -> Row:
        """p-value, median-unbiased estimate and interval by the stage-wise ordering."""
        s = stagewise(found.looks, self.estimate, alpha=hypothesis.alpha)
        return {
            "p_value": s.p_value, "p_adjusted": min(1.0, s.p_value * size),
            "unbiased_effect": s.estimate, "unbiased_lift": None if self.metric.log else s.relative.lift,
            "ci_low": s.low, "ci_high": s.high, "ci_level": s.level, "interval_kind": "stagewise",
        } | ({} if self.metric.log else _lift(s.relative))  # fmt: skip

    def equivalence(self, tests: Row) -> Row:
        """Equivalence of a primary metric, at its Bonferroni share of alpha.

        Both one-sided tests must be past the boundary at one look, which at a true margin is rarer than for one.
        """
        size = self.setting.primary_tests
        row = self.margin("equivalence", self.setting.level_alpha / size, tests)
        p = row["margin_p_value"]
        return row | {
            "alpha": self.setting.level_alpha, "p_adjusted": None if p is None else min(1.0, p * size),
            "family": f"primary:{self.setting.bound.looks.spending}", "family_size": size,
        }  # fmt: skip

    def margin(self, purpose: str, alpha: float, tests: Row) -> Row:
        """The test of a margin, one-sided, spending along the same looks."""
        hypothesis = replace(self.hypothesis(purpose, alpha), stands=lambda test: stands(test, self.use))
        found = self.course(hypothesis)
        row: Row = declared(self.use) | {
            "alpha": alpha, "margin_holds": True if found.crossed else None, "margin_p_value": None, "p_value": None,
        }  # fmt: skip
        if found.stopped:
            row |= {"stopped_look": found.stopped["look"], "held_since": found.stopped["look"]} | found.stopped["said"]
        if not found.new or self.estimate.status != Status.OK:
            return row
        look = found.looks[-1]
        level = max(t_sf(look.upper, math.inf), 1e-12)
        test = margin_test(self.use, self.metric, self.estimate, alpha=level)
        if test.status != Status.OK:
            return row
        z = z_of_p(test.p_value)
        holds = look.crossed(z) == 1
        stopped = holds or self.occasion.final
        said = {"margin_p_value": _stage_p(found.looks, z), "margin_bound": test.bound} if stopped else {}
        tests[hypothesis.key] = _kept(self.estimate, self.occasion, look, z, said) | {"margin": declared(self.use)}
        row |= {"margin_holds": holds, "margin_bound": test.bound, "information": look.information}
        row |= {"boundary": look.upper, "statistic": z, "alpha_spent": look.alpha_spent} | said
        row |= needed(self.use, self.metric, self.estimate, alpha=level)
        return row | ({"stopped_look": self.occasion.number} if holds else {})

    def harm(self, tests: Row) -> Row:
        """Deterioration, one-sided, with a budget of its own."""
        hypothesis = self.hypothesis("harm", self.setting.harm_level)
        hypothesis = replace(hypothesis, stands=lambda test: harm_stands(test, self.use))
        found = self.course(hypothesis)
        if found.crossed or not found.new or self.estimate.status != Status.OK:
            return {"harmed": True if found.crossed else None}
        look = found.looks[-1]
        p = harm_p(self.use, self.metric, self.estimate)
        if math.isnan(p):
            return {"harmed": None}
        z = z_of_p(p)
        tests[hypothesis.key] = _kept(self.estimate, self.occasion, look, z, {}) | {"margin": beyond(self.use)}
        threshold = harm_threshold(self.use, self.estimate, level=t_sf(look.upper, math.inf))
        return {"harmed": look.crossed(z) == 1, "harmful_effect": threshold}


def course(looks: Looks, occasion: Occasion, hypothesis: Hypothesis, units: int) -> Course:
    """The looks of a test so far, with this one where it adds units and a boundary is left to spend.

    Information is in the share of time of this reading per unit of this reading, so that the ratios of any two
    looks are those of their units.
    """
    kept = [look["tests"][hypothesis.key] for look in occasion.earlier if hypothesis.key in look["tests"]]
    stopped = next((test for test in kept if test["crossed"] and hypothesis.stands(test)), None)
    share = 1.0 if occasion.final else occasion.progress
    if stopped or not occasion.claims or not share or not units:
        return Course(tuple(_look(test, 1.0, hypothesis) for test in kept), False, stopped)
    units = max(units, kept[-1]["units"]) if kept and occasion.final else units
    past = tuple(_look(test, share / units, hypothesis) for test in kept)
    if past and not grown(past[-1].information, share):
        if not occasion.final:
            return Course(past, False)
        past = (*past[:-1], replace(past[-1], information=share))
    spending = _Scheduled(looks.spending, looks.parameter, share)
    new = next_look(
        past, information=share, spending=spending, alpha=hypothesis.alpha, two_sided=hypothesis.two_sided,
        final=occasion.final,
    )  # fmt: skip
    replaced = past[:-1] if past and past[-1].information == share else past
    return Course((*replaced, new), True)


def _look(test: Mapping[str, Any], scale: float, hypothesis: Hypothesis) -> Look:
    upper = float(test["upper"])
    lower = -upper if hypothesis.two_sided else None
    return Look(test["units"] * scale, float(test["alpha_spent"]), upper, lower)


def _kept(estimate: Estimate, occasion: Occasion, look: Look, z: float, said: Row) -> Row:
    """What the ledger keeps of a look of a test."""
    return {
        "look": occasion.number,
        "units": _units(estimate),
        "share": look.information,
        "alpha_spent": look.alpha_spent,
        "upper": look.upper,
        "z": z,
        "crossed": look.crossed(z),
        "said": said,
    }


def _lift(lift: Relative) -> Row:
    return {
        "lift_low": lift.low, "lift_high": lift.high, "lift_status": str(lift.status), "lift_reason": lift.reason,
    }  # fmt: skip


def _units(estimate: Estimate) -> int:
    return estimate.n_control + estimate.n_treatment


def _stage_p(looks: tuple[Look, ...], z: float) -> float:
    """One-sided p-value of the stage-wise ordering: the chance to cross before, or to reach z now."""
    return crossing((*looks[:-1], replace(looks[-1], upper=z))).power
