"""The command ``xp``: its subcommands, and how an error becomes one line and an exit code."""

from __future__ import annotations

import sys

import typer

from xp_pipeline.cli import asking, calibrated, concurrent, folder, people, planning, results, running
from xp_pipeline.errors import BlockedError, PhaseOrderError, RecordError, SpecError, TamperError, XpError

EXIT_CODES = {
    0: "done",
    1: "an experiment failed, or data could not be read",
    2: "a file of the project, or the command line, says something that cannot be accepted",
    3: "a quality check blocked an experiment",
    4: "out of order: a phase before its turn, or an act the record refuses",
    5: "a seal, a digest or the ledger does not match",
}

app = typer.Typer(
    name="xp",
    help="From a folder of experiments and metrics to a sealed report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()),
)
for module in (folder, asking, planning, running, results, people, calibrated, concurrent):
    module.register(app)


def exit_code(error: XpError) -> int:
    """The exit code of an error."""
    for kind, code in (
        (SpecError, 2),
        (BlockedError, 3),
        (PhaseOrderError, 4),
        (RecordError, 4),
        (TamperError, 5),
    ):
        if isinstance(error, kind):
            return code
    return 1


def main() -> None:
    """Run ``xp``; an error of ours is one line on the error stream."""
    try:
        app()
    except XpError as error:
        print(f"xp: {error}", file=sys.stderr)
        sys.exit(exit_code(error))
