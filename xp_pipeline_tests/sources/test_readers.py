"""Reading files: CSV and Parquet, one or many, whole or broken, here or elsewhere."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest
from fsspec.registry import _registry

from xp_pipeline.errors import ContractError, SourceError, SpecError
from xp_pipeline_tests.sources.tables import declared, from_csv, kept, taken

COLUMNS = {"id": "text", "x": "integer"}


@pytest.fixture
def memory() -> Iterator[Any]:
    """fsspec's file system in memory, empty."""
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    yield filesystem
    filesystem.store.clear()


def _parquet(path: Path, **columns: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns).write_parquet(path)
    return path


def test_csv_as_people_write_it(tmp_path: Path) -> None:
    text = '\ufeffid,x,note\r\n"a ""b"", c",1,"two\r\nlines"\r\n# d, 2 ,\r\n\r\nØ,3,"x,y"\r\n'
    version = from_csv(tmp_path, text, columns={**COLUMNS, "note": "text"})
    assert kept(version, "id") == ['a "b", c', "# d", "Ø"]
    assert kept(version, "x") == [1, 2, 3]
    assert kept(version, "note") == ["two\r\nlines", None, "x,y"]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_declared(tmp_path: Path, delimiter: str) -> None:
    text = f"id{delimiter}x\na,b{delimiter}1\n"
    version = from_csv(tmp_path, text, columns=COLUMNS, delimiter=delimiter)
    assert kept(version, "id") == ["a,b"]


def test_gzipped_csv_is_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"id,x\na,1\nb,2\n"))
    assert kept(taken(tmp_path, declared(path="t.csv.gz", columns=COLUMNS)), "x") == [1, 2]


def test_undeclared_columns_stay_outside_and_odd_names_do_no_harm(tmp_path: Path) -> None:
    text = 'id,_row,"a ""q""",ID,select\nu,7,8,9,1\n'
    version = from_csv(tmp_path, text, columns={"id": "text", "select": "integer", 'a "q"': "integer"})
    assert pl.read_parquet(version.data).to_dicts() == [{"_row": 1, "id": "u", "select": 1, 'a "q"': 8}]


def test_a_declared_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="'x' stands twice"):
        from_csv(tmp_path, "id,x,x\na,1,2\n", columns=COLUMNS)


@pytest.mark.parametrize("name", ["_row", "_rule", "_raw_0"])
def test_reserved_column_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError, match="reserved"):
        from_csv(tmp_path, f"id,{name}\na,1\n", columns={"id": "text", name: "integer"})


def test_files_of_a_glob_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "day_2.csv").write_text("x,id\n3,c\n")
    (tmp_path / "day_1.csv").write_text("id,x\na,1\nb,2\n")
    (tmp_path / "day_3.csv").write_text("id,x,new\nd,4,z\n")
    version = taken(tmp_path, declared(path="day_*.csv", columns={**COLUMNS, "new": "text"}))
    assert kept(version, "id") == ["a", "b", "c", "d"]
    assert kept(version, "new") == [None, None, None, "z"]
    assert kept(version, "_row") == [1, 2, 3, 4]


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_the_values_of_hive_folders_are_columns_of_text(tmp_path: Path, format_: str) -> None:
    for day, user in (("2024-01-02", "007"), ("2024-01-01", "001")):
        folder = tmp_path / "events" / f"day={day}" / f"id={user}"
        frame = pl.DataFrame({"x": [1, 2]})
        folder.mkdir(parents=True)
        frame.write_csv(folder / "p.csv") if format_ == "csv" else frame.write_parquet(folder / "p.parquet")
    (tmp_path / "events" / "_temporary").mkdir()
    (tmp_path / "events" / "_temporary" / "p.csv").write_text("half")
    (tmp_path / "events" / "_SUCCESS").write_text("")
    for path in ("events", "events/day=*", f"events/**/*.{format_}"):
        version = taken(tmp_path, declared(path=path, columns={**COLUMNS, "day": "date"}))
        assert kept(version, "id") == ["001", "001", "007", "007"]
        assert [str(day) for day in kept(version, "day")] == ["2024-01-01"] * 2 + ["2024-01-02"] * 2


