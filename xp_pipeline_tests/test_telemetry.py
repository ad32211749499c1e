"""Log lines that are always JSON, and stages measured apart however they nest."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import sys
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

from xp_pipeline.errors import XpError
from xp_pipeline.telemetry import LOGGER, ExecutionProfiler, JsonFormatter, configure_telemetry, get_logger

CORE = {"timestamp", "level", "message", "logger", "module", "line"}


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Every test begins and ends with the logger as Python makes it."""
    yield
    logger = logging.getLogger(LOGGER)
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure_telemetry(stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=pytest.fail) for line in stream.getvalue().splitlines()]


def stages(stream: io.StringIO) -> dict[str, dict[str, Any]]:
    return {line["stage"]: line for line in lines(stream)}


# The log


def test_a_line_has_the_core_fields(stream: io.StringIO) -> None:
    get_logger().info("read %d rows", 3)
    (line,) = lines(stream)
    assert set(line) == CORE
    assert (line["level"], line["message"], line["logger"]) == ("INFO", "read 3 rows", "xp_pipeline")
    assert line["module"] == "test_telemetry"
    assert line["timestamp"].endswith("+00:00")


def test_a_line_is_one_line_of_ascii(stream: io.StringIO) -> None:
    get_logger().info("größe\nund \ud800 mehr")
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().isascii()


def test_extras_stand_beside_the_core(stream: io.StringIO) -> None:
    get_logger().info("x", extra={"units": np.int64(3), "extra_fields": {"p": float("nan"), "ok": np.True_}})
    (line,) = lines(stream)
    assert (line["units"], line["p"], line["ok"]) == (3, "nan", True)


def test_extras_never_overwrite_the_core(stream: io.StringIO) -> None:
    clashes = {
        "level": "DEBUG",
        "message": "forged",
        "timestamp": 0,
        "line": -1,
        "logger": "root",
        "extra": 1,
        "a": 2,
    }
    get_logger().warning("true", extra={"extra_fields": clashes})
    (line,) = lines(stream)
    assert (line["level"], line["message"], line["logger"], line["a"]) == (
        "WARNING",
        "true",
        "xp_pipeline",
        2,
    )
    assert line["extra"] == {key: value for key, value in clashes.items() if key != "a"}


def test_an_extra_passed_by_name_does_not_overwrite_either(stream: io.StringIO) -> None:
    get_logger().warning("true", extra={"level": "DEBUG"})
    (line,) = lines(stream)
    assert (line["level"], line["extra"]) == ("WARNING", {"level": "DEBUG"})


def test_the_traceback_is_kept(stream: io.StringIO) -> None:
    try:
        raise ValueError("bad row")
    except ValueError:
        get_logger().exception("failed")
    (line,) = lines(stream)
    assert "Traceback" in line["exception"]
    assert line["exception"].endswith("ValueError: bad row")


def test_no_line_is_lost_to_a_strange_value(stream: io.StringIO) -> None:
    class Strange:
        def __str__(self) -> str:
            raise RuntimeError

    loop: list[Any] = []
    loop.append(loop)
    get_logger().info("x", extra={"extra_fields": {"a": Strange(), "b": loop, "c": {1: 1, "1": 2}, 4: {5, 6}}})
    (line,) = lines(stream)
    assert line["a"] == "<Strange that cannot be shown>"
    assert line["b"] == "<list that cannot be shown>"
    assert line["c"] == "<dict that cannot be shown>"
    assert line["4"] == [5, 6]


def test_a_message_with_too_few_arguments_is_shown_as_it_is() -> None:
    record = logging.makeLogRecord({"msg": "%d of %d", "args": (1,)})
    assert json.loads(JsonFormatter().format(record))["message"] == "%d of %d [1]"


def test_configuring_again_replaces_the_stream(stream: io.StringIO) -> None:
    other = io.StringIO()
    assert configure_telemetry(logging.WARNING, other) is configure_telemetry(logging.WARNING, other) is get_logger()
    get_logger().info("below the threshold")
    get_logger().warning("once")
    assert lines(stream) == []
    assert [line["message"] for line in lines(other)] == ["once"]


def test_somebody_elses_handler_is_left_in_place(stream: io.StringIO) -> None:
    other = logging.NullHandler()
    get_logger().addHandler(other)
    configure_telemetry(stream=stream)
    assert other in get_logger().handlers
    get_logger().info("still one line")
    assert len(lines(stream)) == 1


