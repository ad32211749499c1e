"""An experiment: who is randomised how, what is measured, and how it will be decided."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from xp_pipeline.spec.assignment import Assignment
from xp_pipeline.spec.deciding import RISK_AWARE, SomeRules
from xp_pipeline.spec.effects import NAME_OR_CROSSING, EffectPrior, Segment, check_crossings
from xp_pipeline.spec.extension import SomeExtension
from xp_pipeline.spec.looks import SomeLooks
from xp_pipeline.spec.values import TEXT, Amount, Model, Scalar, SomeAmount, Where

RoleName = Literal["primary", "secondary", "guardrail", "exploratory"]
DECIDING: tuple[RoleName, ...] = ("primary", "guardrail")
"""Roles whose metrics a decision is made by; the others explain."""


def _text_keys(raw: Any) -> Any:
    """Values of a column as its text form: ``{0: control}`` and ``{"0": control}`` are one."""
    return {_text(k): v for k, v in raw.items()} if isinstance(raw, dict) else raw


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class ArmColumn(Model):
    """The column that holds a unit's arm, with labels where its values are not the arms' names."""

    column: str
    labels: Annotated[dict[str, str], BeforeValidator(_text_keys)] = {}


def _arm_column(raw: Any) -> Any:
    return {"column": raw} if isinstance(raw, str) else raw


class Mismatch(Model):
    """Two columns that must agree, such as the page shown and the group: arm to expected value."""

    column: str
    expected: dict[str, Scalar]
    policy: Literal["drop_rows", "exclude_units"] = "drop_rows"


class Trigger(Model):
    """An entry point: units with a matching row after exposure, their windows re-anchored on it."""

    source: str
    where: Where = {}


class Identity(Model):
    """A mapping from the population's ids to the unit ids of events.

    ``strict`` drops an id that maps to several (or a target mapped from several); ``first_touch``
    keeps the earliest mapping of each.
    """

    source: str
    to: str
    mode: Literal["strict", "first_touch"] = "strict"


class Population(Model):
    """Who is in: the exposure rows, their arm, and what to do with the odd ones."""

    source: str
    arm: Annotated[ArmColumn, BeforeValidator(_arm_column), TEXT] | None = Field(
        None, description="Left out, the arm follows from the bucket rule."
    )
    where: Where = {}
    member: str | None = Field(None, description="Column of the finer units, where the unit is a cluster of them.")
    trigger: Trigger | None = None
    identity: Identity | None = None
    multi_arm: Literal["exclude", "first"] = "exclude"
    mismatch: Mismatch | None = None
    multi_arm_warn: float = Field(0.001, ge=0, le=1)
    multi_arm_fail: float = Field(0.01, ge=0, le=1)


def _segment(raw: Any) -> Any:
    return {"name": raw} if isinstance(raw, str) else raw


class MetricUse(Model):
    """A metric in a role, with what that role needs."""

    metric: str
    margin: SomeAmount | None = Field(None, description="Harm tolerated in a guardrail: 2% relative, 0.5 absolute.")
    equivalence: SomeAmount | None = Field(
        None,
        description="Change, either way, that counts as none: 2% relative, 0.5 absolute. The metric is then tested for "
        "equivalence instead of a difference (or, a guardrail, instead of harm).",
    )
    mde: SomeAmount | None = Field(None, description="Smallest effect worth detecting.")
    baseline: Baseline | None = None
    override: dict[str, Any] = Field({}, description="Settings of the metric replaced in this experiment.")

    @model_validator(mode="after")
    def _coherent(self) -> MetricUse:
        if self.margin and self.equivalence:
            raise ValueError(f"metric {self.metric} has a margin and an equivalence; a test has one of them")
        if self.mde and self.equivalence:
            raise ValueError(f"metric {self.metric} has an mde, but is tested for equivalence; its size is equivalence")
        for name in ("margin", "equivalence"):
            amount = getattr(self, name)
            if amount and not 0 < amount.value < math.inf:
                raise ValueError(f"the {name} of {self.metric} is positive, such as {name}: 2%")
        return self

    @property
    def tolerated(self) -> Amount | None:
        """The margin that the metric's test has, of harm or of any change; None for a test of a difference."""
        return self.margin or self.equivalence


class Baseline(Model):
    """Planning numbers typed by hand; without them the pre-period is measured."""

    mean: float
    sd: float | None = Field(None, ge=0)
    variance_explained: float = Field(0.0, ge=0, lt=1, description="Share removed by covariates.")


def _use(raw: Any) -> Any:
    return {"metric": raw} if isinstance(raw, str) else raw


Uses = tuple[Annotated[MetricUse, BeforeValidator(_use), TEXT], ...]


