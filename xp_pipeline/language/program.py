"""A program that is ready to use: one meaning, read as a call, as a Polars frame or as SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from xp_pipeline.errors import SpecError
from xp_pipeline.language import rules, sql
from xp_pipeline.language.decide import leaves
from xp_pipeline.language.evaluate import looking_up, refuse_meaningless, taken
from xp_pipeline.language.formulas import Kind
from xp_pipeline.language.parser import parse
from xp_pipeline.language.routes import Route, routes
from xp_pipeline.language.rules import Range, Rule
from xp_pipeline.language.sql import AssignmentSQL
from xp_pipeline.language.tree import ExperimentAST, comparisons, identifiers

if TYPE_CHECKING:
    import polars as pl

    from xp_pipeline.language.frames import AssignmentExpressions

Frame = TypeVar("Frame", "pl.DataFrame", "pl.LazyFrame")


class Assigned(NamedTuple):
    """What a program says of one unit.

    Attributes:
        branch: The id of the branch taken, counted from 0 in the order of the text; None when none is.
        bucket: u in [0, 1); None without a branch, or when the rule gives the unit no bucket.
        arm: The arm's label as text; None without a bucket, or in a gap of growthbook's coverage.
    """

    branch: int | None
    bucket: float | None
    arm: str | None


@dataclass(frozen=True)
class Program:
    """A tree with its bucket rule, checked as far as that needs neither the experiment nor its data.

    Attributes:
        tree: The syntax tree.
        rule: ``v2``, ``v1`` or ``growthbook``.
        salt: What the rule begins its key with.
        splitters: The fields whose values are hashed, in declared order, each once.
        coverage: The share of units that growthbook includes.
    """

    tree: ExperimentAST
    rule: Rule
    salt: str
    splitters: tuple[str, ...]
    coverage: float = 1.0

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        where: str | None = None,
        rule: Rule = "v2",
        default_salt: str | None = None,
        default_splitters: Sequence[str] = (),
        coverage: float = 1.0,
    ) -> Program:
        """A program from its text.

        Args:
            text: Exactly one program.
            where: The file, for messages.
            rule: How units become numbers.
            default_salt: Used when the program declares none; else the program's id (v1: nothing, as ever).
            default_splitters: Used when the program declares none, such as the unit's column.
            coverage: The share of units that rule growthbook includes.

        Raises:
            SpecError: not a program, or not one that can assign anybody.
        """
        tree = parse(text, where=where)
        return cls.of(
            tree,
            where=where,
            rule=rule,
            default_salt=default_salt,
            default_splitters=default_splitters,
            coverage=coverage,
        )

    @classmethod
    def of(
        cls,
        tree: ExperimentAST,
        *,
        where: str | None = None,
        rule: Rule = "v2",
        default_salt: str | None = None,
        default_splitters: Sequence[str] = (),
        coverage: float = 1.0,
    ) -> Program:
        """A program from its tree; see ``parse``."""
        where = where or "program"
        if rule not in rules.RULES:
            raise SpecError("unknown bucket rule", where=where, found=rule, allowed=", ".join(rules.RULES))
        refuse_meaningless(tuple(comparisons(tree)), where=where)
        splitters = tuple(dict.fromkeys(tree.splitting_fields or default_splitters))
        _check_splitters(splitters, rule, where)
        fallback = ("" if rule == "v1" else tree.id) if default_salt is None else default_salt
        for groups in leaves(tree.conditions):
            rules.ranges(rule, groups, coverage=coverage, where=where)
        return cls(tree, rule, fallback if tree.salt is None else tree.salt, splitters, coverage)

    def __reduce__(self) -> tuple[type[Program], tuple[object, ...]]:
        """Copies make their own maps: those of a program go by the identity of its nodes."""
        return Program, (self.tree, self.rule, self.salt, self.splitters, self.coverage)

    @cached_property
    def splits(self) -> tuple[tuple[Range, ...], ...]:
        """The ranges of each branch, by its id."""
        return tuple(rules.ranges(self.rule, groups, coverage=self.coverage) for groups in leaves(self.tree.conditions))

    @cached_property
    def branches(self) -> Mapping[int, int]:
        """The id of each branch by the identity of its node."""
        return {id(groups): i for i, groups in enumerate(leaves(self.tree.conditions))}

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The fields that conditions read, in the order of the text; a call needs those on its way only."""
        terms = (term for node in comparisons(self.tree) for term in (node.left_term, node.right_term))
        return tuple(dict.fromkeys(identifier.name for term in terms for identifier in identifiers(term)))

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Every label, as text, in the order of the text."""
        return tuple(dict.fromkeys(part.arm for split in self.splits for part in split))

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """The ways through the program in the order of its text: what leads to each branch, in words."""
        return tuple(routes(self.tree.conditions))

    def assign(self, fields: Mapping[str, object]) -> Assigned:
        """Branch, bucket and arm of one unit.

        Raises:
            DataError: a field that the unit's way through the program needs is absent, or of a type without meaning.
        """
        branch, bucket, part = self.chosen(fields)
        return Assigned(branch, bucket, part.arm if part else None)

    def chosen(self, fields: Mapping[str, object]) -> tuple[int | None, float | None, Range | None]:
        """Branch, bucket, and the range with the label as the program wrote it."""
        groups = taken(self.tree.conditions, looking_up(fields))
        if groups is None:
            return None, None, None
        branch = self.branches[id(groups)]
        bucket = rules.bucket(self.rule, self.salt, rules.splitter_values(self.splitters, fields))
        return branch, bucket, None if bucket is None else rules.arm_of(bucket, self.splits[branch])

    def columns(self, kinds: Mapping[str, Kind]) -> AssignmentSQL:
        """Branch, bucket and arm as three expressions in DuckDB's dialect; see ``sql.columns``."""
        return sql.columns(self, kinds)

    def sql(self, relation: str, kinds: Mapping[str, Kind], *, keep: Sequence[str] = ()) -> str:
        """A DuckDB query over a relation: the columns to keep, then branch, bucket and arm; see ``sql.select``."""
        return sql.select(self, relation, kinds, keep=keep)

    def expressions(self, schema: Mapping[str, pl.DataType]) -> AssignmentExpressions:
        """Branch, bucket and arm as three Polars expressions; see ``frames.expressions``."""
        from xp_pipeline.language import frames

        return frames.expressions(self, schema)

    def polars(self, frame: Frame) -> Frame:
        """The frame with three more columns: branch, bucket and arm.

        Raises:
            SpecError: a field without a column, or of a type without meaning.
        """
        from xp_pipeline.language import frames

        return frames.assigned(self, frame)


def _check_splitters(splitters: Sequence[str], rule: Rule, where: str) -> None:
    if not splitters:
        raise SpecError(
            "nothing splits the traffic", where=where, next_step="declare the unit, such as 'splitters: user_id'"
        )
    if rule == "growthbook" and len(splitters) > 1:
        raise SpecError("rule growthbook hashes one attribute", where=where, found=", ".join(splitters))
