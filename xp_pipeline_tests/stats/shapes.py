"""Wang and Tsiatis' boundaries of looks all planned, whose constants are tabulated."""

from __future__ import annotations

from collections.abc import Sequence

from scipy import optimize

from xp_pipeline.stats.boundaries import Look, crossing


def shaped_boundary(
    fractions: Sequence[float], *, shape: float, alpha: float = 0.05, two_sided: bool = True
) -> tuple[Look, ...]:
    """The boundary C t^(shape - 1/2), with C such that it is crossed with the probability alpha under the null.

    Wang, Tsiatis 1987, Biometrics 43: shape 0.5 is Pocock's constant boundary, 0 that of O'Brien and Fleming.
    """
    budget = alpha / 2 if two_sided else alpha

    def looks(constant: float) -> tuple[Look, ...]:
        uppers = [constant * t ** (shape - 0.5) for t in fractions]
        return tuple(Look(t, 0.0, z, -z if two_sided else None) for t, z in zip(fractions, uppers, strict=True))

    return looks(optimize.brentq(lambda c: crossing(looks(c)).power - budget, 1.0, 9.0, xtol=1e-12))
