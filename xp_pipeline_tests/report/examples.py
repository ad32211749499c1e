"""Documents to render: a healthy experiment, a blocked one, an interim reading, a single metric."""

from __future__ import annotations

import json
import math
from typing import Any

from xp_pipeline.report.document import ReportDocument, build
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.tables import TABLES

HASH = "9f2c51d07b4e8a3365d1c0aa7e4f1b2299d8e7c6b5a4f3e2d1c0b9a897867564"
RUN = "c4f1a90b72de"
Row = dict[str, Any]


def row(table: str, **values: Any) -> Row:
    """A row of a published table: the given values, the usual provenance, nulls elsewhere."""
    assert set(values) <= set(TABLES[table])
    usual = {
        "schema_version": 1,
        "run_id": RUN,
        "computed_at": "2026-02-03T06:00:12+00:00",
        "experiment": "checkout_redesign",
        "spec_hash": HASH,
        "as_of": "2026-02-01",
        "look": 1,
        "final": True,
        "label": "promised",
    }
    return dict.fromkeys(TABLES[table]) | usual | values


def result(metric: str, arm: str, effect: float, se: float, *, mean: float, **values: Any) -> Row:
    """A row of results with a normal interval, the lift's interval scaled from it."""
    z = 1.959964
    p = math.erfc(abs(effect / se) / math.sqrt(2))
    usual = {
        "population": "enrolled",
        "metric": metric,
        "metric_type": "mean",
        "role": "secondary",
        "direction": "increase",
        "segment": "",
        "segment_value": "",
        "arm": arm,
        "baseline": "control",
        "estimator": "welch",
        "decisive": True,
        "status": "ok",
        "reason": "",
        "n_arm": 66_412,
        "n_baseline": 66_871,
        "mature_share": 1.0,
        "mean_arm": mean + effect,
        "mean_baseline": mean,
        "effect": effect,
        "se": se,
        "df": 133_010.4,
        "ci_level": 0.95,
        "ci_low": effect - z * se,
        "ci_high": effect + z * se,
        "interval_kind": "confidence",
        "p_value": p,
        "p_adjusted": min(1.0, 2 * p),
        "family": "primary:holm",
        "family_size": 4,
        "ci_adjusted_low": effect - 2.5 * se,
        "ci_adjusted_high": effect + 2.5 * se,
        "significant": 2 * p <= 0.05,
        "lift": effect / abs(mean) if mean else None,
        "lift_low": (effect - z * se) / abs(mean) if mean else None,
        "lift_high": (effect + z * se) / abs(mean) if mean else None,
        "lift_status": "ok" if mean else "undefined_relative",
        "cuped_applied": False,
        "alpha": 0.05,
        "power": 0.83,
        "mde": 2.8 * se,
    }
    return row("results", **{**usual, **values})


def guardrail(metric: str, arm: str, effect: float, se: float, *, mean: float, margin: float, **values: Any) -> Row:
    """A guardrail with a relative margin; lower is better."""
    bound = (effect + 1.645 * se) / mean
    usual = {"role": "guardrail", "direction": "decrease", "margin": margin, "margin_relative": True}
    usual |= {
        "margin_bound": bound,
        "margin_p_value": 0.012 if bound < margin else 0.31,
        "margin_holds": bound < margin,
    }
    usual |= {"p_adjusted": None, "family": None, "family_size": None}
    usual |= {"significant": None, "ci_adjusted_low": None, "ci_adjusted_high": None}
    return result(metric, arm, effect, se, mean=mean, **{**usual, **values})


def check(name: str, scope: str, verdict: str, message: str, **values: Any) -> Row:
    """A row of health; mappings become JSON."""
    for side in ("observed", "expected"):
        if isinstance(values.get(side), dict):
            values[side] = json.dumps(values[side])
    return row("health", check=name, scope=scope, verdict=verdict, message=message, **({"blocking": False} | values))


def decision(arm: str, verdict: str, reasons: list[tuple[bool, str]], **values: Any) -> Row:
    """A row of decisions."""
    told = json.dumps([{"holds": holds, "sentence": sentence} for holds, sentence in reasons])
    return row("decisions", arm=arm, verdict=verdict, rule="risk_aware", reasons=told, **values)


