"""The page and the table of A/A replays on a project's own data."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from xp_pipeline.calibration.replay import BINS, Replayed

BLOCKS = " ▁▂▃▄▅▆▇█"
_HEADER = (
    "experiment", "metric", "arm", "estimator", "alpha", "replays", "undefined", "rejected", "mc_error", "band_low",
    "band_high", "uniform_p", "verdict", *(f"p_{k / BINS:g}_{(k + 1) / BINS:g}" for k in range(BINS)),
)  # fmt: skip
_INTRODUCTION = """\
# A/A replays on the project's own data

The units of every experiment were split anew {replays:,} times, by v2 buckets of fresh salts that follow from the
experiment's name, and went through the pipeline's own measurement and inference. Nothing but chance tells such arms
apart: a share of alpha of the tests should be significant, before any adjustment, and p-values should be uniform. The
band holds all rates of an experiment together in 99 of 100 calibrated projects. "not uniform" says that Kolmogorov and
Smirnov's test finds p-values uneven (p < 0.001), which a metric with few distinct values can cause by itself.

| experiment | metric | arm | estimator | splits | significant | band | uniform p | p-values by tenth | verdict |
|---|---|---|---|---|---|---|---|---|---|
"""


def blocks(found: Replayed) -> str:
    """The histogram as a line of blocks, the highest tenth full."""
    highest = max(found.histogram) or 1
    return "".join(BLOCKS[round(count / highest * (len(BLOCKS) - 1))] for count in found.histogram)


def rate(found: Replayed) -> str:
    """The false-positive rate with its Monte-Carlo error."""
    return f"{found.rejected:.1%} ± {found.error:.1%}" if found.replays else "undefined"


def limits(found: Replayed) -> str:
    """The band of the rate."""
    return f"{found.band.low:.1%} to {found.band.high:.1%}" if found.replays else ""


def write(found: Sequence[Replayed], replays: int, folder: Path) -> list[Path]:
    """Write the page and the table into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / "calibration_project.md": page(found, replays), folder / "calibration_project.csv": table(found)}
    for path, content in files.items():
        path.write_text(content, encoding="utf-8")
    return list(files)


def page(found: Sequence[Replayed], replays: int) -> str:
    """The page, as Markdown."""
    return _INTRODUCTION.format(replays=replays) + "".join(_line(entry) for entry in found)


def table(found: Sequence[Replayed]) -> str:
    """Every figure in full, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows(_row(entry) for entry in found)
    return text.getvalue()


def _line(entry: Replayed) -> str:
    counts = " ".join(str(count) for count in entry.histogram)
    cells = (
        entry.experiment, entry.metric, entry.arm, entry.estimator, f"{entry.replays:,}", rate(entry), limits(entry),
        f"{entry.uniform_p:.3f}", f"{blocks(entry)} ({counts})", entry.verdict,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def _row(entry: Replayed) -> tuple[object, ...]:
    return (
        entry.experiment, entry.metric, entry.arm, entry.estimator, entry.alpha, entry.replays, entry.undefined,
        entry.rejected, entry.error, *entry.band, entry.uniform_p, entry.verdict, *entry.histogram,
    )  # fmt: skip
