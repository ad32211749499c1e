"""What a decision reads about one metric in one arm."""

from __future__ import annotations

from dataclasses import dataclass

from xp_pipeline.stats.estimates import NAN


@dataclass(frozen=True)
class Finding:
    """What is known about one metric in one arm.

    Attributes:
        effect, low, high: Absolute effect and its interval; lift is a fraction, NaN where undefined.
        p_adjusted, alpha: The adjusted two-sided p-value and the level it is held against.
        margin, margin_relative, margin_holds, margin_bound: Of a guardrail, or of a metric tested for equivalence.
        deterioration_p: One-sided p-value of harm.
        power: At the planned effect, with the observed n and variance.
        mde, planned_mde: Smallest absolute effect detectable now, and the one planned for.
        se: Standard error of the effect.
        significant: Whether the primary test crossed its boundary at this look; None leaves it to p_adjusted.
        deteriorated: Whether the test of harm crossed its boundary at this look; None leaves it to deterioration_p.
        futile: Whether a planned futility boundary was crossed.
        winning_effect: Smallest effect in the good direction that would have won, at this standard error and with the
            other primary tests as they are.
        sure_effect: The same whatever the other primary tests show: at the test's Bonferroni share.
        harmful_effect: Smallest effect in the bad direction, positive, that would have counted as harm.
        margin_needed: Smallest margin that would have held; negative where any would.
        equivalence: Whether the margin is that of equivalence, which the effect may pass neither way.
        held_since: Look at which the margin was shown to hold, where that is an earlier one; it stands.
    """

    metric: str
    role: str
    direction: str
    status: str
    reason: str
    effect: float
    low: float
    high: float
    lift: float
    p_adjusted: float | None
    alpha: float
    margin: float | None
    margin_relative: bool
    margin_holds: bool | None
    margin_bound: float | None
    deterioration_p: float | None
    power: float | None
    mde: float | None
    planned_mde: float | None
    se: float = NAN
    significant: bool | None = None
    deteriorated: bool | None = None
    futile: bool = False
    winning_effect: float | None = None
    sure_effect: float | None = None
    harmful_effect: float | None = None
    margin_needed: float | None = None
    equivalence: bool = False
    held_since: int | None = None

    @property
    def sign(self) -> int:
        """Sign of a good change."""
        return 1 if self.direction == "increase" else -1

    @property
    def good(self) -> float:
        """The effect in the good direction."""
        return self.sign * self.effect

    @property
    def defined(self) -> bool:
        """Whether there is an estimate."""
        return self.status == "ok"

    @property
    def wins(self) -> bool:
        """Significantly better; of a metric tested for equivalence, shown to be the same."""
        if self.equivalence:
            return self.safe
        if not (self.defined and self.good > 0):
            return False
        if self.significant is not None:
            return self.significant
        return self.p_adjusted is not None and self.p_adjusted <= self.alpha

    @property
    def safe(self) -> bool:
        """Whether harm (of equivalence, any change) as large as the margin is excluded."""
        return self.defined and bool(self.margin_holds)

    @property
    def precise(self) -> bool:
        """Whether an effect of the planned size would have been seen; with no size planned, the end decides.

        Equivalence: whether no effect at all would have been shown to be one.
        """
        if not self.defined:
            return False
        if self.equivalence:
            bound, margin = self.margin_bound, self.margin
            return bound is not None and margin is not None and abs(bound - self._measured) < margin
        return self.planned_mde is None or self.mde is None or self.mde <= self.planned_mde

    def harmed(self, alpha: float) -> bool:
        """Significantly worse, one-sided at ``alpha`` unless a boundary was put to it.

        Of a metric tested for equivalence, worse by more than counts as none.
        """
        if not self.defined:
            return False
        if self.deteriorated is not None:
            return self.deteriorated
        return self.deterioration_p is not None and self.deterioration_p <= alpha

    @property
    def least_margin(self) -> float | None:
        """The smallest margin that would have held: as given, else the bound, which is the same up to rounding."""
        if self.margin_needed is not None or self.margin_bound is None:
            return self.margin_needed
        return abs(self.margin_bound) if self.equivalence else -self.sign * self.margin_bound

    @property
    def _measured(self) -> float:
        """The effect on the scale of the margin."""
        return self.lift if self.margin_relative else self.effect

    @property
    def tested(self) -> bool:
        """Whether its own test was made at this look, or stands since an earlier one."""
        return (self.margin_holds if self.equivalence else self.significant) is not None

    @property
    def units_needed(self) -> float | None:
        """How many times the units it would take, the effect being what it is; None where none would do.

        A bound comes nearer to the effect, and an effect detectable smaller, by the root of the units: (distance of the
        bound / room up to the margin)^2 for a guardrail, (mde / planned mde)^2 for a primary metric.
        """
        if self.margin is not None and self.margin_bound is not None:
            measured = self._measured
            room = self.margin - abs(measured) if self.equivalence else self.margin + self.sign * measured
            return ((measured - self.margin_bound) / room) ** 2 if room > 0 else None
        if self.mde is not None and self.planned_mde:
            return (self.mde / self.planned_mde) ** 2
        return None
