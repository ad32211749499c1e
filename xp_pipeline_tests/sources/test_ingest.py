"""Ingestion: versions, what is kept and what is set aside, and refusals that leave nothing half-written."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from xp_pipeline.errors import ContractError, SourceError
from xp_pipeline.sources import ingest as module
from xp_pipeline.sources.ingest import SourceVersion, version_of
from xp_pipeline.sources.judging import Judging
from xp_pipeline_tests.projects import real_data
from xp_pipeline_tests.sources.tables import declared, from_csv, kept, quarantined

TEXT = "id,x,at\na,1,2024-01-02 10:00\nb,-1,2024-01-01 10:00\nc,3,2024-01-03 10:00\nd,z,2024-01-09 10:00\n"
PARTS: dict[str, Any] = {
    "columns": {"id": "text", "x": {"type": "integer", "at_least": 0}, "at": "timestamp"},
    "timestamp": "at",
    "timezone": "UTC",
}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources whose rows were read."""
    seen: list[str] = []
    original = Judging.write

    def counting(self: Judging) -> dict[str, Any]:
        seen.append(self.source.name)
        return original(self)

    monkeypatch.setattr(Judging, "write", counting)
    return seen


def test_a_version_says_what_became_of_every_row(tmp_path: Path) -> None:
    version = from_csv(tmp_path, TEXT, **PARTS, filters=[{"name": "big", "drop": {"x": {"at_least": 3}}}])
    assert (version.rows_read, version.rows_kept) == (4, 1)
    assert version.rejected == {"x: not a 64-bit integer": 1, "x: below 0": 1}
    assert version.filtered == {"big": 1}
    assert version.first == version.last == datetime(2024, 1, 2, 10, tzinfo=UTC)
    assert pl.read_parquet(version.data).to_dicts() == [{"_row": 1, "id": "a", "x": 1, "at": datetime(2024, 1, 2, 10)}]
    assert quarantined(version) == [(2, "x", "x: below 0"), (4, "x", "x: not a 64-bit integer")]


def test_stored_types_are_those_declared(tmp_path: Path) -> None:
    columns = {"id": "text", "i": "integer", "n": "number", "b": "boolean", "t": "timestamp", "d": "date"}
    version = from_csv(tmp_path, "id,i,n,b,t,d\na,1,1,1,2024-01-01Z,2024-01-01\n", columns=columns, timezone="UTC")
    assert (
        dict(pl.read_parquet_schema(version.data))
        == {
            "_row": pl.Int64,
            "id": pl.String,
            "i": pl.Int64,
            "n": pl.Float64,
            "b": pl.Boolean,
            "t": pl.Datetime("us"),
            "d": pl.Date,
        }
        or version.rejected
    )


def test_a_version_survives_its_json(tmp_path: Path) -> None:
    version = from_csv(tmp_path, TEXT, **PARTS)
    document = json.loads(json.dumps(version.to_json()))
    assert SourceVersion.from_json(document, folder=version.folder) == version
    assert version.folder == tmp_path / "lake" / "sources" / "t" / version.version
    assert version.version == version_of(declared(**PARTS), version.content_digest)


def test_filters_take_a_row_once_and_are_counted_by_name(tmp_path: Path) -> None:
    text = "id,x,country\na,1,DE\nb,,NO\nc,2,NO\nd,5,\n"
    filters = [
        {"name": "bots", "drop": {"x": {"at_least": 5}}},
        {"name": "sample", "keep": {"country": ["DE", "NO"], "x": {"is_null": False}}},
        {"name": "nobody", "drop": {"id": "zz"}},
    ]
    version = from_csv(tmp_path, text, columns={"id": "text", "x": "integer", "country": "text"}, filters=filters)
    assert kept(version, "id") == ["a", "c"]
    assert version.filtered == {"bots": 1, "sample": 1, "nobody": 0}


@pytest.mark.parametrize("kind", ["event_log", "unit_periods"])
def test_clean_rows_are_in_the_order_of_the_file(tmp_path: Path, kind: str) -> None:
    numbers = [(i * 7919) % 30_011 for i in range(30_000)]
    rows = "".join(f"u{n},{n},2024-01-01\n" if n % 10 else f"u{n},{n},\n" for n in numbers)
    version = from_csv(tmp_path, f"id,x,at\n{rows}", **{**PARTS, "kind": kind})
    assert kept(version, "x") == [n for n in numbers if n % 10]
    assert kept(version, "_row") == [i for i, n in enumerate(numbers, 1) if n % 10]


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    one = from_csv(tmp_path, TEXT, **PARTS)
    before = {path.name: path.read_bytes() for path in one.folder.iterdir()}
    assert sorted(before) == ["data.parquet", "quarantine.parquet", "source.json"]
    (tmp_path / "lake").rename(tmp_path / "gone")
    again = from_csv(tmp_path, TEXT, **PARTS)
    assert again == one
    assert {path.name: path.read_bytes() for path in again.folder.iterdir()} == before


