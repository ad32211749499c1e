"""Sealed artifacts: whole or absent, and readable only through the gate."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xp_pipeline.errors import BlockedError, PhaseOrderError, SpecError, SRMError, TamperError, XpError
from xp_pipeline.spec.artifacts import ArtifactStore, SealedArtifact
from xp_pipeline.spec.canonical import bytes_digest
from xp_pipeline.spec.manifest import Manifest
from xp_pipeline.spec.phases import Phase
from xp_pipeline_tests.spec.test_canonical import DOCUMENTS

SPEC = "5" * 64
DAY = "2024-05-01"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "lake")


def publish(store: ArtifactStore, phase: Phase = Phase.DESIGN, **changed: Any) -> Manifest:
    parts: dict[str, Any] = {
        "experiment": "shop",
        "phase": phase,
        "as_of": None,
        "spec_hash": SPEC,
        "code_version": "0.1.0",
        "verdict": "passed",
        "inputs": {},
        "files": {"design.json": b'{"arms": ["a", "b"]}'},
        "run_id": "r1",
    }
    return store.publish(**(parts | changed))


def read(store: ArtifactStore, phase: Phase = Phase.DESIGN, **asked: Any) -> SealedArtifact:
    return store.read("shop", phase, **({"spec_hash": SPEC} | asked))


def chain(store: ArtifactStore, *phases: Phase, as_of: str | None = DAY, **changed: Any) -> dict[Phase, Manifest]:
    """Publish phases one after the other, each citing the one before."""
    made: dict[Phase, Manifest] = {}
    for phase in phases:
        inputs = {f"phase:{up}": made[up].digest for up in phase.upstream if up in made}
        made[phase] = publish(store, phase, as_of=as_of if phase.dated else None, inputs=inputs, **changed)
    return made


def manifest_path(store: ArtifactStore, phase: Phase = Phase.DESIGN, as_of: str = "all") -> Path:
    return store.root / "shop" / phase / f"{as_of}.json"


def test_an_artifact_comes_back_as_it_was_sealed(store: ArtifactStore) -> None:
    sealed = publish(
        store, summary={"units": 3}, inputs={"source:orders": "v1"}, created_at="2024-05-02T00:00:00+00:00"
    )
    artifact = read(store)
    assert artifact.manifest == sealed == store.find("shop", Phase.DESIGN, None)
    assert artifact.json("design.json") == {"arms": ["a", "b"]}
    assert artifact.bytes("design.json") == b'{"arms": ["a", "b"]}'
    assert sealed.files == {"design.json": bytes_digest(b'{"arms": ["a", "b"]}')}
    assert (sealed.spec_hash_version, sealed.summary, sealed.run_id) == ("v1", {"units": 3}, "r1")


def test_layout_is_the_documented_one(store: ArtifactStore, tmp_path: Path) -> None:
    publish(store, Phase.ASSIGNMENTS, as_of=DAY, files={"rows.json": b"[]"})
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    digest = bytes_digest(b"[]")
    folder = "lake/artifacts/shop/assignments"
    assert files == [f"{folder}/{DAY}.json", f"{folder}/files/{digest}/rows.json"]


def test_a_file_can_be_written_by_a_function(store: ArtifactStore) -> None:
    def write(path: Path) -> None:
        assert path.suffix == ".parquet"
        path.write_bytes(b"PAR1")

    publish(store, files={"units.parquet": write})
    assert read(store).path("units.parquet").read_bytes() == b"PAR1"


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(summary=DOCUMENTS, content=st.binary(max_size=64))
def test_any_summary_and_content_come_back(store: ArtifactStore, summary: dict[str, Any], content: bytes) -> None:
    sealed = publish(store, summary=summary, files={"x.bin": content})
    assert read(store).manifest == sealed
    assert read(store).manifest.summary == summary
    assert read(store).bytes("x.bin") == content


def test_the_same_computation_has_the_same_digest(store: ArtifactStore) -> None:
    first = publish(store, run_id="r1", created_at="2024-05-02T00:00:00+00:00")
    second = publish(store, run_id="r2", created_at="2024-05-03T00:00:00+00:00")
    assert first.digest == second.digest
    assert read(store).manifest.run_id == "r2"


@pytest.mark.parametrize(
    "changed",
    [
        {"experiment": "cats"},
        {"phase": Phase.POWER_PLAN},
        {"spec_hash": "6" * 64},
        {"code_version": "0.2.0"},
        {"verdict": "warned"},
        {"inputs": {"source:orders": "v2"}},
        {"files": {"design.json": b"{}"}},
        {"files": {"other.json": b'{"arms": ["a", "b"]}'}},
        {"summary": {"units": 1}},
    ],
    ids=lambda changed: "-".join(changed),
)
def test_everything_else_changes_the_digest(store: ArtifactStore, changed: dict[str, Any]) -> None:
    assert publish(store).digest != publish(store, **changed).digest


def test_the_day_changes_the_digest(store: ArtifactStore) -> None:
    days = [publish(store, Phase.REPORT, as_of=day).digest for day in (None, DAY, "2024-05-02")]
    assert len(set(days)) == 3


def test_latest_is_the_greatest_day(store: ArtifactStore) -> None:
    assert store.latest("shop", Phase.REPORT) is None
    assert store.manifests("shop", Phase.REPORT) == []
    for day in ("2024-05-10", "2024-05-09", None, "2024-05-11", "2024-04-30"):
        publish(store, Phase.REPORT, as_of=day)
    latest = store.latest("shop", Phase.REPORT)
    assert latest is not None
    assert latest.as_of == "2024-05-11"
    days = [manifest.as_of for manifest in store.manifests("shop", Phase.REPORT)]
    assert days == [None, "2024-04-30", "2024-05-09", "2024-05-10", "2024-05-11"]
    assert read(store, Phase.REPORT).manifest.as_of == "2024-05-11"
    assert read(store, Phase.REPORT, as_of=None).manifest.as_of is None
    assert read(store, Phase.REPORT, as_of="2024-05-09").manifest.as_of == "2024-05-09"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"experiment": "../shop"}, "the experiment id holds the character '/'"),
        ({"files": {"../x": b""}}, "the file name holds the character '/'"),
        ({"files": {".tmp-x": b""}}, "the file name begins with a dot"),
        ({"verdict": "fine"}, "shop: unknown verdict; found fine; allowed: passed, warned, failed"),
        ({"as_of": DAY}, "shop: the design has no as-of"),
        ({"phase": Phase.REPORT, "as_of": "1 May"}, "an as-of is a day; found '1 May'; allowed: YYYY-MM-DD"),
        ({"phase": Phase.REPORT, "as_of": "20240501"}, "an as-of is a day"),
        ({"phase": Phase.REPORT, "as_of": "2024-02-30"}, "an as-of is a day"),
        ({"inputs": {"phase:desing": "x"}}, "unknown phase among the inputs; found phase:desing"),
        ({"summary": {"p": float("nan")}}, "summary.p: a number here is finite"),
        ({"summary": {1: 2}}, "summary: a key is text"),
    ],
)
def test_what_could_not_be_read_back_is_refused_before_writing(
    store: ArtifactStore, changed: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SpecError) as refusal:
        publish(store, **changed)
    assert problem in str(refusal.value)
    assert not store.root.exists()


# The gate


@pytest.mark.parametrize("phase", list(Phase)[1:])
def test_a_missing_phase_names_itself_its_state_and_the_command(store: ArtifactStore, phase: Phase) -> None:
    with pytest.raises(PhaseOrderError) as refusal:
        read(store, phase)
    assert str(refusal.value) == f"shop: no sealed {phase}; allowed: state {phase.state} or later; next: xp run shop"


def test_a_missing_registration_asks_for_one(store: ArtifactStore) -> None:
    with pytest.raises(PhaseOrderError, match=r"no sealed registered_spec; .*next: xp register shop --by YOU"):
        read(store, Phase.REGISTERED_SPEC)


def test_a_missing_day_is_named(store: ArtifactStore) -> None:
    publish(store, Phase.REPORT, as_of=DAY)
    with pytest.raises(PhaseOrderError, match="no sealed report as of 2024-05-02"):
        read(store, Phase.REPORT, as_of="2024-05-02")


def test_another_spec_is_refused_with_both_hashes(store: ArtifactStore) -> None:
    publish(store)
    with pytest.raises(TamperError) as refusal:
        read(store, spec_hash="6" * 64)
    assert SPEC in str(refusal.value)
    assert "6" * 64 in str(refusal.value)
    assert "xp amend shop" in str(refusal.value)


def test_a_sample_ratio_mismatch_closes_the_gate(store: ArtifactStore) -> None:
    reason = "the sample ratio is 5165 : 4835, not 1 : 1 (chi-square p = 0.00097)"
    publish(store, verdict="failed", summary={"blocked_by": "srm", "reason": reason})
    with pytest.raises(SRMError) as refusal:
        read(store)
    assert str(refusal.value).startswith(f"shop: {reason}; next: find the cause")
    assert "xp override shop" in str(refusal.value)
    assert read(store, allow_failed=True).json("design.json")


@pytest.mark.parametrize("summary", [{"blocked_by": "undeclared_arm", "reason": "arm 'x' was never declared"}, {}])
def test_another_failure_closes_the_gate_too(store: ArtifactStore, summary: dict[str, Any]) -> None:
    publish(store, verdict="failed", summary=summary)
    with pytest.raises(BlockedError, match=summary.get("reason", "the design failed its checks")) as refusal:
        read(store)
    assert not isinstance(refusal.value, SRMError)


def test_a_warning_does_not_close_the_gate(store: ArtifactStore) -> None:
    publish(store, verdict="warned")
    assert read(store).manifest.verdict == "warned"


def test_a_changed_byte_in_a_file_is_refused_with_both_hashes(store: ArtifactStore) -> None:
    sealed = publish(store).files["design.json"]
    read(store).path("design.json").write_bytes(b'{"arms": ["a", "c"]}')
    artifact = read(store)
    with pytest.raises(TamperError) as refusal:
        artifact.path("design.json")
    assert sealed in str(refusal.value)
    assert bytes_digest(b'{"arms": ["a", "c"]}') in str(refusal.value)


def test_a_missing_file_is_refused(store: ArtifactStore) -> None:
    publish(store)
    read(store).path("design.json").unlink()
    with pytest.raises(TamperError, match=r"found no file; allowed: [0-9a-f]{64}; next: remove"):
        read(store).bytes("design.json")


def test_a_file_is_checked_once_per_reading(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(store)
    artifact = read(store)
    first = artifact.path("design.json")
    monkeypatch.setattr("xp_pipeline.spec.artifacts.file_digest", lambda path: pytest.fail("checked again"))
    assert artifact.path("design.json") == first


def test_a_file_the_artifact_never_had_is_named(store: ArtifactStore) -> None:
    publish(store)
    with pytest.raises(PhaseOrderError, match=r"the sealed design has no file .* allowed: design\.json"):
        read(store).path("units.parquet")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("verdict", "warned"),
        ("spec_hash", "6" * 64),
        ("as_of", DAY),
        ("inputs", {"source:orders": "v9"}),
        ("summary", {"units": 10**6}),
        ("files", {}),
        ("digest", "0" * 64),
        ("experiment", "cats"),
    ],
)
def test_an_edited_manifest_is_refused_with_both_hashes(store: ArtifactStore, key: str, value: object) -> None:
    sealed = publish(store, verdict="failed")
    path = manifest_path(store)
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(TamperError, match=r"a manifest is not what was sealed; found [0-9a-f]{64}; allowed") as refusal:
        read(store)
    assert sealed.digest in str(refusal.value)
    with pytest.raises(TamperError):
        store.find("shop", Phase.DESIGN, None)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "3", '{"experiment": "shop"}', '{"phase": "x"}', "\x00\x01", '{"digest": NaN}'],
)
def test_a_manifest_that_is_not_one_is_refused(store: ArtifactStore, content: str) -> None:
    publish(store)
    manifest_path(store).write_text(content)
    with pytest.raises(TamperError, match=r"a manifest is not readable; .*next: remove all\.json and xp run"):
        read(store)


@pytest.mark.parametrize(("key", "value"), [("files", None), ("digest", 7), ("summary", float("nan")), ("phase", 3)])
def test_a_manifest_of_wrong_types_is_refused(store: ArtifactStore, key: str, value: object) -> None:
    publish(store)
    path = manifest_path(store)
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(TamperError):
        read(store)


def test_a_manifest_in_the_place_of_another_is_refused(store: ArtifactStore) -> None:
    publish(store, Phase.REPORT, as_of=DAY)
    manifest_path(store, Phase.REPORT, "2024-05-02").write_bytes(manifest_path(store, Phase.REPORT, DAY).read_bytes())
    with pytest.raises(TamperError, match="lies in the place of another"):
        read(store, Phase.REPORT, as_of="2024-05-02")


def test_a_broken_manifest_is_mended_by_publishing_again(store: ArtifactStore) -> None:
    publish(store)
    read(store).path("design.json").write_bytes(b"x")
    manifest_path(store).write_text("{")
    publish(store)
    assert read(store).json("design.json") == {"arms": ["a", "b"]}


# What was made from what


def test_an_artifact_made_from_the_present_ones_is_read(store: ArtifactStore) -> None:
    made = chain(store, *Phase)
    for phase in Phase:
        assert read(store, phase).manifest == made[phase]


def test_remaking_upstream_alike_leaves_downstream_current(store: ArtifactStore) -> None:
    chain(store, *Phase)
    chain(store, Phase.REGISTERED_SPEC, run_id="r2")
    assert read(store, Phase.REPORT).manifest.as_of == DAY


def test_an_upstream_made_anew_makes_downstream_stale(store: ArtifactStore) -> None:
    made = chain(store, Phase.DESIGN, Phase.ASSIGNMENTS)
    anew = publish(store, files={"design.json": b"{}"})
    with pytest.raises(PhaseOrderError) as refusal:
        read(store, Phase.ASSIGNMENTS)
    assert str(refusal.value) == (
        "shop: the assignments is stale: the design it was made from has been made anew; "
        f"found {made[Phase.DESIGN].digest}; allowed: {anew.digest}; next: xp run shop"
    )


def test_staleness_is_seen_through_phases_in_between(store: ArtifactStore) -> None:
    """A refusal upstream also stops a later run that selects only the last phase."""
    made = chain(store, *Phase)
    cited = {"phase:assignments": made[Phase.ASSIGNMENTS].digest}
    publish(
        store,
        Phase.VALIDATED_EXPOSURES,
        as_of=DAY,
        inputs=cited,
        verdict="failed",
        summary={"blocked_by": "srm"},
    )
    with pytest.raises(PhaseOrderError, match="the adjusted_metrics is stale: the validated_exposures"):
        read(store, Phase.INFERENCE_RESULTS)


def test_upstream_of_another_day_does_not_count(store: ArtifactStore) -> None:
    chain(store, *Phase, as_of=DAY)
    chain(store, *list(Phase)[3:], as_of="2024-05-02", files={"x.json": b"{}"})
    assert read(store, Phase.REPORT, as_of=DAY).manifest.as_of == DAY
    assert read(store, Phase.REPORT).manifest.as_of == "2024-05-02"


def test_upstream_that_is_gone_is_missed(store: ArtifactStore) -> None:
    chain(store, *Phase)
    manifest_path(store, Phase.ADJUSTED_METRICS, DAY).unlink()
    with pytest.raises(PhaseOrderError, match="no sealed adjusted_metrics as of 2024-05-01"):
        read(store, Phase.INFERENCE_RESULTS)


# Crashes and what they leave

PUBLISH = """
import os, signal, sys
from pathlib import Path
from xp_pipeline.spec.artifacts import ArtifactStore
from xp_pipeline.spec.phases import Phase
renamed, allowed = [], int(sys.argv[2])
replace = os.replace
def dying_replace(source, target):
    if len(renamed) == allowed:
        os.kill(os.getpid(), signal.SIGKILL)
    renamed.append(target)
    replace(source, target)
