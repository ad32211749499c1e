"""The how-to page: its blocks run, its names exist, and what the first notebook API showed still works."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import polars as pl
import pytest

from xp_pipeline_tests.projects import REPOSITORY

PAGE = (REPOSITORY / "docs" / "notebook.md").read_text(encoding="utf-8")
NAMES = re.findall(r"^\| `(xpyrment\.[\w.]+)` \| `([\w.]+)` \|$", PAGE, re.MULTILINE)


def test_every_block_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/notebook.md", "exec"), names)
    assert {path.name for path in tmp_path.iterdir()} == {"forest.svg", "button.html", "button"}


@pytest.mark.parametrize(("theirs", "ours"), NAMES)
def test_every_name_of_the_table_is_there(theirs: str, ours: str) -> None:
    module, _, name = ours.rpartition(".")
    assert getattr(importlib.import_module(module), name) is not None
    assert theirs.rsplit(".", 1)[1] == name


def adapted(code: str) -> str:
    """Code with its imports as the page's table has them."""
    homes = {(theirs.rpartition(".")[0], theirs.rpartition(".")[2]): ours for theirs, ours in NAMES}

    def line(match: re.Match[str]) -> str:
        ours = homes[match[1], match[2]]
        return f"from {ours.rpartition('.')[0]} import {match[2]}"

    return re.sub(r"^from (xpyrment[\w.]*) import (\w+)$", line, code, flags=re.MULTILINE)


def test_the_first_example_goes_from_created_to_planned() -> None:
    pd = pytest.importorskip("pandas")
    code = "from xpyrment import Experiment\nfrom xpyrment.metrics.taxonomy import MeanMetric"
    names: dict[str, object] = {"pd": pd}
    exec(adapted(code), names)
    frame = pd.DataFrame(
        {"user_id": [1, 2, 3], "group": ["control", "treatment", "control"], "revenue": [10.5, 12, 9.5]}
    )
    experiment = names["Experiment"](frame, treatment_col="group", id_col="user_id")  # type: ignore[operator]
    assert repr(experiment.state) == "<ExperimentState.CREATED: 'CREATED'>"
    metric = names["MeanMetric"]("Revenue Metric", value_col="revenue")  # type: ignore[operator]
    assert experiment.add_metrics(metric) is experiment
    assert repr(experiment.state) == "<ExperimentState.PLANNED: 'PLANNED'>"


def test_the_phase_example_raises_with_its_own_words() -> None:
    code = "from xpyrment.core.state import ExperimentState\nfrom xpyrment.core.exceptions import PhaseOrderError"
    names: dict[str, object] = {}
    exec(adapted(code), names)
    error = names["PhaseOrderError"]
    assert isinstance(error, type) and issubclass(error, Exception)
    with pytest.raises(error, match=r"^Cannot transition backwards from RUNNING to PLANNED\.$"):
        raise error("Cannot transition backwards from RUNNING to PLANNED.")


def test_the_registry_example_tells_a_changed_spec() -> None:
    names: dict[str, object] = {}
    exec(adapted("from xpyrment.core.registry import ExperimentRegistry"), names)
    registry = names["ExperimentRegistry"]()  # type: ignore[operator]
    spec = {"primary_metric": "conversion_rate", "alpha": 0.05, "target_n": 10000}
    assert len(registry.register_spec("EXP-101", spec)) == 64
    assert registry.verify_spec("EXP-101", spec)
    assert not registry.verify_spec("EXP-101", {**spec, "alpha": 0.10})


def test_what_raised_a_value_error_still_does() -> None:
    names: dict[str, object] = {}
    exec(adapted("from xpyrment import Experiment"), names)
    make = names["Experiment"]
    frame = pl.DataFrame({"group": ["control", "treatment"], "y": [1.0, 2.0]})
    with pytest.raises(ValueError, match="treatment column"):
        make(frame, "arm")  # type: ignore[operator]
    with pytest.raises(ValueError, match="id column"):
        make(frame, "group", "uid")  # type: ignore[operator]
    experiment = make(frame, "group")  # type: ignore[operator]
    with pytest.raises(ValueError, match="numerator_col and denominator_col"):
        experiment.register_metric("ratio", "ratio")
    with pytest.raises(ValueError, match="unknown metric type"):
        experiment.register_metric("y", "median")
