"""Registered experiments are served as they were sealed, and only then, and never fail a request."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from xp_pipeline.delivery import (
    Assigned,
    ExposureLog,
    MemoryStore,
    Pyrosper,
    RegisteredExperiment,
    SqliteStore,
    StoredExperiment,
    Symbol,
    assigner,
    read_design,
)
from xp_pipeline.delivery.errors import CorruptStateError, RegistrationError, StoreError
from xp_pipeline.delivery.programs import program_assigner
from xp_pipeline.errors import DataError, PhaseOrderError, SpecError, TamperError
from xp_pipeline.language import Program
from xp_pipeline.language.buckets import bucket, choose
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline_tests.delivery.duties import greetings
from xp_pipeline_tests.delivery.shop import DURING, END, START, seal, shop

CHECKOUT: Symbol[str] = Symbol("checkout")
PAGES: Symbol[int] = Symbol("pages")


def _clock(at: datetime = DURING) -> Callable[[], datetime]:
    return lambda: at


def _served(root: Path, **options: Any) -> RegisteredExperiment:
    return RegisteredExperiment.open(root, "checkout", clock=options.pop("clock", _clock()), **options)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose design is sealed; tests do not change it."""
    return shop(tmp_path_factory.mktemp("shop"))


def test_the_design_is_what_was_sealed(root: Path) -> None:
    design = read_design(root, "checkout")
    assert (design.experiment, design.control) == ("checkout", "control")
    assert design.arms == ("control", "one_page", "guest")
    assert design.shares == pytest.approx({"control": 0.5, "one_page": 0.3, "guest": 0.2})
    assert (design.rule, design.salt, design.start, design.end) == ("v2", "checkout", START, END)
    assert read_design(root / "experiments", "checkout") == design


def test_units_get_the_arm_of_the_bucket_rule_and_hold_it(root: Path) -> None:
    experiment = _served(root)
    shares = experiment.design.shares or {}
    choices = {user: experiment.choose_sync(user) for user in (*range(300), "ü", "", 0)}
    for user, choice in choices.items():
        arm = experiment.variants[choice.index].name
        assert arm == choose(bucket("checkout", user), shares)
        assert choice.propensity == pytest.approx(shares[arm])
        assert choice.version == f"v2@{experiment.design.digest[:12]}"
    assert {user: _served(root).choose_sync(user) for user in choices} == choices
    counts = Counter(choice.index for choice in choices.values())
    assert 110 < counts[0] < 195  # 151.5 expected, sd 8.7


def test_the_arms_pick_their_names_or_what_they_are_given(root: Path) -> None:
    pyrosper = Pyrosper().with_experiment(_served(root))
    assert pyrosper.set_for_user_sync(1).pick(CHECKOUT) in ("control", "one_page", "guest")
    assert pyrosper.set_for_user_sync(None).pick(CHECKOUT) == "control"
    given = {"control": {PAGES: 3}, "one_page": {PAGES: 1}, "guest": {PAGES: 2}}
    assert Pyrosper().with_experiment(_served(root, picks=given)).set_for_user_sync(1).pick(PAGES) in (1, 2, 3)


@pytest.mark.parametrize(
    ("picks", "found"),
    [
        ({"control": {PAGES: 3}, "one_page": {PAGES: 1}}, "nothing for guest"),
        ({"control": {}, "one_page": {}, "guest": {}, "gest": {}}, "found gest.*did you mean 'guest'"),
        ({}, "nothing for control"),
    ],
)
def test_picks_of_other_arms_are_refused(root: Path, picks: dict[str, Any], found: str) -> None:
    with pytest.raises(RegistrationError, match=found):
        _served(root, picks=picks)


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (START - timedelta(microseconds=1), "outside"),
        (START, "assigned"),
        (END - timedelta(microseconds=1), "assigned"),
        (END, "outside"),
    ],
)
def test_it_is_served_from_start_to_end(root: Path, tmp_path: Path, at: datetime, reason: str) -> None:
    log = ExposureLog(tmp_path, every=60)
    pyrosper = Pyrosper().with_experiment(_served(root, clock=_clock(at), log=log, store=MemoryStore()))
    served = {pyrosper.set_for_user_sync(user).pick(CHECKOUT) for user in range(40)}
    assert served == ({"control"} if reason == "outside" else {"control", "one_page", "guest"})
    assert pyrosper.set_for_user_sync(1).choices["checkout"].reason == reason
    assert log.stats.offered == (0 if reason == "outside" else 40)
    log.close()


def test_exposures_are_logged_once_with_everything(root: Path, tmp_path: Path) -> None:
    log = ExposureLog(tmp_path, every=60)
    experiment = _served(root, log=log)
    pyrosper = Pyrosper().with_experiment(experiment)
    for _ in range(3):
        picks = pyrosper.set_for_user_sync(7)
        arm = picks.pick(CHECKOUT)
        picks.pick(CHECKOUT)
    log.close()
    propensity = read_design(root, "checkout").shares[arm]  # type: ignore[index]
    row = f"7,checkout,{arm},{propensity},v2@{experiment.design.digest[:12]},2026-03-04T12:00:00.000000+00:00"
    (file,) = tmp_path.glob("*.csv")
    assert file.read_text().splitlines() == ["unit,experiment,variant,propensity,version,at", row]


