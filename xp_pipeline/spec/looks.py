"""The look schedule: when results are looked at, and by which rule the error rate is kept over the looks."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from xp_pipeline.spec.values import Duration, Model, Or

Schedule = Literal["fixed", "group_sequential", "always_valid"]
SCHEDULES: tuple[Schedule, ...] = ("fixed", "group_sequential", "always_valid")
Spending = Literal["obrien_fleming", "pocock", "kim_demets", "hwang_shih_decani"]

_PARAMETER = {"kim_demets": "rho, above 0", "hwang_shih_decani": "gamma"}


class Looks(Model):
    """One schedule.

    ``fixed`` decides at the planned end only. ``group_sequential`` spends alpha along the looks (Lan and
    DeMets). ``always_valid`` holds at any number of looks, at the price of wider intervals.
    """

    schedule: Schedule
    every: Duration = Field("1d", validate_default=True, description="Whole days from one look to the next.")  # type: ignore[assignment]
    spending: Spending = "obrien_fleming"
    parameter: float | None = Field(None, description="rho of kim_demets, gamma of hwang_shih_decani.")
    futility: bool = Field(False, description="Advise to stop where the end can hardly be reached (non-binding).")
    method: Literal["confidence_sequence", "msprt"] = Field(
        "confidence_sequence", description="Of always_valid: how its p-values and intervals are made."
    )

    @model_validator(mode="after")
    def _coherent(self) -> Looks:
        if self.every < timedelta(days=1) or self.every % timedelta(days=1):
            raise ValueError("looks are whole days apart, such as every: 1d or every: 7d")
        needs = _PARAMETER.get(self.spending)
        if (self.parameter is None) == bool(needs):
            raise ValueError(f"spending {self.spending} {f'needs a parameter ({needs})' if needs else 'has none'}")
        if self.spending == "kim_demets" and (self.parameter or 0) <= 0:
            raise ValueError(f"rho of kim_demets is above 0; found {self.parameter:g}")
        if self.schedule != "group_sequential" and (self.spending != "obrien_fleming" or self.futility):
            raise ValueError(f"spending and futility belong to group_sequential looks, not to {self.schedule}")
        if self.schedule != "always_valid" and self.method != "confidence_sequence":
            raise ValueError(f"method belongs to always_valid looks, not to {self.schedule}")
        return self


def _looks(raw: Any) -> Any:
    return {"schedule": raw} if isinstance(raw, str) else raw


SomeLooks = Annotated[Looks, BeforeValidator(_looks), Or(({"enum": list(SCHEDULES)},))]
FIXED = Looks(schedule="fixed")
GROUP_SEQUENTIAL = Looks(schedule="group_sequential")

PRIMARY_SIDES = {"benefit": 2, "equivalence": 1}
"""The tests of primary metrics along the looks, by purpose: on how many sides each spends alpha."""
