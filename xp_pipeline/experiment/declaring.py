"""Adding to what is declared: metrics and covariates, checked against the frame, all or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from xp_pipeline.errors import DataError, SpecError
from xp_pipeline.experiment.frames import Frame
from xp_pipeline.experiment.metrics import BaseMetric, column_names
from xp_pipeline.experiment.spec import Declared
from xp_pipeline.spec.values import ColumnType

NUMBERS: Sequence[ColumnType] = ("integer", "number", "boolean")


def with_metrics(declared: Declared, frame: Frame, added: Sequence[BaseMetric]) -> Declared:
    """The declaration with more metrics.

    Raises:
        SpecError: nothing to add, no metric, a name twice, or a metric that the spec refuses.
        DataError: a column is not in the data, or holds no numbers.
    """
    if not added:
        raise SpecError("there is no metric to add", where=declared.name)
    known = {metric.slug: metric.name for metric in declared.metrics}
    for metric in added:
        if not isinstance(metric, BaseMetric):
            raise SpecError(
                "not a metric",
                where=declared.name,
                found=repr(metric),
                allowed="MeanMetric, ProportionMetric, RatioMetric, RevenueMetric",
            )
        if metric.slug in known:
            raise SpecError(
                "two metrics have one name",
                where=declared.name,
                found=f"{known[metric.slug]!r} and {metric.name!r}",
                allowed="names that differ in a letter or digit",
            )
        known[metric.slug] = metric.name
        frame.check(metric.columns, what=f"metric {metric.name}: column", allowed=NUMBERS)
        declared.metric(metric)
    return _told_apart(replace(declared, metrics=(*declared.metrics, *added)))


def with_covariates(declared: Declared, frame: Frame, names: str | Iterable[str]) -> Declared:
    """The declaration with more covariates; those it has already stay where they are.

    Raises:
        DataError: a column is not in the data, or holds no numbers.
    """
    added = column_names(names)
    frame.check(added, what="covariate", allowed=NUMBERS)
    return _told_apart(replace(declared, balance=column_names((*declared.balance, *added))))


def check_looks(declared: Declared) -> None:
    """Refuse a mixture test of a primary metric that has no effect to mix around.

    Raises:
        SpecError: naming the metric.
    """
    if declared.settings["looks"] != "msprt":
        return
    for metric in declared.metrics:
        if metric.role == "primary" and "mde" not in declared.planned.get(metric.slug, {}):
            step = "plan(mde=...) before design(), or sequential='always_valid'"
            raise SpecError(
                "msprt needs the effect worth detecting (mde)", where=f"metric {metric.name}", next_step=step
            )


def _told_apart(declared: Declared) -> Declared:
    """Refuse columns that SQL, which is blind to case, would take for one."""
    seen: dict[str, str] = {}
    for name in declared.types:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise DataError("two columns differ in case only", found=f"{other!r} and {name!r}", next_step="rename one")
    return declared