def test_unchanged_content_is_not_read_again(tmp_path: Path, passes: list[str]) -> None:
    one = from_csv(tmp_path, TEXT, **PARTS)
    assert from_csv(tmp_path, TEXT, **PARTS, description="prose", owner="me") == one
    assert passes == ["t"]
    assert from_csv(tmp_path, TEXT + "e,1,2024-01-05\n", **PARTS).version != one.version
    assert from_csv(tmp_path, TEXT, **PARTS, null_values=["z"]).version != one.version
    assert len(list((tmp_path / "lake" / "sources" / "t").iterdir())) == 3
    assert one.data.is_file()


@pytest.mark.parametrize("lost", ["data.parquet", "quarantine.parquet", "source.json"])
def test_an_incomplete_version_is_made_again(tmp_path: Path, lost: str) -> None:
    one = from_csv(tmp_path, TEXT, **PARTS)
    (one.folder / lost).unlink()
    assert from_csv(tmp_path, TEXT, **PARTS) == one
    assert (one.folder / lost).is_file()
    assert [path.name for path in one.folder.parent.iterdir()] == [one.version]


def test_two_that_ingest_at_once_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = module._publish

    def overtaken(making: Path, folder: Path) -> None:
        monkeypatch.setattr(module, "_publish", original)
        from_csv(tmp_path, TEXT, **PARTS)
        original(making, folder)

    monkeypatch.setattr(module, "_publish", overtaken)
    one = from_csv(tmp_path, TEXT, **PARTS)
    assert kept(one, "id") == ["a", "c"]
    assert [path.name for path in one.folder.parent.iterdir()] == [one.version]


def test_ids_in_the_quarantine_are_hashed_unless_shown(tmp_path: Path) -> None:
    hidden = from_csv(tmp_path, TEXT, **PARTS)
    assert hidden.rejected_sample[0] == {
        "row": 2,
        "column": "x",
        "reason": "x: below 0",
        "values": {"id": _sha256("b"), "x": "-1", "at": "2024-01-01 10:00"},
    }
    shown = from_csv(tmp_path, TEXT, **PARTS, show_ids=True)
    assert shown.version == hidden.version
    assert [sample["values"]["id"] for sample in shown.rejected_sample] == ["b", "d"]
    assert json.loads(pl.read_parquet(shown.quarantine)["row"][0])["id"] == "b"
    again = from_csv(tmp_path, TEXT, **PARTS)
    assert again == hidden
    assert json.loads(pl.read_parquet(again.quarantine)["row"][0])["id"] == _sha256("b")


def test_too_many_rejected_rows_are_refused_with_their_quarantine(tmp_path: Path, passes: list[str]) -> None:
    for _ in range(2):
        with pytest.raises(ContractError, match=r"source t: 2 of 4 rows .*x: below 0 \(1\).*40\.0%") as caught:
            from_csv(tmp_path, TEXT, **PARTS, max_rejected_share=0.4)
        path = Path(str(caught.value).split("look at ")[1].split(",")[0])
        assert pl.read_parquet(path)["_row"].to_list() == [2, 4]
    assert passes == ["t"]
    assert from_csv(tmp_path, TEXT, **PARTS, max_rejected_share=0.5).rows_kept == 2


@pytest.mark.parametrize("kind", ["unit_table", "dimension"])
def test_repeated_units_are_refused_where_one_row_is_promised(tmp_path: Path, kind: str) -> None:
    text = "id,x\na,1\nb,2\na,1\nb,3\nc,\nc,\nd,4\n"
    columns = {"id": "text", "x": "integer"}
    with pytest.raises(
        ContractError, match=r"one row a unit.*3 ids .*2 repeated word for word, 1 with other"
    ) as caught:
        from_csv(tmp_path, text, kind=kind, columns=columns)
    assert f"{_sha256('a')[:12]}… and sha256 {_sha256('b')[:12]}…" in str(caught.value)
    assert "declare kind: unit_periods" in str(caught.value)
    assert not list(tmp_path.glob("lake/sources/t/*"))
    with pytest.raises(ContractError, match="such as a and b;"):
        from_csv(tmp_path, text, kind=kind, columns=columns, show_ids=True)


