"""The contract of a source: declared once as a pandera schema, enforced by pandera or as SQL predicates.

Tables of units are validated by pandera itself. Event batches do not fit into memory, so for them the same
schema object is walked into predicates; both refuse the same rows for the same first reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xp_pipeline.engine.predicates import fitting_all, fitting_bound, identifier, literal
from xp_pipeline.errors import ContractError
from xp_pipeline.sources.rules import Rule
from xp_pipeline.spec.source import ROW_UNIT, Column, Source

NULL = "null"
REPEATED = "repeated"


def schema(source: Source) -> Any:
    """The contract as a ``pandera.polars`` schema over typed rows.

    Raises:
        SpecError: an allowed value or a bound does not fit its column's type.
    """
    import pandera.polars as pa

    return pa.DataFrameSchema({name: _column(source, name, column) for name, column in source.columns.items()})


def _column(source: Source, name: str, column: Column) -> Any:
    import pandera.polars as pa

    return pa.Column(_dtype(column), nullable=_nullable(source, name, column), checks=_checks(name, column))


def _dtype(column: Column) -> Any:
    import polars as pl

    return {
        "integer": pl.Int64,
        "number": pl.Float64,
        "text": pl.String,
        "boolean": pl.Boolean,
        "timestamp": pl.Datetime("us"),
        "date": pl.Date,
    }[column.type]


def _checks(name: str, column: Column) -> list[Any]:
    """Each check's ``error`` is the reason that the quarantine gives."""
    import pandera.polars as pa

    checks = []
    if column.type == "number":
        checks.append(pa.Check(_finite, name="finite", error="not finite"))
    if column.one_of is not None:
        allowed = fitting_all(name, column.one_of, column)
        checks.append(pa.Check.isin(allowed, error="not one of the allowed values"))
    if column.at_least is not None:
        low = fitting_bound(name, column.at_least, column)
        checks.append(pa.Check.ge(low, error=f"below {low:.15g}"))
    if column.at_most is not None:
        high = fitting_bound(name, column.at_most, column)
        checks.append(pa.Check.le(high, error=f"above {high:.15g}"))
    if column.unique:
        checks.append(pa.Check(_first_of_its_kind, name="unique", error=REPEATED))
    return checks


def _finite(data: Any) -> Any:
    import polars as pl

    return data.lazyframe.select(pl.col(data.key).is_finite())


def _first_of_its_kind(data: Any) -> Any:
    """The first row of a value stays, later ones are refused; nulls do not repeat one another."""
    import polars as pl

    column = pl.col(data.key)
    return data.lazyframe.select(column.is_first_distinct() | column.is_null())


def _nullable(source: Source, name: str, column: Column) -> bool:
    needed = name in (source.timestamp, source.unit if source.unit != ROW_UNIT else None)
    return column.nullable and not needed


def predicates(contract: Any) -> list[Rule]:
    """The schema as rules over typed rows, column by column; those on whole columns come last."""
    rules = [rule for name, column in contract.columns.items() for rule in _rules(name, column)]
    return sorted(rules, key=lambda rule: rule.whole)


def _rules(name: str, column: Any) -> list[Rule]:
    """A missing number may be a null or a NaN; NaN is named before null because pandera calls both null."""
    rules = [_rule(name, check) for check in column.checks]
    at = next((i for i, check in enumerate(column.checks) if check.name != "finite"), len(rules))
    return rules if column.nullable else [*rules[:at], Rule(name, NULL, f"{identifier(name)} IS NULL"), *rules[at:]]


def _rule(name: str, check: Any) -> Rule:
    quoted = identifier(name)
    given = check.statistics
    if check.name == "finite":
        return Rule(name, check.error, f"NOT isfinite({quoted})")
    if check.name == "isin":
        allowed = ", ".join(literal(value) for value in given["allowed_values"])
        return Rule(name, check.error, f"{quoted} NOT IN ({allowed})")
    if check.name == "unique":
        later = f"row_number() OVER (PARTITION BY {quoted} ORDER BY _row) > 1"
        return Rule(name, check.error, f"{quoted} IS NOT NULL AND {later}", whole=True)
    if check.name == "greater_than_or_equal_to":
        return Rule(name, check.error, f"{quoted} < {literal(given['min_value'])}")
    return Rule(name, check.error, f"{quoted} > {literal(given['max_value'])}")


def failures(contract: Any, rows: Any, rules: Sequence[Rule]) -> Any:
    """The rows that pandera refuses.

    Args:
        contract: A schema of this module.
        rows: The typed rows as a collected Polars frame (of a lazy one, pandera checks only the schema).
        rules: ``predicates(contract)``.

    Returns:
        A Polars frame of ``index`` (position of the row) and ``rule`` (position of its first broken rule).
    """
    import polars as pl
    from pandera.config import ValidationDepth, config_context
    from pandera.errors import SchemaErrors

    try:
        with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
            contract.validate(rows, lazy=True)
    except SchemaErrors as refused:
        cases = refused.failure_cases
    else:
        return pl.DataFrame(schema={"index": pl.Int64, "rule": pl.Int16})
    reasons = pl.DataFrame(
        [(rule.column, "not_nullable" if rule.why == NULL else rule.why, i) for i, rule in enumerate(rules)],
        schema={"column": pl.String, "check": pl.String, "rule": pl.Int16},
        orient="row",
    )
    if cases["index"].null_count():
        raise ContractError("the typed rows do not have the declared columns", found=cases["check"].to_list())
    matched = cases.join(reasons, on=["column", "check"], how="inner")
    return (
        matched.group_by("index").agg(pl.col("rule").min()).sort("index").with_columns(pl.col("index").cast(pl.Int64))
    )