def test_nothing_propagates_to_the_root(stream: io.StringIO) -> None:
    heard = io.StringIO()
    root = logging.StreamHandler(heard)
    logging.getLogger().addHandler(root)
    get_logger().error("ours alone")
    logging.getLogger(f"{LOGGER}.engine").error("a child's")
    logging.getLogger().removeHandler(root)
    assert heard.getvalue() == ""
    assert [line["logger"] for line in lines(stream)] == ["xp_pipeline", "xp_pipeline.engine"]


def test_the_default_stream_is_the_standard_output_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = get_logger()
    later = io.StringIO()
    monkeypatch.setattr(sys, "stdout", later)
    logger.info("written later")
    assert [line["message"] for line in lines(later)] == ["written later"]


def test_a_handlers_stream_can_be_set(stream: io.StringIO) -> None:
    other = io.StringIO()
    (handler,) = (h for h in get_logger().handlers if getattr(h, "stream", None) is stream)
    assert isinstance(handler, logging.StreamHandler)
    assert handler.setStream(other) is stream
    get_logger().info("elsewhere")
    assert [line["message"] for line in lines(other)] == ["elsewhere"]


# The profiler


def test_a_stage_is_reported(stream: io.StringIO) -> None:
    with ExecutionProfiler("bootstrap") as profiler:
        kept = bytearray(300_000)
        time.sleep(0.02)
    del kept
    (line,) = lines(stream)
    assert set(line) == CORE | {"stage", "duration_seconds", "peak_memory_kb", "status"}
    assert (line["stage"], line["status"], line["level"]) == ("bootstrap", "SUCCESS", "INFO")
    assert 0.02 <= line["duration_seconds"] < 2
    assert 290 < line["peak_memory_kb"] < 2000
    assert profiler.duration_seconds == pytest.approx(line["duration_seconds"])
    assert profiler.peak_memory_bytes == line["peak_memory_kb"] * 1024
    assert profiler.end_time > profiler.start_time > 0


def test_a_failure_is_reported_and_passes_through(stream: io.StringIO) -> None:
    with pytest.raises(ZeroDivisionError, match="by zero"), ExecutionProfiler("ratio"):
        raise ZeroDivisionError("by zero")
    (line,) = lines(stream)
    assert (line["status"], line["level"]) == ("FAILED", "ERROR")
    assert (line["error_type"], line["error_message"]) == ("ZeroDivisionError", "by zero")
    assert not tracemalloc.is_tracing()


def test_outer_stages_include_the_memory_of_inner_ones(stream: io.StringIO) -> None:
    """seed 0 forgets all traces when an inner stage begins: its outer peak was 14 KiB for 39 MiB."""
    with ExecutionProfiler("outer"):
        before = bytearray(2_000_000)
        del before
        with ExecutionProfiler("first"):
            big = bytearray(4_000_000)
            del big
        with ExecutionProfiler("second"):
            small = bytearray(1_000_000)
            del small
    told = stages(stream)
    peaks = {name: told[name]["peak_memory_kb"] for name in ("outer", "first", "second")}
    assert peaks["outer"] >= peaks["first"] > 3900
    assert 970 < peaks["second"] < 1900


def test_outer_is_never_below_inner_though_memory_was_freed_in_between(stream: io.StringIO) -> None:
    tracemalloc.start()
    try:
        held = bytearray(3_000_000)
        with ExecutionProfiler("outer"):
            del held
            with ExecutionProfiler("inner"):
                again = bytearray(1_000_000)
                del again
    finally:
        tracemalloc.stop()
    told = stages(stream)
    assert told["outer"]["peak_memory_kb"] >= told["inner"]["peak_memory_kb"]


def test_each_level_of_a_recursion_has_its_own_duration(stream: io.StringIO) -> None:
    @ExecutionProfiler("level")
    def descend(depth: int) -> int:
        time.sleep(0.02)
        return depth if depth == 0 else descend(depth - 1)

    assert descend(3) == 0
    durations = [line["duration_seconds"] for line in lines(stream)]
    assert [round(duration / 0.02) >= level for level, duration in enumerate(durations, start=1)] == [True] * 4
    assert durations == sorted(durations)
    assert durations[3] - durations[0] >= 0.06


def test_one_profiler_can_be_entered_again(stream: io.StringIO) -> None:
    profiler = ExecutionProfiler("again")
    with profiler:
        time.sleep(0.02)
        with profiler:
            pass
        inner = profiler.duration_seconds
    assert profiler.duration_seconds >= 0.02 + inner
    assert len(lines(stream)) == 2


