"""The ledger: it grows, it remembers, and it shows when somebody else changed it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from xp_pipeline.errors import PhaseOrderError, RecordError, SpecError, TamperError
from xp_pipeline.spec.canonical import digest
from xp_pipeline.spec.ledger import GENESIS, EntryKind, Head, Ledger
from xp_pipeline.spec.phases import ExperimentState
from xp_pipeline_tests.spec.test_canonical import DOCUMENTS

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "record" / "ledger.sqlite", clock=lambda: NOON, timeout=0.2)


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    for look in range(1, 5):
        ledger.append("shop", EntryKind.LOOK, by="ana", payload={"look": look, "alpha": 0.01 * look})
    return ledger


def forge(ledger: Ledger, *statements: str) -> None:
    """Do to the file what only somebody with another tool can: first remove what forbids it."""
    with sqlite3.connect(ledger.path) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
    connection.close()


def rehash(ledger: Ledger) -> None:
    """Recompute the whole chain, as a careful forger would."""
    columns = ("seq", "time", "experiment", "kind", "by", "reason", "payload", "previous")
    with sqlite3.connect(ledger.path) as connection:
        previous = GENESIS
        for row in connection.execute(f"SELECT {', '.join(columns)} FROM entries ORDER BY seq").fetchall():
            fields = dict(zip(columns, row, strict=True)) | {"previous": previous}
            connection.execute(
                "UPDATE entries SET previous = ?, digest = ? WHERE seq = ?",
                (previous, digest(fields), row[0]),
            )
            previous = digest(fields)
    connection.close()


def run(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stderr=subprocess.PIPE)


def test_missing_ledger_reads_as_empty_and_stays_missing(ledger: Ledger) -> None:
    assert ledger.entries() == []
    assert ledger.head() == ledger.verify() == Head(0, "0" * 64)
    assert ledger.state("shop") is None
    assert not ledger.path.parent.exists()


def test_empty_file_reads_as_empty_and_can_be_begun(ledger: Ledger) -> None:
    ledger.path.parent.mkdir()
    ledger.path.touch()
    assert ledger.entries() == []
    ledger.append("shop", EntryKind.LOOK, by="ana", payload={})
    assert ledger.verify().seq == 1


def test_entry_says_who_what_when_and_why(ledger: Ledger) -> None:
    ledger.clock = lambda: datetime(2024, 5, 1, 14, 30, tzinfo=timezone(timedelta(hours=2)))
    entry = ledger.append("shop", EntryKind.OVERRIDE, by="ana", reason="the log was late", payload={"check": "srm"})
    assert entry.seq == 1
    assert entry.time == "2024-05-01T12:30:00.000000+00:00"
    assert (entry.experiment, entry.kind, entry.by) == ("shop", EntryKind.OVERRIDE, "ana")
    assert (entry.reason, entry.payload) == ("the log was late", {"check": "srm"})
    assert entry.previous == GENESIS
    assert ledger.entries() == [entry]


def test_entries_link_to_the_one_before(filled: Ledger) -> None:
    entries = filled.entries()
    assert [entry.previous for entry in entries] == [GENESIS, *(entry.digest for entry in entries[:-1])]
    assert filled.verify() == filled.head() == Head(4, entries[-1].digest)


def test_entries_are_found_by_experiment_and_kind(filled: Ledger) -> None:
    filled.append("cats", EntryKind.LOOK, by="bo", payload={})
    filled.append("shop", EntryKind.DECISION, by="bo", payload={})
    assert [e.seq for e in filled.entries("shop")] == [1, 2, 3, 4, 6]
    assert [e.seq for e in filled.entries(kind=EntryKind.LOOK)] == [1, 2, 3, 4, 5]
    assert [e.seq for e in filled.entries("shop", EntryKind.DECISION)] == [6]
    assert filled.entries("nobody") == []


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(payload=DOCUMENTS)
def test_any_payload_comes_back(ledger: Ledger, payload: dict[str, object]) -> None:
    entry = ledger.append("shop", EntryKind.VERDICT, by="größe 'x\"", reason="a\nb", payload=payload)
    assert ledger.entries()[-1] == entry
    assert entry.payload == payload
    assert ledger.verify() == ledger.head()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET by = 'bo' WHERE seq = 2",
        "DELETE FROM entries WHERE seq = 4",
        "INSERT OR REPLACE INTO entries SELECT * FROM entries WHERE seq = 2",
        "INSERT INTO entries SELECT seq + 9, time, experiment, kind, by, reason, payload, previous, digest "
        "FROM entries",
    ],
)
def test_the_file_itself_refuses_change(filled: Ledger, statement: str) -> None:
    with (
        sqlite3.connect(filled.path) as connection,
        pytest.raises(sqlite3.IntegrityError, match="only appends"),
    ):
        connection.execute(statement)
    connection.close()
    assert filled.verify().seq == 4


EDITS = [
    "UPDATE entries SET by = 'bo' WHERE seq = 2",
    "UPDATE entries SET reason = 'because' WHERE seq = 2",
    "UPDATE entries SET time = '2020-01-01T00:00:00.000000+00:00' WHERE seq = 2",
    "UPDATE entries SET experiment = 'cats' WHERE seq = 2",
    "UPDATE entries SET kind = 'cosmetic' WHERE seq = 2",
    "UPDATE entries SET kind = 'nonsense' WHERE seq = 2",
    'UPDATE entries SET payload = \'{"alpha": 0.02, "look": 9}\' WHERE seq = 2',
    "UPDATE entries SET payload = 'not json' WHERE seq = 2",
    f"UPDATE entries SET previous = '{GENESIS}' WHERE seq = 2",
    f"UPDATE entries SET digest = '{'f' * 64}' WHERE seq = 2",
    "DELETE FROM entries WHERE seq = 2",
]


@pytest.mark.parametrize("statement", EDITS)
def test_tampering_is_found_and_the_first_broken_entry_named(filled: Ledger, statement: str) -> None:
    forge(filled, statement)
    with pytest.raises(TamperError, match=r"entry 2 of the ledger .*next: restore record/") as found:
        filled.verify()
    assert "\n" not in str(found.value)


def test_an_edited_entry_is_not_even_read(filled: Ledger) -> None:
    forge(filled, EDITS[0])
    with pytest.raises(TamperError, match="entry 2 of the ledger does not have its digest"):
        filled.entries("shop")


def test_swapped_entries_are_found(filled: Ledger) -> None:
    forge(
        filled,
        "UPDATE entries SET seq = 99 WHERE seq = 2",
        "UPDATE entries SET seq = 2 WHERE seq = 3",
        "UPDATE entries SET seq = 3 WHERE seq = 99",
    )
    with pytest.raises(TamperError, match="entry 2 of the ledger"):
        filled.verify()


def test_rehashing_after_an_edit_shows_against_a_printed_head(filled: Ledger) -> None:
    printed = filled.head()
    early = Head(2, filled.entries()[1].digest)
    forge(filled, "UPDATE entries SET by = 'bo' WHERE seq = 1")
    rehash(filled)
    assert filled.verify() != printed  # self-consistent: only somebody with a head can tell
    with pytest.raises(TamperError, match="entry 4 of the ledger was rewritten"):
        filled.verify(printed)
    with pytest.raises(TamperError, match="entry 2 of the ledger was rewritten"):
        filled.verify(early)


def test_truncation_shows_against_a_printed_head(filled: Ledger) -> None:
    printed = filled.head()
    forge(filled, "DELETE FROM entries WHERE seq > 2")
    assert filled.verify().seq == 2
    with pytest.raises(TamperError, match="entry 3 of the ledger is missing at the end; allowed: 4 entries"):
        filled.verify(printed)


def test_deleting_everything_shows_against_a_printed_head(filled: Ledger) -> None:
    printed = filled.head()
    filled.path.unlink()
    with pytest.raises(TamperError, match="entry 1 of the ledger is missing at the end"):
        filled.verify(printed)


def test_a_printed_head_stays_good_while_the_ledger_grows(filled: Ledger) -> None:
    printed = filled.head()
    filled.append("shop", EntryKind.LOOK, by="ana", payload={})
    assert filled.verify(printed).seq == 5
    assert filled.verify(Head(0, GENESIS)).seq == 5


def test_appending_to_an_edited_tail_is_refused(filled: Ledger) -> None:
    forge(filled, "UPDATE entries SET by = 'bo' WHERE seq = 4")
    with pytest.raises(TamperError, match="entry 4"):
        filled.append("shop", EntryKind.LOOK, by="ana", payload={})


def test_expected_head_is_compare_and_swap(filled: Ledger) -> None:
    seen = filled.head().digest
    filled.append("shop", EntryKind.LOOK, by="ana", payload={}, expect_head=seen)
    with pytest.raises(RecordError, match="somebody else wrote"):
        filled.append("shop", EntryKind.LOOK, by="bo", payload={}, expect_head=seen)
    assert filled.head().seq == 5


@pytest.mark.parametrize("by", ["", "  "])
def test_an_entry_has_an_author(ledger: Ledger, by: str) -> None:
    with pytest.raises(RecordError, match="names who made it; next: add --by"):
        ledger.append("shop", EntryKind.OVERRIDE, by=by, payload={})


def test_bad_content_leaves_nothing_behind(ledger: Ledger) -> None:
    with pytest.raises(SpecError, match=r"^alpha: a number here is finite"):
        ledger.append("shop", EntryKind.LOOK, by="ana", payload={"alpha": float("nan")})
    with pytest.raises(SpecError, match="experiment id"):
        ledger.append("../shop", EntryKind.LOOK, by="ana", payload={})
    assert ledger.entries() == []


def test_clock_without_zone_is_refused(ledger: Ledger) -> None:
    ledger.clock = lambda: datetime(2024, 5, 1)
    with pytest.raises(RecordError, match="the clock has no time zone"):
        ledger.append("shop", EntryKind.LOOK, by="ana", payload={})


def test_states_advance_one_at_a_time_and_repeat_without_trace(ledger: Ledger) -> None:
    for state in ExperimentState:
        entry = ledger.advance("shop", state, by="ana", payload={"design": "d"})
        assert entry is not None
        assert entry.payload["to"] == state.value
        assert entry.payload["design"] == "d"
        assert ledger.advance("shop", state, by="ana") is None
        assert ledger.state("shop") is state
    assert len(ledger.entries("shop", EntryKind.TRANSITION)) == 6
    assert ledger.state("cats") is None


def test_created_to_reported_in_one_call_is_refused(ledger: Ledger) -> None:
    ledger.advance("shop", ExperimentState.CREATED, by="ana")
    with pytest.raises(PhaseOrderError, match="straight from CREATED to REPORTED"):
        ledger.advance("shop", ExperimentState.REPORTED, by="ana")
    assert ledger.state("shop") is ExperimentState.CREATED


def register_and_stumble(ledger: Ledger) -> None:
    with ledger.writing() as pen:
        pen.append("shop", EntryKind.REGISTRATION, by="ana", payload={})
        raise ZeroDivisionError


def test_one_transaction_is_kept_or_dropped_whole(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError):
        register_and_stumble(ledger)
    assert ledger.entries() == []
    with ledger.writing() as pen:
        pen.append("shop", EntryKind.REGISTRATION, by="ana", payload={})
        assert pen.head().seq == 1
        pen.append("shop", EntryKind.LOOK, by="ana", payload={})
    assert ledger.verify().seq == 2


CROWD = """
import sys
from pathlib import Path
from xp_pipeline.spec.ledger import EntryKind, Ledger
for i in range(15):
    Ledger(Path(sys.argv[1])).append("shop", EntryKind.LOOK, by=sys.argv[2], payload={"i": i})