def test_parquet_files_may_gain_columns(tmp_path: Path) -> None:
    _parquet(tmp_path / "e" / "1.parquet", id=["a"])
    _parquet(tmp_path / "e" / "2.parquet", id=["b"], x=[2])
    assert kept(taken(tmp_path, declared(path="e", columns=COLUMNS)), "x") == [None, 2]


@pytest.mark.parametrize("name", ["a[1].csv", "b*.csv", "it's ${x.csv"])
def test_a_file_named_outright_is_that_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("id,x\na,1\n")
    for decoy in ("a1.csv", "bb.csv"):
        (tmp_path / decoy).write_text("id,x\nwrong,9\n")
    assert kept(taken(tmp_path, declared(path=name, columns=COLUMNS)), "id") == ["a"]


def test_a_project_may_lie_in_a_folder_with_wildcards_in_its_name(tmp_path: Path) -> None:
    root = tmp_path / "p[1]*"
    root.mkdir()
    (root / "one.csv").write_text("id,x\na,1\n")
    assert kept(taken(root, declared(path="*.csv", columns=COLUMNS)), "id") == ["a"]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_folder_above_the_project_is_no_column(tmp_path: Path, name: str) -> None:
    root = tmp_path / "x=9"
    _parquet(root / "t.parquet", id=["a"], x=[1])
    (root / "t.csv").write_text("id,x\na,1\n")
    assert kept(taken(root, declared(path=name, columns=COLUMNS)), "x") == [1]


def test_hive_values_are_typed_by_the_declaration_alone(tmp_path: Path) -> None:
    _parquet(tmp_path / "e" / "id=2024-01-01 10:00:00" / "x=5" / "p.parquet", y=[1])
    version = taken(tmp_path, declared(path="e", columns=COLUMNS))
    assert (kept(version, "id"), kept(version, "x")) == (["2024-01-01 10:00:00"], [5])


def test_a_hive_folder_of_nulls(tmp_path: Path) -> None:
    for name, value in (("1.csv", b"id\na\n"), ("2.csv", b"id\nb\n")):
        folder = tmp_path / "e" / ("x=__HIVE_DEFAULT_PARTITION__" if name == "1.csv" else "x=%2B5")
        folder.mkdir(parents=True)
        (folder / name).write_bytes(value)
    assert dict(
        zip(*[kept(taken(tmp_path, declared(path="e", columns=COLUMNS)), c) for c in ("id", "x")], strict=True)
    ) == {
        "a": None,
        "b": 5,
    }


def test_variables_in_a_path_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_text("id,x\na,1\n")
    source = declared(path="${XP_TEST_PLACE}/t.csv", columns=COLUMNS)
    monkeypatch.setenv("XP_TEST_PLACE", str(tmp_path))
    assert kept(taken(tmp_path, source), "x") == [1]
    monkeypatch.delenv("XP_TEST_PLACE")
    with pytest.raises(SourceError, match="XP_TEST_PLACE is not set; next: export XP_TEST_PLACE=…"):
        taken(tmp_path, source)


def test_a_file_url_is_a_local_file(tmp_path: Path) -> None:
    (tmp_path / "a b.csv").write_text("id,x\na,1\n")
    url = (tmp_path / "a b.csv").as_uri()
    assert kept(taken(tmp_path, declared(path=url, columns=COLUMNS)), "x") == [1]


@pytest.mark.parametrize("path", ["memory://data/e/1.parquet", "memory://data/e", "memory://data/*/*.parquet"])
def test_remote_parquet(tmp_path: Path, memory: Any, path: str) -> None:
    local = _parquet(tmp_path / "1.parquet", id=["a", "b"], x=[1, 2])
    memory.pipe("/data/e/1.parquet", local.read_bytes())
    assert kept(taken(tmp_path, declared(path=path, columns=COLUMNS)), "x") == [1, 2]


def test_remote_csv(tmp_path: Path, memory: Any) -> None:
    memory.pipe("/d/1.csv", b"id,x\na,1\n")
    memory.pipe("/d/2.csv.gz", gzip.compress(b"x,id\n2,b\n"))
    assert kept(taken(tmp_path, declared(path="memory://d", columns=COLUMNS)), "id") == ["a", "b"]