class Measurements(Model):
    """The metrics by role."""

    primary: Uses
    secondary: Uses = ()
    guardrail: Uses = ()
    exploratory: Uses = ()

    @model_validator(mode="after")
    def _coherent(self) -> Measurements:
        if not self.primary:
            raise ValueError("an experiment has at least one primary metric")
        names = [use.metric for _, use in self.items()]
        if twice := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"metric {', '.join(sorted(twice))} is named in two places; a metric has one role")
        for use in self.guardrail:
            if not use.tolerated:
                raise ValueError(f"guardrail {use.metric} needs a positive margin, such as margin: 2%")
        for role, use in self.items():
            if use.margin and role != "guardrail":
                raise ValueError(f"{role} {use.metric} has a margin, which is a guardrail's; any may have equivalence")
        return self

    def items(self) -> list[tuple[RoleName, MetricUse]]:
        """Every use with its role, in order of role."""
        roles: tuple[RoleName, ...] = ("primary", "secondary", "guardrail", "exploratory")
        return [(role, use) for role in roles for use in getattr(self, role)]


class Contrast(Model):
    """A declared comparison besides every treatment against control; several arms are pooled."""

    name: str
    arms: tuple[str, ...] = Field(min_length=1)
    against: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _disjoint(self) -> Contrast:
        if set(self.arms) & set(self.against):
            raise ValueError(f"contrast {self.name!r} has an arm on both sides")
        return self


class Analysis(Model):
    """Error rates, families and the look schedule."""

    alpha: float = Field(0.05, gt=0, lt=0.5)
    power: float = Field(0.8, gt=0.5, lt=1)
    guardrail_alpha: float = Field(0.05, gt=0, lt=0.5, description="One-sided, each guardrail.")
    secondary_correction: Literal["fdr_bh", "holm", "fdr_by", "none"] = "fdr_bh"
    primary_correction: Literal["holm", "bonferroni", "hochberg", "hommel", "dunnett", "preferential", "none"] = Field(
        "holm",
        description="dunnett compares the arms of each metric with their one control; preferential divides alpha "
        "between primary and secondary metrics by primary_share.",
    )
    primary_share: float = Field(0.8, gt=0, lt=1, description="Of preferential: the primary metrics' part of alpha.")
    looks: SomeLooks | None = Field(
        None,
        description="fixed, group_sequential or always_valid, or a mapping with more settings. Left out: "
        "group_sequential where start and end are planned and exposures have a time, else fixed.",
    )
    extension: SomeExtension | None = Field(
        None, description="Of one look at the end: how far it may move if the variance proves larger than planned, 14d."
    )
    rule: SomeRules = Field(
        RISK_AWARE, description="How findings become a verdict: risk_aware, all_primary, or rules in order."
    )
    minimum_days: int = Field(0, ge=0, description="No recommendation before this many days.")
    adjustment: Literal["pooled", "lin"] = Field(
        "pooled", description="How covariates adjust: slopes pooled within arms, or of each arm (Lin 2013)."
    )
    lift: Literal["fieller", "delta", "log"] = Field(
        "fieller", description="How intervals of lifts are made; delta and log are for comparison with other tools."
    )
    post_stratify: str | None = Field(None, description="A segment over which a second reading averages the effect.")
    resampling: Literal["jackknife", "bootstrap"] | None = Field(
        None, description="A second reading with a standard error by resampling 128 buckets of units."
    )
    cluster: str | None = Field(None, description="Column of clusters for a second, clustered reading.")
    prior: EffectPrior | None = Field(None, description="Of the Bayesian read-outs; left out, it is flat.")
    novelty: bool = Field(False, description="Read deciding metrics by days since exposure too, at the final look.")


class Planning(Model):
    """What the plan assumes about traffic."""

    units_per_day: float | None = Field(None, gt=0)


class Experiment(Model):
    """One experiment, as its author writes it."""

    id: str
    title: str = ""
    hypothesis: str = ""
    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    draft: bool = False
    start: datetime | None = None
    end: datetime | None = Field(None, description="First moment no longer analysed.")
    assignment: Assignment
    population: Population
    metrics: Measurements
    contrasts: tuple[Contrast, ...] = ()
    effects: tuple[str, ...] = Field(
        (),
        description="Of a factorial design: main effects and interactions such as colour:size. Left out, all that can "
        "be told apart, up to interactions of two.",
    )
    segments: tuple[Annotated[Segment, BeforeValidator(_segment), NAME_OR_CROSSING], ...] = ()
    balance: tuple[str, ...] = Field((), description="Pre-period columns to compare between arms.")
    analysis: Analysis = Analysis()
    planning: Planning = Planning()

    @model_validator(mode="after")
    def _coherent(self) -> Experiment:
        for contrast in self.contrasts:
            for arm in (*contrast.arms, *contrast.against):
                if arm not in self.assignment.arms:
                    raise ValueError(f"contrast {contrast.name!r} names the unknown arm {arm!r}")
        if self.effects and not self.assignment.factors:
            raise ValueError("effects are those of factors: add assignment.factors")
        equivalent = any(use.equivalence for use in self.metrics.primary)
        if equivalent and self.analysis.primary_correction == "dunnett":
            raise ValueError("dunnett corrects tests of a difference; with equivalence take holm or bonferroni")
        names = [s.name for s in self.segments]
        if len(set(names)) != len(names):
            raise ValueError("two segments have the same name")
        check_crossings(self.segments)
        return self


MetricUse.model_rebuild()