"""


def test_concurrent_processes_share_one_chain(ledger: Ledger) -> None:
    crowd = [run(CROWD, ledger.path, f"writer-{n}") for n in range(4)]
    assert [process.communicate()[1] for process in crowd] == [b""] * 4
    assert ledger.verify().seq == 60
    for n in range(4):
        assert [e.payload["i"] for e in ledger.entries() if e.by == f"writer-{n}"] == list(range(15))


RACE = """
import sys
from pathlib import Path
from xp_pipeline.errors import PhaseOrderError
from xp_pipeline.spec.ledger import Ledger
from xp_pipeline.spec.phases import ExperimentState
ledger = Ledger(Path(sys.argv[1]))
for state in ExperimentState:
    try:
        ledger.advance("shop", state, by=sys.argv[2])
    except PhaseOrderError:
        pass
"""


def test_racing_processes_make_each_transition_once(ledger: Ledger) -> None:
    racers = [run(RACE, ledger.path, f"racer-{n}") for n in range(3)]
    assert [process.communicate()[1] for process in racers] == [b""] * 3
    moves = [entry.payload["to"] for entry in ledger.entries("shop", EntryKind.TRANSITION)]
    assert moves == [state.value for state in ExperimentState]


KILLED = """
import os, signal, sys
from pathlib import Path
from xp_pipeline.spec.ledger import EntryKind, Ledger
with Ledger(Path(sys.argv[1])).writing() as pen:
    pen.append("shop", EntryKind.LOOK, by="killed", payload={"text": "x" * int(sys.argv[2])})
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("size", [1_000_000, 8_000_000], ids=["in memory", "spilled to disk"])
def test_killed_before_the_commit_nothing_happened(filled: Ledger, size: int) -> None:
    before = filled.head()
    killed = run(KILLED, filled.path, size)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert (filled.path.stat().st_size > size / 2) == (size == 8_000_000)
    assert filled.verify(before) == before
    assert filled.append("shop", EntryKind.LOOK, by="ana", payload={}).seq == before.seq + 1


