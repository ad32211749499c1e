"""What was served is what the pipeline analyses: the log as a source, its closed days, its odd ids."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from xp_pipeline.delivery import (
    Exposure,
    ExposureLog,
    Pyrosper,
    RegisteredExperiment,
    SqliteStore,
    Symbol,
    close_days,
    declare_exposures,
    exposure_source,
)
from xp_pipeline.delivery.errors import StoreError
from xp_pipeline.delivery.journal import Journal
from xp_pipeline.errors import SpecError
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.sources.ingest import ingest
from xp_pipeline.spec.folder import load
from xp_pipeline.spec.phases import Phase
from xp_pipeline.spec.source import Source
from xp_pipeline_tests.delivery.shop import END, EXPERIMENT, START, shop, write_events

CHECKOUT: Symbol[str] = Symbol("checkout")
USERS = 2000
RATES = {"control": 0.2, "one_page": 0.3, "guest": 0.2}


class Service:
    """Serves users five minutes apart, some of them again and again, in two lives of the process."""

    def __init__(self, root: Path, unit: Callable[[int], Any]) -> None:
        self.root = root
        self.unit = unit
        self.now = START
        self.arms: dict[Any, str] = {}
        self.events: list[tuple[object, str, str]] = []
        self._draw = random.Random(5)

    def live(self, users: range) -> None:
        log = ExposureLog(self.root / "record" / "exposures", every=0.01, segment_rows=300)
        store = SqliteStore(self.root / "record" / "assignments.sqlite", durability="NORMAL")
        experiment = RegisteredExperiment.open(
            self.root, "checkout", log=log, store=store, clock=lambda: self.now, refresh=60.0
        )
        self._pyrosper = Pyrosper().with_experiment(experiment)
        for user in users:
            self.now += timedelta(minutes=5)
            self._visit(self.unit(user))
            self._visit(self.unit(self._draw.randrange(user + 1)))
        log.close()
        store.close()
        assert log.stats.dropped == log.stats.unflushed == 0

    def _visit(self, user: Any) -> None:
        arm = self._pyrosper.set_for_user_sync(user).pick(CHECKOUT)
        assert self.arms.setdefault(user, arm) == arm
        if self._draw.random() < RATES[arm] / 2:
            self.events.append((user, (self.now + timedelta(seconds=1)).isoformat(), "purchase"))


def _assigned(root: Path) -> dict[Any, tuple[str, str]]:
    """Unit to arm and status, as the pipeline sealed them."""
    workspace = Workspace.open(root, by="test")
    promise = sealed(workspace, "checkout")
    path = workspace.read("checkout", Phase.ASSIGNMENTS, spec_hash=promise.spec_hash).path("assignments.parquet")
    return {unit: (arm, status) for unit, arm, status in pl.read_parquet(path).select("unit", "arm", "status").rows()}


@pytest.mark.parametrize(
    ("unit_type", "unit", "arm"),
    [("text", lambda i: f"ü{i}", "variant"), ("integer", lambda i: i, "variant"), ("integer", lambda i: i, None)],
    ids=["text", "integer", "by the bucket rule"],
)
def test_the_pipeline_analyses_what_was_served(
    tmp_path: Path, unit_type: str, unit: Callable[[int], Any], arm: str | None
) -> None:
    population = {"source": "served", "where": {"experiment": "checkout"}, **({"arm": arm} if arm else {})}
    shop(tmp_path, unit=unit_type, marked=True, population=population)
    service = Service(tmp_path, unit)
    service.live(range(USERS // 2))
    service.live(range(USERS // 2, USERS))
    assert service.now < END
    write_events(tmp_path, service.events)
    close_days(tmp_path / "record" / "exposures", now=END + timedelta(days=1))

    outcome = run(Workspace.open(tmp_path, by="test"), "checkout")
    assert outcome.error is None
    assert (outcome.status, outcome.as_of) == ("done", "2026-03-08")
    assert _assigned(tmp_path) == {user: (served, "ok") for user, served in service.arms.items()}
    counts = Counter(service.arms.values())
    buyers = Counter(service.arms[user] for user in {user for user, *_ in service.events})
    for row in read(tmp_path / "lake", "results", "checkout").to_dicts():
        assert (row["n_arm"], row["n_baseline"]) == (counts[row["arm"]], counts["control"])
        assert row["mean_arm"] == pytest.approx(buyers[row["arm"]] / counts[row["arm"]])


def test_every_id_of_a_user_comes_back_as_it_was(tmp_path: Path) -> None:
    shop(tmp_path, sealed=False)
    units = ["", "0", " ", "NULL", "nan", 'ü,"\n\r\n', "'", "\\", "x" * 5000]
    log = ExposureLog(tmp_path / "record" / "exposures", every=60)
    for unit in units:
        log.offer(Exposure(unit, "checkout", "control", None, "", "2026-03-04T12:00:00.000000+00:00"))
    log.close()
    source = load(tmp_path).sources["served"]
    version = ingest(source, root=tmp_path, lake=tmp_path / "lake")
    frame = pl.read_parquet(version.data).sort("_row")
    assert frame["unit"].to_list() == units
    assert frame["propensity"].to_list() == [None] * len(units)
    assert frame["at"].to_list() == [datetime(2026, 3, 4, 12)] * len(units)


def test_new_exposures_are_a_new_version_and_final_files_stay(tmp_path: Path) -> None:
    shop(tmp_path, sealed=False)
    journal = Journal(tmp_path / "record" / "exposures", segment_rows=2)
    digests = []
    for unit in range(5):
        journal.append([Exposure(str(unit), "checkout", "control", 0.5, "v", "2026-03-04T12:00:00.000000+00:00")])
        journal.publish()
        version = ingest(load(tmp_path).sources["served"], root=tmp_path, lake=tmp_path / "lake")
        digests.append(version.version)
        assert pl.read_parquet(version.data)["unit"].to_list() == [str(u) for u in range(unit + 1)]
    journal.close()
    assert len(set(digests)) == 5


def test_machines_may_have_folders_of_their_own(tmp_path: Path) -> None:
    shop(tmp_path, sealed=False)
    for machine in ("a", "b"):
        log = ExposureLog(tmp_path / "record" / "exposures" / machine, every=60)
        for unit in ("both", machine):
            log.offer(Exposure(unit, "checkout", "control", 0.5, "v", "2026-03-04T12:00:00.000000+00:00"))
        log.close()
    version = ingest(load(tmp_path).sources["served"], root=tmp_path, lake=tmp_path / "lake")
    assert sorted(pl.read_parquet(version.data)["unit"]) == ["a", "b", "both", "both"]


def test_the_declaration_is_a_source() -> None:
    source = Source.model_validate(exposure_source(name="exposures", unit="integer", lag="2h"))
    assert (source.kind, source.unit, source.timestamp, source.lag) == (
        "exposure_log",
        "unit",
        "at",
        timedelta(hours=2),
    )
    assert source.closed is None
    marked = Source.model_validate(exposure_source(record="../record", marked=True))
    assert marked.closed == "../record/exposures/_closed/{day}"


def test_declaring_again_changes_nothing_and_another_source_is_spared(tmp_path: Path) -> None:
    (tmp_path / "xp.yaml").write_text("name: t\nrecord: kept\n")
    path = declare_exposures(tmp_path)
    assert yaml.safe_load(path.read_text())["path"] == "kept/exposures"
    assert [p.read_text().count("\n") for p in (tmp_path / "kept" / "exposures").glob("*.csv")] == [1]
    Journal(tmp_path / "kept" / "exposures").append([Exposure("1", "e", "a", None, "", "2026-03-04T12:00:00+00:00")])
    assert declare_exposures(tmp_path) == path
    assert [p.read_text().count("\n") for p in (tmp_path / "kept" / "exposures").glob("*.csv")] == [2]
    with pytest.raises(SpecError, match="another source is declared there"):
        declare_exposures(tmp_path, unit="integer")
    with pytest.raises(SpecError, match=r"no xp\.yaml"):
        declare_exposures(tmp_path.parent)


def test_days_are_closed_when_they_are_over_in_the_projects_zone(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert close_days(tmp_path) == []
    # 23:30 UTC on the 3rd is the 4th in Berlin
    journal.append([Exposure("1", "e", "a", None, "", "2026-03-03T23:30:00.000000+00:00")])
    journal.close()

    def closed(*at: int) -> list[date]:
        return close_days(tmp_path, zone="Europe/Berlin", now=datetime(2026, 3, *at, tzinfo=UTC))

    assert closed(4, 23, 59) == []
    assert closed(5, 0, 0) == [date(2026, 3, 4)]
    assert closed(5, 0, 0) == []
    assert closed(8, 12) == [date(2026, 3, 5), date(2026, 3, 6), date(2026, 3, 7)]
    assert len(list(tmp_path.glob("*.csv"))) == 1


def test_marks_that_cannot_be_made(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([Exposure("1", "e", "a", None, "", "2026-03-03T12:00:00.000000+00:00")])
    journal.close()
    (tmp_path / "_closed").write_text("")
    with pytest.raises(StoreError, match="cannot be marked as closed"):
        close_days(tmp_path)


def test_an_experiment_without_exposures_says_so(tmp_path: Path) -> None:
    shop(tmp_path)
    outcome = run(Workspace.open(tmp_path, by="test"), "checkout")
    assert "source served: there is not a single row" in str(outcome.error)
    assert EXPERIMENT["id"] == outcome.experiment
