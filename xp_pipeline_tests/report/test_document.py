"""A document says what the rows say, and refuses rows that do not belong together."""

from __future__ import annotations

import math
from typing import Any

import pytest

from xp_pipeline.errors import ContractError
from xp_pipeline.report.document import ReportDocument
from xp_pipeline.report.estimate import Estimate
from xp_pipeline.report.scorecard import Comparison, MetricBlock
from xp_pipeline.report.words import Tone
from xp_pipeline_tests.report import examples
from xp_pipeline_tests.report.examples import HASH, Row

OTHER_HASH = "1" * 64


def block(document: ReportDocument, metric: str) -> MetricBlock:
    """The block of one metric."""
    return next(b for card in document.main.scorecards for b in card.blocks if b.metric == metric)


def comparison(document: ReportDocument, metric: str, arm: str) -> Comparison:
    """One arm on one metric."""
    return next(c for c in block(document, metric).comparisons if c.arm == arm)


def only(row: Row) -> Estimate:
    """The one estimate of a document on a single row."""
    document = examples.single(results=[row])
    return document.main.scorecards[0].blocks[0].comparisons[0].main


def test_roles_and_metrics_stand_in_the_promised_order() -> None:
    cards = examples.healthy().main.scorecards
    assert [card.role for card in cards] == ["primary", "guardrail", "secondary", "exploratory"]
    assert [b.metric for b in cards[2].blocks] == ["orders", "order_value", "items", "margin_change"]


def test_raw_and_adjusted_stand_below_each_other_with_the_same_decimals() -> None:
    found = comparison(examples.healthy(), "revenue", "one_page")
    assert [e.name for e in found.estimates] == ["capped, adjusted by covariates", "capped, unadjusted", "unadjusted"]
    assert [e.effect.text for e in found.estimates] == ["+0.17", "+0.20", "+0.23"]
    assert [e.reading.text for e in found.estimates] == ["better", "", ""]


def test_an_estimate_of_another_population_is_named() -> None:
    usual = {"role": "primary", "metric_type": "proportion"}
    enrolled = examples.result("conversion", "one_page", 0.004, 0.001, mean=0.1, **usual, decisive=False)
    triggered = examples.result("conversion", "one_page", 0.009, 0.002, mean=0.2, **usual, population="triggered")
    found = comparison(examples.healthy(results=[enrolled, triggered]), "conversion", "one_page")
    assert found.main.effect.value == 0.009
    assert [e.name for e in found.others] == ["unadjusted, enrolled"]


def test_a_caution_is_said_once() -> None:
    usual = {"role": "primary", "metric_type": "revenue", "reason": "heavy tails"}
    rows = [
        examples.result("revenue", "one_page", 0.2, 0.1, mean=5.0, **usual, estimator="cuped"),
        examples.result("revenue", "one_page", 0.4, 0.1, mean=5.0, **usual, decisive=False),
    ]
    found = comparison(examples.healthy(results=rows), "revenue", "one_page")
    assert [e.notes for e in found.estimates] == [("Heavy tails.",), ()]


def test_a_log_scale_has_decimals_of_its_own() -> None:
    log = examples.result("revenue", "one_page", 0.0002, 0.0001, mean=1.2, estimator="log_welch", lift_status="")
    plain = examples.result("revenue", "one_page", 12.0, 90.0, mean=500.0, decisive=False)
    found = comparison(examples.healthy(results=[log, plain]), "revenue", "one_page")
    assert found.main.effect.text == "+0.00020"
    assert found.others[0].effect.text == "+12"
    assert found.main.notes == ()


