"""Factors of an experiment: their levels, and the runs (combinations of levels) that are its arms."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from pydantic import field_validator

from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.spec.values import Model

MOST_ARMS = 256
MOST_FACTORS = 16
RESOLUTIONS = {"III": 3, "IV": 4, "V": 5}
LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
"""Factors by position, as textbooks letter them: without I, which is the identity."""

Level = str | int | float | bool
Levels = dict[str, tuple[str, ...]]
Run = dict[str, str]
"""Level by factor."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LEVEL = re.compile(r"[^\s,=:*](?:[^,=:*\x00-\x1f]*[^\s,=:*])?")
_GENERATOR = re.compile(r"\s*([^=:*\s]+)\s*=\s*([+-]?)\s*(\S.*?)\s*")


class Factor(Model):
    """What is varied, and its two levels or more, the low (or reference) one first."""

    name: str
    levels: tuple[str, ...]

    @field_validator("levels", mode="before")
    @classmethod
    def _as_text(cls, raw: Any) -> Any:
        return [text_of(level) for level in raw] if isinstance(raw, list | tuple) else raw


class Generator(NamedTuple):
    """A factor that is not run freely: the product of others, with a sign."""

    factor: str
    others: tuple[str, ...]
    sign: int


def factors_of(raw: Any) -> Any:
    """Levels by factor as a list of factors, whose order is kept wherever they are stored."""
    if isinstance(raw, Mapping):
        return [{"name": str(name), "levels": levels} for name, levels in raw.items()]
    return raw


def parse_resolution(raw: Any) -> Any:
    """III, IV and V as 3, 4 and 5."""
    return RESOLUTIONS.get(raw.strip().upper(), raw) if isinstance(raw, str) else raw


def checked_levels(factors: Mapping[str, Sequence[Level]]) -> Levels:
    """Levels as text by factor.

    Raises:
        SpecError: a name or level that could not be told apart in an arm's name, or too few.
    """
    levels = {factor: tuple(text_of(level) for level in known) for factor, known in factors.items()}
    if not 2 <= len(levels) <= MOST_FACTORS:
        raise SpecError("a factorial design has two factors or more", found=len(levels), allowed=f"2 to {MOST_FACTORS}")
    for factor, known in levels.items():
        if not _NAME.fullmatch(factor):
            raise SpecError("a factor's name has letters, digits and underscores", found=repr(factor))
        if len(known) < 2 or len(set(known)) < len(known):
            raise SpecError(
                "a factor has two levels or more, each once", where=factor, found=", ".join(known) or "none"
            )
        if odd := [level for level in known if not _LEVEL.fullmatch(level)]:
            raise SpecError(
                "a level is text without commas, colons, asterisks and equals signs", where=factor, found=repr(odd[0])
            )
    return levels


def runs_of(levels: Levels, *, generators: Sequence[str] = (), resolution: int | None = None) -> tuple[Run, ...]:
    """The runs in standard order, the first factor changing fastest: all combinations, or a two-level fraction.

    Args:
        generators: A word for each factor that is not run freely: by position, ``D=ABC`` or ``E=-AB`` (A, B, C …
            are the factors in declared order, without I), or by name, ``rate=temp:press``.
        resolution: Instead the resolution it has at least, in the fewest runs (3, 4 or 5). Of the fractions
            that differ in signs, it is the one that runs every factor at its first level: the control.

    Raises:
        SpecError: a generator without meaning, both kinds of fraction, or more than 256 arms.
    """
    if generators and resolution is not None:
        raise SpecError("a fraction is made by generators or by resolution", found="both")
    if (generators or resolution is not None) and any(len(known) != 2 for known in levels.values()):
        many = ", ".join(f for f, known in levels.items() if len(known) != 2)
        raise SpecError("a fraction has factors of two levels", found=f"more of {many}", allowed="the full factorial")
    if generators:
        signs = _generated(list(levels), parsed_generators(levels, generators))
    elif resolution is not None:
        signs = _of_resolution(len(levels), resolution)
    else:
        _check_size(math.prod(len(known) for known in levels.values()))
        return tuple(dict(zip(levels, run[::-1], strict=True)) for run in product(*list(levels.values())[::-1]))
    ordered = sorted(signs, key=lambda run: run[::-1])
    return tuple({f: known[sign > 0] for (f, known), sign in zip(levels.items(), run, strict=True)} for run in ordered)