def bound(**experiment: Any) -> Bound:
    """A shop's experiment on its checkout, with three arms and nine metrics."""
    events: dict[str, Any] = {"source": "orders"}
    metrics: list[dict[str, Any]] = [
        {"name": "conversion", "type": "proportion", "window": {"kind": "conversion", "length": "7d"}, "mature": True},
        {"name": "revenue", "type": "revenue", "value": "amount", "title": "Revenue per visitor"}
        | {"cap": {"percentile": 99.9}, "covariates": [{"lookback": "14d"}]},
        {"name": "orders", "type": "count", "title": "Orders"},
        {"name": "items", "type": "mean", "value": "items", "nulls": "drop", "where": {"returned": False}},
        {"name": "refund_rate", "type": "proportion", "direction": "decrease", "where": {"kind": ["refund", "claim"]}},
        {"name": "page_load", "type": "mean", "value": "seconds", "direction": "decrease", "nulls": "drop"},
        {"name": "margin_change", "type": "mean", "value": "margin"},
        {"name": "gift_cards", "type": "count", "title": "Gift cards"},
    ]
    bound_metrics = {m["name"]: {**events, **m} for m in metrics}
    bound_metrics["order_value"] = {
        "name": "order_value",
        "type": "ratio",
        "numerator": {"source": "orders", "value": "amount"},
        "denominator": {"source": "orders", "aggregate": "count"},
        "title": "Average order value",
    }
    spec: dict[str, Any] = {
        "id": "checkout_redesign",
        "title": "One-page checkout",
        "hypothesis": "Showing the whole checkout on one page lets more visitors finish it, without more refunds.",
        "owner": "growth@shop.example",
        "start": "2026-01-05",
        "end": "2026-02-02",
        "assignment": {"control": "control", "weights": {"control": 0.5, "one_page": 0.25, "one_page_guest": 0.25}},
        "population": {"source": "exposures", "arm": "variant"},
        "metrics": {
            "primary": [{"metric": "conversion", "mde": "2%"}, "revenue"],
            "guardrail": [{"metric": "refund_rate", "margin": "5%"}, {"metric": "page_load", "margin": "2%"}],
            "secondary": ["orders", "order_value", "items", "margin_change"],
            "exploratory": ["gift_cards"],
        },
        "segments": ["platform", "country"],
    }
    sources = {
        "orders": {"name": "orders", "kind": "event_log", "unit": "visitor", "columns": {}},
        "exposures": {"name": "exposures", "kind": "exposure_log", "unit": "visitor", "columns": {}},
    }
    return Bound.model_validate(
        {"timezone": "UTC", "experiment": {**spec, **experiment}, "metrics": bound_metrics, "sources": sources}
    )


def card(**values: Any) -> Row:
    """The row of experiments."""
    usual = {
        "title": "One-page checkout",
        "state": "REPORTED",
        "start": "2026-01-05T00:00:00+00:00",
        "end": "2026-02-02T00:00:00+00:00",
        "control": "control",
        "units": 200_143,
        "health": "warned",
        "registered_at": "2026-01-02T09:41:07+00:00",
    }
    return row("experiments", **{**usual, **values})


def provenance(**values: Any) -> Any:
    """Where the example's numbers would come from."""
    return {
        "run_id": RUN,
        "computed_at": "2026-02-03T06:00:12+00:00",
        "as_of": "2026-02-01",
        "spec_hash": HASH,
        "promised_hash": HASH,
        "code_version": "0.1.0",
        "ledger_head": "41:77ab0e4c19",
        "git_commit": "d34db33f0a1b2c3d4e5f60718293a4b5c6d7e8f9",
        "sources": [
            {"source": "exposures", "version": "v-2026-02-02", "digest": "sha256:1f9a" + "0c" * 28},
            {"source": "orders", "version": "v-2026-02-02", "digest": "sha256:88e1" + "7d" * 28},
        ],
        "manifests": {"assignments": "a1" * 32, "validated_exposures": "b2" * 32, "adjusted_metrics": "c3" * 32},
        **values,
    }