os.replace = dying_replace
ArtifactStore(Path(sys.argv[1])).publish(
    experiment="shop", phase=Phase.DESIGN, as_of=None, spec_hash="5" * 64, code_version="0.1.0",
    verdict="passed", inputs={}, files={"design.json": b"new", "more.json": b"{}"}, run_id="killed",
)
"""


@pytest.mark.parametrize("renames", [0, 1, 2])
@pytest.mark.parametrize("before", [True, False], ids=["second", "first"])
def test_killed_while_publishing_nothing_became_visible(store: ArtifactStore, renames: int, before: bool) -> None:
    sealed = publish(store) if before else None
    killed = subprocess.run([sys.executable, "-c", PUBLISH, str(store.root.parent), str(renames)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert store.find("shop", Phase.DESIGN, None) == sealed
    assert len(store.sweep(older_than=timedelta(0))) == renames + 1
    if before:
        assert read(store).json("design.json") == {"arms": ["a", "b"]}
    assert publish(store, run_id="again") == read(store).manifest


def test_a_writer_that_raises_leaves_nothing(store: ArtifactStore) -> None:
    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(XpError, match="the lake cannot be written: disk full; next: check the space"):
        publish(store, files={"units.parquet": write})
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_a_lake_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file where the folder should be")
    with pytest.raises(XpError, match="the lake cannot be written: Not a directory"):
        publish(ArtifactStore(tmp_path / "lake"))


def test_sweep_spares_what_is_cited_and_what_is_young(store: ArtifactStore) -> None:
    publish(store, Phase.REPORT, as_of=DAY, files={"page.html": b"one"})
    publish(store, Phase.REPORT, as_of="2024-05-02", files={"page.html": b"two"})
    publish(store, Phase.REPORT, as_of="2024-05-02", files={"page.html": b"three"})
    assert store.sweep() == []
    (swept,) = store.sweep(older_than=timedelta(0))
    assert swept.parent.name == bytes_digest(b"two")
    assert read(store, Phase.REPORT, as_of=DAY).bytes("page.html") == b"one"
    assert read(store, Phase.REPORT).bytes("page.html") == b"three"
    assert store.sweep(older_than=timedelta(0)) == []


def test_sweep_of_no_lake_is_nothing(store: ArtifactStore) -> None:
    assert store.sweep() == []


READER = """
import sys
from pathlib import Path
from xp_pipeline.spec.artifacts import ArtifactStore
from xp_pipeline.spec.phases import Phase
store, seen = ArtifactStore(Path(sys.argv[1])), set()
while len(seen) < 20:
    artifact = store.read("shop", Phase.DESIGN, spec_hash="5" * 64)
    assert artifact.bytes("a.json") == artifact.bytes("b.json")
    seen.add(artifact.manifest.digest)
"""


def test_a_reader_never_sees_a_mixture(store: ArtifactStore) -> None:
    publish(store, files={"a.json": b"", "b.json": b""})
    reader = subprocess.Popen([sys.executable, "-c", READER, str(store.root.parent)], stderr=subprocess.PIPE)
    for i in range(10_000):
        content = str(i).encode()
        publish(store, files={"a.json": content, "b.json": content})
        if reader.poll() is not None:
            break
    assert reader.communicate(timeout=30)[1] == b""


def test_what_is_published_is_on_the_disk_before_it_is_named(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    replace, fsync = os.replace, os.fsync
    monkeypatch.setattr("os.fsync", lambda handle: calls.append("flush") or fsync(handle))
    monkeypatch.setattr("os.replace", lambda a, b: calls.append(Path(b).name) or replace(a, b))
    publish(store)
    assert calls == ["flush", "design.json", "flush", "flush", "flush", "all.json", "flush", "flush"]