@pytest.mark.parametrize("tracing", [False, True])
def test_tracing_is_left_as_it_was_found(stream: io.StringIO, tracing: bool) -> None:
    """seed 0 leaves it on, which slows all that follows."""
    if tracing:
        tracemalloc.start()
    with contextlib.suppress(KeyError), ExecutionProfiler("outer"):
        with ExecutionProfiler("inner"):
            pass
        assert tracemalloc.is_tracing()
        raise KeyError
    assert tracemalloc.is_tracing() == tracing
    tracemalloc.stop()


def test_traces_of_others_are_not_cleared(stream: io.StringIO) -> None:
    tracemalloc.start()
    try:
        held = bytearray(500_000)
        with ExecutionProfiler("stage"):
            pass
        assert tracemalloc.get_object_traceback(held) is not None
    finally:
        tracemalloc.stop()


def test_memory_need_not_be_traced(stream: io.StringIO) -> None:
    with ExecutionProfiler("fast", memory=False):
        assert not tracemalloc.is_tracing()
    (line,) = lines(stream)
    assert "peak_memory_kb" not in line


def test_tracing_stopped_by_somebody_else_does_no_harm(stream: io.StringIO) -> None:
    with ExecutionProfiler("stage"):
        tracemalloc.stop()
    (line,) = lines(stream)
    assert line["status"] == "SUCCESS"


def test_a_decorated_function_keeps_its_name_and_result(stream: io.StringIO) -> None:
    @ExecutionProfiler("sum")
    def add(one: int, *, other: int = 1) -> int:
        """Adds."""
        return one + other

    assert (add.__name__, add.__doc__, add(2, other=3)) == ("add", "Adds.", 5)
    assert stages(stream)["sum"]["status"] == "SUCCESS"


def test_decorating_configures_nothing() -> None:
    ExecutionProfiler("stage")(lambda: None)
    assert logging.getLogger(LOGGER).handlers == []


def test_a_coroutine_is_timed_to_its_end(stream: io.StringIO) -> None:
    @ExecutionProfiler("wait")
    async def wait() -> str:
        """Waits."""
        await asyncio.sleep(0.03)
        return "done"

    assert asyncio.iscoroutinefunction(wait)
    assert (wait.__name__, asyncio.run(wait())) == ("wait", "done")
    assert stages(stream)["wait"]["duration_seconds"] >= 0.03


def test_concurrent_tasks_have_their_own_durations(stream: io.StringIO) -> None:
    @ExecutionProfiler("task")
    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def late() -> None:
        await asyncio.sleep(0.05)
        await wait(0.01)

    async def both() -> None:
        await asyncio.gather(wait(0.09), late())

    asyncio.run(both())
    short, long = sorted(line["duration_seconds"] for line in lines(stream))
    assert 0.01 <= short < long
    assert long >= 0.09
    assert not tracemalloc.is_tracing()


def test_threads_have_their_own_durations(stream: io.StringIO) -> None:
    profiler = ExecutionProfiler("thread")
    entered, ended = threading.Event(), threading.Event()

    def long() -> None:
        with profiler:
            entered.set()
            ended.wait()

    thread = threading.Thread(target=long)
    thread.start()
    entered.wait()
    time.sleep(0.03)
    with profiler:
        pass
    ended.set()
    thread.join()
    first, second = (line["duration_seconds"] for line in lines(stream))
    assert first < second
    assert second >= 0.03
    assert not tracemalloc.is_tracing()


def test_generators_are_refused(stream: io.StringIO) -> None:
    def rows() -> Iterator[int]:
        yield 1

    async def batches() -> AsyncIterator[int]:
        yield 1

    for generator in (rows, batches):
        with pytest.raises(XpError, match=r"a generator does its work between calls"):
            ExecutionProfiler("rows")(generator)


def test_leaving_without_entering_is_refused() -> None:
    with pytest.raises(XpError, match="rows: this profiler was not entered here"):
        ExecutionProfiler("rows").__exit__(None, None, None)


def test_another_logger_can_be_given(stream: io.StringIO, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), ExecutionProfiler("mine", logging.getLogger("mine")):
        pass
    assert [record.getMessage() for record in caplog.records] == ["stage mine: SUCCESS"]
    assert lines(stream) == []
