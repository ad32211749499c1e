"""Log lines that are JSON, and a profiler that times a stage and its peak of memory."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, ParamSpec, TextIO, TypeVar, cast

from xp_pipeline.errors import XpError
from xp_pipeline.serialization import make_serializable, serialize_to_json

LOGGER = "xp_pipeline"

P = ParamSpec("P")
R = TypeVar("R")

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_FIELDS = "extra_fields"


def configure_telemetry(level: int = logging.INFO, stream: TextIO | None = None) -> logging.Logger:
    """Send the package's log to a stream, one JSON object a line; calling it again replaces the stream.

    Args:
        level: Threshold, as in ``logging``.
        stream: Where lines go; by default whatever ``sys.stdout`` is when a line is written.
    """
    logger = logging.getLogger(LOGGER)
    logger.setLevel(level)
    logger.propagate = False
    for handler in [h for h in logger.handlers if isinstance(h, _JsonHandler)]:
        logger.removeHandler(handler)
    logger.addHandler(_JsonHandler(stream))
    return logger


def get_logger() -> logging.Logger:
    """The package's logger, configured with the defaults if nobody has configured it."""
    logger = logging.getLogger(LOGGER)
    return logger if logger.handlers else configure_telemetry()


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON.

    Core fields are ``timestamp``, ``level``, ``message``, ``logger``, ``module``, ``line`` and, with an
    exception, ``exception``. What the caller passes as ``extra`` stands beside them; a name that a core field
    has already goes under ``extra``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        core = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname,
            "message": _message(record),
            "logger": record.name,
            "module": record.module,
            "line": record.lineno,
        }
        if record.exc_info or record.exc_text:
            core["exception"] = record.exc_text or self.formatException(record.exc_info or (None, None, None))
        if record.stack_info:
            core["stack"] = record.stack_info
        given = {str(name): _safe(value) for name, value in _given(record).items()}
        taken = {*core, "extra"}
        line = core | {name: value for name, value in given.items() if name not in taken}
        clashes = {name: value for name, value in given.items() if name in taken}
        return serialize_to_json(line | ({"extra": clashes} if clashes else {}))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a line with unfilled placeholders says more than a lost one
        return f"{record.msg} {_safe(record.args)}"


def _given(record: logging.LogRecord) -> dict[Any, Any]:
    """The caller's fields: passed one by one, or as a mapping named ``extra_fields``."""
    given: dict[Any, Any] = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    nested = given.get(_FIELDS)
    if isinstance(nested, Mapping):
        given = {name: value for name, value in given.items() if name != _FIELDS} | dict(nested)
    return given


def _safe(value: Any) -> Any:
    """A JSON form of the value; of one that resists, its type."""
    try:
        return make_serializable(value)
    except Exception:
        return f"<{type(value).__name__} that cannot be shown>"


class _JsonHandler(logging.StreamHandler[TextIO]):
    """Writes to a given stream, or to the standard output of the moment."""

    def __init__(self, stream: TextIO | None) -> None:
        logging.Handler.__init__(self)  # the base class would bind the stream of now
        self._fixed = stream
        self.setFormatter(JsonFormatter())

    @property
    def stream(self) -> TextIO:
        return self._fixed or sys.stdout

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        self._fixed = stream


@dataclass(eq=False)
class _Measurement:
    """One run of a stage. Times in seconds of the performance counter, memory in bytes."""

    owner: ExecutionProfiler
    traced: bool
    start: float = field(default_factory=time.perf_counter)
    end: float = 0.0
    peak: int = 0


