"""Contrasts of a factorial design: which arms an effect compares, and whether the design can tell it apart."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import NamedTuple

from xp_pipeline.design.aliases import AliasRow, DefiningRelation, words_of
from xp_pipeline.errors import AliasError, SpecError, nearest
from xp_pipeline.spec.factors import Level, Run, arm_of, control_of, text_of

_SHOWN = 4


class Contrast(NamedTuple):
    """An effect as a weighted sum of arm means.

    The effect of a product of k factors is the mean over the arms where the product of signs is positive, minus the
    mean over those where it is negative. A main effect is thus the mean at the high level minus that at the
    low, averaged over the other factors; the interaction of two is half the difference of their differences:
    half of (effect of A at high B - effect of A at low B). Box, Hunter, Hunter 2005, chapter 5; Montgomery 2017,
    chapter 6. (Some software, and difference-in-differences, report twice this interaction.)

    Attributes:
        name: Factors joined by colons, with the level where a factor has more than two.
        factors: Names of the factors.
        weights: Weight by arm: the positive ones sum to 1, the negative ones to -1.
        aliased_with: Effects of higher order that the estimate includes, by name; they are taken to be negligible.
    """

    name: str
    factors: tuple[str, ...]
    weights: dict[str, float]
    aliased_with: tuple[str, ...] = ()

    @property
    def order(self) -> int:
        """1 for a main effect, 2 for an interaction of two."""
        return len(self.factors)


@dataclass(frozen=True)
class Factorial:
    """A factorial design.

    Attributes:
        factors: Levels by factor, the low (or reference) one first.
        relation: The defining relation; without words in a full factorial.
        arms: Levels by arm, in standard order: the first factor changes fastest. An arm's name says its levels, as in
            ``temp=high,press=low``, and so does not depend on the order of the runs.
        generators: The generators in canonical form, as in ``rate=temp:press``; empty in a full factorial.
    """

    factors: dict[str, tuple[str, ...]]
    relation: DefiningRelation
    arms: dict[str, Run]
    generators: tuple[str, ...] = ()

    @property
    def control(self) -> str:
        """The arm with the most factors at their first level, the first of several: all of them, where it is run."""
        return control_of(self.factors, list(self.arms.values()))

    @property
    def notation(self) -> str:
        """Such as ``2^(4-1) IV``, or ``2 x 3`` where levels differ."""
        counts = [len(levels) for levels in self.factors.values()]
        if set(counts) != {2}:
            return " x ".join(map(str, counts))
        erased = len(counts) - int(math.log2(len(self.arms)))
        return f"2^({len(counts)}-{erased}) {self.relation.resolution_name}" if erased else f"2^{len(counts)}"

    def alias_table(self, up_to: int = 2) -> tuple[AliasRow, ...]:
        """What every effect up to an order is confounded with."""
        return self.relation.table(up_to)

    def contrast(self, effect: str | Iterable[str]) -> Contrast:
        """The contrast of an effect.

        Args:
            effect: ``temp``, ``temp:press``, or names in a list; a factor of more than two levels says which is
                compared with its first, as in ``colour=blue:size``.

        Raises:
            AliasError: the effect is aliased with one of equal or lower order, or its order is above the resolution.
            SpecError: a factor or level is unknown, repeated, or left open.
        """
        pairs = self._pairs(effect)
        self.relation.demand(frozenset(pairs))
        name = self._name([(f, high) for f, (_, high) in pairs.items()])
        signs = {arm: math.prod(_sign(run[f], pair) for f, pair in pairs.items()) for arm, run in self.arms.items()}
        half = sum(sign > 0 for sign in signs.values())
        aliases = tuple(self.relation.name(alias) for alias in self.relation.aliases(frozenset(pairs)))
        return Contrast(name, tuple(pairs), {arm: sign / half for arm, sign in signs.items()}, aliases)

    def contrasts(self, up_to: int = 2) -> tuple[Contrast, ...]:
        """All estimable effects up to an order; what is left out is in the alias table."""
        chosen = [c for order in range(1, up_to + 1) for c in combinations(self.factors, order)]
        estimable = [factors for factors in chosen if self.relation.is_estimable(frozenset(factors))]
        terms = (term for factors in estimable for term in self._terms(factors))
        return tuple(self.contrast([f"{factor}={level}" for factor, level in term]) for term in terms)

    def check(self, runs: Iterable[Mapping[str, Level]]) -> None:
        """Refuse runs that are not those of the design, each once, in any order.

        Raises:
            AliasError: runs are missing or added; naming the terms they confound that the design does not.
            SpecError: a run lacks a factor, has an unknown one or an unknown level, or appears twice.
        """
        given = [self._checked(run) for run in runs]
        names = [arm_of(run) for run in given]
        if len(set(names)) < len(names):
            raise SpecError("a run appears twice", found=next(name for name in names if names.count(name) > 1))
        if set(names) == set(self.arms):
            return
        missing, added = sorted(set(self.arms) - set(names)), sorted(set(names) - set(self.arms))
        terms = [*self._foreign_words(given), *self._confounded(given)]
        raise AliasError(
            f"the runs are not those of the declared design {self.notation}",
            where="; ".join(self.generators) or None,
            found=f"{_some(missing)} missing, {_some(added)} added, which confounds {_some(terms)}",
            next_step="run every arm of the design, or declare the generators that these runs follow",
        )

    def _pairs(self, effect: str | Iterable[str]) -> dict[str, tuple[str, str]]:
        """The two levels that are compared, by factor."""
        terms = re.split(r"\s*[:*]\s*", effect.strip()) if isinstance(effect, str) else list(effect)
        pairs: dict[str, tuple[str, str]] = {}
        for term in terms:
            factor, _, level = term.partition("=")
            if factor not in self.factors:
                raise SpecError("no such factor", found=factor, allowed=nearest(factor, self.factors))
            if factor in pairs:
                raise SpecError("a factor appears twice in an effect", found=":".join(terms))
            pairs[factor] = self.factors[factor][0], self._high(factor, level)
        if not pairs:
            raise SpecError("an effect has at least one factor", allowed=nearest("", self.factors))
        return {factor: pairs[factor] for factor in self.factors if factor in pairs}

    def _high(self, factor: str, level: str) -> str:
        others = self.factors[factor][1:]
        if (level or others[0]) not in others or (not level and len(others) > 1):
            raise SpecError(
                "an effect compares a level with the first",
                where=factor,
                found=level or "no level",
                allowed=", ".join(f"{factor}={other}" for other in others),
            )
        return level or others[0]

    def _terms(self, factors: Iterable[str]) -> Iterator[tuple[tuple[str, str], ...]]:
        """The (factor, level) pairs of an effect, one for every choice of levels other than the first."""
        return product(*([(factor, level) for level in self.factors[factor][1:]] for factor in factors))

    def _name(self, term: Iterable[tuple[str, str]]) -> str:
        return ":".join(f if len(self.factors[f]) == 2 else f"{f}={level}" for f, level in term) or "the mean"

    def _checked(self, run: Mapping[str, Level]) -> Run:
        if set(run) != set(self.factors):
            raise SpecError("a run has a level of every factor", found=", ".join(run), allowed=", ".join(self.factors))
        levels = {factor: text_of(run[factor]) for factor in self.factors}
        for factor, level in levels.items():
            if level not in self.factors[factor]:
                raise SpecError("no such level", where=factor, found=level, allowed=", ".join(self.factors[factor]))
        return levels

    def _foreign_words(self, runs: Sequence[Run]) -> list[str]:
        """The effects that two-level runs alias completely, and the design does not."""
        if any(len(levels) > 2 for levels in self.factors.values()):
            return []
        signs = [[_sign(run[f], (low, high)) for f, (low, high) in self.factors.items()] for run in runs]
        words = [w for w in words_of(list(self.factors), signs) if w.order > 1 and w not in self.relation.words]
        return [self.relation.as_equation(word, " with ") for word in words]

    def _confounded(self, runs: Sequence[Run]) -> list[str]:
        """Pairs of effects, up to two-factor interactions, that are orthogonal in the design and not in the runs."""
        chosen = (factors for order in (0, 1, 2) for factors in combinations(self.factors, order))
        terms = [term for factors in chosen for term in self._terms(factors)]
        columns = [(self._name(t), self._column(t, runs), self._column(t, self.arms.values())) for t in terms]
        return [
            f"{one} with {other}"
            for (one, given, declared), (other, others, declared_others) in combinations(columns, 2)
            if _dot(given, others) and not _dot(declared, declared_others)
        ]

    def _column(self, term: Iterable[tuple[str, str]], runs: Iterable[Run]) -> list[int]:
        """A product of centred indicators of levels, in whole numbers: signs, where factors have two levels."""
        pairs = list(term)
        return [math.prod(len(self.factors[f]) * (run[f] == level) - 1 for f, level in pairs) for run in runs]


def _sign(level: str, pair: tuple[str, str]) -> int:
    """-1 at the low level of a comparison, 1 at the high, 0 at any other."""
    return (level == pair[1]) - (level == pair[0])


def _dot(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "") or "none"
