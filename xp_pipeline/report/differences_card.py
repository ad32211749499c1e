"""Tests between effects for the card: numbers unrounded, as the table has them."""

from __future__ import annotations

from typing import Any

from xp_pipeline.report.differences import Differences
from xp_pipeline.report.read_out import ReadOut


def differences_card(differences: Differences) -> dict[str, Any]:
    """The summary, the answers by metric and arm, and the levels that were held against everybody else."""
    return {
        "summary": differences.summary,
        "segments": [
            {
                "metric": m.metric,
                "arm": m.arm,
                "differs": list(m.differs),
                "answers": list(m.sentences),
                "levels": [
                    {"segment": one.segment, "level": one.level, "effect": one.inside.value}
                    | {"rest": one.outside.value, "difference": one.difference.value}
                    | {"interval": [one.interval.low, one.interval.high], "p_adjusted": one.p.value}
                    | {"differs": one.differs}
                    for one in m.levels
                ],
            }
            for m in differences.metrics
        ],
        "novelty": [
            {"metric": t.metric, "arm": t.arm, "changes": t.changes, "answer": t.sentence} for t in differences.trends
        ],
    }


def read_out_card(read_out: ReadOut) -> dict[str, Any]:
    """The Bayesian read-out of one estimate, with its caution."""
    return {
        "bayes": {
            "method": read_out.method,
            "prior": read_out.prior,
            "mean": read_out.mean.value,
            "interval": [read_out.interval.low, read_out.interval.high],
            "chance_to_win": read_out.chance_to_win.value,
            "expected_loss": read_out.expected_loss.value,
            "caution": "not protected against peeking",
        }
    }
