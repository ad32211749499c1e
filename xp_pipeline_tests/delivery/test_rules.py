"""A sealed design is served as it is: programs, ramps, layers and bucket rules answer as the pipeline would."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xp_pipeline.delivery import Design, RegisteredExperiment, read_design
from xp_pipeline.delivery.rules import assigner
from xp_pipeline.design.assigning import Rule
from xp_pipeline.errors import SpecError
from xp_pipeline.language import buckets
from xp_pipeline.lifecycle.run import run_phase
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.phases import Phase
from xp_pipeline_tests.projects import project

EVEN = {"control": 0.5, "treatment": 0.5}
START = datetime(2026, 3, 1, tzinfo=UTC)
PROGRAM = """
def pages {
    if country == 'DE' { return 'control' weighted 3, 'treatment' weighted 1 }
    else { return 'control' weighted 1, 'treatment' weighted 1 }
}
"""
SOURCE: dict[str, Any] = {
    "kind": "exposure_log",
    "timestamp": "seen",
    "timezone": "UTC",
    "columns": {"id": "integer", "arm": "text", "country": "text", "seen": "timestamp", "spend": "number"},
}


def _designed(root: Path, assignment: dict[str, Any], **source: Any) -> Path:
    """A project whose experiment is registered, planned and designed."""
    root = project(
        root,
        rows="id,arm,country,seen,spend\n1,control,DE,2026-03-01T00:00:00Z,1\n",
        source={**SOURCE, **source},
        metrics=[{"name": "spend", "type": "mean", "source": "visitors", "value": "spend"}],
        experiment={
            "start": START.isoformat(),
            "end": "2026-04-01",
            "assignment": assignment,
            "population": {"source": "visitors"},
            "metrics": {"primary": ["spend"]},
        },
        settings={"timezone": "UTC", "layers": {"page": {}}},
    )
    (root / "assignments").mkdir(exist_ok=True)
    (root / "assignments" / "pages.pyab").write_text(PROGRAM, encoding="utf-8")
    workspace = Workspace.open(root, by="test")
    for phase in (Phase.REGISTERED_SPEC, Phase.POWER_PLAN, Phase.DESIGN):
        run_phase(workspace, "trial", phase)
    return root


@pytest.mark.parametrize(
    "assignment",
    [
        {"control": "control", "arms": ["control", "treatment"], "program": "pages.pyab"},
        {"control": "control", "weights": EVEN, "rule": "growthbook", "salt": "seed"},
        {"control": "control", "weights": EVEN, "rule": "v1", "salt": "seed"},
        {"control": "control", "weights": {"control": 0.8, "treatment": 0.2}},
        {"control": "control", "weights": EVEN, "layer": {"name": "page", "range": [0.2, 0.7]}},
        {
            "control": "control",
            "weights": EVEN,
            "phases": [{"at": "2026-03-01", "coverage": 0.2}, {"at": "2026-03-05", "coverage": 0.9}],
        },
    ],
    ids=["program", "growthbook", "v1", "shares", "layer", "ramp"],
)
def test_the_served_arm_is_the_one_that_the_pipeline_computes(tmp_path: Path, assignment: dict[str, Any]) -> None:
    root = _designed(tmp_path, assignment)
    rule = Rule(sealed(Workspace.open(root), "trial").bound)
    for moment in (START + timedelta(days=1), START + timedelta(days=10)):
        serve = assigner(read_design(root, "trial"), clock=lambda moment=moment: moment)
        for unit in range(300):
            country = ("DE", "NO")[unit % 2]
            served = serve({"unit": unit, "id": unit, "country": country})
            assert (served.arm if served else None) == rule.ask({"id": unit, "country": country}, at=moment).arm, unit


@given(st.lists(st.sampled_from([0.0, 0.1, 0.3, 1 / 3, 0.5]) | st.floats(0, 1), min_size=1, max_size=6), st.data())
def test_shares_are_cut_where_the_bucket_rule_cuts_them(weights: list[float], data: st.DataObject) -> None:
    assume(sum(weights) > 1e-6)
    shares = {f"arm{i}": weight / sum(weights) for i, weight in enumerate(weights)}
    design = Design("trial", tuple(shares), "arm0", shares, "v2", "salt", None, None, "hash", "digest")
    cuts = [cut for cut in accumulate(shares.values()) if cut < 1]
    near = [math.nextafter(cut, side) for cut in cuts for side in (0.0, cut, 1.0)]
    u = data.draw(st.sampled_from([0.0, *(x for x in near if x < 1)]) | st.floats(0, 1, exclude_max=True))
    with mock.patch.object(buckets, "bucket", return_value=u):
        assigned = assigner(design)({"unit": "u"})
    arm = buckets.choose(u, shares)
    assert assigned == (arm, shares[arm], "v2@digest")


def test_a_program_is_served_with_the_fields_it_reads(tmp_path: Path) -> None:
    root = _designed(tmp_path, {"control": "control", "arms": ["control", "treatment"], "program": "pages.pyab"})
    served = RegisteredExperiment.open(root, "trial", clock=lambda: START + timedelta(days=1))
    choices = [served.choose_sync(unit, {"country": "DE"}) for unit in range(400)]
    shares = [choice.propensity for choice in choices]
    assert set(shares) == {0.75, 0.25}
    assert sum(share == 0.75 for share in shares) == pytest.approx(300, abs=40)


def test_a_list_drawn_in_strata_cannot_be_served(tmp_path: Path) -> None:
    given = {"control": "control", "weights": EVEN, "stratify": ["country"]}
    table = {"kind": "unit_table", "timestamp": None}
    with pytest.raises(SpecError, match="drawn over the whole list"):
        assigner(read_design(_designed(tmp_path, given, **table), "trial"))