def test_a_stored_assignment_outlives_the_design(root: Path, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    before = {user: _served(root, store=store).choose_sync(user) for user in range(60)}

    def everybody_new(fields: object) -> Assigned:
        return Assigned("guest", 1.0, "amended")

    amended = _served(root, store=store, assign=everybody_new)
    assert {user: amended.choose_sync(user) for user in range(60)} == before
    assert amended.choose_sync("new") == amended.choose_sync("new")
    assert amended.choose_sync("new").version == "amended"


def test_the_switch_reaches_every_process_that_shares_the_store(root: Path, tmp_path: Path) -> None:
    one, other = (_served(root, store=SqliteStore(tmp_path / "store.sqlite"), refresh=0.0) for _ in range(2))
    treated = next(user for user in range(50) if one.choose_sync(user).index)
    other.disable_sync()
    pyrosper = Pyrosper().with_experiment(one)
    picks = pyrosper.set_for_user_sync(treated)
    assert (picks.pick(CHECKOUT), picks.choices["checkout"].reason) == ("control", "disabled")
    asyncio.run(other.enable())
    assert pyrosper.set_for_user_sync(treated).pick(CHECKOUT) != "control"
    asyncio.run(other.disable())
    assert one.choose_sync(treated).reason == "disabled"


def test_without_a_store_the_switch_is_this_objects(root: Path) -> None:
    experiment = _served(root)
    treated = next(user for user in range(50) if experiment.choose_sync(user).index)
    experiment.disable_sync()
    assert experiment.choose_sync(treated).reason == "disabled"
    experiment.enable_sync()
    assert experiment.choose_sync(treated).reason == "assigned"


def test_a_locked_store_serves_control_to_the_new_and_their_arm_to_the_known(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store.sqlite"
    log = ExposureLog(tmp_path / "log", every=60)
    experiment = _served(root, store=SqliteStore(path, timeout=0.05), log=log)
    pyrosper = Pyrosper().with_experiment(experiment)
    treated = next(user for user in range(50) if experiment.choose_sync(user).index)
    new = next(user for user in range(50, 99) if experiment._assign({"unit": user}).arm != "control")  # type: ignore[union-attr]
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with caplog.at_level(logging.ERROR):
        assert pyrosper.set_for_user_sync(treated).pick(CHECKOUT) != "control"
        picks = pyrosper.set_for_user_sync(new)
    assert (picks.pick(CHECKOUT), picks.choices["checkout"].reason) == ("control", "store_error")
    assert "serves control" in caplog.text
    assert log.stats.offered == 1
    restarted = _served(root, store=SqliteStore(path, timeout=0.05))
    assert restarted.choose_sync(treated) == experiment.choose_sync(treated)
    holder.execute("ROLLBACK")
    holder.close()
    assert pyrosper.set_for_user_sync(new).pick(CHECKOUT) != "control"
    log.close()


def test_the_switch_as_last_seen_holds_while_the_store_is_down(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    experiment = _served(root, store=store, refresh=0.0)
    known = experiment.choose_sync("u")

    def down(name: str) -> None:
        raise StoreError("down")

    monkeypatch.setattr(store, "experiment", down)
    with caplog.at_level(logging.ERROR):
        assert experiment.choose_sync("u") == known
    assert "the stored switch cannot be read" in caplog.text
    with pytest.raises(StoreError, match="down"):
        _served(root, store=store).choose_sync("u")


def test_another_experiment_of_the_name_in_the_store_is_told(root: Path) -> None:
    store = MemoryStore()
    StoredExperiment("checkout", greetings(), store=store).enable_sync()
    with pytest.raises(StoreError, match="not this registered one"):
        _served(root, store=store).choose_sync("u")
    picks = Pyrosper().with_experiment(_served(root, store=store)).set_for_user_sync("u")
    assert (picks.pick(CHECKOUT), picks.choices["checkout"].reason) == ("control", "store_error")


def test_memory_of_users_is_bounded(root: Path) -> None:
    experiment = _served(root, remember=10)
    first = [experiment.choose_sync(user) for user in range(30)]
    assert len(experiment._known) == 10
    assert [experiment.choose_sync(user) for user in range(30)] == first


def test_the_async_forms(root: Path, tmp_path: Path) -> None:
    experiment = _served(root, store=SqliteStore(tmp_path / "store.sqlite"))
    pyrosper = Pyrosper().with_experiment(experiment)

    async def request(user: int) -> bool:
        picks = await pyrosper.set_for_user(user)
        await asyncio.sleep(0)
        return pyrosper.pick(CHECKOUT) == picks.pick(CHECKOUT) == picks.variant("checkout")

    async def main() -> list[bool]:
        return await asyncio.gather(*(request(user % 20) for user in range(60)))

    assert all(asyncio.run(main()))
    assert all(experiment.store.assignment("checkout", str(user)) for user in range(20))  # type: ignore[union-attr]


def test_ids_that_are_none(root: Path) -> None:
    for user in (1.5, "\\N", b"x"):
        with pytest.raises(DataError, match="no id of a user"):
            _served(root).choose_sync(user)  # type: ignore[arg-type]


def test_an_experiment_of_the_same_name_is_refused(root: Path) -> None:
    pyrosper = Pyrosper().with_experiment(_served(root))
    with pytest.raises(RegistrationError, match="registered already"):
        pyrosper.with_experiment(StoredExperiment("checkout", greetings(), store=MemoryStore()))


def test_what_is_not_registered_or_not_designed_is_not_served(tmp_path: Path) -> None:
    shop(tmp_path, sealed=False)
    with pytest.raises(PhaseOrderError, match="not registered; next: xp register checkout"):
        read_design(tmp_path, "checkout")
    from xp_pipeline.lifecycle.register import register

    register(Workspace.open(tmp_path, by="test"), "checkout")
    with pytest.raises(PhaseOrderError, match=r"no sealed design.*xp run checkout"):
        read_design(tmp_path, "checkout")
    seal(tmp_path)
    assert read_design(tmp_path, "checkout").control == "control"
    with pytest.raises(SpecError, match=r"no xp\.yaml"):
        read_design(tmp_path.parent, "checkout")


def test_a_broken_seal_is_not_served(tmp_path: Path) -> None:
    shop(tmp_path)
    (file,) = (tmp_path / "lake" / "artifacts" / "checkout" / "design").rglob("design.json")
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "shares": {"control": 0.0, "one_page": 1.0, "guest": 0.0}}))
    with pytest.raises(TamperError, match="not what was sealed"):
        RegisteredExperiment.open(tmp_path, "checkout")


