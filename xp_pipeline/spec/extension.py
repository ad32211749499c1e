"""An extension that a plan provides for: when the variance is read, and how far the end may move."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from xp_pipeline.spec.values import TEXT, Duration, Model, Weight

DAY = timedelta(days=1)
LONGEST = timedelta(days=366)


class Extension(Model):
    """Blinded re-estimation: the variance of all units, arms unknown, says once whether the end moves, and how far."""

    most: Duration = Field(description="Most that the end may move, in whole days.")
    at: Weight = Field(0.5, description="Share of the planned time after which the variance is read.")

    @model_validator(mode="after")
    def _coherent(self) -> Extension:
        if self.most < DAY or self.most % DAY or self.most > LONGEST:
            raise ValueError(f"an extension is of whole days, up to {LONGEST // DAY}, such as 14d")
        if not 0 < self.at < 1:
            raise ValueError("the variance is read before the planned end, such as at: 50%")
        return self


def _extension(raw: Any) -> Any:
    return {"most": raw} if isinstance(raw, str) else raw


SomeExtension = Annotated[Extension, BeforeValidator(_extension), TEXT]


class Granted(Model):
    """What the re-estimation came to.

    Attributes:
        as_of: Day whose data it read.
        planned_end: The end that it is about; one amended since is as people have said.
        days: By how many days that end moved; 0 where the plan suffices.
        why: The same as a sentence.
    """

    as_of: str
    planned_end: datetime
    days: int
    why: str
