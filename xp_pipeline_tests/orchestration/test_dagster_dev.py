"""A real ``dagster dev``: sensors run what is new, one block stays its own, a later launch cannot skip the gate."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from xp_pipeline_tests.projects import EXPERIMENT, REPOSITORY, csv_text, project, visitors

pytestmark = pytest.mark.e2e
pytest.importorskip("dagster_webserver")

LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
RUNS = "{ runsOrError { ... on Runs { results { runId status jobName tags { key value } } } } }"


class Server:
    """The webserver's GraphQL."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/graphql"

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        return found["data"]

    def runs(self) -> dict[str, dict[str, Any]]:
        """Runs by id, each with its status and partition."""
        results = self.ask(RUNS)["runsOrError"]["results"]
        for run in results:
            run["partition"] = next((t["value"] for t in run["tags"] if t["key"] == "dagster/partition"), None)
        return {run["runId"]: run for run in results}

    def launch(self, job: str, *, partition: str | None = None, only: str | None = None) -> str:
        selector: dict[str, Any] = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "xp_pipeline",
            "pipelineName": job,
        }
        if only:
            selector["assetSelection"] = [{"path": [only]}]
        tags = [{"key": "dagster/partition", "value": partition}] if partition else []
        params = {"selector": selector, "mode": "default", "executionMetadata": {"tags": tags}}
        done = self.ask(LAUNCH, params=params)["launchPipelineExecution"]
        assert done["__typename"] == "LaunchRunSuccess", done
        return str(done["run"]["runId"])

    def finished(self, wanted: Any, *, seconds: float = 150) -> Any:
        """Wait until a condition on the runs gives something."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = wanted(self.runs())
            if found:
                return found
            time.sleep(1)
        raise AssertionError(f"not in {seconds} s: {self.runs()}")


def _unbalanced() -> list[dict[str, Any]]:
    """The treatment lost every third unit."""
    return [r for r in visitors(3000) if r["arm"] == "control" or r["id"] % 3]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    root = project(tmp_path_factory.mktemp("served"), settings={"automation": {"interval_seconds": 5}})
    (root / "lopsided.csv").write_text(csv_text(_unbalanced()))
    source = yaml.safe_load((root / "sources" / "visitors.yaml").read_text())
    (root / "sources" / "lopsided.yaml").write_text(
        yaml.safe_dump({**source, "name": "lopsided", "path": "lopsided.csv"})
    )
    bad = {**EXPERIMENT, "id": "lopsided", "population": {"source": "lopsided", "arm": "arm"}}
    (root / "experiments" / "lopsided.yaml").write_text(yaml.safe_dump(bad))
    home = root / ".dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(REPOSITORY / "workspace.yaml")]
    command += ["-h", "127.0.0.1", "-p", str(port), "--log-level", "warning"]
    environment = {**os.environ, "DAGSTER_HOME": str(home), "XP_PROJECT": str(root)}
    with (root / "dagster.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield _up(Server(port), process, root), root
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _up(server: Server, process: subprocess.Popen[bytes], root: Path) -> Server:
    for _ in range(120):
        assert process.poll() is None, (root / "dagster.log").read_text()[-3000:]
        try:
            server.ask("{ version }")
            return server
        except OSError:
            time.sleep(1)
    raise AssertionError((root / "dagster.log").read_text()[-3000:])


def _by_partition(runs: dict[str, dict[str, Any]]) -> dict[str, str] | None:
    ended = {r["partition"]: r["status"] for r in runs.values() if r["status"] in ("SUCCESS", "FAILURE")}
    return ended if {"trial", "lopsided"} <= set(ended) else None


def test_sensors_run_new_specs_and_one_block_leaves_the_other_alone(served: tuple[Server, Path]) -> None:
    server, root = served
    ended = server.finished(_by_partition)
    assert ended["trial"] == "SUCCESS"
    assert ended["lopsided"] == "FAILURE"
    assert (root / "lake" / "reports" / "trial" / "report.html").is_file()
    assert (root / "lake" / "reports" / "lopsided" / "report.html").is_file()


def test_a_downstream_asset_alone_refuses_after_a_block(served: tuple[Server, Path]) -> None:
    server, _ = served
    server.finished(_by_partition)
    run = server.launch("experiment_lifecycle", partition="lopsided", only="inference_results")
    status = server.finished(lambda runs: runs[run]["status"] in ("SUCCESS", "FAILURE") and runs[run]["status"])
    assert status == "FAILURE"


def test_the_daily_job_fails_at_its_end_and_names_who_failed(served: tuple[Server, Path]) -> None:
    server, _ = served
    server.finished(_by_partition)
    run = server.launch("daily")
    status = server.finished(lambda runs: runs[run]["status"] in ("SUCCESS", "FAILURE") and runs[run]["status"])
    assert status == "FAILURE"
    query = """query Events($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
        __typename ... on ExecutionStepFailureEvent { error { message } failureMetadata { description } } } } } }"""
    events = server.ask(query, id=run)["logsForRun"]["events"]
    told = json.dumps([e for e in events if e["__typename"] == "ExecutionStepFailureEvent"])
    assert "lopsided" in told
    assert "trial" not in told