def test_nothing_remote(tmp_path: Path, memory: Any) -> None:
    with pytest.raises(SourceError, match=r"no such file.*memory://d/x.csv"):
        taken(tmp_path, declared(path="memory://d/x.csv"))


@pytest.mark.parametrize(("url", "extra"), [("s3://bucket/x.parquet", "s3"), ("gs://bucket/x.parquet", "gcs")])
def test_a_missing_driver_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, {"s3": "s3fs", "gcs": "gcsfs"}[extra], None)
    for protocol in ("s3", "gs"):
        monkeypatch.delitem(_registry, protocol, raising=False)
    with pytest.raises(SourceError, match=rf"no driver for .*pip install 'fsspec\[{extra}\]'"):
        taken(tmp_path, declared(path=url))


def test_an_unknown_protocol(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot reach nowhere://"):
        taken(tmp_path, declared(path="nowhere://x.csv"))


GOOD = b"id,x\n" + b"".join(b"%d,%d\n" % (i, i * 7919 % 1000) for i in range(20_000))


def _changed(content: bytes) -> bytes:
    """One bit of the checksum flipped."""
    return content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "zero bytes": ("t.csv", b"", "the file is empty"),
    "header only": ("t.csv", b"id,x\n", "not a single row"),
    "blank": ("t.csv", b"\n\n", "no header"),
    "cut gzip": ("t.csv.gz", gzip.compress(GOOD)[:-2000], "ended before the end-of-stream"),
    "cut gzip header": ("t.csv.gz", gzip.compress(GOOD)[:6], "ended before"),
    "not gzip": ("t.csv.gz", GOOD, "Not a gzipped file"),
    "changed gzip": ("t.csv.gz", _changed(gzip.compress(GOOD)), "CRC check failed|Error -3"),
    "empty gzip": ("t.csv.gz", gzip.compress(b""), "no header"),
    "latin-1": ("t.csv", "id,x\nØ,1\n".encode("latin-1"), "Line: 2.*not utf-8"),
    "latin-1 header": ("t.csv", "id,x,Ø\n".encode("latin-1"), "not UTF-8"),
    "short row": ("t.csv", b"id,x\na,1\nb\n", "Line: 3.*Expected Number of Columns: 2 Found: 1"),
    "long row": ("t.csv", b"id,x\na,1,2\n", "Line: 2.*Expected Number of Columns: 2 Found: 3"),
    "open quote": ("t.csv", b'id,x\na,"1\n', "unterminated quote"),
    "not parquet": ("t.parquet", GOOD, "cannot be read.*magic bytes"),
    "tiny parquet": ("t.parquet", b"PAR1", "cannot be read.*too small"),
    "unknown ending": ("t.dat", GOOD, "declare format: csv"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_line_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    path, content, told = BROKEN[name]
    (tmp_path / path).write_bytes(content)
    with pytest.raises(SourceError, match=rf"source t.*{told}") as caught:
        taken(tmp_path, declared(path=path, columns=COLUMNS))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("lake/sources/t/*"))


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_truncated_parquet(tmp_path: Path, share: float) -> None:
    whole = _parquet(tmp_path / "t.parquet", id=["a"] * 5000, x=list(range(5000))).read_bytes()
    (tmp_path / "t.parquet").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(SourceError, match="source t: the rows cannot be read"):
        taken(tmp_path, declared(path="t.parquet", columns=COLUMNS))


@pytest.mark.parametrize("path", ["nowhere.csv", "nowhere/*.parquet", "empty"])
def test_nothing_to_read_says_where_it_looked(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"source t: no such file.*relative to the project folder") as caught:
        taken(tmp_path, declared(path=path))
    assert os.path.join(tmp_path, path) in str(caught.value)


def test_files_of_two_formats_are_refused_unless_one_is_declared(tmp_path: Path) -> None:
    _parquet(tmp_path / "e" / "1.parquet", id=["a"])
    (tmp_path / "e" / "2.csv").write_text("id\nb\n")
    with pytest.raises(SourceError, match="several formats"):
        taken(tmp_path, declared(path="e"))


def test_a_declared_format_goes_before_the_ending(tmp_path: Path) -> None:
    (tmp_path / "t.dat").write_text("id,x\na,1\n")
    assert kept(taken(tmp_path, declared(path="t.dat", format="csv", columns=COLUMNS)), "x") == [1]