def parsed_generators(levels: Levels, generators: Sequence[str]) -> tuple[Generator, ...]:
    """The generators, of factors that are run freely.

    Raises:
        SpecError: one without meaning, two of one factor, or one made of another.
    """
    parsed = tuple(_generator(text, list(levels)) for text in generators)
    made = [generator.factor for generator in parsed]
    if len(set(made)) < len(made):
        raise SpecError("a factor has one generator", found="; ".join(generators))
    free = [factor for factor in levels if factor not in made]
    _check_size(2 ** len(free))
    for generator in parsed:
        if odd := [f for f in levels if f in generator.others and f not in free]:
            raise SpecError(
                "a generator is made of factors that are run freely",
                where=generator.factor,
                found=", ".join(odd),
                allowed=", ".join(free),
            )
    return parsed


def text_of(level: Level) -> str:
    """A level as text, booleans as ``true`` and ``false``."""
    return str(level).lower() if isinstance(level, bool) else str(level)


def arm_of(run: Mapping[str, str]) -> str:
    """The name of an arm: ``temp=high,press=low``."""
    return ",".join(f"{factor}={level}" for factor, level in run.items())


def control_of(levels: Levels, runs: Sequence[Run]) -> str:
    """The arm with the most factors at their first level, the first of several: all of them, where it is run."""
    return arm_of(max(runs, key=lambda run: sum(run[f] == known[0] for f, known in levels.items())))


def _generated(factors: Sequence[str], generators: Sequence[Generator]) -> list[tuple[int, ...]]:
    """Signs of every run: all of the free factors, and their products."""
    made = {generator.factor: generator for generator in generators}
    free = [factor for factor in factors if factor not in made]
    found = []
    for signs in product((-1, 1), repeat=len(free)):
        run = dict(zip(free, signs, strict=True))
        run |= {g.factor: g.sign * math.prod(run[other] for other in g.others) for g in generators}
        found.append(tuple(run[factor] for factor in factors))
    return found


def _of_resolution(factors: int, resolution: int) -> list[tuple[int, ...]]:
    """The fewest runs in which pyDOE finds the resolution, or the full factorial where there is no fraction."""
    if resolution not in RESOLUTIONS.values():
        raise SpecError("a fraction is of resolution III, IV or V", found=resolution, allowed="3, 4, 5")
    from pydoe import fracfact_by_res

    found = fracfact_by_res(factors, resolution).tolist()
    _check_size(len(found))
    return [tuple(-int(sign * first) for sign, first in zip(run, found[0], strict=True)) for run in found]


def _generator(text: str, factors: list[str]) -> Generator:
    match = _GENERATOR.fullmatch(text)
    if not match:
        raise SpecError(
            "a generator says a factor and a product", found=text, allowed="such as D=ABC or rate=temp:press"
        )
    left, right = _named(match[1], factors), _named(match[3], factors)
    if len(left) > 1 or len({*left, *right}) < 1 + len(right):
        raise SpecError("a generator makes one factor of others, each once", found=text)
    return Generator(left[0], tuple(right), -1 if match[2] == "-" else 1)


def _named(text: str, factors: list[str]) -> list[str]:
    """The factors of a product: by name, joined by colons or asterisks, or by letters."""
    terms = re.split(r"\s*[:*]\s*", text)
    by_letter = dict(zip(LETTERS, factors, strict=False)) | {factor: factor for factor in factors}
    if terms[0] not in factors and all(letter in by_letter for letter in terms[0]):
        terms = [*terms[0], *terms[1:]]
    for term in terms:
        if term not in by_letter:
            raise SpecError("no such factor", where=text, found=term, allowed=nearest(term, factors))
    return [by_letter[term] for term in terms]


def _check_size(arms: int) -> None:
    if arms > MOST_ARMS:
        raise SpecError(
            "the design has too many arms", found=arms, allowed=f"up to {MOST_ARMS}", next_step="run a fraction of it"
        )