@pytest.mark.parametrize(
    ("values", "tone", "words"),
    [
        ({"significant": True}, Tone.GOOD, "better"),
        ({"significant": True, "direction": "decrease"}, Tone.BAD, "worse"),
        ({"significant": False}, Tone.NEUTRAL, "no clear difference"),
        ({"significant": None}, Tone.NEUTRAL, ""),
        ({"status": "insufficient_data"}, Tone.CAUTION, "too few units"),
        ({"role": "guardrail", "significant": None, "margin_holds": True}, Tone.GOOD, "margin held"),
        ({"role": "guardrail", "significant": None, "margin_holds": False}, Tone.CAUTION, "harm not excluded"),
        ({"role": "guardrail", "significant": True, "margin_holds": False, "direction": "decrease"}, Tone.BAD, "worse"),
    ],
)
def test_reading(values: dict[str, Any], tone: Tone, words: str) -> None:
    found = only(examples.result("conversion", "one_page", 0.5, 0.1, mean=1.0, **{"role": "primary"} | values))
    assert found.reading == (tone, words)


@pytest.mark.parametrize("status", ["degenerate", "insufficient_data", "invalid_data", "immature", "failed"])
def test_a_status_without_reason_is_explained(status: str) -> None:
    row = examples.row("results", metric="conversion", role="primary", arm="one_page", baseline="control")
    found = only(row | {"status": status, "metric_type": "mean"})
    assert found.notes
    assert found.effect.text == "—"


def test_a_margin_has_the_sign_of_harm() -> None:
    lower_is_better = comparison(examples.healthy(), "refund_rate", "one_page").main.guard
    assert lower_is_better
    assert lower_is_better.margin == (0.05, "+5.0%")
    row = examples.guardrail("conversion", "one_page", 0.0, 0.1, mean=1.0, margin=0.05, direction="increase")
    higher_is_better = only(row).guard
    assert higher_is_better
    assert higher_is_better.margin.value == -0.05


def test_nan_and_infinity_are_absent_numbers() -> None:
    row = examples.result("conversion", "one_page", 0.004, 0.001, mean=0.1, role="primary")
    found = only(row | {"lift": math.nan, "lift_low": -math.inf, "lift_high": math.inf, "lift_status": "unbounded"})
    assert found.lift.text == "—"
    assert found.lift_interval.text == "unbounded"
    assert "unbounded" in found.notes[0]


def test_contrasts_keep_their_baseline() -> None:
    pooled = examples.result("conversion", "both", 0.004, 0.001, mean=0.1, role="primary", baseline="one_page+control")
    assert comparison(examples.healthy(results=[pooled]), "conversion", "both").baseline == "one_page+control"


def test_equal_verdicts_share_a_card_and_others_do_not() -> None:
    assert [v.arms for v in examples.interim().main.verdicts] == [("one_page", "one_page_guest")]
    assert [v.verdict for v in examples.healthy().main.verdicts] == ["ship", "do_not_ship"]


def test_failed_conditions_come_first_and_have_marks() -> None:
    reasons = examples.healthy().main.verdicts[1].reasons
    assert [r.holds for r in reasons] == [False, False, False, False, True]
    shipped = examples.healthy().main.verdicts[0].reasons
    assert shipped[-1].tone == Tone.CAUTION
    assert examples.interim().main.verdicts[0].reasons[0].tone == Tone.NEUTRAL


def test_key_results_are_the_primary_metrics_of_the_arm() -> None:
    results = examples.healthy().main.verdicts[0].key_results
    assert [(r.metric, r.effect) for r in results] == [("conversion", "+3.4%"), ("revenue", "+3.3%")]


def test_segments_show_the_estimate_that_decides_and_the_test_of_difference() -> None:
    platform, country = examples.healthy().main.segments
    assert platform.differing == ("conversion",)
    assert platform.metrics[0].differences[0].p.value == 0.0123
    assert not country.is_tested
    assert [level.level for level in country.metrics[0].levels[:3]] == ["DE", "FR", "(missing)"]


def test_of_several_estimates_in_a_level_the_deciding_kind_is_shown() -> None:
    usual = {"role": "primary", "metric_type": "revenue"}
    cut = {**usual, "segment": "platform", "segment_value": "ios", "decisive": False, "family": None}
    rows = [
        examples.result("revenue", "one_page", 0.2, 0.1, mean=5.0, **usual, estimator="capped_cuped"),
        examples.result("revenue", "one_page", 0.4, 0.1, mean=5.0, **cut, estimator="welch"),
        examples.result("revenue", "one_page", 0.3, 0.1, mean=5.0, **cut, estimator="capped_cuped"),
        examples.result("revenue", "one_page", 0.5, 0.1, mean=5.0, **cut, estimator="capped_welch"),
    ]
    (table,) = examples.healthy(results=rows).main.segments
    assert [level.estimate.effect.value for level in table.metrics[0].levels] == [0.3]


