"""The quality of the population in a frame: sample ratio, arms, balance, by the pipeline's own checks."""

from __future__ import annotations

from collections.abc import Sequence

from xp_pipeline.errors import BlockedError, SRMError
from xp_pipeline.experiment.evidence import Counts
from xp_pipeline.lifecycle.quality import checks
from xp_pipeline.lifecycle.quality.balance import balance
from xp_pipeline.lifecycle.quality.checks import Finding
from xp_pipeline.spec.binding import Bound


def findings(bound: Bound, counts: Counts) -> list[Finding]:
    """Every finding about a frame with one row per unit, blocking checks first."""
    assignment, population = bound.experiment.assignment, bound.experiment.population
    shares = assignment.shares
    meant = [arm for arm in assignment.arms if shares is None or shares[arm] > 0]
    designed = {arm: counts.units.get(arm, 0) if arm in meant else 0 for arm in assignment.arms}
    leaked = {arm: counts.units[arm] for arm in assignment.arms if arm not in meant and arm in counts.units}
    strange = {arm: n for arm, n in counts.units.items() if arm not in assignment.arms}
    return [
        checks.srm(designed, shares, scope="all", scheduled=False),
        checks.leak(leaked),
        checks.undeclared(strange, assignment.arms),
        *checks.multi_arm(
            {},
            {arm: n for arm, n in designed.items() if n},
            warn=population.multi_arm_warn,
            fail=population.multi_arm_fail,
            policy=population.multi_arm,
        ),
        checks.null_arms(counts.armless, counts.armless),
        *checks.empty_arms({arm: n for arm, n in designed.items() if n}, meant),
        *(f for name, arms in counts.balance.items() for f in balance(name, arms, assignment)),
    ]


def refuse_blocked(name: str, health: Sequence[Finding]) -> None:
    """Withhold every estimate of a population that fails a blocking check.

    Raises:
        SRMError, BlockedError: its first blocking finding as one line.
    """
    blocking = next((finding for finding in health if finding.blocks), None)
    if blocking is None:
        return
    kind = SRMError if blocking.check == "srm" else BlockedError
    raise kind(
        blocking.message.rstrip("."),
        where=f"{name}, check {blocking.check}",
        next_step="fix the cause; where the declared split is what is wrong, begin a new Experiment with the right one",
    )
