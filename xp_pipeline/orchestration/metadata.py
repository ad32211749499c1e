"""What people see on a materialisation: rounded numbers, the scorecard, the forest plot, the page's path."""

from __future__ import annotations

import base64
from typing import Any

import dagster as dg

from xp_pipeline.lifecycle.report import report_folder
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.artifacts import Manifest
from xp_pipeline.spec.phases import Phase

_SHOWN = ("units", "ok", "first_exposure", "final", "retrospective")


def of(workspace: Workspace, manifest: Manifest) -> dict[str, Any]:
    """The metadata of a phase's materialisation."""
    head = workspace.ledger.head()
    shown: dict[str, Any] = {
        "as_of": manifest.as_of or "no clock",
        "verdict": manifest.verdict,
        "spec_hash": manifest.spec_hash,
        "artifact": manifest.digest,
        "ledger_head": f"{head.seq}:{head.digest}",
    }
    shown |= {key: manifest.summary[key] for key in _SHOWN if manifest.summary.get(key) is not None}
    if "units" in shown:
        shown["dagster/row_count"] = shown["units"]
    if "verdicts" in manifest.summary:
        shown["verdicts"] = dg.MetadataValue.json(manifest.summary["verdicts"])
    if manifest.phase == Phase.REPORT:
        shown |= _page(workspace, manifest)
    return shown


def _page(workspace: Workspace, manifest: Manifest) -> dict[str, Any]:
    folder = report_folder(workspace, manifest.experiment)
    shown: dict[str, Any] = {
        "report": dg.MetadataValue.path(str(folder / "report.html")),
        "scorecard": dg.MetadataValue.md((folder / "scorecard.md").read_text(encoding="utf-8")),
    }
    plot = folder / "forest.svg"
    if plot.is_file():
        encoded = base64.b64encode(plot.read_bytes()).decode()
        shown["forest"] = dg.MetadataValue.md(f"![forest plot](data:image/svg+xml;base64,{encoded})")
    return shown
