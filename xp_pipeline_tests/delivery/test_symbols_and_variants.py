"""Symbols are one per description; variants are read-only and say what they do not know."""

from __future__ import annotations

import copy
import gc
import pickle
import threading

import pytest

from xp_pipeline.delivery import Symbol, Variant
from xp_pipeline.delivery.symbols import _KNOWN
from xp_pipeline.delivery.variants import unit_text
from xp_pipeline.errors import DataError, XpError


def test_one_description_is_one_symbol() -> None:
    symbol: Symbol[int] = Symbol("limit")
    assert symbol is Symbol("limit")
    assert symbol == Symbol[int]("limit")
    assert symbol != Symbol("other")
    assert str(symbol) == "Symbol(limit)"
    assert len({symbol, Symbol("limit"), Symbol("other")}) == 2


def test_a_symbol_survives_copies_and_processes() -> None:
    symbol: Symbol[int] = Symbol("limit")
    assert copy.deepcopy(symbol) is symbol
    assert pickle.loads(pickle.dumps(symbol)) is symbol


def test_a_symbol_does_not_change() -> None:
    with pytest.raises(AttributeError):
        Symbol("limit").description = "other"


def test_threads_make_one_symbol() -> None:
    made: list[Symbol[str]] = []
    barrier = threading.Barrier(8)

    def make() -> None:
        barrier.wait()
        made.append(Symbol("made by threads"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(symbol) for symbol in made}) == 1


def test_forgotten_symbols_take_no_room() -> None:
    for i in range(100):
        Symbol(f"passing {i}")
    gc.collect()
    assert not [name for name in list(_KNOWN) if name.startswith("passing")]


def test_a_variant_knows_its_picks_and_says_what_it_does_not_know() -> None:
    variant = Variant("control", {Symbol("limit"): 3, "plain text": 4})
    assert variant.get_pick(Symbol("limit")) == 3
    assert variant.get_pick("plain text") == 4
    with pytest.raises(KeyError, match=r"^control: no value for this symbol; found Symbol\(limits\)"):
        variant.get_pick(Symbol("limits"))
    with pytest.raises(XpError):
        variant.get_pick("other")


def test_a_variant_keeps_its_own_copy() -> None:
    picks = {Symbol("limit"): 3}
    variant = Variant("control", picks)
    picks[Symbol("limit")] = 4
    assert variant.get_pick(Symbol("limit")) == 3
    with pytest.raises(TypeError):
        variant.picks[Symbol("limit")] = 5  # type: ignore[index]


@pytest.mark.parametrize(("user", "text"), [(0, "0"), ("", ""), (-7, "-7"), ("ü\n,\"'", "ü\n,\"'"), (True, "true")])
def test_every_id_is_a_text(user: str | int, text: str) -> None:
    assert unit_text(user) == text


@pytest.mark.parametrize("user", [None, 1.0, b"x", "a\0b", "\ud800", "\\N", ("a",)])
def test_what_no_database_holds_is_no_id(user: object) -> None:
    with pytest.raises(DataError, match="no id of a user"):
        unit_text(user)  # type: ignore[arg-type]
