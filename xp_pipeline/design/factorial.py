"""Factorial designs: all combinations of factor levels, or a two-level fraction by generators or resolution."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import product

from xp_pipeline.design.aliases import ROMAN, DefiningRelation, Word, words_of
from xp_pipeline.design.contrasts import Factorial, Level, arm_of, text_of
from xp_pipeline.errors import SpecError, nearest

MOST_ARMS = 256
MOST_FACTORS = len(ROMAN) - 1
LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
"""Factors by position, as textbooks letter them: without I, which is the identity."""

Levels = dict[str, tuple[str, ...]]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LEVEL = re.compile(r"[^\s,=:*](?:[^,=:*\x00-\x1f]*[^\s,=:*])?")
_GENERATOR = re.compile(r"\s*([^=:*\s]+)\s*=\s*([+-]?)\s*(\S.*?)\s*")


def factorial(
    factors: Mapping[str, Sequence[Level]],
    *,
    generators: Sequence[str] = (),
    resolution: int | None = None,
) -> Factorial:
    """The full factorial of all combinations, or a fraction of it.

    Args:
        factors: Two or more levels by factor, the low (or reference) one first.
        generators: For a two-level fraction, a word for each factor that is not run freely: by position, ``D=ABC`` or
            ``E=-AB`` (A, B, C … are the factors in declared order, without I), or by name, ``rate=temp:press``.
        resolution: For a two-level fraction, the resolution it has at least, in the fewest runs (3, 4 or 5). Of
            the fractions that differ in signs, it is the one that runs every factor at its first level: the control.

    Raises:
        SpecError: a factor, level or generator without meaning, more than 256 arms, or both kinds of fraction.
        AliasError: the generators confound main effects with each other.
    """
    levels = _checked_factors(factors)
    if generators and resolution is not None:
        raise SpecError("a fraction is made by generators or by resolution", found="both")
    if (generators or resolution is not None) and any(len(known) != 2 for known in levels.values()):
        many = ", ".join(f for f, known in levels.items() if len(known) != 2)
        raise SpecError("a fraction has factors of two levels", found=f"more of {many}", allowed="the full factorial")
    if generators:
        return _from_generators(levels, generators)
    if resolution is not None:
        return _from_resolution(levels, resolution)
    _check_size(math.prod(len(known) for known in levels.values()))
    runs = [dict(zip(levels, run[::-1], strict=True)) for run in product(*list(levels.values())[::-1])]
    return Factorial(levels, DefiningRelation(tuple(levels)), {arm_of(run): run for run in runs})


def _from_generators(levels: Levels, generators: Sequence[str]) -> Factorial:
    """By pyDOE's generator string: a letter for a basic factor, a product of letters for a generated one."""
    parsed = dict(_generator(text, list(levels)) for text in generators)
    if len(parsed) < len(generators):
        raise SpecError("a factor has one generator", found="; ".join(generators))
    basic = [factor for factor in levels if factor not in parsed]
    _check_size(2 ** len(basic))
    for factor, word in parsed.items():
        if odd := [f for f in levels if f in word.factors and f not in basic]:
            raise SpecError(
                "a generator is made of factors that are run freely",
                where=factor,
                found=", ".join(odd),
                allowed=", ".join(basic),
            )
    words = [word.times(Word(frozenset({factor}))) for factor, word in parsed.items()]
    relation = DefiningRelation.of(levels, words)
    from pydoe import fracfact

    letters = dict(zip(basic, "abcdefghijklmnopqrstuvwxyz", strict=False))
    columns = (parsed.get(factor, Word(frozenset({factor}))) for factor in levels)
    text = " ".join("-+"[word.sign > 0] + "".join(letters[f] for f in basic if f in word.factors) for word in columns)
    return _fraction(levels, relation, fracfact(text).tolist(), words)


def _from_resolution(levels: Levels, resolution: int) -> Factorial:
    """The fewest runs in which pyDOE finds the resolution, or the full factorial where there is no fraction."""
    if resolution not in (3, 4, 5):
        raise SpecError("a fraction is of resolution III, IV or V", found=resolution, allowed="3, 4, 5")
    from pydoe import fracfact_by_res

    found = fracfact_by_res(len(levels), resolution).tolist()
    _check_size(len(found))
    signs = [[-sign * first for sign, first in zip(run, found[0], strict=True)] for run in found]
    words = words_of(list(levels), signs)
    return _fraction(levels, DefiningRelation.of(levels, words), signs, words)


def _fraction(
    levels: Levels,
    relation: DefiningRelation,
    signs: list[list[float]],
    words: Sequence[Word],
) -> Factorial:
    ordered = sorted(signs, key=lambda run: run[::-1])
    runs = [{f: known[run[j] > 0] for j, (f, known) in enumerate(levels.items())} for run in ordered]
    return Factorial(levels, relation, {arm_of(run): run for run in runs}, tuple(map(relation.as_equation, words)))


def _generator(text: str, factors: list[str]) -> tuple[str, Word]:
    match = _GENERATOR.fullmatch(text)
    if not match:
        raise SpecError(
            "a generator says a factor and a product", found=text, allowed="such as D=ABC or rate=temp:press"
        )
    left, right = _named(match[1], factors), _named(match[3], factors)
    if len(left) > 1 or len({*left, *right}) < 1 + len(right):
        raise SpecError("a generator makes one factor of others, each once", found=text)
    return left[0], Word(frozenset(right), -1 if match[2] == "-" else 1)


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


def _checked_factors(factors: Mapping[str, Sequence[Level]]) -> Levels:
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


def _check_size(arms: int) -> None:
    if arms > MOST_ARMS:
        raise SpecError(
            "the design has too many arms", found=arms, allowed=f"up to {MOST_ARMS}", next_step="run a fraction of it"
        )
