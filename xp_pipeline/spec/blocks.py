"""The switchback block: time blocks in each of which every unit has one arm."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, model_validator

from xp_pipeline.spec.values import Duration, Model, format_duration


class Blocks(Model):
    """How time is cut into blocks, and what of each block is left out."""

    block: Duration = Field(description="Length of a block in elapsed time, such as 4h.")
    burn_in: Duration = Field("0m", validate_default=True, description="Left out at the beginning of every block.")  # type: ignore[assignment]
    burn_out: Duration = Field("0m", validate_default=True, description="Left out at the end of every block.")  # type: ignore[assignment]
    cycle: int | None = Field(
        None,
        gt=1,
        le=64,
        description="Blocks over which a unit's arms have exactly their shares; left out, each alone.",
    )

    @model_validator(mode="after")
    def _coherent(self) -> Blocks:
        if self.block <= timedelta(0):
            raise ValueError("a block lasts some time, such as 4h")
        if self.burn_in + self.burn_out >= self.block:
            burns = f"{format_duration(self.burn_in)} and {format_duration(self.burn_out)}"
            raise ValueError(
                f"burn-in and burn-out ({burns}) leave nothing of a block of {format_duration(self.block)}"
            )
        return self
