"""Layers: experiments of one layer never share a unit, and what would make them share is refused."""

from __future__ import annotations

import itertools
import math
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.design.layers import Holdout, Layer, Slot, fit
from xp_pipeline.engine.duckdb import connect
from xp_pipeline.errors import SpecError
from xp_pipeline.language.buckets import bucket, choose

MAY, JUNE, JULY = (datetime(2026, month, 1) for month in (5, 6, 7))
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
UNITS = st.lists(st.one_of(NAMES, st.integers(-(2**70), 2**70)), min_size=1, max_size=60)


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """A layer whose experiments and holdouts were put wherever there was room."""
    cuts = sorted(draw(st.lists(st.floats(0, 1), min_size=3, max_size=9, unique=True)))
    pieces = list(itertools.pairwise(cuts))
    kinds = draw(st.lists(st.sampled_from(["slot", "slot", "holdout", "free"]), min_size=8, max_size=8))
    slots = tuple(Slot(f"e{i}", *p) for i, (p, kind) in enumerate(zip(pieces, kinds, strict=False)) if kind == "slot")
    holdouts = [Holdout(f"h{i}", *p) for i, (p, k) in enumerate(zip(pieces, kinds, strict=False)) if k == "holdout"]
    return Layer(draw(NAMES), slots, tuple(holdouts))


@given(layer=layers(), units=UNITS)
def test_two_experiments_of_a_layer_never_share_a_unit(layer: Layer, units: list[str | int]) -> None:
    for unit in units:
        takers = [slot.experiment for slot in layer.slots if layer.takes(slot.experiment, unit)]
        assert len(takers) <= 1
        assert layer.experiment_of(unit, MAY) == (takers[0] if takers else None)
        if layer.held_out(unit) is not None:
            assert not takers


@given(low=st.floats(0, 0.9), width=st.floats(0.01, 0.5), other_low=st.floats(0, 0.9), other_width=st.floats(0.01, 0.5))
def test_two_slots_are_accepted_exactly_when_no_bucket_is_in_both(
    low: float, width: float, other_low: float, other_width: float
) -> None:
    one, other = Slot("one", low, min(low + width, 1.0)), Slot("other", other_low, min(other_low + other_width, 1.0))
    if max(one.low, other.low) < min(one.high, other.high):
        with pytest.raises(SpecError, match=r"one .* and other .* would share units of layer pages"):
            Layer("pages", (one, other))
    else:
        assert Layer("pages", (one, other)).slots == (one, other)


def test_an_overlap_is_refused_with_names_ranges_and_time() -> None:
    slots = Slot("checkout", 0, 0.5, MAY, JULY), Slot("search", 0.4, 0.8, JUNE)
    with pytest.raises(SpecError) as refused:
        Layer("pages", slots)
    assert str(refused.value) == (
        "checkout [0, 0.5) and search [0.4, 0.8) would share units of layer pages; found buckets [0.4, 0.5) from "
        "2026-06-01 00:00:00 until 2026-07-01 00:00:00; next: move one of them to free buckets, or to another time"
    )


def test_buckets_pass_from_an_experiment_to_its_successor() -> None:
    layer = Layer("pages", (Slot("first", 0, 1, MAY, JUNE), Slot("second", 0, 1, JUNE, JULY)))
    assert layer.experiment_of("unit", MAY) == "first"
    assert layer.experiment_of("unit", JUNE) == "second"
    assert layer.experiment_of("unit", JULY) is None


def test_nobody_reaches_into_a_holdout() -> None:
    with pytest.raises(SpecError, match=r"e \[0.5, 1\) and holdout forever \[0.9, 1\)"):
        Layer("pages", (Slot("e", 0.5, 1),), (Holdout("forever", 0.9, 1),))
    with pytest.raises(SpecError, match="holdout x and holdout y hold the same buckets"):
        Layer("pages", (), (Holdout("x", 0, 0.5), Holdout("y", 0.4, 1)))


