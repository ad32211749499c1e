"""The forest plot: every position lies on its axis, and what does not fit is an arrow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.report.forest import Forest, ForestRow
from xp_pipeline_tests.report import examples
from xp_pipeline_tests.report.examples import Row

SIZES = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)


def drawn(*rows: Row) -> Forest:
    """The plot of some rows."""
    return examples.healthy(results=list(rows)).main.forest


def row_of(forest: Forest, metric: str, label: str = "one_page") -> ForestRow:
    """One row of a plot."""
    return next(r for panel in forest.panels for r in panel.rows if (r.metric, r.label) == (metric, label))


def conversion(effect: float, se: float, mean: float = 1.0, **values: object) -> Row:
    """A primary row."""
    return examples.result("conversion", "one_page", effect, se, mean=mean, role="primary", **values)


def test_lifts_share_an_axis_and_absolute_effects_have_their_own() -> None:
    forest = examples.healthy().main.forest
    assert [panel.title for panel in forest.panels] == [
        "Lift: effect relative to the baseline",
        "Absolute effect on items",
        "Absolute effect on margin_change",
    ]


def test_what_cannot_be_drawn_is_named() -> None:
    assert examples.healthy().main.forest.undrawn == ("items, one_page_guest: Every value is the same in both arms.",)


def test_a_guardrail_with_an_absolute_margin_is_drawn_where_its_margin_is() -> None:
    row = examples.guardrail("page_load", "one_page", 0.01, 0.01, mean=2.0, margin=0.1, margin_relative=False)
    forest = drawn(row)
    assert forest.panels[0].title == "Absolute effect on page_load"
    assert forest.panels[0].rows[0].margin_high == pytest.approx(forest.panels[0].axis.position(0.1))


def test_harm_lies_on_the_side_of_the_margin() -> None:
    worse_high = row_of(examples.healthy().main.forest, "refund_rate")
    assert worse_high.margin_low is None
    assert worse_high.margin_high > 0.5
    falls = examples.guardrail("orders", "one_page", 0.0, 0.01, mean=1.0, margin=0.02, direction="increase")
    worse_low = row_of(drawn(falls), "orders")
    assert worse_low.margin_high is None
    assert worse_low.margin_low < 0.5


def test_a_test_of_equivalence_has_a_margin_on_either_side() -> None:
    same = examples.guardrail("orders", "one_page", 0.0, 0.01, mean=1.0, margin=0.02, margin_kind="equivalence")
    row = row_of(drawn(same), "orders")
    assert row.margin_low == pytest.approx(1 - row.margin_high)


def test_the_estimate_beside_is_drawn_below() -> None:
    marks = row_of(examples.healthy().main.forest, "revenue").marks
    assert [mark.main for mark in marks] == [True, False, False]
    assert marks[0].significant


def test_a_log_estimate_is_not_drawn_on_the_plain_scale() -> None:
    log = examples.result("revenue", "one_page", 0.01, 0.01, mean=1.2, estimator="log_welch", lift_status="")
    plain = examples.result("revenue", "one_page", 12.0, 90.0, mean=500.0, decisive=False)
    forest = drawn(log, plain)
    assert forest.panels[0].title == "Absolute effect on revenue, log scale"
    assert len(forest.panels[0].rows[0].marks) == 1


def test_an_unbounded_interval_is_two_arrows() -> None:
    raw = conversion(0.1, 0.5, decisive=False, lift_low=None, lift_high=None, lift_status="unbounded")
    mark = row_of(drawn(conversion(0.02, 0.01), raw), "conversion").marks[1]
    assert (mark.low_open, mark.high_open) == (True, True)
    assert (mark.low, mark.high) == (0.0, 1.0)


def test_a_wild_exploratory_metric_does_not_squeeze_the_others() -> None:
    wild = examples.result("gift_cards", "one_page", 40.0, 10.0, mean=1.0, role="exploratory")
    forest = drawn(conversion(0.02, 0.01), wild)
    assert forest.panels[0].axis.high < 0.1
    assert row_of(forest, "gift_cards").marks[0].high_open
    assert row_of(forest, "gift_cards").marks[0].point is None


def test_an_estimate_without_variance_is_a_point() -> None:
    forest = drawn(conversion(0.0, 1.0, ci_low=0.0, ci_high=0.0, lift=0.0, lift_low=0.0, lift_high=0.0))
    mark = forest.panels[0].rows[0].marks[0]
    assert mark.low == mark.high == mark.point == 0.5


def test_the_row_can_be_heard() -> None:
    row = row_of(examples.healthy().main.forest, "conversion")
    assert row.alternative == "conversion, one_page against control: +3.4%, +2.0 to +4.9%, better"


@given(st.lists(st.tuples(SIZES, st.floats(1e-6, 1e6)), min_size=1, max_size=4))
def test_everything_lies_on_the_axis(sizes: list[tuple[float, float]]) -> None:
    names = ("conversion", "revenue", "orders", "items")
    rows = [
        examples.result(name, "one_page", effect, se, mean=1.0, role="primary")
        for name, (effect, se) in zip(names, sizes, strict=False)
    ]
    for panel in drawn(*rows).panels:
        assert panel.axis.low < 0 < panel.axis.high
        assert 0 < panel.axis.zero < 1
        assert 2 <= len(panel.axis.ticks) <= 12
        assert all(-1e-9 <= tick.position <= 1 + 1e-9 for tick in panel.axis.ticks)
        assert len({tick.text for tick in panel.axis.ticks}) == len(panel.axis.ticks)
        for mark in (mark for row in panel.rows for mark in row.marks):
            assert 0 <= mark.low <= mark.high <= 1
            assert mark.point is not None
            assert mark.low - 1e-9 <= mark.point <= mark.high + 1e-9
