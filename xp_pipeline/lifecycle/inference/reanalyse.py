"""Re-analysis: the frozen evidence under another alpha or correction, labelled, beside what was promised."""

from __future__ import annotations

import polars as pl

from xp_pipeline.errors import PhaseOrderError, SpecError
from xp_pipeline.lifecycle.inference.analyse import setting_of
from xp_pipeline.lifecycle.inference.infer import infer
from xp_pipeline.lifecycle.measurement.adjust import read_clusters, read_readings
from xp_pipeline.lifecycle.publish import frame, labels, provenance, publish
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.spec.phases import Phase

CORRECTIONS = ("holm", "bonferroni", "hochberg", "hommel", "dunnett", "fdr_bh", "fdr_by", "none")


def reanalyse(
    workspace: Workspace, experiment: str, *, alpha: float | None, correction: str | None, reason: str
) -> pl.DataFrame:
    """Results of the final look under other settings; no state moves, no promise changes.

    Raises:
        PhaseOrderError: before the final look.
        SpecError: nothing to change, or a setting out of range.
    """
    promise = sealed(workspace, experiment)
    look = workspace.final_look(experiment)
    if look is None:
        raise PhaseOrderError("only a final look is re-analysed", where=experiment, next_step=f"xp run {experiment}")
    _check(promise.bound, alpha, correction)
    as_of = look.payload["as_of"]
    measured = workspace.read(experiment, Phase.ADJUSTED_METRICS, spec_hash=promise.spec_hash, as_of=as_of)
    summary = measured.manifest.summary
    setting = setting_of(
        workspace,
        promise,
        final=True,
        blocked=summary["blocked_populations"],
        alpha=alpha,
        correction=correction,
    )
    rows = infer(setting, read_readings(measured, promise.bound), read_clusters(measured))
    label = labels(promise, retrospective=bool(summary["retrospective"]), extra=["reanalysis"])
    begin = provenance(workspace, promise, as_of=as_of, look=int(look.payload["look"]), final=True, label=label)
    workspace.ledger.append(
        experiment,
        EntryKind.REANALYSIS,
        by=workspace.by,
        reason=reason,
        payload={"alpha": alpha, "correction": correction, "results": look.payload["results"]},
    )
    found = [begin | row for row in rows]
    publish(
        workspace.folder.lake,
        experiment,
        f"{as_of or 'all'}.{workspace.run_id}",
        {"results_reanalysed": found},
    )
    return frame("results", found)


def _check(bound: Bound, alpha: float | None, correction: str | None) -> None:
    """Refuse settings that change nothing, or that no analysis has."""
    if alpha is None and correction is None:
        raise SpecError("a re-analysis changes alpha or the correction", next_step="add --alpha or --correction")
    if alpha is not None and not 0 < alpha < 0.5:
        raise SpecError("alpha is out of range", found=alpha, allowed="between 0 and 0.5")
    if correction is not None and correction not in CORRECTIONS:
        raise SpecError("unknown correction", found=correction, allowed=", ".join(CORRECTIONS))