FLOW: Any = [
    {"name": "rows read", "rows": 1_204_332, "kind": "kept"},
    {"name": "filter staff", "rows": 3_310, "kind": "excluded"},
    {"name": "before the start", "rows": 812, "kind": "excluded"},
    {"name": "without an arm", "rows": 44, "kind": "excluded"},
    {"name": "units exposed", "units": 200_301, "kind": "kept"}
    | {"by_arm": {"control": 100_020, "one_page": 50_190, "one_page_guest": 50_091}},
    {"name": "met several arms", "units": 158, "kind": "excluded"}
    | {"by_arm": {"control": 80, "one_page": 41, "one_page_guest": 37}},
    {"name": "units analysed", "units": 200_143, "kind": "kept"}
    | {"by_arm": {"control": 99_940, "one_page": 50_149, "one_page_guest": 50_054}},
]
PLAN: Any = {
    "run_days": 28.0,
    "assumptions": [
        "7,150 new units a day, as orders had over the 28 days before the start.",
        "Two-sided alpha 0.05, power 0.8, Bonferroni over 4 primary tests.",
    ],
    "metrics": [
        {"metric": "conversion", "arm": "one_page", "n": 48_120, "planned_effect": 0.0024, "mde": 0.0023}
        | {"mde_relative": 0.0192, "days": 27.0, "baseline": "measured before the start on 181,200 units"},
        {"metric": "conversion", "arm": "one_page_guest", "n": 48_120, "planned_effect": 0.0024, "mde": 0.0023}
        | {"mde_relative": 0.0192, "days": 27.0, "baseline": "measured before the start on 181,200 units"},
        {"metric": "revenue", "arm": "one_page", "n": 50_050, "mde": 0.131, "mde_relative": 0.0248}
        | {"baseline": "measured before the start on 181,200 units"},
        {"metric": "revenue", "arm": "one_page_guest", "n": None}
        | {"baseline": "no baseline typed, and no pre-period to measure"},
    ],
}
SRM: Row = {
    "observed": {"control": 99_940, "one_page": 50_149, "one_page_guest": 50_054},
    "expected": {"control": 100_071.5, "one_page": 50_035.75, "one_page_guest": 50_035.75},
    "p_value": 0.8211,
    "threshold": 0.001,
    "blocking": True,
}


def healthy_results() -> list[Row]:
    """Three arms on nine metrics, with estimates beside each other and statuses of every kind."""
    one, guest = "one_page", "one_page_guest"
    primary = {"role": "primary"}
    conversion = {"metric_type": "proportion", **primary}
    revenue = {"metric_type": "revenue", **primary, "cap_value": 812.5, "capped_share": 0.001}
    raw = {"metric_type": "revenue", **primary, "decisive": False, "p_adjusted": None, "significant": None}
    raw |= {"family": None, "family_size": None, "ci_adjusted_low": None, "ci_adjusted_high": None}
    adjusted = {**revenue, "estimator": "capped_cuped", "cuped_applied": True, "variance_reduction": 0.314}
    load = {"metric_type": "mean", "n_arm": 49_870, "n_baseline": 99_402}
    refund = {"metric_type": "proportion"}
    return [
        result("conversion", one, 0.0041, 0.0009, mean=0.1193, **conversion, mature_share=0.962),
        result("conversion", guest, 0.0012, 0.0009, mean=0.1193, **conversion, mature_share=0.962),
        result("revenue", one, 0.174, 0.0552, mean=5.2714, **adjusted),
        result("revenue", one, 0.201, 0.0668, mean=5.2698, **{**raw, "estimator": "capped_welch"}),
        result("revenue", one, 0.229, 0.0941, mean=5.4102, **{**raw, "estimator": "welch"})
        | {"reason": "One unit holds 3% of the total; the interval may be too narrow."},
        result("revenue", guest, 0.021, 0.0549, mean=5.2714, **adjusted),
        result("revenue", guest, -0.011, 0.0664, mean=5.2698, **{**raw, "estimator": "capped_welch"}),
        result("revenue", guest, -0.024, 0.0933, mean=5.4102, **{**raw, "estimator": "welch"}),
        guardrail("refund_rate", one, 0.0002, 0.00021, mean=0.0214, margin=0.05, **refund),
        guardrail("refund_rate", guest, 0.0011, 0.00021, mean=0.0214, margin=0.05, **refund),
        guardrail("page_load", one, -0.041, 0.0062, mean=1.862, margin=0.02, **load),
        guardrail("page_load", guest, 0.062, 0.0062, mean=1.862, margin=0.02, **load, significant=True),
        result("orders", one, 0.0058, 0.0013, mean=0.1421, metric_type="count", family="secondary:fdr_bh"),
        result("orders", guest, 0.0011, 0.0013, mean=0.1421, metric_type="count", family="secondary:fdr_bh"),
        result("order_value", one, -0.31, 0.42, mean=37.08, metric_type="ratio", estimator="ratio"),
        result("order_value", guest, -0.12, 0.42, mean=37.08, metric_type="ratio", estimator="ratio"),
        result("items", one, 0.02, 0.4, mean=0.61, lift_low=None, lift_high=None, lift_status="unbounded"),
        row(
            "results", metric="items", metric_type="mean", role="secondary", direction="increase", arm=guest,
            baseline="control", estimator="welch", decisive=True, status="degenerate", n_arm=50_054, n_baseline=99_940,
            reason="every value is the same in both arms", population="enrolled", interval_kind="confidence",
        ),
        result("margin_change", one, 0.018, 0.009, mean=0.0),
        result("margin_change", guest, -0.004, 0.009, mean=0.0),
        result("gift_cards", one, 0.0004, 0.0011, mean=0.0091, role="exploratory", label="promised,exploratory"),
        result("gift_cards", guest, 0.0029, 0.0011, mean=0.0091, role="exploratory", label="promised,exploratory"),
        *segment_results(),
    ]  # fmt: skip


