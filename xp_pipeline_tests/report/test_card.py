"""The experiment card: valid JSON with the documented keys."""

from __future__ import annotations

import json
import re

import pytest

from xp_pipeline.report import card
from xp_pipeline.serialization import serialize_to_json
from xp_pipeline_tests.report import examples

EXAMPLES = (examples.healthy, examples.blocked, examples.interim, examples.single)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_card_is_valid_json_with_the_documented_keys(example: object) -> None:
    made = card.experiment_card(example())  # type: ignore[operator]
    documented = re.findall(r"^    ([a-z_]+)  ", card.__doc__ or "", re.M)
    assert list(made) == documented
    assert json.loads(serialize_to_json(made)) == made


def test_numbers_are_not_rounded() -> None:
    first = card.experiment_card(examples.healthy())["results"][0]
    assert first["effect"] == 0.0041
    assert first["lift"] == pytest.approx(0.0041 / 0.1193, rel=1e-15)
    assert first["interval_name"] == "95% confidence interval"


def test_every_arm_has_a_verdict_of_its_own() -> None:
    verdicts = card.experiment_card(examples.interim())["verdicts"]
    assert [v["arm"] for v in verdicts] == ["one_page", "one_page_guest"]


def test_guardrails_carry_their_test() -> None:
    found = next(r for r in card.experiment_card(examples.healthy())["results"] if r["metric"] == "refund_rate")
    assert (found["margin"], found["margin_relative"], found["margin_holds"]) == (0.05, True, True)


def test_a_withheld_card_has_no_number_in_its_results() -> None:
    made = card.experiment_card(examples.blocked())
    assert made["state"]["withheld"]
    assert made["verdicts"][0]["verdict"] == "not_decidable"
    for result in made["results"]:
        assert result["status"] == "blocked"
        assert {type(value) for value in result.values()} <= {str, bool, list}


def test_an_interim_card_has_no_p_value() -> None:
    for result in card.experiment_card(examples.interim())["results"]:
        assert result["p"] is None
        assert result["significant"] is None


def test_the_hashes_are_those_of_the_provenance() -> None:
    hashes = card.experiment_card(examples.healthy())["hashes"]
    assert hashes["spec_hash"] == examples.HASH
    assert hashes["run_id"] == examples.RUN
    assert set(hashes) <= {"run_id", "spec_hash", "promised_hash", "ledger_head", "git_commit", "code_version"}