def test_an_unknown_split_is_not_served(tmp_path: Path) -> None:
    shop(tmp_path, assignment={"control": "a", "arms": ["a", "b"], "weights": "unknown"})
    with pytest.raises(SpecError, match="unknown split cannot be served; next: state its weights"):
        RegisteredExperiment.open(tmp_path, "checkout")


def test_an_arm_of_weight_zero_gets_nobody(tmp_path: Path) -> None:
    shop(tmp_path, assignment={"control": "a", "weights": {"a": 0.5, "off": 0, "b": 0.5}})
    experiment = _served(tmp_path)
    assert {experiment.choose_sync(user).index for user in range(100)} == {0, 2}


def test_a_stored_arm_that_the_design_does_not_have(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    _served(root, store=SqliteStore(path)).choose_sync("u")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE xp_assignments SET variant = 9")
    with pytest.raises(CorruptStateError, match="found 9"):
        _served(root, store=SqliteStore(path)).choose_sync("u")


PROGRAM = """
def checkout {
    salt: "program"
    splitters: user_id
    if country == "DE" { return "control" weighted 1, "guest" weighted 3 }
    else if country == "NO" { return "one_page" weighted 1 }
}
"""


def test_an_assignment_program_decides_by_fields(root: Path) -> None:
    design = read_design(root, "checkout")
    program = Program.parse(PROGRAM)
    experiment = _served(root, assign=program_assigner(program, design, unit="user_id"))
    for user in range(40):
        german = experiment.choose_sync(f"de{user}", {"country": "DE"})
        arm = experiment.variants[german.index].name
        assert arm == program.assign({"user_id": f"de{user}", "country": "DE"}).arm
        assert german.propensity == {"control": 0.25, "guest": 0.75}[arm]
    norwegian = experiment.choose_sync("no", {"country": "NO"})
    assert (norwegian.index, norwegian.propensity, norwegian.version[:3]) == (1, 1.0, "v2@")
    assert experiment.choose_sync("fr", {"country": "FR"}).reason == "outside"
    with pytest.raises(DataError, match="country"):
        experiment.choose_sync("nobody knows where", {})


def test_a_program_that_names_another_arm(root: Path) -> None:
    program = Program.parse('def p { splitters: unit return "gest" weighted 1, "control" weighted 1 }')
    with pytest.raises(SpecError, match=r"found gest.*did you mean 'guest'"):
        program_assigner(program, read_design(root, "checkout"))


def test_two_programs_have_two_versions(root: Path) -> None:
    design = read_design(root, "checkout")
    texts = [f'def p {{ splitters: unit return "guest" weighted {n}, "control" weighted 1 }}' for n in (1, 2)]
    versions = {program_assigner(Program.parse(text), design)({"unit": 1}).version for text in texts}  # type: ignore[union-attr]
    assert len(versions) == 2


def test_the_rule_of_a_design_is_a_function_of_the_unit(root: Path) -> None:
    rule = assigner(read_design(root, "checkout"))
    assert rule({"unit": 7}) == rule({"unit": "7", "country": "DE"})
