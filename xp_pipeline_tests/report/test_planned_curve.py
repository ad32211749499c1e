"""The plan's curve on the page: its geometry, its picture, and its words for those who cannot see it."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from xp_pipeline.report.html import render
from xp_pipeline.report.planned import build_planned
from xp_pipeline.report.planned_curve import curve_svg, curves_of
from xp_pipeline_tests.report import examples

CURVE: dict[str, Any] = {
    "days": [7, 14, 21, 28], "least": [None, 0.012, 0.006, 0.003], "lift": [None, 0.12, 0.06, 0.03],
    "extrapolated": [False, False, False, True], "end": 21.0,
}  # fmt: skip


def entry(**changes: Any) -> Any:
    parts = {"metric": "conversion", "role": "primary", "arm": "one_page", "n": 100, "wanted_relative": 0.06}
    return {**parts, "curve": CURVE, **changes}


def test_positions_are_shares_of_the_plot() -> None:
    (curve,) = curves_of([entry()], examples.bound())
    assert [point.x for point in curve.points] == [0.5, 0.75, 1.0]
    assert [point.y for point in curve.points] == [1.0, 0.5, 0.25]
    assert [point.extrapolated for point in curve.points] == [False, False, True]
    assert (curve.wanted, curve.wanted_text, curve.end) == (0.5, "6%", 0.75)
    assert [tick.text for tick in curve.days] == ["0", "7", "14", "21", "28"]
    assert curve.alternative == (
        "Smallest effect detected of conversion, one_page: 12% after 14 days, 3% after 28 days."
    )


def test_a_curve_that_begins_far_out_is_cut_where_it_begins_to_tell() -> None:
    steep = CURVE | {"lift": [9.0, 8.0, 0.06, 0.03], "least": [0.9, 0.8, 0.006, 0.003]}
    (curve,) = curves_of([entry(curve=steep)], examples.bound())
    assert [point.y for point in curve.points] == [1.0, pytest.approx(0.25), pytest.approx(0.125)]


def test_arms_with_the_same_curve_share_it_and_only_primary_metrics_have_one() -> None:
    other = CURVE | {"end": None}
    entries = [
        entry(), entry(arm="guest"), entry(arm="third", curve=other), entry(role="secondary"), entry(curve=None),
        entry(metric="empty", curve=CURVE | {"least": [None] * 4, "lift": [None] * 4}),
    ]  # fmt: skip
    found = curves_of(entries, examples.bound())
    assert [curve.title for curve in found] == ["conversion, one_page, guest", "conversion, third"]
    assert found[1].end is None


def test_a_metric_without_a_mean_is_drawn_in_its_own_unit() -> None:
    absolute = CURVE | {"lift": [None] * 4}
    (curve,) = curves_of([entry(metric="revenue", curve=absolute, planned_effect=0.003)], examples.bound())
    assert curve.wanted == pytest.approx(0.25)
    assert curve.heights[-1].text == "0.0120"


def test_the_picture_is_well_formed_and_says_what_it_shows() -> None:
    (curve,) = curves_of([entry(arm="<b> & co")], examples.bound())
    root = ElementTree.fromstring(str(curve_svg(curve)))
    kinds = [line.get("class") for line in root.iter("line")]
    assert kinds.count("in-reach") == 1
    assert kinds.count("in-reach extrapolated") == 1
    assert kinds.count("wanted") == kinds.count("end") == 1
    assert "<b> & co" in (root.get("aria-label") or "")


def test_the_page_shows_curve_and_margins() -> None:
    plan: Any = {"metrics": [entry(), entry(metric="refund_rate", role="guardrail", margin=0.002, curve=None)]}
    page = render(examples.healthy(plan=plan))
    assert "smallest effect detected by day" in page
    assert 'class="in-reach"' in page
    built = build_planned(plan, (), examples.bound(), as_of="2026-01-20")
    assert built is not None
    assert built.rows[1].effect.startswith("harm of ")
