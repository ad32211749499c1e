"""What a calibration found: estimates with their Monte-Carlo errors, bands and verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from xp_pipeline.calibration.bands import band
from xp_pipeline.calibration.model import Agreement, Cell, Claim, Measures, Study

TWIN_LIMIT = 1e-9
"""Largest difference between a vectorised twin and the shipped function."""


class Verdict(StrEnum):
    """Whether an estimate is where its claim puts it."""

    IN_BAND = "in band"
    OUT = "out"
    SHOWN = "shown"


@dataclass(frozen=True)
class Tally:
    """Sums of one measure over replicates.

    Attributes:
        n: Replicates on which it is defined.
        total: Sum.
        squares: Sum of squares.
    """

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """The estimate; NaN where no replicate defines it."""
        return self.total / self.n if self.n else math.nan

    @property
    def error(self) -> float:
        """Monte-Carlo standard error of the mean."""
        if self.n < 2:
            return math.nan
        return math.sqrt(max(self.squares / self.n - self.mean**2, 0.0) / (self.n - 1))


def tally(measures: Measures) -> dict[str, Tally]:
    """Sums of every measure of a batch, undefined replicates left out."""
    import numpy as np

    defined = {name: values[~np.isnan(values)] for name, values in measures.items()}
    return {name: Tally(v.size, float(v.sum()), float(v @ v)) for name, v in defined.items()}


def add(tallies: Mapping[str, Tally], more: Mapping[str, Tally]) -> dict[str, Tally]:
    """Tallies of two batches together."""
    return {name: tallies.get(name, Tally()) + more.get(name, Tally()) for name in {**tallies, **more}}


@dataclass(frozen=True)
class Finding:
    """One claim, judged.

    Attributes:
        measure: What was measured.
        nominal: What is promised.
        low, high: The claim's limits, slack included.
        band_low, band_high: The limits widened by Monte-Carlo error, simultaneously over all claims.
        estimate: Mean over the replicates that define it.
        error: Its Monte-Carlo standard error.
        replicates: How many define it.
        verdict: ``in band``, ``out``, or ``shown`` where nothing is claimed.
    """

    measure: str
    nominal: float
    low: float
    high: float
    band_low: float
    band_high: float
    estimate: float
    error: float
    replicates: int
    verdict: Verdict


@dataclass(frozen=True)
class StudyResult:
    """One simulated situation, judged.

    Attributes:
        name: Which.
        replicates: Replicates drawn.
        findings: Its claims.
        below, above: Shares of replicates in which the truth lies below, or above, the interval; NaN where
            the study has no interval.
        undefined: Share without an answer; such replicates are in no rate.
        unbounded: Share whose set of lifts is unbounded, which is reported as such and never as an interval.
        twin: Agreement of the vectorised twin with the shipped function, None where the shipped one was called.
    """

    name: str
    replicates: int
    findings: tuple[Finding, ...]
    below: float
    above: float
    undefined: float
    unbounded: float
    twin: Agreement | None

    @property
    def in_band(self) -> bool:
        """Whether every claim holds, and the twin is the function it stands for."""
        same = self.twin is None or self.twin.gap <= TWIN_LIMIT
        return same and all(finding.verdict != Verdict.OUT for finding in self.findings)


@dataclass(frozen=True)
class CellResult:
    """One promise, judged; texts as in the cell, and an explanation by study that left its band."""

    id: str
    title: str
    sentence: str
    method: str
    version: int
    studies: tuple[StudyResult, ...]
    explanations: Mapping[str, str]

    @property
    def in_band(self) -> bool:
        """Whether every study holds."""
        return all(study.in_band for study in self.studies)


@dataclass(frozen=True)
class Calibration:
    """A run of the benchmark.

    Attributes:
        run: ``full`` or ``subset``.
        code_version: Version of the package that was judged.
        claims: Claims of the whole benchmark, over which bands are simultaneous.
        family_error: Probability that an honest run leaves any band.
        cells: The cells that ran.
    """

    run: str
    code_version: str
    claims: int
    family_error: float
    cells: tuple[CellResult, ...]

    @property
    def out(self) -> list[tuple[CellResult, StudyResult]]:
        """Studies that left a band."""
        return [(cell, study) for cell in self.cells for study in cell.studies if not study.in_band]


def judged(
    study: Study, tallies: Mapping[str, Tally], twin: Agreement | None, *, replicates: int, alpha: float
) -> StudyResult:
    """The result of a study from the sums of its measures."""
    shares = {name: tallies[name].mean if name in tallies else math.nan for name in ("below", "above")}
    counted = {name: tallies[name].mean if name in tallies else 0.0 for name in ("undefined", "unbounded")}
    findings = tuple(_finding(claim, tallies.get(claim.measure, Tally()), alpha) for claim in study.claims)
    return StudyResult(study.name, replicates, findings, **shares, **counted, twin=twin)


def _finding(claim: Claim, found: Tally, alpha: float) -> Finding:
    ends = band(claim, replicates=found.n, error=found.error, alpha=alpha)
    verdict = Verdict.SHOWN
    if claim.tested:
        verdict = Verdict.IN_BAND if ends.holds(found.mean) else Verdict.OUT
    return Finding(
        claim.measure, claim.nominal, claim.low, claim.high, *ends, found.mean, found.error, found.n, verdict
    )


def explained(cell: Cell, studies: tuple[StudyResult, ...]) -> CellResult:
    """The result of a cell, each miss with its explanation or the lack of one."""
    misses = {study.name: _explanation(cell, study.name) for study in studies if not study.in_band}
    return CellResult(cell.id, cell.title, cell.sentence, cell.method, cell.version, studies, misses)


def _explanation(cell: Cell, study: str) -> str:
    for beginning, reason in cell.misses.items():
        if study.startswith(beginning):
            return reason
    return "Not explained: treat it as a defect of the method until it is."