def test_health_puts_failures_first_and_places_in_order() -> None:
    health = examples.blocked().health
    assert health.verdict == "failed"
    assert health.checks[0].check == "srm"
    assert health.places[0][0] == "Sample ratio"
    assert health.imbalance[1].scope == "platform=ios"
    assert next(c.scope for c in health.imbalance if c.check == "srm_day") == "2026-01-05"
    assert health.tally == (("failed", 1), ("warned", 4), ("passed", 7))
    assert examples.healthy().health.imbalance == ()


def test_what_cannot_be_tested_is_a_finding() -> None:
    unknown = examples.check("srm", "all", "not_testable", "The designed split is unknown.", blocking=True)
    document = examples.healthy(health=[unknown])
    assert [check.verdict for check in document.health.findings] == ["not_testable"]
    assert document.health.flagged == 0
    assert not document.withheld


def test_a_deviation_is_observed_against_expected() -> None:
    counts = {arm.arm: arm.deviation.text for arm in examples.blocked().health.checks[0].counts}
    assert counts == {"control": "+1.7%", "one_page": "−5.2%", "one_page_guest": "+1.8%"}


def test_the_flow_compares_each_step_with_what_was_kept_before() -> None:
    flow = examples.healthy().flow
    assert flow.arms == ("control", "one_page", "one_page_guest")
    assert [step.share.text for step in flow.steps] == ["—", "0.27%", "0.07%", "<0.01%", "—", "0.08%", "99.9%"]
    assert flow.steps[-1].count.value == 200_143


def test_an_undeclared_arm_has_a_column() -> None:
    steps = [{"name": "units exposed", "units": 7, "kind": "kept", "by_arm": {"ghost": 3, "control": 4}}]
    assert examples.healthy(flow=steps).flow.arms == ("control", "ghost")


def test_the_plan_stands_beside_what_was_reached() -> None:
    plan = examples.healthy().planned
    assert plan
    assert (plan.days_planned.text, plan.days_actual.text) == ("28", "28")
    first, *_, last = plan.rows
    assert (first.effect, first.mde_planned, first.reached) == ("0.240 pp", "0.230 pp (1.92%)", 1.0)
    assert last.n_planned.value is None
    assert "pre-period" in last.basis


def test_the_method_speaks_of_window_cap_covariates_and_margin() -> None:
    method = {m.metric: " ".join(m.sentences) for m in examples.healthy().method.metrics}
    assert "count for 7d from its first exposure" in method["conversion"]
    assert "99.9th percentile of positive values" in method["revenue"]
    assert "removed 31.4% of the variance" in method["revenue"]
    assert "where kind is refund or claim" in method["refund_rate"]
    assert "rise of more than 5% of the baseline mean" in method["refund_rate"]
    assert "divided by the number of rows of orders" in method["order_value"]
    assert "is left out of this metric" in method["items"]


def test_an_amended_experiment_has_both_analyses() -> None:
    promised = [row | {"spec_hash": OTHER_HASH, "run_id": "earlier"} for row in examples.healthy_results()]
    decisions = [
        examples.decision("one_page", "ship", []),
        examples.decision("one_page", "extend", [], spec_hash=OTHER_HASH),
    ]
    document = examples.healthy(
        results=examples.healthy_results() + promised,
        decisions=decisions,
        provenance=examples.provenance(promised_hash=OTHER_HASH),
    )
    assert [(a.name, a.verdicts[0].verdict) for a in document.analyses] == [
        ("As amended", "ship"),
        ("As promised", "extend"),
    ]