def test_killed_in_its_first_transaction_the_ledger_is_empty(ledger: Ledger) -> None:
    run(KILLED, ledger.path, 10).communicate()
    assert ledger.entries() == []
    assert ledger.append("shop", EntryKind.LOOK, by="ana", payload={}).seq == 1


def test_locked_ledger_is_a_record_error(filled: Ledger) -> None:
    other = sqlite3.connect(filled.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RecordError, match="the ledger refused: database is locked; next: wait for the other run"):
        filled.append("shop", EntryKind.LOOK, by="ana", payload={})
    other.close()
    assert filled.append("shop", EntryKind.LOOK, by="ana", payload={}).seq == 5


def garble(path: Path) -> None:
    path.write_bytes(b"this is not a database" * 100)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def scratch(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:] = bytes(len(content) - 100)
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [garble, cut, scratch])
def test_damaged_file_is_a_tamper_error(filled: Ledger, damage: Callable[[Path], None]) -> None:
    damage(filled.path)
    for use in (filled.entries, filled.verify):
        with pytest.raises(TamperError, match=r"the ledger is damaged: .*next: restore record/"):
            use()


def test_another_programs_database_is_left_alone(ledger: Ledger) -> None:
    ledger.path.parent.mkdir()
    with sqlite3.connect(ledger.path) as connection:
        connection.execute("CREATE TABLE entries (x)")
    connection.close()
    for use in (ledger.entries, lambda: ledger.append("shop", EntryKind.LOOK, by="ana", payload={})):
        with pytest.raises(RecordError, match="this file is not a ledger"):
            use()


