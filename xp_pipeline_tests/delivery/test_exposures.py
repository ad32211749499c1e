"""The exposure log: each unit once, across threads, processes, restarts and kills; never in a request's way."""

from __future__ import annotations

import csv
import errno
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from xp_pipeline.delivery import Exposure, ExposureLog, MemoryStore, Pyrosper, StoredExperiment
from xp_pipeline.delivery import journal as journal_module
from xp_pipeline.delivery.errors import StoreError
from xp_pipeline.delivery.journal import COLUMNS, JOURNAL, Journal
from xp_pipeline_tests.delivery.duties import GREETING, greetings


def _exposure(unit: object, experiment: str = "trial", variant: str = "a") -> Exposure:
    return Exposure(str(unit), experiment, variant, 0.5, "v2@abc")


def _write(journal: Journal, batch: list[Exposure]) -> None:
    journal.append(batch)
    journal.publish()


def _published(folder: Path) -> list[dict[str, str]]:
    rows = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows += list(csv.DictReader(file))
    return rows


def _units(folder: Path) -> list[str]:
    return [row["unit"] for row in _published(folder)]


def test_what_is_offered_is_published(tmp_path: Path) -> None:
    log = ExposureLog(tmp_path, every=60)
    assert log.offer(_exposure("ü,\n\"'"))
    assert log.offer(Exposure("", "trial", "b", None, "", "2026-01-01T00:00:00.000000+00:00"))
    assert log.stats.unflushed == 2
    assert log.flush(10)
    rows = _published(tmp_path)
    assert tuple(rows[0]) == COLUMNS
    assert rows[0] | {"at": ""} == {
        "unit": "ü,\n\"'",
        "experiment": "trial",
        "variant": "a",
        "propensity": "0.5",
        "version": "v2@abc",
        "at": "",
    }
    assert rows[0]["at"].endswith("+00:00")
    assert (rows[1]["unit"], rows[1]["propensity"], rows[1]["at"][:10]) == ("", "\\N", "2026-01-01")
    assert log.stats == (2, 2, 0, 0, 0, 0)
    log.close()


def test_a_unit_counts_once_per_experiment(tmp_path: Path) -> None:
    log = ExposureLog(tmp_path, every=0.01)
    for _ in range(3):
        log.offer(_exposure(1))
        log.offer(_exposure(1, "other"))
        log.offer(_exposure(1, variant="b"))
    log.close()
    again = ExposureLog(tmp_path, every=0.01)
    again.offer(_exposure(1, variant="c"))
    again.offer(_exposure(2))
    again.close()
    assert [(r["unit"], r["experiment"], r["variant"]) for r in _published(tmp_path)] == [
        ("1", "trial", "a"),
        ("1", "other", "a"),
        ("2", "trial", "a"),
    ]
    assert again.stats[:3] == (2, 1, 1)


def test_threads_share_a_log(tmp_path: Path) -> None:
    log = ExposureLog(tmp_path, every=0.005)
    threads = [threading.Thread(target=lambda: [log.offer(_exposure(u)) for u in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert sorted(_units(tmp_path), key=int) == [str(u) for u in range(500)]
    assert (log.stats.offered, log.stats.logged, log.stats.repeated) == (2000, 500, 1500)


def test_files_are_final_when_they_are_full(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_rows=10)
    _write(journal, [_exposure(u) for u in range(4)])
    _write(journal, [_exposure(u) for u in range(4, 27)])
    names = [path.name for path in sorted(tmp_path.glob("*.csv"))]
    assert names == [f"exposures-{first:012d}.csv" for first in (1, 11, 21)]
    final = [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("*.csv"))[:2]]
    _write(journal, [_exposure(27)])
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("*.csv"))[:2]] == final
    assert _units(tmp_path) == [str(u) for u in range(28)]
    journal.close()


def test_killed_between_commit_and_publishing_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    _write(journal, [_exposure(1)])
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "publish", lambda self: None)
        _write(journal, [_exposure(2)])
    assert _units(tmp_path) == ["1"]
    _write(Journal(tmp_path), [_exposure(2), _exposure(3)])
    assert _units(tmp_path) == ["1", "2", "3"]


def test_killed_while_publishing_the_same_file_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    _write(journal, [_exposure(1)])

    def die(self: Journal, connection: object) -> None:
        published(self, connection)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    published = Journal._publish_next
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_publish_next", die)
        with pytest.raises(KeyboardInterrupt):
            _write(journal, [_exposure(2)])
    assert _units(tmp_path) == ["1", "2"]
    _write(Journal(tmp_path), [_exposure(3)])
    assert _units(tmp_path) == ["1", "2", "3"]


