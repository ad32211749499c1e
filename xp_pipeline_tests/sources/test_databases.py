"""Databases: rows of a query, the address from the environment and in no message."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from xp_pipeline.errors import SourceError
from xp_pipeline.sources.locations import content_digest
from xp_pipeline.spec.source import Source
from xp_pipeline_tests.sources.tables import declared, kept, quarantined, taken

DRIVERS = ["sqlalchemy", "adbc"]


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An SQLite database with a table, its address in the environment."""
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("adbc_driver_sqlite")
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as con:
        con.execute("CREATE TABLE orders (id INTEGER, at TEXT, amount REAL, note TEXT, paid INTEGER)")
        con.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?)",
            [
                (2**53 + 1, "2024-01-01 10:00:00", 1.5, "50% off :now", 1),
                (2**63 - 1, "2024-01-01T10:00:00Z", 2.0, 'жук, "x"\n', 0),
                (3, "2024-01-02", None, None, 1),
            ],
        )
    url = f"sqlite:///{path}"
    monkeypatch.setenv("XP_TEST_SHOP", url)
    return url


def _orders(
    driver: str, query: str = "SELECT * FROM orders WHERE note IS NULL OR note NOT LIKE '%:no'", **parts: Any
) -> Source:
    columns = {"id": "integer", "at": "timestamp", "amount": "number", "note": "text", "paid": "boolean"}
    database = {"url_env": "XP_TEST_SHOP", "query": query, "driver": driver}
    given = {"path": None, "database": database, "timestamp": "at", "timezone": "UTC", "columns": columns}
    return declared(**{**given, **parts})


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.usefixtures("address")
def test_rows_arrive_unharmed(tmp_path: Path, driver: str) -> None:
    version = taken(tmp_path, _orders(driver))
    assert kept(version, "id") == [2**53 + 1, 2**63 - 1, 3]
    assert kept(version, "amount") == [1.5, 2.0, None]
    assert kept(version, "note") == ["50% off :now", 'жук, "x"\n', None]
    assert kept(version, "paid") == [True, False, True]
    assert [at.isoformat() for at in kept(version, "at")] == [
        "2024-01-01T10:00:00",
        "2024-01-01T10:00:00",
        "2024-01-02T00:00:00",
    ]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.usefixtures("address")
def test_the_contract_holds_for_databases_too(tmp_path: Path, driver: str) -> None:
    columns = {"id": "integer", "at": "timestamp", "amount": {"type": "number", "nullable": False}}
    assert quarantined(taken(tmp_path, _orders(driver, columns=columns))) == [(3, "amount", "amount: null")]


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_digest_is_of_the_rows(tmp_path: Path, address: str, driver: str) -> None:
    source = _orders(driver)
    before = content_digest(source, root=tmp_path)
    path = address.removeprefix("sqlite:///")
    with sqlite3.connect(path) as con:
        con.execute("CREATE TABLE other (a INTEGER)")
    assert content_digest(source, root=tmp_path) == before == taken(tmp_path, source).content_digest
    with sqlite3.connect(path) as con:
        con.execute("UPDATE orders SET amount = 9 WHERE id = 3")
    assert content_digest(source, root=tmp_path) != before


@pytest.mark.usefixtures("address")
def test_many_rows_come_in_batches(tmp_path: Path) -> None:
    counting = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000) "
        "SELECT i AS id, '2024-01-01' AS at, i * 0.5 AS amount, NULL AS note, 1 AS paid FROM n"
    )
    version = taken(tmp_path, _orders("sqlalchemy", counting))
    assert version.rows_kept == 120_000
    assert kept(version, "id") == list(range(1, 120_001))


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.usefixtures("address")
def test_a_query_that_fails_is_one_line(tmp_path: Path, driver: str) -> None:
    with pytest.raises(SourceError, match=r"source t: the database refused.*no such table") as caught:
        taken(tmp_path, _orders(driver, "SELECT * FROM nowhere"))
    assert "\n" not in str(caught.value)


def test_an_address_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XP_TEST_SHOP", raising=False)
    with pytest.raises(SourceError, match="XP_TEST_SHOP is not set; next: export XP_TEST_SHOP=…"):
        taken(tmp_path, _orders("adbc"))


@pytest.mark.parametrize("echoed", ["nosuch://me:s3cret%21@host/db", "s3cret%21", "s3cret!"])
def test_no_message_holds_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, echoed: str) -> None:
    def connect(_: str) -> None:
        raise RuntimeError(f"cannot connect with {echoed}, sorry\nat line 1")

    monkeypatch.setitem(sys.modules, "adbc_driver_nosuch", ModuleType("adbc_driver_nosuch"))
    monkeypatch.setitem(sys.modules, "adbc_driver_nosuch.dbapi", SimpleNamespace(connect=connect))
    monkeypatch.setenv("XP_TEST_SHOP", "nosuch://me:s3cret%21@host/db")
    with pytest.raises(SourceError, match=r"refused; found cannot connect with …, sorry$"):
        taken(tmp_path, _orders("adbc"))


@pytest.mark.usefixtures("address")
def test_a_query_is_never_taken_for_a_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drivers that substitute ``%`` do so when they are given parameters, even none."""
    default = pytest.importorskip("sqlalchemy.engine.default")
    given: list[str] = []

    def without_parameters(_: Any, cursor: Any, statement: str, context: Any = None) -> None:
        given.append(statement)
        cursor.execute(statement)

    monkeypatch.setattr(default.DefaultDialect, "do_execute_no_params", without_parameters)
    source = _orders("sqlalchemy")
    taken(tmp_path, source)
    assert source.location.database is not None
    assert source.location.database.query in given


@pytest.mark.parametrize(("driver", "module"), [("sqlalchemy", "sqlalchemy"), ("adbc", "adbc_driver_sqlite.dbapi")])
def test_a_missing_driver_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, module: str
) -> None:
    monkeypatch.setenv("XP_TEST_SHOP", f"sqlite:///{tmp_path / 'x.db'}")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SourceError, match=r"driver is not installed.*pip install 'xp_pipeline\[warehouse\]'"):
        taken(tmp_path, _orders(driver))


def test_an_adbc_address_begins_with_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XP_TEST_SHOP", "/just/a/path.db")
    with pytest.raises(SourceError, match="such as sqlite://"):
        taken(tmp_path, _orders("adbc"))
