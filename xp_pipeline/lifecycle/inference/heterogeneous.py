"""Whether effects differ: between the levels of segments, and from everybody else; exploratory, at the end only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from xp_pipeline.lifecycle.comparisons import comparisons
from xp_pipeline.lifecycle.inference.rows import Row, Setting
from xp_pipeline.lifecycle.inference.scanning import scanned
from xp_pipeline.lifecycle.inference.subjects import Subject, about, subjects
from xp_pipeline.lifecycle.measurement.measure import Reading
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.experiment import DECIDING
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.heterogeneity import cochran_q, effect_difference
from xp_pipeline.stats.multiplicity import family

NOT_DUE = "tests between segments wait for the final look; until then each level has its band"
NOT_DESIGNED = "the sample ratio is not the designed one"
Levels = Mapping[str, Estimate]


def heterogeneous(setting: Setting, readings: Mapping[str, Sequence[Reading]]) -> list[Row]:
    """Per deciding metric, comparison and segment: Cochran's Q, the extremes, and the scan.

    Each kind is one family over the whole look, by Benjamini-Hochberg; the extremes' p-values are first multiplied
    by the pairs that they were chosen from.
    """
    rows = [row for subject in subjects(setting, readings) for row in _of(subject)]
    for kind, method in (("cochran_q", ""), ("largest_smallest", "bonferroni+"), ("scan", "")):
        tests = [row for row in rows if row["kind"] == kind]
        p_values = [_of_pairs(row) for row in tests]
        found = family(p_values, method="fdr_bh", alpha=setting.level_alpha)
        for row, p, differs in zip(tests, found.p_adjusted, found.significant, strict=True):
            named = {"family": f"{kind}:{method}fdr_bh", "family_size": found.size}
            row |= {"p_adjusted": p, "differs": differs, **named}
    return rows


def _of_pairs(row: Row) -> float | None:
    """A row's p-value times the pairs it was chosen from."""
    pairs, p = row.pop("pairs", 1), row.get("p_value")
    return None if p is None else min(1.0, p * pairs)


def blocked_rows(bound: Bound, population: str, reason: str) -> list[Row]:
    """Q rows of a population whose estimates are withheld."""
    return [
        about(bound, population, metric, comparison)
        | {"kind": "cochran_q", "segment": segment.name, "status": str(Status.BLOCKED), "reason": reason}
        for role, _, metric in bound.uses
        if role in DECIDING
        for comparison in comparisons(bound)
        for segment in bound.experiment.segments
    ]


def _of(subject: Subject) -> Iterator[Row]:
    setting = subject.setting
    names = [segment.name for segment in setting.bound.experiment.segments]
    if setting.deciding in setting.blocked_populations:
        yield from (_silent(subject, name, str(Status.BLOCKED), NOT_DESIGNED) for name in names)
    elif not setting.final:
        yield from (_silent(subject, name, "not_due", NOT_DUE) for name in names)
    else:
        for name in names:
            levels = _levels(subject, name)
            yield _cochran(subject, name, levels)
            yield _extremes(subject, name, levels)
        yield from scanned(subject, names)


def _silent(subject: Subject, segment: str, status: str, reason: str) -> Row:
    return subject.row("cochran_q", status=status, reason=reason, segment=segment)


def _levels(subject: Subject, segment: str) -> Levels:
    """The deciding estimate in every level."""
    levels = sorted({cell.level for cell in subject.reading.cells if cell.segment == segment})
    return {level: subject.effect(segment, level) for level in levels}


def _cochran(subject: Subject, segment: str, levels: Levels) -> Row:
    found = cochran_q(list(levels.values()))
    ok = found.status == Status.OK
    return subject.row(
        "cochran_q",
        status=str(found.status),
        reason=found.reason,
        segment=segment,
        estimator=",".join(sorted({estimate.estimator for estimate in levels.values()})),
        effect=found.common,
        se=found.common_se,
        df=float(found.df) if ok else None,
        statistic=found.q,
        i_squared=found.i_squared,
        p_value=found.p_value if ok else None,
    )


def _extremes(subject: Subject, segment: str, levels: Levels) -> Row:
    """The largest effect against the smallest, and how many pairs these two were chosen from."""
    known = sorted((e.effect, level) for level, e in levels.items() if e.status == Status.OK)
    if len(known) < 2:
        reason = "fewer than two segments have an estimate"
        return subject.row("largest_smallest", status=str(Status.NOT_TESTABLE), reason=reason, segment=segment)
    smallest, largest = known[0][1], known[-1][1]
    found = effect_difference(levels[smallest], levels[largest], alpha=subject.setting.level_alpha)
    place = {"segment": segment, "segment_value": largest, "against": smallest}
    row = subject.compared("largest_smallest", levels[largest], levels[smallest], found, **place)
    return row | {"pairs": len(known) * (len(known) - 1) // 2}
