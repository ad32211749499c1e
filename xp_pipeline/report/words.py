"""The vocabulary of the page: what each code of the published tables is called in words."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

ROLES = {
    "primary": (
        "Primary metrics",
        "These decide the experiment.",
    ),
    "guardrail": ("Guardrails", "For each, harm (or, if marked ±, any change) beyond its margin must be excluded."),
    "secondary": ("Secondary metrics", "These explain the result; they do not decide it."),
    "exploratory": ("Exploratory metrics", "For questions, not for answers."),
}
"""Title and one-line reading of each role, in the order of the page."""

ESTIMATORS = {
    "welch": "unadjusted",
    "ratio": "unadjusted",
    "cuped": "adjusted by covariates",
    "ratio_cuped": "adjusted by covariates",
    "score": "unadjusted, score interval",
    "clustered": "by cluster",
    "quantile": "unadjusted",
    "clustered_quantile": "by cluster",
    "batched": "batch by batch",
    "adaptively_weighted": "weighted for adaptive assignment",
    "factorial": "unadjusted",
    "factorial_ratio": "unadjusted",
    "factorial_cuped": "adjusted by covariates",
    "factorial_ratio_cuped": "adjusted by covariates",
}
VARIANTS = {"capped": "capped", "log": "log scale"}
"""What a value was turned into before it was compared: the first part of an estimator's code."""

STATUSES = {
    "degenerate": "No variation in the data: there is nothing to test.",
    "insufficient_data": "Too few units for an estimate.",
    "invalid_data": "The values cannot be analysed.",
    "immature": "No unit's window has passed yet.",
    "blocked": "Withheld: a blocking health check failed.",
    "failed": "The computation failed.",
    "undefined_relative": "No relative effect: the baseline mean is zero, or not told apart from it.",
    "unbounded": "The relative interval is unbounded: the baseline mean is not told apart from zero.",
}
"""What a status means, said when a row gives no reason of its own."""

STATUS_NAMES = {
    "degenerate": "No variation",
    "insufficient_data": "Too few units",
    "invalid_data": "Invalid values",
    "immature": "Not mature yet",
    "blocked": "Withheld",
    "failed": "Failed",
    "not_due": "Not due",
}

LABELS = {
    "retrospective": "Registered after its first exposure: it may recommend, it was not promised.",
    "exploratory": "Parts were added after registration; they carry this label and do not decide.",
    "amended": "The promise was changed after registration, on record.",
    "reanalysis": "A side result with other settings, beside the promised one.",
    "local": "Registered on one person's machine, not in the team's record.",
}
"""Labels that a reader must not miss; ``promised`` is the normal case and goes without."""

CHECKS = {
    "srm": "Sample ratio",
    "srm_segment": "Sample ratio by segment",
    "srm_day": "Sample ratio by exposure day",
    "srm_members": "Sample ratio of members",
    "leak": "Units in an arm of zero weight",
    "undeclared_arm": "Undeclared arms",
    "null_arm": "Rows without an arm",
    "multi_arm": "Units seen in several arms",
    "multi_arm_by_arm": "Units seen in several arms, by first arm",
    "empty_arm": "Empty arms",
    "mismatch": "Arm and shown column disagree",
    "quarantine": "Rows that broke the contract",
    "freshness": "Freshness of sources",
    "late": "Rows that came late",
    "balance": "Balance before exposure",
}

TYPES = {
    "mean": "mean per unit",
    "proportion": "share of units",
    "ratio": "ratio of sums",
    "revenue": "revenue per unit",
    "count": "count per unit",
    "retention": "share of units retained",
    "quantile": "quantile over units",
}

CORRECTIONS = {
    "holm": "Holm",
    "bonferroni": "Bonferroni",
    "hochberg": "Hochberg",
    "hommel": "Hommel",
    "dunnett": "Dunnett",
    "preferential": "preferential Bonferroni",
    "fdr_bh": "Benjamini-Hochberg",
    "fdr_by": "Benjamini-Yekutieli",
    "obrien_fleming": "O'Brien-Fleming spending",
    "pocock": "Pocock spending",
    "kim_demets": "Kim-DeMets spending",
    "hwang_shih_decani": "Hwang-Shih-DeCani spending",
    "confidence_sequence": "confidence sequence",
    "msprt": "mSPRT",
}

PHASES = {
    "registered_spec": "Registered spec",
    "power_plan": "Power plan",
    "design": "Design",
    "assignments": "Assignments",
    "validated_exposures": "Validated exposures",
    "adjusted_metrics": "Adjusted metrics",
    "inference_results": "Inference",
}


class Tone(StrEnum):
    """What a mark means; colour, icon and word all follow from it."""

    GOOD = "good"
    BAD = "bad"
    CAUTION = "caution"
    NEUTRAL = "neutral"


MARKS = {Tone.GOOD: "✓", Tone.BAD: "✗", Tone.CAUTION: "!", Tone.NEUTRAL: "·"}


class Heading(NamedTuple):
    """A verdict in words: the phrase, its tone, and what it means."""

    phrase: str
    tone: Tone
    meaning: str


VERDICTS = {
    "ship": Heading("Ship", Tone.GOOD, "Every condition of the rule holds."),
    "do_not_ship": Heading("Do not ship", Tone.BAD, "A condition failed that more data would not mend."),
    "running": Heading("Running", Tone.NEUTRAL, "No boundary that decides was crossed: it runs on to its next look."),
    "extend": Heading("Extend", Tone.CAUTION, "The end has moved, as the plan provides: not decided yet."),
    "rerun": Heading("Rerun", Tone.CAUTION, "Not settled, and no look is planned that could settle it."),
    "not_decidable": Heading("Not decidable", Tone.CAUTION, "The data cannot carry a verdict."),
    "not_due": Heading("Not due yet", Tone.NEUTRAL, "Too early: the verdict waits for its planned time."),
}

HEALTH_TONES = {
    "failed": Tone.BAD,
    "warned": Tone.CAUTION,
    "not_testable": Tone.NEUTRAL,
    "passed": Tone.GOOD,
}
"""Verdicts of a check, worst first: the order of the page."""

HEALTH_NAMES = {"failed": "Failed", "warned": "Warned", "not_testable": "Not testable", "passed": "Passed"}


def estimator_name(code: str) -> str:
    """An estimator in words: ``capped_cuped`` is *capped, adjusted by covariates*."""
    variant, base = estimator_parts(code)
    parts = [VARIANTS[variant]] if variant else []
    return ", ".join([*parts, named(ESTIMATORS, base)])


def estimator_parts(code: str) -> tuple[str, str]:
    """An estimator's code as its variant, which may be empty, and its base."""
    variant, _, base = code.partition("_")
    return (variant, base) if variant in VARIANTS else ("", code)


def named(words: dict[str, str], code: str) -> str:
    """The word for a code; a code without one speaks for itself, underscores as spaces."""
    return words.get(code, code.replace("_", " "))
