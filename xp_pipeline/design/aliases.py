"""Confounding in two-level designs: the defining relation, and what every effect is aliased with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from xp_pipeline.errors import AliasError

ROMAN = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV", "XV", "XVI")
_SHOWN = 6


class Word(NamedTuple):
    """A product of factors, up to its sign.

    Attributes:
        factors: Names of the factors; none is the identity I, which is the mean.
        sign: 1 or -1.
    """

    factors: frozenset[str]
    sign: int = 1

    @property
    def order(self) -> int:
        """Number of factors: 1 is a main effect, 2 a two-factor interaction."""
        return len(self.factors)

    def times(self, other: Word) -> Word:
        """The product; a factor times itself is the identity."""
        return Word(self.factors ^ other.factors, self.sign * other.sign)


class AliasRow(NamedTuple):
    """What an effect is confounded with.

    Attributes:
        effect: Its factors, joined by colons.
        order: Number of factors.
        aliased_with: Effects that the design cannot tell from it, by order, a minus before those of opposite sign.
        resolution: Of the design, as a Roman numeral; ``full`` where nothing is confounded.
        estimable: Whether it may be asked for.
    """

    effect: str
    order: int
    aliased_with: tuple[str, ...]
    resolution: str
    estimable: bool


@dataclass(frozen=True)
class DefiningRelation:
    """The products of factors that are constant over the runs of a design; they form a group.

    Effects e and e w are aliased for every word w: each run gives both the same sign, and their contrast estimates
    the sum of the two. Box, Hunter, Hunter 2005, Statistics for Experimenters, chapter 6; Montgomery 2017, Design
    and Analysis of Experiments, chapter 8.

    Attributes:
        factors: Names of all factors, in declared order.
        words: All words but the identity, by length; none in a full factorial.
    """

    factors: tuple[str, ...]
    words: tuple[Word, ...] = ()

    @classmethod
    def of(cls, factors: Iterable[str], generators: Iterable[Word]) -> DefiningRelation:
        """The group that independent words generate.

        Raises:
            AliasError: two main effects are the same, or one is the mean.
        """
        words: list[Word] = []
        for generator in generators:
            words += [generator, *(generator.times(word) for word in words)]
        found = cls(tuple(factors))
        found = cls(found.factors, tuple(sorted(words, key=found._position)))
        for word in found.words:
            if word.order <= 2:
                raise AliasError("the generators confound main effects", found=f"I = {found.name(word)}")
        return found

    @property
    def resolution(self) -> int | None:
        """Length of the shortest word; None in a full factorial."""
        return min((word.order for word in self.words), default=None)

    @property
    def resolution_name(self) -> str:
        """The resolution as a Roman numeral; ``full`` where nothing is confounded."""
        return "full" if self.resolution is None else ROMAN[self.resolution]

    def name(self, word: Word) -> str:
        """``temp:press``, or ``-temp:press``, in declared order; ``I`` for the identity."""
        return ("-" if word.sign < 0 else "") + (":".join(f for f in self.factors if f in word.factors) or "I")

    def as_equation(self, word: Word, sign: str = "=") -> str:
        """``rate=temp:press``: the last factor of a word, and the product of the others that it equals."""
        last = next(factor for factor in self.factors[::-1] if factor in word.factors)
        return f"{last}{sign}{self.name(Word(word.factors - {last}, word.sign))}"

    def __str__(self) -> str:
        return " = ".join(["I", *map(self.name, self.words)])

    def aliases(self, effect: frozenset[str]) -> tuple[Word, ...]:
        """The effects that no run tells from this one, by order; the identity among them where it is a word."""
        return tuple(sorted((word.times(Word(effect)) for word in self.words), key=self._position))

    def is_estimable(self, effect: frozenset[str]) -> bool:
        """Whether every alias is of higher order, and the effect itself not of an order above the resolution."""
        within = self.resolution is None or len(effect) <= self.resolution
        return within and all(alias.order > len(effect) for alias in self.aliases(effect))

    def demand(self, effect: frozenset[str]) -> None:
        """Refuse an effect that is not estimable.

        Raises:
            AliasError: naming the effects it is confounded with.
        """
        if self.is_estimable(effect):
            return
        aliases = self.aliases(effect)
        low = [alias for alias in aliases if alias.order <= len(effect)]
        names = [("the mean" if not alias.order else self.name(alias)) for alias in low or aliases]
        above = "" if low else f" is of order {len(effect)}, above the resolution, and"
        raise AliasError(
            f"{self.name(Word(effect))}{above} cannot be told from {_listed(names)}",
            found=f"a design of resolution {self.resolution_name}, {_listed(str(self).split(' = '), ' = ')}",
            allowed="effects whose aliases are all of higher order",
            next_step="ask for another effect, more runs (a higher resolution), or the full factorial",
        )

    def table(self, up_to: int = 2) -> tuple[AliasRow, ...]:
        """The alias structure of all effects up to an order."""
        orders = range(1, min(up_to, len(self.factors)) + 1)
        effects = (frozenset(chosen) for order in orders for chosen in combinations(self.factors, order))
        return tuple(self._row(effect) for effect in effects)

    def _row(self, effect: frozenset[str]) -> AliasRow:
        names = tuple(self.name(alias) for alias in self.aliases(effect))
        return AliasRow(self.name(Word(effect)), len(effect), names, self.resolution_name, self.is_estimable(effect))

    def _position(self, word: Word) -> tuple[int, list[int]]:
        """Shorter words first, then in declared order."""
        return word.order, [i for i, factor in enumerate(self.factors) if factor in word.factors]


_MINUS = Word(frozenset(), -1)


def words_of(factors: Sequence[str], signs: Sequence[Sequence[int]]) -> tuple[Word, ...]:
    """Independent words of a design, from its signs: by elimination over products of columns.

    Args:
        factors: Names of the columns.
        signs: -1 and 1, shape (runs, factors).
    """
    whole = (1 << len(signs)) - 1
    pivots: dict[int, tuple[int, Word]] = {}
    words = []
    for j, factor in enumerate(factors):
        negative = sum(1 << i for i, run in enumerate(signs) if run[j] < 0)
        word = Word(frozenset({factor}))
        while negative not in (0, whole):
            if negative & 1:
                negative, word = negative ^ whole, word.times(_MINUS)
            pivot = negative.bit_length()
            if pivot not in pivots:
                pivots[pivot] = (negative, word)
                break
            negative, word = negative ^ pivots[pivot][0], word.times(pivots[pivot][1])
        else:
            words.append(word.times(_MINUS) if negative else word)
    return tuple(words)


def _listed(names: Sequence[str], separator: str = ", ") -> str:
    """Names in one line, the first few of many."""
    return separator.join(names[:_SHOWN]) + (f"{separator}… ({len(names)} in all)" if len(names) > _SHOWN else "")
