"""Small projects for tests: written to a folder, opened, run."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from xp_pipeline.lifecycle.run import Outcome, run_all, runnable
from xp_pipeline.lifecycle.workspace import Workspace

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLES = REPOSITORY / "examples"


def real_data() -> Path:
    """The folder of published trials, or a skip with its reason."""
    folder = Path(os.environ.get("XP_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "cookie_cats.csv.gz").is_file():
        pytest.skip("XP_DATA names no folder with the published trials")
    return folder


def copied(example: str, to: Path) -> Path:
    """A copy of an example without what it derived."""
    kept = shutil.ignore_patterns("lake", "record", ".dagster")
    return Path(shutil.copytree(EXAMPLES / example, to / example, ignore=kept))


def run_everything(root: Path, *only: str) -> dict[str, Outcome]:
    """Run experiments of a project; id to outcome."""
    workspace = Workspace.open(root, by="test")
    assert not workspace.folder.problems
    return {o.experiment: o for o in run_all(workspace, only or runnable(workspace))}


def visitors(n: int = 2000, *, seed: int = 1, lift: float = 0.0) -> list[dict[str, Any]]:
    """Rows of a unit table with a conversion, a pre-period number and a correlated outcome."""
    draw = random.Random(seed)
    rows = []
    for unit in range(n):
        arm = draw.choice(["control", "treatment"])
        before = draw.gauss(10, 3)
        rows.append(
            {
                "id": unit,
                "arm": arm,
                "country": draw.choice(["DE", "NO"]),
                "converted": int(draw.random() < 0.2 + (lift if arm == "treatment" else 0)),
                "before": round(before, 6),
                "spend": round(before + draw.gauss(0, 1) + (lift if arm == "treatment" else 0), 6),
            }
        )
    return rows


def csv_text(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV; None is an empty cell."""
    lines = [",".join(rows[0])]
    lines += [",".join("" if v is None else str(v) for v in row.values()) for row in rows]
    return "\n".join(lines) + "\n"


SOURCE: dict[str, Any] = {
    "name": "visitors",
    "kind": "unit_table",
    "unit": "id",
    "path": "visitors.csv",
    "columns": {
        "id": "integer",
        "arm": "text",
        "country": "text",
        "converted": "integer",
        "before": "number",
        "spend": "number",
    },
}
METRICS: list[dict[str, Any]] = [
    {"name": "converted", "type": "proportion", "source": "visitors", "value": "converted"},
    {
        "name": "spend",
        "type": "mean",
        "source": "visitors",
        "value": "spend",
        "covariates": [{"column": "before"}],
    },
]
EXPERIMENT: dict[str, Any] = {
    "id": "trial",
    "assignment": {"control": "control", "weights": {"control": 0.5, "treatment": 0.5}},
    "population": {"source": "visitors", "arm": "arm"},
    "metrics": {"primary": ["converted"], "secondary": ["spend"]},
}


def project(
    root: Path,
    *,
    rows: list[dict[str, Any]] | str | None = None,
    source: dict[str, Any] | None = None,
    metrics: list[dict[str, Any]] | None = None,
    experiment: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
) -> Path:
    """Write a project of one source and one experiment; given parts replace keys of the usual ones."""
    for folder in ("sources", "metrics", "experiments"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    _write(root / "xp.yaml", {"name": "test", **(settings or {})})
    _write(root / "sources" / "visitors.yaml", {**SOURCE, **(source or {})})
    _write(root / "metrics" / "metrics.yaml", {"metrics": metrics or METRICS})
    _write(root / "experiments" / "trial.yaml", {**EXPERIMENT, **(experiment or {})})
    content = rows if isinstance(rows, str) else csv_text(rows if rows is not None else visitors())
    (root / "visitors.csv").write_text(content, encoding="utf-8")
    return root


def _write(path: Path, content: Any) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
