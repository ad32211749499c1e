"""SQL sources: one SELECT over files of the project, and nothing else."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from xp_pipeline.errors import SourceError, SpecError
from xp_pipeline.spec.source import Source
from xp_pipeline_tests.sources.tables import declared, kept, taken


def _declared(sql: str) -> Source:
    return declared(path=None, sql=sql, columns={"id": "text", "x": "integer"})


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two tables, and a decoy of the same name in the current folder."""
    root, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder, x in ((root, [1, 2]), (elsewhere, [98, 99])):
        (folder / "data").mkdir(parents=True)
        pl.DataFrame({"id": ["a", "b"], "x": x}).write_parquet(folder / "data" / "t.parquet")
    (root / "it's.csv").write_text("id,y\na,10\nb,20\n")
    monkeypatch.chdir(elsewhere)
    return root


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM 'data/t.parquet'", [1, 2]),
        ("SELECT * FROM \"data/t.parquet\" WHERE id <> 'data/t' ORDER BY x DESC;", [2, 1]),
        ("FROM read_parquet('data/*.parquet', union_by_name = true)", [1, 2]),
        ("WITH t AS (SELECT * FROM read_parquet(['data/t.parquet'])) SELECT id, x FROM t -- it's 'data/x.csv'", [1, 2]),
        ("SELECT id, x + y AS x FROM 'data/t.parquet' JOIN read_csv_auto('it''s.csv') USING (id)", [11, 22]),
        (
            "SELECT id, x FROM 'data/t.parquet' UNION ALL SELECT id, y FROM read_csv('it''s.csv') ORDER BY x",
            [1, 2, 10, 20],
        ),
        ("SELECT id, sum(x) AS x FROM 'data/t.parquet' GROUP BY ALL ORDER BY id", [1, 2]),
        ("SELECT id, len(list_filter([x, 5], lambda v: v > 1)) AS x FROM 'data/t.parquet'", [1, 2]),
    ],
)
def test_paths_are_those_of_the_project(root: Path, sql: str, expected: list[int]) -> None:
    assert kept(taken(root, _declared(sql)), "x") == expected


def test_variables_in_paths_and_only_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XP_TEST_DATA", str(root / "data"))
    sql = "SELECT '${XP_TEST_DATA}' AS id, x FROM '${XP_TEST_DATA}/t.parquet'"
    assert kept(taken(root, _declared(sql)), "id") == ["${XP_TEST_DATA}"] * 2
    with pytest.raises(SourceError, match="XP_TEST_NOTHING is not set"):
        taken(root, _declared("FROM '${XP_TEST_NOTHING}/t.parquet'"))


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT 1; SELECT 2",
        "COPY (SELECT 1) TO 'x.csv'",
        "CREATE TABLE t AS SELECT 1",
        "INSERT INTO t SELECT 1",
        "SELECT 1 INTO t",
        "ATTACH 'x.db'",
        "PRAGMA database_list",
        "SET threads = 8",
        "INSTALL httpfs",
        "LOAD httpfs",
        "DROP TABLE t",
        "DELETE FROM t",
        "EXPORT DATABASE 'x'",
        "SELECT FROM WHERE",
    ],
)
def test_anything_but_one_select_is_refused(root: Path, sql: str) -> None:
    with pytest.raises(SpecError, match="source t, sql: sql"):
        taken(root, _declared(sql))
    assert sorted(path.name for path in root.iterdir()) == ["data", "it's.csv"]


def test_a_query_does_not_see_our_own_variables(root: Path) -> None:
    with pytest.raises(SourceError, match="source does not exist"):
        taken(root, _declared("SELECT * FROM source"))


def test_a_missing_file_of_a_query(root: Path) -> None:
    with pytest.raises(SourceError, match=r"source t: .*nowhere\.csv"):
        taken(root, _declared("SELECT * FROM 'nowhere.csv'"))


def test_a_query_makes_a_new_version_only_when_its_rows_change(root: Path) -> None:
    first = taken(root, _declared("SELECT * FROM 'data/t.parquet'"))
    again = taken(root, _declared("SELECT id, x FROM 'data/t.parquet' WHERE x > 0"))
    assert again == first
    other = taken(root, _declared("SELECT * FROM 'data/t.parquet' ORDER BY x DESC"))
    assert other.version != first.version
