"""The scorecard and the verdict as Markdown, for materialisations, chats and terminals."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from xp_pipeline.report.document import ReportDocument
from xp_pipeline.report.estimate import Estimate
from xp_pipeline.report.scorecard import Comparison, MetricBlock, Scorecard
from xp_pipeline.report.svg import printable
from xp_pipeline.report.words import MARKS

_SPECIAL = re.compile(r"([\\`*{}\[\]#|~$]|(?<!\w)_|_(?!\w))")


def scorecard(document: ReportDocument) -> str:
    """One table: every metric and arm by its deciding estimate, and why where there is none."""
    cards = document.main.scorecards
    if document.withheld:
        return printable("\n".join(["**Estimates are withheld.**", "", *_blockers(document)]))
    if not cards:
        return "There is no result yet.\n"
    interval = document.main.forest.interval_name
    header = [
        "Metric",
        "Role",
        "Arm",
        "Baseline",
        "Arm mean",
        "Lift or effect",
        interval.capitalize(),
        "p adj.",
        "Units",
        "",
    ]
    if document.title.interim:
        header.remove("p adj.")
    rows = [
        _row(card, block, comparison, interim=document.title.interim)
        for card in cards
        for block in card.blocks
        for comparison in block.comparisons
    ]
    return printable("\n".join([_line(header), _rule(len(header)), *rows]) + "\n")


def summary(document: ReportDocument) -> str:
    """The verdict with its reasons, the labels and the findings of health."""
    title = document.title
    lines = [f"**{escaped(title.title)}**" + (f", as of {title.as_of}" if title.as_of else "")]
    lines += ["", *(f"- {label.name}: {escaped(label.meaning)}" for label in title.labels)] if title.labels else []
    for verdict in document.main.verdicts:
        lines += ["", f"**{escaped(verdict.phrase)}**: {', '.join(escaped(arm) for arm in verdict.arms)}", ""]
        lines += [f"- {MARKS[reason.tone]} {escaped(reason.sentence)}" for reason in verdict.reasons]
        lines += ["", f"Nearest change: {escaped(verdict.nearest_change)}"] if verdict.nearest_change else []
    if findings := document.health.findings:
        lines += ["", "Health:", ""]
        lines += [f"- {MARKS[check.tone]} {escaped(check.name)}: {escaped(check.message)}" for check in findings]
    return printable("\n".join(lines) + "\n")


def escaped(text: str) -> str:
    """Text of people with everything disarmed that Markdown or HTML would act on, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(html.escape(text, quote=False).split()))


def _row(card: Scorecard, block: MetricBlock, comparison: Comparison, *, interim: bool) -> str:
    main = comparison.main
    cells = [
        escaped(block.metric),
        card.role,
        escaped(comparison.arm),
        f"{escaped(comparison.baseline)} {main.mean_baseline.text}",
        main.mean_arm.text,
        *_effect(main),
        _test(main).replace("<", "&lt;"),
        f"{main.n_arm.text} / {main.n_baseline.text}",
        _remark(main),
    ]
    if interim:
        del cells[7]
    return _line(cells)


def _test(main: Estimate) -> str:
    """The adjusted p-value, or how near the statistic of this look came to its boundary."""
    found = main.sequential
    if main.p_adjusted.value is None and found and found.statistic.value is not None:
        return f"z {found.statistic.text} of {found.boundary.text}"
    return main.p_adjusted.text


def _effect(main: Estimate) -> tuple[str, str]:
    """The lift where it is defined, else the absolute effect."""
    if main.lift_status == "ok":
        return main.lift.text, main.lift_interval.text
    return main.effect.text, main.effect_interval.text


def _remark(main: Estimate) -> str:
    mark = f"{MARKS[main.reading.tone]} {main.reading.text}" if main.reading.text else ""
    said = (*(main.sequential.sentences if main.sequential else ()), *main.notes)
    return ". ".join([mark, *(escaped(note.rstrip(".")) for note in said)] if mark else map(escaped, said))


def _blockers(document: ReportDocument) -> list[str]:
    found = document.health.blockers
    return [f"- {escaped(c.name)}: {escaped(c.message)} {escaped(c.hint)}".rstrip() for c in found]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    """Names to the left, numbers to the right."""
    return _line([*[":--"] * 3, *["--:"] * (columns - 4), ":--"])