class _Memory:
    """Peaks of traced memory for stages that overlap.

    tracemalloc keeps one peak. Whenever a stage begins or ends, the peak since the last such moment is
    credited to every stage then open, and started afresh; so an outer stage never shows less than an inner
    one. Levels count from what was allocated when the outermost stage began.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[_Measurement] = []
        self._started = False
        self._baseline = 0

    def begin(self, measurement: _Measurement) -> None:
        with self._lock:
            if not self._open:
                self._started = not tracemalloc.is_tracing()
                if self._started:
                    tracemalloc.start()
                self._baseline = tracemalloc.get_traced_memory()[0]
            self._credit()
            self._open.append(measurement)

    def end(self, measurement: _Measurement) -> None:
        with self._lock:
            self._credit()
            self._open.remove(measurement)
            if not self._open and self._started:
                tracemalloc.stop()

    def _credit(self) -> None:
        peak = tracemalloc.get_traced_memory()[1] - self._baseline
        for measurement in self._open:
            measurement.peak = max(measurement.peak, peak)
        if tracemalloc.is_tracing():
            tracemalloc.reset_peak()


_MEMORY = _Memory()
_OPEN: ContextVar[tuple[_Measurement, ...]] = ContextVar("open_stages", default=())


class ExecutionProfiler:
    """Logs how long a stage took, its peak of Python memory, and whether it failed.

    A context manager and a decorator of functions and coroutine functions; nesting, recursion, threads and
    concurrent tasks each get their own figures. Exceptions pass through.

    >>> @ExecutionProfiler("square")
    ... def square(x: int) -> int:
    ...     return x * x

    Attributes:
        start_time: Performance counter at the start of the run that ended last, in seconds.
        end_time: The same at its end.
        peak_memory_bytes: Its peak; counts what Python's allocator sees, not what DuckDB or Arrow hold.

    Args:
        stage_name: What the log calls it.
        logger: Where the line goes; the package's logger by default.
        memory: Trace memory, which slows code that makes many Python objects; without it, no peak is logged.
    """

    def __init__(self, stage_name: str, logger: logging.Logger | None = None, *, memory: bool = True) -> None:
        self.stage_name = stage_name
        self.start_time = 0.0
        self.end_time = 0.0
        self.peak_memory_bytes = 0
        self._logger = logger
        self._memory = memory

    @property
    def duration_seconds(self) -> float:
        """Length of the run that ended last."""
        return self.end_time - self.start_time

    def __enter__(self) -> ExecutionProfiler:
        _OPEN.set((*_OPEN.get(), self._begin()))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        measurement = next((m for m in reversed(_OPEN.get()) if m.owner is self), None)
        if measurement is None:
            raise XpError("this profiler was not entered here", where=self.stage_name)
        _OPEN.set(tuple(m for m in _OPEN.get() if m is not measurement))
        self._end(measurement, error)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Profile every call of a function."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise XpError(
                "a generator does its work between calls, so the calls tell nothing",
                where=f"{self.stage_name}: {function.__qualname__}",
                next_step="profile the loop that consumes it",
            )
        if inspect.iscoroutinefunction(function):
            return cast(Callable[P, R], self._around_coroutine(function))

        @functools.wraps(function)
        def profiled(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return profiled

    def _around_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def profiled(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        return profiled

    def _begin(self) -> _Measurement:
        measurement = _Measurement(self, self._memory)
        if measurement.traced:
            _MEMORY.begin(measurement)
        return measurement

    def _end(self, measurement: _Measurement, error: BaseException | None) -> None:
        measurement.end = time.perf_counter()
        if measurement.traced:
            _MEMORY.end(measurement)
        self.start_time, self.end_time = measurement.start, measurement.end
        self.peak_memory_bytes = measurement.peak
        self._log(measurement, error)

    def _log(self, measurement: _Measurement, error: BaseException | None) -> None:
        status = "SUCCESS" if error is None else "FAILED"
        told: dict[str, Any] = {
            "stage": self.stage_name,
            "duration_seconds": measurement.end - measurement.start,
            "status": status,
        }
        if measurement.traced:
            told["peak_memory_kb"] = measurement.peak / 1024
        if error is not None:
            told |= {"error_type": type(error).__name__, "error_message": _safe(error)}
        level = logging.INFO if error is None else logging.ERROR
        (self._logger or get_logger()).log(level, "stage %s: %s", self.stage_name, status, extra={_FIELDS: told})
