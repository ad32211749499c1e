"""Adaptive assignments that cannot be learned from, or not be analysed afterwards, are refused by file and line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from xp_pipeline.errors import SpecError
from xp_pipeline.lifecycle.promisable import promisable
from xp_pipeline.spec.folder import load
from xp_pipeline.spec.looks import FIXED
from xp_pipeline_tests.lifecycle.learners import EXPERIMENT, learners


def _refused(root: Path, **changed: Any) -> str:
    """What is said of the experiment with parts of it replaced; parts of its assignment are merged."""
    learners(root, sealed=False)
    assignment = EXPERIMENT["assignment"] | changed.pop("assignment", {})
    path = root / "experiments" / "learnt.yaml"
    path.write_text(yaml.safe_dump({**EXPERIMENT, **changed, "assignment": assignment}, sort_keys=False))
    folder = load(root)
    if folder.problems:
        return str(folder.problems[0])
    with pytest.raises(SpecError) as caught:
        promisable(folder, "learnt")
    return str(caught.value)


def _adaptive(**changed: Any) -> dict[str, Any]:
    return {"adaptive": EXPERIMENT["assignment"]["adaptive"] | changed}


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        (_adaptive(reward="sold"), "the reward 'sold' is no metric of the experiment; allowed: "),
        (_adaptive(reward="spent"), "learns from rewards 0 and 1; found spent, a mean; .*use thompson_gaussian"),
        (_adaptive(version="versoin"), r"unknown column of served 'versoin'; .*did you mean 'version'"),
        (_adaptive(floor=0.6), "the floors of the arms exceed the traffic; found 0.6; allowed: at most 1/2"),
        (_adaptive(settings={"priors": [1, 1]}), "no such setting; found priors; .*did you mean 'prior'"),
        (_adaptive(settings={"prior": [0, 1]}), "the prior is two positive numbers"),
        (_adaptive(settings={"prior": 1}), "a setting is not of its type; found {'prior': 1}"),
        (_adaptive(settings={"floor": 0.1}), "floor stands beside settings"),
        (_adaptive(algorithm="fixed", discount=0.9), "fixed weights have no discount"),
        (_adaptive(algorithm="thomson"), "thompson_beta"),
        ({"weights": {"a": 0.99, "b": 0.01}}, "the first weights lie below the floor; found b"),
        ({"weights": "unknown", "arms": ["a", "b"]}, "adaptive weights begin with known ones"),
        ({"rule": "v1"}, "bucket rule v2"),
        ({"phases": [{"at": "2026-03-02", "coverage": 0.5}]}, "adaptive weights go without phases"),
        ({"switchback": {"block": "1d"}}, "adaptive weights go without switchback"),
    ],
)
def test_an_assignment_that_cannot_learn_is_refused(tmp_path: Path, assignment: dict[str, Any], said: str) -> None:
    found = _refused(tmp_path, assignment=assignment)
    assert re.search(r"experiments/learnt\.yaml:\d+", found), found
    assert re.search(said, found), found


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"population": {"source": "served"}}, "an adaptive experiment needs logged arms"),
        ({"analysis": {"looks": "always_valid"}}, "hold at one look that was fixed beforehand; found always_valid"),
        ({"analysis": {"cluster": "variant"}}, "a second reading by cluster is made as if"),
        ({"analysis": {"novelty": True}}, "as if the shares had been fixed"),
        ({"analysis": {"resampling": "jackknife"}}, "a second reading by resampling is made as if"),
        ({"analysis": {"primary_correction": "dunnett"}}, "Dunnett's correction is for means of independent units"),
        (
            {"metrics": {"primary": ["bought", "basket"]}},
            "metric 'basket' is a ratio, which has no adaptively weighted estimate to decide on",
        ),
        (
            {
                "metrics": {"primary": ["bought"], "secondary": ["basket"]},
                "assignment": _adaptive(algorithm="ucb1", reward="basket"),
            },
            "a ratio is no reward",
        ),
        (
            {"metrics": {"primary": [{"metric": "bought", "override": {"direction": "decrease"}}]}},
            "traffic to the arm with the higher reward",
        ),
    ],
)  # fmt: skip
def test_an_experiment_that_adaptive_weights_do_not_go_with_is_refused(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    found = _refused(tmp_path, **changed)
    assert "experiments/learnt.yaml:" in found
    assert said in found


def test_exposures_without_a_time_are_refused(tmp_path: Path) -> None:
    learners(tmp_path, sealed=False)
    path = tmp_path / "sources" / "served.yaml"
    timeless = {k: v for k, v in yaml.safe_load(path.read_text()).items() if k not in ("timestamp", "closed")}
    path.write_text(yaml.safe_dump(timeless | {"kind": "unit_table"}))
    with pytest.raises(SpecError, match=r"learnt\.yaml:\d+.*needs exposures that have a time"):
        promisable(load(tmp_path), "learnt")


def test_an_adaptive_experiment_is_looked_at_once(tmp_path: Path) -> None:
    learners(tmp_path, sealed=False)
    assert promisable(load(tmp_path), "learnt").looks == FIXED


def test_what_was_published_is_no_part_of_the_promise(tmp_path: Path) -> None:
    learners(tmp_path, sealed=False)
    bound = promisable(load(tmp_path), "learnt")
    later = bound.model_copy(update={"allocations": {"v1": {"a": 0.5, "b": 0.5}}})
    assert later.digest == bound.digest
    assert "allocations" not in later.document()