def segment_results() -> list[Row]:
    """Conversion by platform, with a test of difference, and by country."""
    found = []
    for dimension, levels in {"platform": ("android", "ios", "web"), "country": ("DE", "FR", "(missing)")}.items():
        for arm in ("one_page", "one_page_guest"):
            for place, level in enumerate(levels):
                effect = 0.0061 - 0.0026 * place
                cut = {"segment": dimension, "segment_value": level, "decisive": False, "role": "primary"}
                cut |= {"metric_type": "proportion", "n_arm": 16_702, "n_baseline": 33_311, "family": "segments:fdr_bh"}
                found.append(result("conversion", arm, effect, 0.0016, mean=0.1193, **cut))
    test = {"segment": "platform", "role": "primary", "arm": "one_page", "baseline": "control", "status": "ok"}
    found.append(row("results", metric="conversion", **test, p_value=0.0041, p_adjusted=0.0123, significant=True))
    return found


def healthy(**changes: Any) -> ReportDocument:
    """A final look on three arms with many metrics."""
    health = [
        check("srm", "all", "passed", "The shares are as designed (p = 0.82).", **SRM),
        check("leak", "all", "passed", "No unit is in an arm of weight zero.", blocking=True, statistic=0.0),
        check("multi_arm", "all", "warned", "158 of 200,301 units (0.08%) met several arms and are left out.")
        | {"statistic": 0.00079, "threshold": 0.01, "hint": "Look for unstable ids, or logged-out visits."},
        check("null_arm", "all", "warned", "44 exposure rows have no arm; 12 units have no other row.", statistic=44.0),
        check("srm_day", "2026-01-05", "passed", "2026-01-05: as designed.", p_value=0.44, threshold=0.0000357),
        check("balance", "orders_before: one_page", "passed", "Before exposure, orders_before differs by +0.003 sd.")
        | {"p_value": 0.61, "statistic": 0.003, "threshold": 0.001},
    ]
    decisions = [
        decision(
            "one_page",
            "ship",
            [
                (True, "Primary conversion rose by 3.44% (adjusted p = 1.0e-05): a significant improvement."),
                (True, "Primary revenue rose by 3.30% (adjusted p = 0.005): a significant improvement."),
                (True, "Guardrail refund_rate: harm above 5.00% is excluded (bound +2.55%)."),
                (True, "Guardrail page_load: harm above 2.00% is excluded (bound -1.65%)."),
                (True, "No metric got significantly worse."),
                (True, "Caution: 44 exposure rows have no arm; 12 units have no other row."),
            ],
            human_decision="ship",
            human_reason="Rolled out to everybody on 4 February.",
        ),
        decision(
            "one_page_guest",
            "do_not_ship",
            [
                (False, "Primary conversion rose by 1.01% (adjusted p = 0.365): no significant improvement."),
                (False, "Primary revenue rose by 0.40% (adjusted p = 1.000): no significant improvement."),
                (False, "Guardrail refund_rate: harm above 5.00% cannot be excluded (bound +6.76%)."),
                (False, "Guardrail page_load rose by 3.33%: a significant harm."),
                (True, "No blocking quality check failed."),
            ],
        ),
    ]
    parts: dict[str, Any] = {
        "bound": bound(),
        "results": healthy_results(),
        "health": health,
        "decisions": decisions,
        "experiment": card(),
        "flow": FLOW,
        "plan": PLAN,
        "provenance": provenance(),
        "amendments": [
            {"kind": "exploratory", "by": "ada", "reason": "asked by finance", "at": "2026-01-19T10:00:00"}
            | {"changes": ["metrics.gift_cards: absent -> added"]}
        ],
        "rejected": [{"source": "orders", "reason": "amount is negative", "count": 17}],
    }
    return build(**(parts | changes))


def blocked_results() -> list[Row]:
    """Rows that ought to be empty, but still hold their numbers: the page must not show one."""
    return [r | {"status": "blocked", "reason": "the sample ratio is not the designed one"} for r in healthy_results()]


