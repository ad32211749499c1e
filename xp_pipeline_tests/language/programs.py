"""Generated programs and the rows they are put to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import polars as pl
from hypothesis import strategies as st

from xp_pipeline.language import (
    BooleanOperatorEnum,
    ConditionalType,
    ExperimentAST,
    ExperimentConditional,
    ExperimentGroup,
    Identifier,
    LogicalOperatorEnum,
    RecursivePredicate,
    TerminalPredicate,
    unparse,
)

SCHEMA: Mapping[str, Any] = {
    "n": pl.Int64,
    "small": pl.Int8,
    "wide": pl.UInt64,
    "d": pl.Float64,
    "single": pl.Float32,
    "t": pl.String,
    "level": pl.Enum(["", "a", "b", "10"]),
    "b": pl.Boolean,
    "nothing": pl.Null,
}
ORDERED = (LogicalOperatorEnum.LT, LogicalOperatorEnum.LE, LogicalOperatorEnum.GT, LogicalOperatorEnum.GE)
MEMBER = (LogicalOperatorEnum.IN, LogicalOperatorEnum.NOT_IN)
EDGES = [0, 1, 2, 10, 127, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1]
TEXTS = ["", "a", "b", "ab", "10", "1.0", "it's", 'a "b"', "é", "ユーザー", "𝄞", "none", "; DROP TABLE u --", "{x}"]
FLOATS = [0.0, 0.5, 1.0, 2.5, 10.0, 1e-300, 2.0**53, 2.0**63, 2.0**64, 1e38, 1e39, 1e308]

integers = st.sampled_from(EDGES).flatmap(lambda n: st.sampled_from([n, -n])) | st.integers(-3, 3)
decimals = st.sampled_from(FLOATS).flatmap(lambda x: st.sampled_from([x, -x]))
texts = st.sampled_from(TEXTS)

VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "n": integers | st.just(-(2**63)),
    "small": st.integers(-128, 127),
    "wide": st.sampled_from([0, 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]),
    "d": decimals | st.sampled_from([math.nan, math.inf, -math.inf, 9007199254740994.0]),
    "single": st.sampled_from([0.0, 0.5, -2.5, math.nan, math.inf, 16777216.0]),
    "t": texts,
    "level": st.sampled_from(["", "a", "b", "10"]),
    "b": st.booleans(),
    "nothing": st.none(),
}
UNITS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)

rows = st.lists(
    st.fixed_dictionaries(
        {
            **{name: st.none() | value for name, value in VALUES.items()},
            "unit": st.none() | UNITS,
            "number": st.none() | st.integers(-(2**63), 2**63 - 1),
        }
    ),
    min_size=1,
    max_size=12,
)


def frame(made: list[dict[str, Any]]) -> pl.DataFrame:
    """The rows as a table."""
    return pl.DataFrame(made, schema={**SCHEMA, "unit": pl.String, "number": pl.Int64}, orient="row")


quotable = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r\n'"), max_size=12)
names = st.from_regex(r"[a-z_][A-Za-z0-9_]{0,8}", fullmatch=True).map(lambda name: f"{name}_")
literals = integers | st.integers() | decimals | texts.filter(lambda text: "'" not in text) | quotable
fields = st.sampled_from(list(SCHEMA)).map(Identifier)
scalars = fields | fields | literals
terms = st.recursive(scalars, lambda inner: st.lists(inner, min_size=1, max_size=3).map(tuple), max_leaves=4)


@st.composite
def comparisons(draw: st.DrawFn) -> TerminalPredicate:
    """A comparison that means something."""
    operator = draw(st.sampled_from(LogicalOperatorEnum))
    if operator in ORDERED:
        return TerminalPredicate(draw(scalars), operator, draw(scalars))
    left, right = draw(terms), draw(terms)
    if operator in MEMBER and isinstance(right, int | float):
        right = (right, draw(scalars))
    return TerminalPredicate(left, operator, right)


def _joined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    both = st.sampled_from([BooleanOperatorEnum.AND, BooleanOperatorEnum.OR])
    negated = inner.map(lambda p: RecursivePredicate(p, BooleanOperatorEnum.NOT, None))
    return st.builds(RecursivePredicate, inner, both, inner) | negated


predicates = st.recursive(comparisons(), _joined, max_leaves=5)
weights = st.sampled_from([0, 1, 2, 9, 0.5, 0.25, 3.4, 1e-3])
labels = st.sampled_from(["control", "treatment", "ünï", 'a "b"', 1, 2, 1.5, -1, "1"])


@st.composite
def splits(draw: st.DrawFn) -> tuple[ExperimentGroup, ...]:
    """Arms of which at least one gets somebody."""
    arms = draw(st.lists(st.builds(ExperimentGroup, labels, weights), min_size=1, max_size=3))
    return (*arms, ExperimentGroup(draw(labels), draw(weights.filter(bool))))


@st.composite
def conditionals(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> ExperimentConditional:
    """A chain of up to four branches."""
    tail = draw(
        st.none() | st.builds(ExperimentConditional, st.just(ConditionalType.ELSE), st.none(), inner, st.none())
    )
    for _ in range(draw(st.integers(0, 2))):
        tail = ExperimentConditional(ConditionalType.ELIF, draw(predicates), draw(inner), tail)
    return ExperimentConditional(ConditionalType.IF, draw(predicates), draw(inner), tail)


bodies = st.recursive(splits(), conditionals, max_leaves=6)
trees = st.builds(
    ExperimentAST,
    names,
    st.lists(st.sampled_from(["unit", "number"]), min_size=1, max_size=2, unique=True).map(tuple),
    st.none() | quotable,
    bodies,
)


def written(tree: ExperimentAST) -> str:
    """The text of a tree, so that its nodes have positions."""
    return unparse(tree)
