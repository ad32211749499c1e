"""Documents of sequential designs: at a look, after a stop, between looks, always-valid."""

from __future__ import annotations

from typing import Any

from xp_pipeline.report.document import ReportDocument
from xp_pipeline_tests.report import examples

LOOKS: list[dict[str, Any]] = []
"""Three looks of one primary test and one guardrail, which ends at the second."""

BOUNDARIES = (4.33, 2.96, 2.36)
STATISTICS = (1.25, 2.41, 2.75)
SPENT = (0.00001, 0.0015, 0.0092)
DAYS = ("2026-01-11", "2026-01-18", "2026-01-25")

for _k, _day in enumerate(DAYS, start=1):
    _common = {"look": _k, "units": 20_000 * _k, "share": _k / 4}
    _tests = {
        "conversion|one_page|benefit": {
            **_common, "alpha_spent": SPENT[_k - 1], "upper": BOUNDARIES[_k - 1], "z": STATISTICS[_k - 1],
            "crossed": int(STATISTICS[_k - 1] >= BOUNDARIES[_k - 1]), "said": {},
        },
        "conversion|one_page|harm": {
            **_common, "alpha_spent": 0.001, "upper": 3.5, "z": -1.0, "crossed": 0, "said": {},
        },
    }  # fmt: skip
    if _k < 3:
        _tests["page_load|one_page|margin"] = {
            **_common, "alpha_spent": 0.002, "upper": 2.5, "z": 1.9 if _k == 1 else 2.8,
            "crossed": int(_k == 2), "said": {},
        }  # fmt: skip
    LOOKS.append({"look": _k, "as_of": _day, "final": False, "claims": True, "alpha_spent": 0.01, "tests": _tests})

READING: dict[str, Any] = {
    "look": 4, "as_of": "2026-01-27", "final": False, "claims": False, "alpha_spent": 0.0, "tests": {},
}  # fmt: skip


def rows(at: int, *, reading: bool = False) -> list[examples.Row]:
    """The rows that would be published at one of the looks, or after it."""
    z, boundary = STATISTICS[at - 1], BOUNDARIES[at - 1]
    stopped = {"stopped_look": 3, "unbiased_effect": 0.0029, "unbiased_lift": 0.0243, "p_value": 0.0071}
    tested = {"information": at / 4, "alpha_spent": 2 * SPENT[at - 1], "boundary": boundary, "statistic": z}
    kind: dict[str, Any] = {"interval_kind": "stagewise" if at == 3 else "repeated", "significant": at == 3}
    if reading:
        tested, kind = {}, {"interval_kind": "sequence", "significant": at == 3 or None}
    primary: dict[str, Any] = {
        "p_value": None,
        "p_adjusted": None,
        "family": "primary:obrien_fleming",
        "family_size": 1,
    }
    primary |= tested | kind | (stopped | {"p_adjusted": 0.0071} if at == 3 else {})
    guard = {"interval_kind": "sequence", "p_value": None, "margin_p_value": None if at == 1 else 0.0031}
    guard |= {"margin_holds": None if at == 1 else True, "stopped_look": None if at == 1 else 2, "margin_bound": None}
    wait = {"interval_kind": "sequence", "p_value": None, "p_adjusted": None, "significant": None, "power": None}
    binary = {"role": "primary", "metric_type": "proportion"}
    return [
        examples.result("conversion", "one_page", 0.0041, 0.0015, mean=0.1193, **binary, **primary),
        examples.guardrail("page_load", "one_page", -0.041, 0.0062, mean=1.862, margin=0.02, **guard),
        examples.result("orders", "one_page", 0.0058, 0.0013, mean=0.1421, metric_type="count", **wait),
    ]


def at_look(at: int, *, schedule: Any = "group_sequential", **changes: Any) -> ReportDocument:
    """The document at one of three looks of four planned; the third crosses."""
    spec = examples.bound(
        metrics={
            "primary": [{"metric": "conversion", "mde": "2%"}],
            "guardrail": [{"metric": "page_load", "margin": "2%"}],
            "secondary": ["orders"],
        },
        analysis={"looks": schedule, "minimum_days": 7},
        segments=[],
    )
    verdict = "ship" if at == 3 else "running"
    nearest = "Would not ship (running) if the effect on conversion were 0.003 instead of 0.0041."
    reasons: list[Any] = [
        (False, "Primary conversion rose by 3.44%: no significant improvement at this look."),
        (None, "No boundary that decides was crossed; one planned look remains."),
        (None, nearest),
    ]
    parts: dict[str, Any] = {
        "bound": spec,
        "results": rows(at),
        "decisions": [examples.decision("one_page", verdict, reasons, nearest_change=nearest)],
        "experiment": examples.card(state="RUNNING", final=False, look=at, as_of=DAYS[at - 1]),
        "plan": None,
        "amendments": [],
        "looks": LOOKS[:at],
        "looks_left": 4 - at,
    }
    return examples.healthy(**(parts | changes))


def always_valid(**changes: Any) -> ReportDocument:
    """Three readings of an always-valid design without a planned end of looks."""
    courses = [(0.0040, -0.0061, 0.0141, 0.31), (0.0050, 0.0002, 0.0098, 0.041), (0.0048, 0.0011, 0.0085, 0.012)]
    looks = []
    for k, (effect, low, high, p) in enumerate(courses, start=1):
        test = {"look": k, "units": 20_000 * k, "crossed": int(low > 0), "p": p}
        test |= {"effect": effect, "low": low, "high": high}
        tests = {"conversion|one_page|benefit": test}
        looks.append({"as_of": DAYS[k - 1], "final": False, "claims": True, "alpha_spent": 0.0, "tests": tests})
    effect, low, high, p = courses[-1]
    row = examples.result(
        "conversion", "one_page", effect, 0.0012, mean=0.1193, role="primary", metric_type="proportion", ci_low=low,
        ci_high=high, interval_kind="always_valid", p_value=p, p_adjusted=p, significant=True, stopped_look=2,
        family="primary:confidence_sequence", family_size=1,
    )  # fmt: skip
    return at_look(3, schedule="always_valid", **({"results": [row], "looks": looks} | changes))
