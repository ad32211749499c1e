"""Connections: deterministic, in UTC, offline, and leaving nothing behind."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from xp_pipeline.engine.duckdb import connect


def _setting(con: duckdb.DuckDBPyConnection, name: str) -> object:
    row = con.execute("SELECT current_setting(?)", [name]).fetchone()
    assert row is not None
    return row[0]


def test_defaults_are_those_of_reproducible_numbers() -> None:
    with connect() as con:
        assert _setting(con, "threads") == 1
        assert _setting(con, "TimeZone") == "UTC"
        assert _setting(con, "preserve_insertion_order") is True
        assert _setting(con, "autoinstall_known_extensions") is False


def test_threads_and_memory_are_as_asked() -> None:
    with connect(memory_limit="512MiB", threads=2) as con:
        assert _setting(con, "threads") == 2
        assert _setting(con, "memory_limit") == "512.0 MiB"


def test_each_connection_is_its_own_database() -> None:
    with connect() as one, connect() as other:
        one.execute("CREATE TABLE t (a INTEGER)")
        with pytest.raises(duckdb.CatalogException):
            other.execute("FROM t")


def test_what_does_not_fit_spills_outside_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with connect(memory_limit="40MB") as con:
        con.execute("CREATE TEMP TABLE t AS SELECT range AS i, md5(CAST(range AS VARCHAR)) AS s FROM range(1000000)")
        spill = Path(str(_setting(con, "temp_directory")))
        assert spill.is_dir()
        assert spill.is_absolute()
        assert not spill.is_relative_to(tmp_path)
    assert not spill.exists()
    assert not list(tmp_path.iterdir())