def test_the_journal_only_appends(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    _write(journal, [_exposure(1)])
    journal.close()
    connection = sqlite3.connect(tmp_path / JOURNAL)
    for statement in ("UPDATE exposures SET variant = 'b'", "DELETE FROM exposures"):
        with pytest.raises(sqlite3.IntegrityError, match="only appends"):
            connection.execute(statement)
    connection.close()


def test_a_full_queue_drops_counts_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = ExposureLog(tmp_path, capacity=3, every=60)
    with caplog.at_level(logging.ERROR):
        offered = [log.offer(_exposure(u)) for u in range(5)]
    assert offered == [True, True, True, False, False]
    assert (log.stats.dropped, log.stats.unflushed) == (2, 3)
    assert "the exposure log is full: 1 exposures dropped" in caplog.text
    log.flush(10)
    assert log.offer(_exposure(3))
    log.close()
    assert _units(tmp_path) == ["0", "1", "2", "3"]


def test_offering_never_waits_for_a_locked_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _write(Journal(tmp_path), [_exposure("first")])
    holder = sqlite3.connect(tmp_path / JOURNAL, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    log = ExposureLog(tmp_path, every=0.001)
    log._journal = Journal(tmp_path, timeout=1.0)
    slowest = 0.0
    with caplog.at_level(logging.ERROR):
        for unit in range(200):
            began = time.perf_counter()
            log.offer(_exposure(unit))
            slowest = max(slowest, time.perf_counter() - began)
            time.sleep(0.001)
        assert not log.flush(1.5)
    assert slowest < 0.5  # the lock was held for all of it, and a write waits for it for a second
    assert log.stats.failures > 0
    assert "will try again" in caplog.text
    holder.execute("ROLLBACK")
    holder.close()
    assert log.flush(10)
    log.close()
    assert sorted(_units(tmp_path)) == sorted(["first", *map(str, range(200))])


def test_what_no_file_can_hold_is_dropped_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = ExposureLog(tmp_path, every=60)
    for unit in ("1", "\ud800", "2"):
        log.offer(_exposure(unit))
    with caplog.at_level(logging.ERROR):
        assert log.flush(10)
    log.close()
    assert _units(tmp_path) == ["1", "2"]
    assert (log.stats.logged, log.stats.dropped, log.stats.unflushed) == (2, 1, 0)
    assert "cannot be written" in caplog.text


def test_a_folder_that_cannot_be_made_fails_no_request(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        _write(Journal(tmp_path / "file" / "exposures"), [_exposure(1)])
    log = ExposureLog(tmp_path / "file" / "exposures", every=0.001)
    experiment = StoredExperiment("greetings", greetings(), store=MemoryStore(), log=log)
    experiment.enable_sync()
    assert Pyrosper().with_experiment(experiment).set_for_user_sync("u").pick(GREETING)
    assert not log.flush(0.2)
    log.close(0.1)
    assert log.stats.unflushed == 1


def test_a_full_disk_fails_no_pick_and_loses_nothing_in_the_queue(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = ExposureLog(tmp_path, every=0.001, capacity=20_000)
    log.offer(_exposure("first"))
    assert log.flush(10)
    with log._journal._file.using() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own SQLITE_FULL from now on
    experiment = StoredExperiment("greetings", greetings(), store=MemoryStore(), log=log)
    experiment.enable_sync()
    pyrosper = Pyrosper().with_experiment(experiment)
    with caplog.at_level(logging.ERROR):
        for user in range(2000):
            assert pyrosper.set_for_user_sync(user).pick(GREETING)
        assert not log.flush(0.3)
    assert "full" in caplog.text
    assert log.stats.failures > 0
    assert log.stats.logged + log.stats.unflushed == 2001
    with log._journal._file.using() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    assert log.flush(10)
    log.close()
    assert len(_units(tmp_path)) == 2001


def test_files_that_cannot_be_published_are_published_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = ExposureLog(tmp_path, every=0.001)

    def refuse(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(journal_module, "publish_bytes", refuse)
        log.offer(_exposure(1))
        assert not log.flush(0.2)
    assert "No space left" in caplog.text
    assert log.flush(10)
    log.close()
    assert _units(tmp_path) == ["1"]
    assert log.stats[:5] == (1, 1, 0, 0, 0)


def test_an_exposure_is_the_first_pick_not_the_assignment(tmp_path: Path) -> None:
    log = ExposureLog(tmp_path, every=60)
    experiment = StoredExperiment("greetings", greetings(), store=MemoryStore(), log=log)
    pyrosper = Pyrosper().with_experiment(experiment)
    pyrosper.set_for_user_sync("early").pick(GREETING)
    experiment.enable_sync()
    pyrosper.set_for_user_sync("never picks")
    pyrosper.set_for_user_sync(None).pick(GREETING)
    experiment.use_variant("casual")
    pyrosper.set_for_user_sync("previews").pick(GREETING)
    experiment.reset()
    picks = pyrosper.set_for_user_sync("picks")
    for _ in range(3):
        picks.pick(GREETING)
    experiment.get_variant_sync("gets")
    off = pyrosper.set_for_user_sync("switched off")
    experiment.safe_disable()
    off.pick(GREETING)
    log.close()
    assert _units(tmp_path) == ["picks", "gets"]
    assert {row["version"] for row in _published(tmp_path)} == {"fixed@1"}


def test_a_log_that_raises_fails_no_pick(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(ExposureLog):
        def offer(self, exposure: Exposure) -> bool:
            raise KeyError("bug")

    experiment = StoredExperiment("greetings", greetings(), store=MemoryStore(), log=Broken(tmp_path))
    experiment.enable_sync()
    with caplog.at_level(logging.ERROR):
        assert Pyrosper().with_experiment(experiment).set_for_user_sync("u").pick(GREETING)
    assert "the exposure was not logged" in caplog.text


def test_an_overflowing_exposure_is_offered_again_at_the_next_pick(tmp_path: Path) -> None:
    log = ExposureLog(tmp_path, capacity=1, every=60)
    log.offer(_exposure("other"))
    experiment = StoredExperiment("greetings", greetings(), store=MemoryStore(), log=log)
    experiment.enable_sync()
    picks = Pyrosper().with_experiment(experiment).set_for_user_sync("u")
    picks.pick(GREETING)
    log.flush(10)
    picks.pick(GREETING)
    log.close()
    assert _units(tmp_path) == ["other", "u"]


def test_a_fork_logs_for_itself(tmp_path: Path) -> None:
    log = ExposureLog(tmp_path, every=60)
    log.offer(_exposure("parent"))
    child = os.fork()
    if child == 0:
        log.offer(_exposure("child"))
        os._exit(0 if log.flush(10) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert _units(tmp_path) == ["child"]
    log.close()
    assert _units(tmp_path) == ["child", "parent"]


def test_what_is_queued_is_written_when_the_interpreter_ends(tmp_path: Path) -> None:
    program = (
        "import sys; from xp_pipeline.delivery import Exposure, ExposureLog; "
        "ExposureLog(sys.argv[1], every=60).offer(Exposure('1', 'trial', 'a', 0.5, ''))"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    assert _units(tmp_path) == ["1"]


SERVER = """
import sys
from xp_pipeline.delivery import Exposure, ExposureLog
log = ExposureLog(sys.argv[1], every=0.02, segment_rows=200)
for unit in range(int(sys.argv[2]), int(sys.argv[3])):
    log.offer(Exposure(str(unit), "trial", "a", 0.5, "v"))
    if unit % 50 == 49:
        log.flush()
        print(unit, flush=True)
"""


def test_killed_while_logging_it_keeps_what_was_flushed_and_counts_nothing_twice(tmp_path: Path) -> None:
    for turn in range(3):
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(tmp_path), "0", "100000"], stdout=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        for _ in range(3 + 2 * turn):
            flushed = int(server.stdout.readline())
        server.send_signal(signal.SIGKILL)
        rest = server.communicate()[0].split()
        flushed = int(rest[-1]) if rest else flushed
        units = [int(unit) for unit in _units(tmp_path)]
        assert len(units) == len(set(units))
        assert set(range(flushed + 1)) <= set(units)
    last = ExposureLog(tmp_path)
    for unit in range(flushed + 200):
        last.offer(_exposure(unit))
    last.close()
    assert sorted(map(int, _units(tmp_path))) == list(range(flushed + 200))


HURRIED = """
import sys
from xp_pipeline.delivery import Exposure, ExposureLog
log = ExposureLog(sys.argv[1], capacity=40, every=0.005)
unit = 0
while True:
    if log.offer(Exposure(str(unit), "trial", "a", 0.5, "v")):
        print(unit, flush=True)
        unit += 1
"""


def test_killed_without_a_flush_it_loses_at_most_its_capacity(tmp_path: Path) -> None:
    server = subprocess.Popen([sys.executable, "-c", HURRIED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    accepted = [int(server.stdout.readline()) for _ in range(500)]
    server.send_signal(signal.SIGKILL)
    accepted += map(int, server.communicate()[0].splitlines())
    Journal(tmp_path).publish()
    units = sorted(map(int, _units(tmp_path)))
    assert units == list(range(len(units)))
    # The last one may have been accepted and written, and the process killed before it could say so.
    assert -1 <= len(accepted) - len(units) <= 40


def test_processes_share_a_log(tmp_path: Path) -> None:
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", SERVER, str(tmp_path), str(100 * i), str(100 * i + 300)], stdout=subprocess.DEVNULL
        )
        for i in range(3)
    ]
    assert [server.wait(60) for server in servers] == [0, 0, 0]
    assert sorted(map(int, _units(tmp_path))) == list(range(500))
