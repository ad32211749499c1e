"""Factorial designs: all combinations of factor levels, or a two-level fraction by generators or resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xp_pipeline.design.aliases import DefiningRelation, Word, words_of
from xp_pipeline.design.contrasts import Factorial
from xp_pipeline.spec.factors import Level, Levels, Run, arm_of, checked_levels, parsed_generators, runs_of


def factorial(
    factors: Mapping[str, Sequence[Level]],
    *,
    generators: Sequence[str] = (),
    resolution: int | None = None,
) -> Factorial:
    """The full factorial of all combinations, or a fraction of it.

    Args:
        factors: Two or more levels by factor, the low (or reference) one first.
        generators, resolution: For a two-level fraction, as of :func:`xp_pipeline.spec.factors.runs_of`.

    Raises:
        SpecError: a factor, level or generator without meaning, more than 256 arms, or both kinds of fraction.
        AliasError: the generators confound main effects with each other.
    """
    levels = checked_levels(factors)
    runs = runs_of(levels, generators=generators, resolution=resolution)
    words = _words(levels, runs, generators)
    relation = DefiningRelation.of(levels, words)
    equations = tuple(relation.as_equation(word) for word in words)
    return Factorial(levels, relation, {arm_of(run): run for run in runs}, equations)


def _words(levels: Levels, runs: Sequence[Run], generators: Sequence[str]) -> tuple[Word, ...]:
    """The words that generate the defining relation: as declared, or as the runs have them."""
    if generators:
        parsed = parsed_generators(levels, generators)
        return tuple(Word(frozenset({g.factor, *g.others}), g.sign) for g in parsed)
    if any(len(known) != 2 for known in levels.values()):
        return ()
    signs = [[1 if run[factor] == high else -1 for factor, (_, high) in levels.items()] for run in runs]
    return words_of(list(levels), signs)
