"""Stores under test, among them a PostgreSQL server that the test session starts for itself."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xp_pipeline.delivery import MemoryStore, SqliteStore, Store

ACCOUNT = "postgres"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a fresh server on the loopback; skipped with its reason where none can be started."""
    programs = _programs()
    pytest.importorskip("sqlalchemy", reason="the extra postgres is not installed")
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    with tempfile.TemporaryDirectory(prefix="xp-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        owner = _prefix()
        if owner:
            account = pwd.getpwnam(ACCOUNT)
            os.chown(folder, account.pw_uid, account.pw_gid)
        data = folder / "data"
        _run([*owner, f"{programs}/initdb", "-D", str(data), "-U", "xp", "--auth=trust", "--no-sync", "-E", "UTF8"])
        port = _free_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        control = [*owner, f"{programs}/pg_ctl", "-D", str(data), "-w"]
        _run([*control, "-l", str(folder / "log"), "-o", options, "start"])
        try:
            yield f"postgresql+psycopg://xp@127.0.0.1:{port}/postgres"
        finally:
            _run([*control, "-m", "immediate", "stop"])


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Each kind of store, empty."""
    made: Store = MemoryStore()
    if request.param == "sqlite":
        made = SqliteStore(tmp_path / "store.sqlite")
    if request.param == "postgres":
        made = emptied(request.getfixturevalue("postgres"))
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgres"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Kind and address of a store that processes share, empty."""
    if request.param == "sqlite":
        return "sqlite", str(tmp_path / "store.sqlite")
    url: str = request.getfixturevalue("postgres")
    emptied(url).close()
    return "postgres", url


def opened(kind: str, address: str) -> Store:
    """The store of a kind at an address."""
    from xp_pipeline.delivery.stores.sqlalchemy import SqlAlchemyStore

    makers: dict[str, Callable[[str], Store]] = {"sqlite": SqliteStore, "postgres": SqlAlchemyStore}
    return makers[kind](address)


def emptied(url: str) -> Store:
    """The store in PostgreSQL without the tables of the test before."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE IF EXISTS xp_assignments, xp_algorithms, xp_experiments"))
    engine.dispose()
    return opened("postgres", url)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _programs() -> str:
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    for folder in (*folders, *candidates):
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return str(folder)
    pytest.skip("PostgreSQL's server is not installed (initdb, pg_ctl)")


def _prefix() -> list[str]:
    """The server refuses to run as root: then it runs as the account of its package."""
    if os.geteuid() != 0:
        return []
    runner = shutil.which("runuser")
    if runner is None:
        pytest.skip("PostgreSQL does not run as root, and there is no runuser")
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        pytest.skip(f"PostgreSQL does not run as root, and there is no account {ACCOUNT}")
    return [runner, "-u", ACCOUNT, "--"]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"PostgreSQL does not start here: {(done.stderr or done.stdout).strip()[-200:]}")
