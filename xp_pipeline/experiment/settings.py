"""What an analysis is made under: said once, held from then on, varied only in a labelled side result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from xp_pipeline.errors import PhaseOrderError, SpecError, nearest
from xp_pipeline.lifecycle.inference.reanalyse import CORRECTIONS
from xp_pipeline.spec.experiment import Analysis

LOOKS = {
    "always_valid": {"schedule": "always_valid"},
    "msprt": {"schedule": "always_valid", "method": "msprt"},
}
"""Schedules of looks whose tests hold however often one looks, by name."""

PRIMARY_CORRECTIONS = ("holm", "bonferroni", "none")


@dataclass(frozen=True)
class Settings:
    """Settings by name: ``alpha``, ``power``, ``correction`` (of the primary family), ``cuped``, ``looks``.

    Attributes:
        said: Those that someone asked for; the others are the spec's.
    """

    said: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """The value in force."""
        usual = Analysis()
        values = {
            "alpha": usual.alpha,
            "power": usual.power,
            "correction": usual.primary_correction,
            "cuped": True,
            "looks": "fixed",
        }
        return self.said.get(name, values[name])

    def settled(self, *, where: str, **asked: Any) -> Settings:
        """These settings and those asked for now; what was said before stands.

        Raises:
            PhaseOrderError: another value was promised.
            SpecError: a value that no promise can hold.
        """
        given = _given(asked)
        for name, value in given.items():
            if name in self.said and self.said[name] != value:
                raise PhaseOrderError(
                    f"{name} was promised as {self.said[name]}",
                    where=where,
                    found=value,
                    next_step=f"run_analysis(), then run_analysis({name}={value!r}) for a labelled side result",
                )
        if given.get("correction", "holm") not in PRIMARY_CORRECTIONS:
            raise SpecError(
                "a promise corrects its primary metrics for the family-wise error",
                where=where,
                found=given["correction"],
                allowed=", ".join(PRIMARY_CORRECTIONS),
                next_step="role='secondary' where the false discovery rate will do",
            )
        return replace(self, said={**self.said, **given})

    def changes(self, **asked: Any) -> dict[str, Any]:
        """Of what is asked for, that which is not in force.

        Raises:
            SpecError: a value out of range.
        """
        return {name: value for name, value in _given(asked).items() if value != self[name]}

    def planned(self, **asked: Any) -> Settings:
        """These settings with those that a plan rests on, said or usual, which it thereby promises.

        Raises:
            SpecError: a value out of range.
        """
        given = _given(asked)
        return self.varied(**{name: given.get(name, self[name]) for name in asked})

    def varied(self, **changes: Any) -> Settings:
        """These settings with others in their place, for a side result."""
        return replace(self, said={**self.said, **changes})

    def analysis(self) -> dict[str, Any]:
        """The ``analysis`` of the spec: what was said, and nothing else."""
        names = {"alpha": "alpha", "power": "power", "correction": "primary_correction"}
        said = {names[name]: value for name, value in self.said.items() if name in names}
        return said | ({"looks": dict(LOOKS[self["looks"]])} if "looks" in self.said else {})


def _given(asked: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in asked.items() if value is not None}
    _check_share(given, "alpha", low=0, high=0.5)
    _check_share(given, "power", low=0.5, high=1)
    correction = given.get("correction")
    if correction is not None and correction not in CORRECTIONS:
        raise SpecError(
            "unknown correction", found=repr(correction), allowed=nearest(str(correction).lower(), CORRECTIONS)
        )
    check_switch("cuped", given.get("cuped", True))
    return given


def check_switch(name: str, value: Any) -> None:
    """Refuse a switch that is neither on nor off.

    Raises:
        SpecError: naming it.
    """
    if not isinstance(value, bool):
        raise SpecError(f"{name} is on or off", found=repr(value), allowed="True or False")


def looks_of(sequential: Any) -> str | None:
    """The schedule that an interim look asks for; None where it takes what is promised.

    Raises:
        SpecError: no such schedule.
    """
    if isinstance(sequential, bool):
        return None
    if sequential not in tuple(LOOKS):
        allowed = nearest(str(sequential), ("True", "False", *LOOKS))
        raise SpecError("unknown kind of sequential look", found=repr(sequential), allowed=allowed)
    return str(sequential)


def _check_share(given: Mapping[str, Any], name: str, *, low: float, high: float) -> None:
    value = given.get(name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and low < value < high):
        raise SpecError(f"{name} is out of range", found=repr(value), allowed=f"between {low:g} and {high:g}")
