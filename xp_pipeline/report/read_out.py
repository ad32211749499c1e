"""The Bayesian read-out of an estimate, ready to print: what is believed of the effect, and what shipping may cost."""

from __future__ import annotations

from typing import Any, NamedTuple

from xp_pipeline.report.format import Figure, Interval, Unit, figure, interval, number, share
from xp_pipeline.report.inputs import Row, text_of

METHODS = {"gaussian": "normal effect", "beta_binomial": "Beta-Binomial, exact"}
_SURE = 1e-9
CAUTION = "Not protected against peeking: read at the planned end, and never the reason of a verdict here."


class ReadOut(NamedTuple):
    """What the data and a prior say of one effect.

    Attributes:
        method: The model in words.
        prior: The prior in words.
        mean: Posterior mean of the effect.
        interval: Equal-tailed credible interval.
        chance_to_win: Probability that the arm is better.
        expected_loss: Harm of shipping where the arm is worse, averaged over all beliefs; in the effect's unit.
    """

    method: str
    prior: str
    mean: Figure
    interval: Interval
    chance_to_win: Figure
    expected_loss: Figure


def read_out_of(row: Row, *, effect: dict[str, Any]) -> ReadOut | None:
    """The read-out of a row of the results; None where there is none.

    Args:
        effect: Decimals and unit that effects of the metric are printed with.
    """
    if row["chance_to_win"] is None:
        return None
    return ReadOut(
        method=METHODS.get(text_of(row["bayes_method"]), text_of(row["bayes_method"])),
        prior=text_of(row["bayes_prior"]),
        mean=figure(row["posterior_mean"], signed=True, **effect),
        interval=interval(row["posterior_low"], row["posterior_high"], **effect),
        chance_to_win=_chance(row["chance_to_win"]),
        expected_loss=_loss(row["expected_loss"], **effect),
    )


def _chance(value: float) -> Figure:
    """A chance as a percentage; a belief is never certain, whatever rounding makes of it."""
    return Figure(value, share(min(max(value, _SURE), 1 - _SURE)).text)


def _loss(value: float, *, decimals: int | None, unit: Unit) -> Figure:
    """A loss to one digit more than effects have, or that it is smaller than that."""
    places = None if decimals is None else decimals + 1
    if places is None or value * unit.factor >= 0.5 * 10.0**-places:
        return figure(value, decimals=places, unit=unit)
    return Figure(value, f"<{number(10.0**-places / unit.factor, decimals=places, unit=unit)}")
