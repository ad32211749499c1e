"""Experiments on every kind of store: sticky, atomic, honest about a store that fails."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from xp_pipeline.delivery import FixedWeights, MemoryStore, Pyrosper, SqliteStore, Store, StoredExperiment, UserVariant
from xp_pipeline.delivery.algorithms.fixed import Shares
from xp_pipeline.delivery.errors import CorruptStateError, StoreError, UnknownNameError
from xp_pipeline.errors import DataError, RecordError
from xp_pipeline_tests.delivery.duties import GREETING, greetings


class Counting(FixedWeights):
    """Equal shares for ever, but it remembers the sum of rewards of each arm in its state."""

    name = "counting"

    def initial(self, arms: int) -> Shares:
        return (0.0,) * arms

    def propensities(self, state: Shares) -> Shares:
        return (1 / len(state),) * len(state)

    def choose(self, state: Shares, u: float):  # type: ignore[no-untyped-def]
        return super().choose(self.propensities(state), u)

    def reward(self, state: Shares, index: int, score: float) -> Shares:
        super().reward(state, index, score)
        return tuple(s + score * (i == index) for i, s in enumerate(state))

    def load(self, document) -> Shares:  # type: ignore[no-untyped-def]
        return tuple(document["shares"])


def _experiment(store: Store, **options: object) -> StoredExperiment:
    return StoredExperiment("greetings", greetings(), store=store, **options)  # type: ignore[arg-type]


def _enabled(store: Store, **options: object) -> StoredExperiment:
    experiment = _experiment(store, **options)
    experiment.enable_sync()
    return experiment


def _sum(experiment: StoredExperiment) -> float:
    row = experiment.store.algorithm(experiment.id)
    assert row is not None
    return sum(experiment._loaded(row.state))


def test_assignments_hold_and_split_as_designed(store: Store) -> None:
    experiment = _enabled(store, algorithm=FixedWeights([1, 1, 2]))
    first = [experiment.choose_sync(user) for user in range(300)]
    again = [experiment.choose_sync(user) for user in range(300)]
    assert first == again
    assert {c.propensity for c in first} == {0.25, 0.5}
    assert {c.version for c in first} == {"fixed@1"}
    counts = Counter(c.index for c in first)
    assert 110 < counts[2] < 190  # 150 expected, sd 8.7


def test_text_and_number_of_one_id_are_one_user(store: Store) -> None:
    experiment = _enabled(store)
    assert experiment.choose_sync(7) == experiment.choose_sync("7")
    assert experiment.complete_for_user_sync("7", 1.0)
    assert not experiment.complete_for_user_sync(7, 1.0)


@pytest.mark.parametrize("user", [0, "", "ü'\"\n", "x" * 5000])
def test_every_id_can_be_stored(store: Store, user: str | int) -> None:
    experiment = _enabled(store)
    chosen = experiment.choose_sync(user)
    assert store.assignment(experiment.id, str(user)) is not None
    assert experiment.choose_sync(user) == chosen


def test_the_first_writer_wins(store: Store) -> None:
    experiment = _enabled(store)
    one = store.assign(UserVariant(experiment.id, 1, "u", None, 0.3, "a@1"))
    two = store.assign(UserVariant(experiment.id, 2, "u", None, None, "b@1"))
    assert one == two == UserVariant(experiment.id, 1, "u", None, 0.3, "a@1")


@pytest.mark.parametrize("propensity", [None, 1 / 3, 1.0])
def test_what_assigning_gives_is_what_is_stored(store: Store, propensity: float | None) -> None:
    experiment = _enabled(store)
    given = store.assign(UserVariant(experiment.id, 2, "u", None, propensity, "a@1"))
    assert given == store.assignment(experiment.id, "u") == UserVariant(experiment.id, 2, "u", None, propensity, "a@1")


def test_threads_that_assign_one_user_differently_agree(store: Store) -> None:
    experiment = _enabled(store)
    seen: list[list[int]] = [[] for _ in range(3)]
    together = threading.Barrier(3)

    def assign(mine: int) -> None:
        together.wait()
        for user in range(100):
            held = store.assign(UserVariant(experiment.id, mine, str(user), None, None, f"{mine}@1"))
            assert held is not None
            assert held.version == f"{held.index}@1"
            seen[mine].append(held.index)

    threads = [threading.Thread(target=assign, args=(mine,)) for mine in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = [store.assignment(experiment.id, str(user)) for user in range(100)]
    assert seen == [[row.index for row in stored if row]] * 3


def test_what_is_disabled_or_gone_takes_no_assignment(store: Store) -> None:
    experiment = _enabled(store)
    row = UserVariant(experiment.id, 1, "u", None, 0.3, "a@1")
    store.switch("greetings", is_enabled=False)
    assert store.assign(row) is None
    assert not store.reward(experiment.id, "u", lambda row, state: state)
    store.remove("greetings")
    assert store.assign(row) is None
    assert store.assignment(experiment.id, "u") is None
    assert store.switch("greetings", is_enabled=True) is None


def test_the_switch_is_followed_and_keeps_assignments(store: Store) -> None:
    experiment = _enabled(store)
    treated = next(u for u in range(50) if experiment.choose_sync(u).index == 2)
    store.switch("greetings", is_enabled=False)
    pyrosper = Pyrosper().with_experiment(experiment)
    assert pyrosper.set_for_user_sync(treated).pick(GREETING) == "Hello!"
    assert experiment.choose_sync(treated).reason == "disabled"
    store.switch("greetings", is_enabled=True)
    assert pyrosper.set_for_user_sync(treated).pick(GREETING) == "Hey!"


def test_disable_removes_everything_at_once_and_enable_begins_anew(store: Store) -> None:
    experiment = _enabled(store, algorithm=Counting())
    experiment.choose_sync("u")
    assert experiment.complete_for_user_sync("u", 3.0)
    before = experiment.id
    experiment.choose_sync("u")
    experiment.disable_sync()
    assert (experiment.is_enabled, experiment.id, store.experiment("greetings")) == (False, None, None)
    assert store.assignment(before, "u") is None
    assert store.algorithm(before) is None
    with pytest.raises(UnknownNameError):
        experiment.disable_sync()
    experiment.enable_sync()
    assert experiment.id != before
    assert _sum(experiment) == 0


def test_enabling_twice_keeps_what_was_learned(store: Store) -> None:
    experiment = _enabled(store, algorithm=Counting())
    experiment.choose_sync("u")
    experiment.complete_for_user_sync("u", 3.0)
    experiment.enable_sync()
    assert _sum(experiment) == 3.0


def test_rewards_count_once_and_fail_whole(store: Store) -> None:
    experiment = _enabled(store, algorithm=Counting())
    experiment.choose_sync("u")
    with pytest.raises(DataError, match="finite"):
        experiment.complete_for_user_sync("u", float("nan"))
    assert _sum(experiment) == 0
    assert [experiment.complete_for_user_sync("u", 0.5) for _ in range(3)] == [True, False, False]
    assert _sum(experiment) == 0.5
    assert experiment.choose_sync("u").version == "counting@2"


def test_rewards_from_threads_and_tasks_count_once(store: Store) -> None:
    experiment = _enabled(store, algorithm=Counting())
    for user in range(20):
        experiment.choose_sync(user)
    done: list[bool] = []

    def complete() -> None:
        done.extend(experiment.complete_for_user_sync(user, 1.0) for user in range(20))

    async def main() -> None:
        done.extend(await asyncio.gather(*(experiment.complete_for_user(user, 1.0) for user in range(20))))

    threads = [threading.Thread(target=complete) for _ in range(3)]
    for thread in threads:
        thread.start()
    asyncio.run(main())
    for thread in threads:
        thread.join()
    assert (sum(done), _sum(experiment)) == (20, 20.0)


def test_new_weights_are_published_to_whoever_knows_the_old(store: Store) -> None:
    experiment = _enabled(store)
    assert store.publish(experiment.id, '{"shares": [0, 0, 1]}', expected=1) == ('{"shares": [0, 0, 1]}', 2)
    assert store.publish(experiment.id, '{"shares": [1, 0, 0]}', expected=1) is None
    assert {experiment.choose_sync(u).index for u in range(30)} == {2}
    assert experiment.choose_sync(0).version == "fixed@2"
    assert store.publish("nobody", "{}") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"shares": []}', '{"shares": [-1, 2]}', '{"shares": "x"}'])
def test_a_corrupt_algorithm_state(store: Store, text: str, caplog: pytest.LogCaptureFixture) -> None:
    experiment = _enabled(store)
    known = experiment.choose_sync("known")
    store.publish(experiment.id, text)
    assert experiment.choose_sync("known") == known
    with pytest.raises(CorruptStateError, match="greetings: the stored state of the algorithm fixed cannot be read"):
        experiment.choose_sync("new")
    with pytest.raises(CorruptStateError):
        experiment.complete_for_user_sync("known", 1.0)
    assert store.assignment(experiment.id, "known") is not None
    with caplog.at_level(logging.ERROR):
        picks = Pyrosper().with_experiment(experiment).set_for_user_sync("new")
    assert (picks.pick(GREETING), picks.choices["greetings"].reason) == ("Hello!", "store_error")
    assert "cannot be read" in caplog.text


def test_the_async_forms(store: Store) -> None:
    async def main() -> None:
        experiment = _experiment(store, algorithm=Counting())
        pyrosper = Pyrosper().with_experiment(experiment)
        assert (await pyrosper.set_for_user("u")).pick(GREETING) == "Hello!"
        await experiment.enable()
        picks = await pyrosper.set_for_user("u")
        assert pyrosper.pick(GREETING) == picks.pick(GREETING)
        variant = await experiment.get_variant("u")
        assert variant is not None
        assert variant.name == picks.variant("greetings")
        assert (await experiment.choose(None)).reason == "anonymous"
        assert await experiment.complete_for_user("u", 1.0)
        await experiment.disable()
        assert pyrosper.pick(GREETING) == "Hello!"

    asyncio.run(main())


def test_a_replay_draws_the_same() -> None:
    one, two = _enabled(MemoryStore()), _enabled(MemoryStore())
    assert [one.choose_sync(u).index for u in range(50)] == [two.choose_sync(u).index for u in range(50)]


def test_a_locked_file_is_an_error_and_then_control(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    experiment = _enabled(SqliteStore(path, timeout=0.05))
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreError, match="locked; next: wait for the other process"):
            experiment.choose_sync("u")
        assert Pyrosper().with_experiment(experiment).set_for_user_sync("u").pick(GREETING) == "Hello!"
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    assert experiment.choose_sync("u").reason == "assigned"


def test_who_is_stored_is_served_while_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    before = _enabled(SqliteStore(path)).choose_sync("u")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    later = _experiment(SqliteStore(path, timeout=0.05))
    assert later.choose_sync("u") == before
    holder.close()


def test_the_time_of_an_assignment_is_stored_in_utc(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    experiment = _enabled(SqliteStore(path))
    began = datetime.now(UTC)
    for user in range(3):
        experiment.choose_sync(user)
    ended = datetime.now(UTC)
    with sqlite3.connect(path) as connection:
        told = [at for (at,) in connection.execute("SELECT assigned_at FROM xp_assignments ORDER BY assigned_at")]
    moments = [datetime.fromisoformat(at) for at in told]
    assert told == [moment.astimezone(UTC).isoformat(timespec="microseconds") for moment in moments]
    tick = timedelta(microseconds=1)  # clocks of nanoseconds are cut off here, and rounded there
    assert began - tick <= moments[0] <= moments[-1] <= ended + tick


def test_a_damaged_file_is_told_from_a_locked_one(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(CorruptStateError, match="damaged") as caught:
        _enabled(SqliteStore(path))
    assert isinstance(caught.value, RecordError)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="the store refused"):
        _enabled(SqliteStore(tmp_path / "file" / "store.sqlite"))


def test_a_fork_opens_a_connection_of_its_own(tmp_path: Path) -> None:
    experiment = _enabled(SqliteStore(tmp_path / "store.sqlite"))
    before = experiment.choose_sync("u")
    child = os.fork()
    if child == 0:
        same = experiment.choose_sync("u") == before and experiment.choose_sync("child").reason == "assigned"
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert experiment.store.assignment(experiment.id, "child") is not None


def test_a_closed_store_opens_again(store: Store) -> None:
    experiment = _enabled(store)
    before = experiment.choose_sync("u")
    store.close()
    assert experiment.choose_sync("u") == before


def test_a_server_that_is_down(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    from xp_pipeline.delivery.stores.sqlalchemy import SqlAlchemyStore

    store = SqlAlchemyStore(f"postgresql+psycopg://xp:secret@/postgres?host={tmp_path}", timeout=1)
    with pytest.raises(StoreError, match="the store refused") as caught:
        store.experiment("greetings")
    assert "secret" not in str(caught.value)
    with pytest.raises(StoreError, match="no address"):
        SqlAlchemyStore("nonsense")


def test_a_locked_table_is_waited_for_and_then_an_error(postgres: str) -> None:
    import sqlalchemy

    from xp_pipeline.delivery.stores.sqlalchemy import SqlAlchemyStore
    from xp_pipeline_tests.delivery.conftest import emptied

    emptied(postgres).close()
    experiment = _enabled(SqlAlchemyStore(postgres, timeout=0.2))
    engine = sqlalchemy.create_engine(postgres)
    with engine.begin() as holder:
        holder.execute(sqlalchemy.text("LOCK TABLE xp_assignments IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(StoreError, match="lock timeout"):
            experiment.choose_sync("u")
        assert Pyrosper().with_experiment(experiment).set_for_user_sync("u").pick(GREETING) == "Hello!"
    engine.dispose()
    assert experiment.choose_sync("u").reason == "assigned"
    experiment.store.close()


def test_a_server_that_was_restarted_is_reached_again(postgres: str) -> None:
    import sqlalchemy

    from xp_pipeline.delivery.stores.sqlalchemy import SqlAlchemyStore
    from xp_pipeline_tests.delivery.conftest import emptied

    emptied(postgres).close()
    experiment = _enabled(SqlAlchemyStore(postgres))
    before = experiment.choose_sync("u")
    engine = sqlalchemy.create_engine(postgres)
    with engine.begin() as other:
        ended = other.execute(
            sqlalchemy.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'xp' AND "
                "pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        )
        assert all(row[0] for row in ended)
    engine.dispose()
    assert experiment.choose_sync("u") == before
    experiment.store.close()


def test_without_the_driver_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from xp_pipeline.errors import XpError\n"
        "from xp_pipeline.delivery.stores.sqlalchemy import SqlAlchemyStore\n"
        "try:\n    SqlAlchemyStore('postgresql+psycopg://xp@127.0.0.1/db')\n"
        "except XpError as problem:\n    print(problem)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'xp_pipeline[postgres]'" in done.stdout