def test_rows_that_were_refused_or_filtered_repeat_no_unit(tmp_path: Path) -> None:
    text = "id,x\na,1\na,z\nb,2\nb,9\n"
    filters = [{"name": "nines", "drop": {"x": 9}}]
    version = from_csv(tmp_path, text, kind="unit_table", columns={"id": "text", "x": "integer"}, filters=filters)
    assert kept(version, "id") == ["a", "b"]


def test_every_row_is_a_unit_where_there_is_no_id(tmp_path: Path) -> None:
    version = from_csv(tmp_path, "x\n1\n1\n", unit="@row", kind="unit_table", columns={"x": "integer"})
    assert kept(version, "_row") == [1, 2]


def test_files_that_change_under_the_reader_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Judging.write

    def disturbed(self: Judging) -> dict[str, Any]:
        counts = original(self)
        (tmp_path / "t.csv").write_text(TEXT + "e,1,2024-01-05\n")
        return counts

    monkeypatch.setattr(Judging, "write", disturbed)
    with pytest.raises(SourceError, match="changed while they were read; next: run again"):
        from_csv(tmp_path, TEXT, **PARTS)
    assert not list(tmp_path.glob("lake/sources/t/*"))


def test_a_log_larger_than_the_memory_streams(tmp_path: Path) -> None:
    rows = 400_000
    frame = pl.select(
        pl.int_range(rows).cast(pl.String).hash(7).cast(pl.String).alias("id"),
        pl.int_range(rows).alias("x"),
        pl.lit(datetime(2024, 1, 1)).alias("at"),
    )
    frame.write_parquet(tmp_path / "t.parquet")
    source = declared(path="t.parquet", **PARTS)
    version = module.ingest(source, root=tmp_path, lake=tmp_path / "lake", memory_limit="60MB")
    assert version.rows_kept == rows
    assert pl.read_parquet(version.data)["x"].equals(frame["x"])


REAL: dict[str, tuple[dict[str, Any], int, dict[str, int]]] = {
    "cookie_cats": (
        {
            "kind": "unit_table",
            "unit": "userid",
            "path": "cookie_cats.csv.gz",
            "columns": {
                "userid": "integer",
                "version": {"type": "text", "one_of": ["gate_30", "gate_40"]},
                "sum_gamerounds": {"type": "integer", "at_least": 0},
                "retention_1": {"type": "boolean", "nullable": False},
                "retention_7": {"type": "boolean", "nullable": False},
            },
        },
        90_189,
        {},
    ),
    "landing_page": (
        {
            "kind": "exposure_log",
            "unit": "user_id",
            "path": "ab_data.csv.gz",
            "timestamp": "timestamp",
            "timezone": "UTC",
            "columns": {"user_id": "integer", "timestamp": "timestamp", "group": "text", "converted": "boolean"},
        },
        294_478,
        {},
    ),
    "countries": (
        {
            "kind": "dimension",
            "unit": "user_id",
            "path": "countries.csv.gz",
            "columns": {"user_id": "integer", "country": {"type": "text", "one_of": ["UK", "US", "CA"]}},
        },
        290_584,
        {},
    ),
    "hillstrom": (
        {
            "kind": "unit_table",
            "unit": "@row",
            "path": "hillstrom.csv.gz",
            "columns": {"segment": "text", "history": "number", "visit": "boolean", "zip_code": "text"},
            "filters": [{"name": "control", "drop": {"segment": "No E-Mail"}}],
        },
        64_000,
        {"control": 21_306},
    ),
    "promotion": (
        {
            "kind": "unit_periods",
            "unit": "LocationID",
            "path": "WA_Marketing-Campaign.csv",
            "columns": {
                "LocationID": "integer",
                "Promotion": "integer",
                "week": "integer",
                "SalesInThousands": "number",
            },
        },
        548,
        {},
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_published_trials_are_read_whole(tmp_path: Path, name: str) -> None:
    """Row counts are those that the publishers state."""
    parts, rows, filtered = REAL[name]
    source = declared(name=name, **{**parts, "max_rejected_share": 0})
    version = module.ingest(source, root=real_data(), lake=tmp_path)
    assert (version.rows_read, version.rows_kept) == (rows, rows - sum(filtered.values()))
    assert version.rejected == {}
    assert version.filtered == filtered


def test_the_landing_page_test_runs_from_the_second_to_the_24th_of_january(tmp_path: Path) -> None:
    source = declared(name="landing_page", **REAL["landing_page"][0])
    version = module.ingest(source, root=real_data(), lake=tmp_path)
    assert version.first is not None
    assert version.last is not None
    assert (version.first.date().isoformat(), version.last.date().isoformat()) == ("2017-01-02", "2017-01-24")