def imbalance() -> list[Row]:
    """An overall imbalance that comes from one platform, and from the second week."""

    def counts(control: int, one: int, guest: int) -> Row:
        total = control + one + guest
        return {
            "observed": {"control": control, "one_page": one, "one_page_guest": guest},
            "expected": {"control": total / 2, "one_page": total / 4, "one_page_guest": total / 4},
        }

    hint = "The imbalance sits in particular values of platform: look at their clients and pipelines."
    found = [
        check(
            "srm", "all", "failed",
            "control 50.85%, one_page 23.71%, one_page_guest 25.44%: not the designed split (e-value 4.1e+12).",
            **counts(99_940, 46_601, 50_012), blocking=True, p_value=3.1e-18, e_value=4.1e12, threshold=1000.0,
            statistic=80.6, hint="See srm_segment and srm_day for where and when the imbalance arose.",
        ),
        check("srm_segment", "platform=ios", "warned", "platform=ios: too few one_page units.",
              **counts(30_100, 11_702, 15_066), p_value=2.2e-44, threshold=0.00017, hint=hint),
        check("srm_segment", "platform=android", "passed", "platform=android: as designed.",
              **counts(36_012, 18_010, 18_001), p_value=0.93, threshold=0.00017),
        check("srm_segment", "platform=web", "passed", "platform=web: as designed.",
              **counts(33_828, 16_889, 16_945), p_value=0.88, threshold=0.00017),
        check("leak", "all", "passed", "No unit is in an arm of weight zero.", blocking=True, statistic=0.0),
    ]  # fmt: skip
    for day in range(5, 12):
        late = day >= 9
        numbers = counts(3_570, 1_490 if late else 1_790, 1_782)
        verdict, p = ("warned", 1.3e-8) if late else ("passed", 0.71)
        found.append(check("srm_day", f"2026-01-{day:02}", verdict, "", **numbers, p_value=p, threshold=0.0001))
    return found


def blocked(**changes: Any) -> ReportDocument:
    """A sample ratio mismatch: health, where and when, and no estimate."""
    reason = (
        False,
        "control 50.85%, one_page 23.71%, one_page_guest 25.44%: not the designed split (e-value 4.1e+12).",
    )
    parts = {
        "results": blocked_results(),
        "health": imbalance(),
        "decisions": [decision(arm, "not_decidable", [reason]) for arm in ("one_page", "one_page_guest")],
        "experiment": card(state="RUNNING", health="failed"),
        "amendments": [],
    }
    return healthy(**(parts | changes))


def interim(**changes: Any) -> ReportDocument:
    """A reading before the planned end, with bands and without p-values."""
    usual = {"interval_kind": "sequence", "final": False, "look": 0, "as_of": "2026-01-20", "label": "retrospective"}
    results = [r | usual for r in healthy_results() if r["role"] != "exploratory"]
    reason = (False, "A fixed-horizon design is decided at its planned end, 12 days from now.")
    parts = {
        "results": results,
        "decisions": [decision(arm, "not_due", [reason]) for arm in ("one_page", "one_page_guest")],
        "experiment": card(state="RUNNING", label="retrospective", final=False, look=0, as_of="2026-01-20"),
        "amendments": [],
    }
    return healthy(**(parts | changes))


def single(**changes: Any) -> ReportDocument:
    """One metric, one treatment, no plan, no segments, nothing to complain about."""
    spec = bound(
        id="gate",
        title="",
        hypothesis="",
        owner="",
        start=None,
        end=None,
        assignment={"control": "control", "weights": {"control": 0.5, "one_page": 0.5}},
        metrics={"primary": ["conversion"]},
        segments=[],
    )
    primary = {"role": "primary", "metric_type": "proportion", "as_of": "", "p_adjusted": 0.0016, "family_size": 1}
    parts = {
        "bound": spec,
        "results": [result("conversion", "one_page", -0.0082, 0.0026, mean=0.1902, **primary, significant=True)],
        "health": [check("srm", "all", "passed", "As designed.", blocking=True, p_value=0.3, threshold=0.001)],
        "decisions": [decision("one_page", "do_not_ship", [(False, "Primary conversion fell: a significant harm.")])],
        "experiment": card(title="gate", as_of="", start="", end="", units=90_189),
        "flow": FLOW[:1] + FLOW[-1:],
        "plan": None,
        "amendments": [],
        "rejected": [],
    }
    return healthy(**(parts | changes))