def test_a_holdout_of_five_percent_has_five_percent_of_the_units() -> None:
    layer = Layer("pages", (Slot("e", 0, 0.95),), (Holdout("forever", 0.95, 1),))
    held_out = sum(layer.held_out(unit) == "forever" for unit in range(20_000))
    assert held_out / 20_000 == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 20_000))
    assert held_out + sum(layer.takes("e", unit) for unit in range(20_000)) == 20_000


def test_arms_are_independent_of_the_place_in_the_layer() -> None:
    layer = Layer("pages", (Slot("e", 0, 0.5),))
    taken = [unit for unit in range(20_000) if layer.takes("e", unit)]
    treated = sum(choose(bucket("e", unit), {"a": 1, "b": 1}) == "b" for unit in taken)
    assert treated / len(taken) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(len(taken)))


@given(layer=layers(), units=st.lists(NAMES, min_size=1, max_size=30))
@settings(deadline=None, max_examples=20)
def test_sql_and_scalar_agree_on_membership(layer: Layer, units: list[str]) -> None:
    conditions = ", ".join(layer.takes_sql(slot.experiment, "unit") for slot in layer.slots) or "TRUE"
    with connect() as con:
        con.execute("CREATE TABLE t AS SELECT unnest($1::VARCHAR[]) AS unit", [units])
        rows = con.execute(f"SELECT {conditions} FROM t").fetchall()
    assert rows == [tuple(layer.takes(s.experiment, unit) for s in layer.slots) or (True,) for unit in units]


def test_a_slot_is_fitted_into_the_first_gap_that_is_wide_enough() -> None:
    layer = Layer("pages", (Slot("a", 0.1, 0.3), Slot("b", 0.3, 0.9, MAY, JUNE)), (Holdout("h", 0.95, 1),))
    assert layer.free(MAY, JUNE) == ((0.0, 0.1), (0.9, 0.95))
    assert fit(layer, 0.1, start=MAY, end=JUNE) == (0.0, 0.1)
    assert fit(layer, 0.6, start=JUNE) == (0.3, pytest.approx(0.9))
    with pytest.raises(SpecError, match=r"no free range .* 0.2 wanted; allowed: \[0, 0.1\), \[0.9, 0.95\)"):
        fit(layer, 0.2, start=MAY, end=JUNE)
    with pytest.raises(SpecError, match="allowed: nothing is free"):
        fit(Layer("full", (Slot("a", 0, 1),)), 0.1)
    with pytest.raises(SpecError, match="takes a share"):
        fit(layer, 0.0)


@given(shares=st.lists(st.integers(1, 10).map(lambda i: i / 10), min_size=1, max_size=8))
def test_fitted_slots_never_overlap(shares: list[float]) -> None:
    layer = Layer("pages")
    for i, share in enumerate(shares):
        try:
            low, high = fit(layer, share)
        except SpecError:
            continue
        assert high - low == pytest.approx(share)
        layer = Layer("pages", (*layer.slots, Slot(f"e{i}", low, high)))
    assert sum(s.high - s.low for s in layer.slots) <= 1 + 1e-9


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        ((Slot("e", 0.5, 0.5),), "e: a range of buckets lies within 0 and 1"),
        ((Slot("e", 0, 0.5), Slot("e", 0.5, 1)), "an experiment has one slot"),
        ((Slot("e", 0, 1, JUNE, MAY),), "ends after it starts"),
        ((Slot("e", 0, 1, salt="xp_pipeline/layer/pages"),), "would hang on its place in the layer"),
    ],
)
def test_slots_without_meaning_are_refused(slots: tuple[Slot, ...], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Layer("pages", slots)


def test_an_unknown_experiment_is_named() -> None:
    with pytest.raises(SpecError, match="pages: the layer has no such experiment; found f; allowed: e"):
        Layer("pages", (Slot("e", 0, 1),)).takes("f", "unit")