def test_ledger_of_a_later_version_is_left_alone(filled: Ledger) -> None:
    forge(filled, "PRAGMA user_version = 2")
    with pytest.raises(RecordError, match=r"one of a later version; found .* format 2; .*next: upgrade"):
        filled.entries()


def test_entry_kind_of_a_later_version_asks_for_an_upgrade(filled: Ledger) -> None:
    forge(filled, "UPDATE entries SET kind = 'prophecy' WHERE seq = 4")
    rehash(filled)
    with pytest.raises(RecordError, match="entry 4 is of a later version: 'prophecy'"):
        filled.entries()


def test_folder_that_cannot_be_made_is_a_record_error(tmp_path: Path) -> None:
    (tmp_path / "record").write_text("a file where the folder should be")
    ledger = Ledger(tmp_path / "record" / "ledger.sqlite")
    assert ledger.entries() == []
    with pytest.raises(RecordError, match=r"the ledger cannot be opened: .*next: check that record/"):
        ledger.append("shop", EntryKind.LOOK, by="ana", payload={})


def test_path_with_signs_of_an_address_is_still_a_path(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a?mode=ro#b %20ü" / "ledger.sqlite")
    ledger.append("shop", EntryKind.LOOK, by="ana", payload={})
    assert ledger.path.exists()
    assert ledger.verify().seq == 1


def test_one_file_is_the_whole_record(filled: Ledger, tmp_path: Path) -> None:
    assert [path.name for path in filled.path.parent.iterdir()] == ["ledger.sqlite"]
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(filled.path.read_bytes())
    copy.chmod(0o444)
    assert Ledger(copy).verify() == filled.verify()
