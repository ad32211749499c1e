"""A quiet logger: Dagster's events go to a listener of the terminal, and nothing else is printed."""

import logging
from collections.abc import Callable

import dagster as dg

Listener = Callable[[str], None]
LOGGER = "xp_pipeline.progress"


@dg.logger({}, description="Hands lines of progress to the terminal.")
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """The logger that runs in this process write to."""
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger


class Listening(logging.Handler):
    """Passes step events and our own progress lines on as ``experiment, phase, what``."""

    def __init__(self, experiment: str | None, tell: Callable[[str, str, str], None]) -> None:
        super().__init__()
        self._experiment = experiment
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", None)
        message = str(meta["orig_message"] if isinstance(meta, dict) and "orig_message" in meta else record.msg)
        event = getattr(record, "dagster_event", None)
        if event is not None and self._experiment:
            what = {"STEP_START": "begins", "ASSET_MATERIALIZATION": "done"}.get(event.event_type_value)
            if what and event.step_key:
                self._tell(self._experiment, event.step_key, what)
            return
        experiment, *rest = message.split("\t", 2)
        if len(rest) == 2:
            self._tell(experiment.rsplit(" - ", 1)[-1], rest[0], rest[1])