def test_a_cosmetic_change_needs_no_second_analysis() -> None:
    document = examples.healthy(provenance=examples.provenance(promised_hash=OTHER_HASH))
    assert [a.name for a in document.analyses] == [""]


def test_a_reanalysis_stands_beside_what_was_promised() -> None:
    side = [r | {"run_id": "side", "label": "promised,reanalysis"} for r in examples.healthy_results()[:2]]
    document = examples.healthy(results=examples.healthy_results() + side)
    assert [(a.name, a.run_id) for a in document.analyses] == [("", examples.RUN), ("Re-analysis", "side")]
    assert document.analyses[1].verdicts == ()


def test_labels_are_gathered_with_their_meaning() -> None:
    labels = examples.healthy(experiment=examples.card(label="retrospective,amended,local")).title.labels
    assert [label.name for label in labels] == ["retrospective", "exploratory", "amended", "local"]
    assert all(label.meaning for label in labels)


def test_a_metric_added_later_is_exploratory_whatever_its_row_says() -> None:
    spec = examples.bound().model_copy(update={"added": ("gift_cards",)})
    rows = [r | {"label": "promised"} for r in examples.healthy_results()]
    document = examples.healthy(bound=spec, results=rows)
    assert block(document, "gift_cards").exploratory
    assert [label.name for label in document.title.labels] == ["exploratory"]


def test_an_override_says_who_released_the_estimates() -> None:
    srm = {**examples.SRM, "p_value": 1e-9}
    entry = {"kind": "override", "by": "ada", "reason": "a logging fault, understood", "at": "2026-02-02T10:00:00"}
    document = examples.healthy(
        health=[examples.check("srm", "all", "warned", "Overridden: estimates are shown all the same.", **srm)],
        amendments=[entry],
    )
    assert not document.withheld
    assert document.title.labels[0].name == "override"
    assert "ada released the estimates" in document.title.labels[0].meaning


def test_an_override_does_not_release_another_failed_check() -> None:
    entry = {"kind": "override", "by": "ada", "reason": "of another check", "at": "2026-02-02T10:00:00"}
    assert examples.blocked(amendments=[entry]).withheld


def test_a_scorecard_never_mixes_runs() -> None:
    rows = examples.healthy_results()
    with pytest.raises(ContractError, match=r"never mixes runs.*other"):
        examples.healthy(results=[rows[0] | {"run_id": "other"}, *rows[1:]])


def test_a_row_of_another_spec_is_refused_rather_than_dropped() -> None:
    with pytest.raises(ContractError, match=f"another spec; found {OTHER_HASH}"):
        examples.healthy(results=[r | {"spec_hash": OTHER_HASH} for r in examples.healthy_results()])


def test_a_row_without_its_columns_is_refused() -> None:
    row = {name: value for name, value in examples.healthy_results()[0].items() if name != "lift"}
    with pytest.raises(ContractError, match="row 0 of results lacks columns; found no lift"):
        examples.healthy(results=[row])


def test_a_blocked_experiment_has_no_verdict() -> None:
    with pytest.raises(ContractError, match="found ship; allowed: not_decidable"):
        examples.blocked(decisions=[examples.decision("one_page", "ship", [])])


def test_one_blocked_population_does_not_withhold_the_other() -> None:
    usual = {"role": "primary", "metric_type": "proportion"}
    fine = examples.result("conversion", "one_page", 0.004, 0.001, mean=0.1, **usual)
    held = examples.result("conversion", "one_page", 0.07, 0.001, mean=0.1, **usual, population="triggered")
    document = examples.healthy(results=[fine, held | {"status": "blocked", "decisive": False, "reason": "srm"}])
    found = comparison(document, "conversion", "one_page")
    assert found.main.effect.value == 0.004
    assert [e.effect.value for e in found.others] == [None]


def test_nothing_measured_yet_is_a_document() -> None:
    document = examples.healthy(results=[], decisions=[], health=[], flow=[], rejected=[])
    assert document.main.scorecards == ()
    assert document.title.labels == ()
    assert document.lineage.facts[3] == ("Spec (SHA-256)", HASH)
