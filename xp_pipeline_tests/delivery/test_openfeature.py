"""The OpenFeature provider, through the SDK's own client."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("openfeature", reason="the extra openfeature is not installed")

from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from xp_pipeline.delivery import FixedWeights, MemoryStore, Pyrosper, StoredExperiment, Symbol, Variant
from xp_pipeline.delivery.openfeature import XpProvider
from xp_pipeline_tests.delivery.duties import enabled

VALUES: dict[str, tuple[Any, Any]] = {
    "shown": (False, True),
    "title": ("Hello", "Hey"),
    "limit": (3, 5),
    "rate": (0.5, 1),
    "layout": ({"rows": 1}, {"rows": 2}),
    "nothing": (None, None),
}
ASKED: dict[str, tuple[str, Any]] = {
    "shown": ("boolean", False),
    "title": ("string", ""),
    "limit": ("integer", 0),
    "rate": ("float", 0.0),
    "layout": ("object", {}),
}


def _page(weights: list[float]) -> StoredExperiment:
    variants = [Variant(name, {Symbol(k): v[i] for k, v in VALUES.items()}) for i, name in enumerate(("old", "new"))]
    return StoredExperiment("page", variants, store=MemoryStore(), algorithm=FixedWeights(weights))


def _client(pyrosper: Pyrosper) -> OpenFeatureClient:
    api.set_provider_and_wait(XpProvider(pyrosper), "xp_pipeline tests")
    return api.get_client("xp_pipeline tests")


@pytest.fixture
def page() -> StoredExperiment:
    """Everybody gets the new page."""
    experiment = _page([0, 1])
    experiment.enable_sync()
    return experiment


@pytest.mark.parametrize("flag", ASKED)
def test_every_kind_of_flag(page: StoredExperiment, flag: str) -> None:
    kind, default = ASKED[flag]
    client = _client(Pyrosper().with_experiment(page))
    context = EvaluationContext("user", {"country": "DE"})
    found = getattr(client, f"get_{kind}_details")(flag, default, context)
    assert (found.value, found.variant, found.reason) == (VALUES[flag][1], "new", Reason.SPLIT)
    assert found.flag_metadata == {"experiment": "page"}
    assert found.error_code is None
    later = asyncio.run(getattr(client, f"get_{kind}_details_async")(flag, default, context))
    assert later.value == found.value


@pytest.mark.parametrize("user", ["", "0", "ü"])
def test_the_targeting_key_is_the_user(page: StoredExperiment, user: str) -> None:
    provider = XpProvider(Pyrosper().with_experiment(page))
    assert provider.resolve_string_details("title", "", EvaluationContext(user)).value == "Hey"
    assert page.store.assignment(page.id, user) is not None


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda c: c.get_string_details("titel", "default", EvaluationContext("u")), ErrorCode.FLAG_NOT_FOUND),
        (lambda c: c.get_string_details("title", "default"), ErrorCode.TARGETING_KEY_MISSING),
        (lambda c: c.get_string_details("limit", "default", EvaluationContext("u")), ErrorCode.TYPE_MISMATCH),
        (lambda c: c.get_string_details("nothing", "default", EvaluationContext("u")), ErrorCode.GENERAL),
        (lambda c: c.get_string_details("title", "default", EvaluationContext("\\N")), ErrorCode.GENERAL),
    ],
    ids=["unknown flag", "nobody", "another type", "no value", "no id"],
)
def test_errors_are_openfeatures_and_give_the_default(
    page: StoredExperiment, ask: Callable[[OpenFeatureClient], Any], code: ErrorCode
) -> None:
    found = ask(_client(Pyrosper().with_experiment(page)))
    assert (found.value, found.error_code, found.reason) == ("default", code, Reason.ERROR)


def test_numbers_and_truth_are_not_mixed_up(page: StoredExperiment) -> None:
    client = _client(Pyrosper().with_experiment(page))
    context = EvaluationContext("u")
    assert client.get_integer_details("shown", 7, context).error_code == ErrorCode.TYPE_MISMATCH
    assert client.get_boolean_details("limit", False, context).error_code == ErrorCode.TYPE_MISMATCH
    assert client.get_float_details("limit", 0.0, context).value == 5.0


def test_control_says_why(page: StoredExperiment) -> None:
    pyrosper = Pyrosper().with_experiment(page)
    client = _client(pyrosper)
    page.store.switch("page", is_enabled=False)
    off = client.get_string_details("title", "", EvaluationContext("u"))
    assert (off.value, off.variant, off.reason) == ("Hello", "old", Reason.DISABLED)
    broken = enabled()
    broken.fails["get_experiment"] = OSError("down")
    stale = _client(Pyrosper().with_experiment(broken)).get_string_details("greeting", "", EvaluationContext("u"))
    assert (stale.value, stale.reason) == ("Hello!", Reason.STALE)


def test_a_plain_text_symbol_is_a_flag_too() -> None:
    experiment = StoredExperiment("page", [Variant("old", {"title": "Hello"})], store=MemoryStore())
    client = _client(Pyrosper().with_experiment(experiment))
    assert client.get_string_value("title", "", EvaluationContext("u")) == "Hello"


def test_it_is_named() -> None:
    assert XpProvider(Pyrosper()).get_metadata().name == "xp_pipeline"


def test_without_the_sdk_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['openfeature'] = None\n"
        "from xp_pipeline.errors import XpError\n"
        "try:\n    import xp_pipeline.delivery.openfeature\nexcept XpError as problem:\n    print(problem)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "the OpenFeature SDK is not installed" in done.stdout
    assert "pip install 'xp_pipeline[openfeature]'" in done.stdout
