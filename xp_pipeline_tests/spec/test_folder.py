"""A project folder: what names refer to, what layers over what, and that one broken file leaves the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from xp_pipeline.errors import SpecError
from xp_pipeline.spec.binding import bind
from xp_pipeline.spec.folder import find_root, load
from xp_pipeline_tests.projects import project

Edit = tuple[str, tuple[Any, ...], Any]


def _edit(root: Path, file: str, at: tuple[Any, ...], value: Any) -> None:
    path = root / file
    content = yaml.safe_load(path.read_text())
    inner = content
    for key in at[:-1]:
        inner = inner.setdefault(key, {}) if isinstance(inner, dict) else inner[key]
    inner[at[-1]] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))


TRIAL = "experiments/trial.yaml"


@pytest.mark.parametrize(
    ("at", "value", "told"),
    [
        (("population", "source"), "visitor", "did you mean 'visitors'"),
        (("population", "where"), {"contry": "DE"}, "did you mean 'country'"),
        (("population", "arm"), "armm", "did you mean 'arm'"),
        (("population", "arm"), {"column": "arm", "labels": {"x": "controll"}}, "did you mean 'control'"),
        (("population", "mismatch"), {"column": "page", "expected": {"control": "a"}}, "'page'"),
        (("population", "mismatch"), {"column": "country", "expected": {"contrl": "a"}}, "did you mean 'control'"),
        (("population", "trigger"), {"source": "visits"}, "did you mean 'visitors'"),
        (("population", "trigger"), {"source": "visitors"}, "timestamps"),
        (("population", "identity"), {"source": "visitors", "to": "userr"}, "'userr'"),
        (("segments",), ["countri"], "did you mean 'country'"),
        (("segments",), [{"name": "c", "source": "dims"}], "'dims'"),
        (("balance",), ["befor"], "did you mean 'before'"),
        (("analysis", "cluster"), "village", "'village'"),
        (("metrics", "primary"), ["convertedd"], "did you mean"),
        (("metrics", "primary"), [], "at least one primary"),
    ],
)
def test_a_name_that_refers_to_nothing_is_found_by_file_and_line(
    tmp_path: Path, at: tuple[Any, ...], value: Any, told: str
) -> None:
    root = project(tmp_path)
    _edit(root, TRIAL, at, value)
    folder = load(root)
    assert not folder.experiments
    (problem,) = folder.problems
    assert told in str(problem)
    assert "trial.yaml:" in str(problem)
    with pytest.raises(SpecError) as caught:
        folder.experiment("trial")
    assert caught.value is problem


SPEND: dict[str, Any] = {"metric": "spend", "equivalence": "2%"}


@pytest.mark.parametrize(
    ("metrics", "analysis", "told"),
    [
        ({"primary": [SPEND | {"equivalence": "0%"}]}, {}, "positive, such as equivalence: 2%"),
        ({"primary": [SPEND | {"equivalence": "-2%"}]}, {}, "positive, such as equivalence: 2%"),
        ({"primary": [SPEND | {"equivalence": "two"}]}, {}, "a number (absolute) or a percentage"),
        ({"primary": [SPEND | {"mde": "1%"}]}, {}, "its size is equivalence"),
        ({"primary": [{"metric": "spend", "margin": "2%"}]}, {}, "which is a guardrail's"),
        ({"primary": ["converted"], "guardrail": [SPEND | {"margin": "2%"}]}, {}, "a test has one of them"),
        ({"primary": ["converted"], "guardrail": [{"metric": "spend", "margin": 0}]}, {}, "such as margin: 2%"),
        ({"primary": ["converted"], "guardrail": ["spend"]}, {}, "needs a positive margin"),
        ({"primary": [SPEND]}, {"primary_correction": "dunnett"}, "with equivalence take holm"),
        ({"primary": [SPEND | {"override": {"log": True}}]}, {}, "which has no lift"),
        ({"primary": ["spend"]}, {"looks": {"schedule": "always_valid", "method": "msprt"}}, "has no mde"),
    ],
)
def test_a_test_that_cannot_be_is_refused_in_the_file(tmp_path: Path, metrics: Any, analysis: Any, told: str) -> None:
    root = project(tmp_path, experiment={"metrics": metrics, "analysis": analysis})
    with pytest.raises(SpecError) as caught:
        bind(load(root), "trial")
    assert told in str(caught.value)
    assert "trial.yaml:" in str(caught.value)


def test_a_test_of_equivalence_needs_no_effect_to_look_for(tmp_path: Path) -> None:
    looks = {"schedule": "always_valid", "method": "msprt"}
    root = project(tmp_path, experiment={"metrics": {"primary": [SPEND]}, "analysis": {"looks": looks}})
    assert bind(load(root), "trial").experiment.metrics.primary[0].tolerated is not None


def test_one_broken_file_leaves_the_others(tmp_path: Path) -> None:
    root = project(tmp_path)
    (root / "experiments" / "broken.yaml").write_text("id: [\n")
    (root / "sources" / "broken.yaml").write_text("name: x\n")
    folder = load(root)
    assert list(folder.experiments) == ["trial"]
    assert len(folder.problems) == 2


def test_the_same_name_twice_is_refused_where_it_stands_second(tmp_path: Path) -> None:
    root = project(tmp_path)
    (root / "experiments" / "twin.yaml").write_text((root / TRIAL).read_text())
    (problem,) = load(root).problems
    assert "defined twice" in str(problem)
    assert "twin.yaml:" in str(problem)
    assert "trial.yaml" in str(problem)


def test_settings_layer_project_under_pack_under_metric(tmp_path: Path) -> None:
    root = project(tmp_path)
    defaults = {"metric": {"owner": "project", "tier": "gold"}, "analysis": {"alpha": 0.01, "power": 0.9}}
    _edit(root, "xp.yaml", ("defaults",), defaults)
    pack = next((root / "metrics").iterdir())
    content = yaml.safe_load(pack.read_text())
    content["defaults"] = {"owner": "pack"}
    content["metrics"][0]["owner"] = "metric"
    pack.write_text(yaml.safe_dump(content))
    _edit(root, TRIAL, ("analysis", "power"), 0.7)
    folder = load(root)
    assert not folder.problems
    owners = [metric.owner for metric in folder.metrics.values()]
    assert owners[0] == "metric"
    assert set(owners[1:]) <= {"pack"}
    assert {metric.tier for metric in folder.metrics.values()} == {"gold"}
    analysis = folder.experiments["trial"].analysis
    assert (analysis.alpha, analysis.power) == (0.01, 0.7)


def test_the_root_is_found_upwards_or_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = project(tmp_path / "here")
    inside = root / "experiments"
    monkeypatch.delenv("XP_PROJECT", raising=False)
    assert find_root(inside) == root.resolve()
    with pytest.raises(SpecError, match=r"no xp\.yaml here or above"):
        find_root(tmp_path)
    monkeypatch.setenv("XP_PROJECT", str(root))
    assert find_root() == root.resolve()


@pytest.mark.parametrize(
    ("start", "end", "accepted"),
    [
        ("2026-01-01", "2026-01-01T04:00:00Z", False),
        ("2026-01-01", "2026-01-01T06:00:00Z", True),
        ("2026-01-02", "2026-01-01", False),
        ("2026-01-02T00:00:00+01:00", "2026-01-02", True),
    ],
)
def test_the_end_lies_after_the_start_whatever_zone_each_is_written_in(
    tmp_path: Path, start: str, end: str, accepted: bool
) -> None:
    settings = {"timezone": "America/New_York"}
    folder = load(project(tmp_path, experiment={"start": start, "end": end}, settings=settings))
    assert [str(p).split("; ")[0].split(": ")[-1] for p in folder.problems] == (
        [] if accepted else ["the end is not after the start"]
    )
