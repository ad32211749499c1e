"""Alpha-spending functions: how much of an error rate may be used by a share of the planned information."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from xp_pipeline.errors import EvidenceError

Family = Literal["obrien_fleming", "pocock", "kim_demets", "hwang_shih_decani"]

DETERIORATION_ALPHA = 0.01
"""One-sided error rate of the deterioration tests of an experiment, over all looks."""

_PARAMETERS = {"kim_demets": (0.0, 50.0, "rho"), "hwang_shih_decani": (-40.0, 40.0, "gamma")}


@dataclass(frozen=True)
class Spending:
    """A spending function a(t), increasing from a(0) = 0 to a(1) = a, for a the error rate of one side.

    With t the share of the planned information and Phi the normal distribution:

        obrien_fleming     2 - 2 Phi(z_{1-a/2} / sqrt t)             Lan, DeMets 1983, Biometrika 70
        pocock             a log(1 + (e - 1) t)                      Lan, DeMets 1983
        kim_demets         a t^rho, rho in (0, 50]                   Kim, DeMets 1987, Biometrika 74
        hwang_shih_decani  a (1 - e^(-g t)) / (1 - e^(-g)), |g| <= 40; a t at g = 0
                                                                     Hwang, Shih, DeCani 1990, Stat. Med. 9

    The convention is that of gsDesign, rpact and ldbounds: a two-sided test at 0.05 spends a = 0.025 on
    either side, so that obrien_fleming has z_{1 - 0.0125} in it.

    Attributes:
        family: Name of the function.
        parameter: rho or gamma; None for the two families that have none.
    """

    family: Family = "obrien_fleming"
    parameter: float | None = None

    def __post_init__(self) -> None:
        known = ("obrien_fleming", "pocock", *_PARAMETERS)
        if self.family not in known:
            raise EvidenceError("no such spending function", found=self.family, allowed=", ".join(known))
        if self.family not in _PARAMETERS:
            if self.parameter is not None:
                raise EvidenceError(f"{self.family} spending has no parameter", found=self.parameter)
            return
        low, high, name = _PARAMETERS[self.family]
        inside = self.parameter is not None and low <= self.parameter <= high
        if not inside or (name == "rho" and self.parameter == 0):
            allowed = "above 0, to 50" if name == "rho" else "-40 to 40"
            raise EvidenceError(f"{self.family} spending needs {name}", found=self.parameter, allowed=allowed)

    def spent(self, information: float, *, alpha: float) -> float:
        """Cumulative error rate of one side at a share of the planned information, all of it from 1 on.

        Args:
            information: Share of the planned information, positive.
            alpha: Error rate of one side, below 0.5.
        """
        if not information > 0:
            raise EvidenceError("an information fraction is positive", found=information)
        if not 0 < alpha <= 0.5:
            raise EvidenceError("the error rate of one side", found=alpha, allowed="above 0, to 0.5")
        return alpha if information >= 1 else self._spent(information, alpha)

    def _spent(self, t: float, alpha: float) -> float:
        if self.family == "obrien_fleming":
            return 2 * NormalDist().cdf(NormalDist().inv_cdf(alpha / 2) / math.sqrt(t))
        if self.family == "pocock":
            return alpha * math.log1p((math.e - 1) * t)
        parameter = float(self.parameter or 0.0)
        if self.family == "kim_demets":
            return alpha * math.pow(t, parameter)
        return alpha * (math.expm1(-parameter * t) / math.expm1(-parameter) if parameter else t)


OBRIEN_FLEMING = Spending()
"""The default: almost nothing early, so that the last look is nearly a fixed-horizon test."""

POCOCK = Spending("pocock")
"""About as much at every look."""
