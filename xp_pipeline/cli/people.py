"""Commands that are a person's act: register, amend, override, conclude, decide, reanalyse; and verify."""

from __future__ import annotations

from typing import Annotated

import typer

By = Annotated[str, typer.Option(help="Who does this; entered in the ledger.")]
Reason = Annotated[str, typer.Option(help="Why; entered in the ledger.")]
Id = Annotated[str, typer.Argument(help="Experiment id.")]
Day = Annotated[str | None, typer.Option(help="Last day that counts (YYYY-MM-DD).")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (register_experiment, amend, override, conclude, decide, reanalyse, verify):
        app.command("register" if command is register_experiment else None)(command)


def register_experiment(
    experiment: Id,
    by: By,
    reason: Reason = "",
    local: Annotated[bool, typer.Option("--local", help="A laptop's registration; every result says so.")] = False,
) -> None:
    """Seal the spec: from now on it is a promise."""
    from xp_pipeline.lifecycle.register import register as seal
    from xp_pipeline.lifecycle.workspace import Workspace

    done = seal(Workspace.open(by=by), experiment, reason=reason, local=local)
    typer.echo(f"{experiment} is registered: {done.sealed.spec_hash}")
    for change in done.accepted:
        typer.echo(f"  accepted ({change.kind}): {change}")
    for change in done.held:
        typer.echo(f"  held ({change.kind}): {change}")
    if done.held:
        typer.echo(f"Next: xp amend {experiment} --by YOU --reason WHY, or restore the file")


def amend(experiment: Id, by: By, reason: Reason) -> None:
    """Accept a deviation; reports then carry both the promised and the amended analysis."""
    from xp_pipeline.lifecycle import acts
    from xp_pipeline.lifecycle.workspace import Workspace

    promise, changes = acts.amend(Workspace.open(by=by), experiment, reason=reason)
    typer.echo(f"{experiment} is amended: {promise.spec_hash}")
    for change in changes:
        typer.echo(f"  {change.kind}: {change}")


def override(
    experiment: Id, by: By, reason: Reason, check: Annotated[str, typer.Option(help="The blocking check.")]
) -> None:
    """Show estimates although a blocking check failed; every page says so."""
    from xp_pipeline.lifecycle import acts
    from xp_pipeline.lifecycle.workspace import Workspace

    entry = acts.override(Workspace.open(by=by), experiment, check, reason=reason)
    typer.echo(f"{experiment}: check {check} is overridden (ledger entry {entry.seq}). Next: xp run {experiment}")


def conclude(experiment: Id, by: By, reason: Reason, as_of: Day = None) -> None:
    """End an experiment before its plan; the next run takes the final look."""
    from xp_pipeline.cli.days import parsed
    from xp_pipeline.lifecycle import acts
    from xp_pipeline.lifecycle.workspace import Workspace

    entry = acts.conclude(Workspace.open(by=by), experiment, as_of=parsed(as_of), reason=reason)
    typer.echo(f"{experiment} is concluded as of {entry.payload['as_of']}. Next: xp run {experiment}")


def decide(
    experiment: Id,
    arm: Annotated[str, typer.Argument(help="Treatment arm.")],
    decision: Annotated[str, typer.Argument(help="ship, do_not_ship, extend or no_decision.")],
    by: By,
    reason: Reason,
) -> None:
    """Record what people decided, beside the recommendation."""
    from xp_pipeline.lifecycle import acts
    from xp_pipeline.lifecycle.workspace import Workspace

    entry = acts.decide(Workspace.open(by=by), experiment, arm, decision, reason=reason)
    typer.echo(f"{experiment}, {arm}: {decision} (ledger entry {entry.seq})")


def reanalyse(
    experiment: Id,
    by: By,
    reason: Reason,
    alpha: Annotated[float | None, typer.Option(help="Another significance level.")] = None,
    correction: Annotated[str | None, typer.Option(help="holm, bonferroni, fdr_bh, fdr_by or none.")] = None,
) -> None:
    """Analyse the final look under other settings: a labelled side result, no state moves."""
    from xp_pipeline.cli.scorecard import show_scorecard
    from xp_pipeline.lifecycle.inference.reanalyse import reanalyse as again
    from xp_pipeline.lifecycle.workspace import Workspace

    rows = again(Workspace.open(by=by), experiment, alpha=alpha, correction=correction, reason=reason)
    show_scorecard(rows.to_dicts(), ())


def verify(
    head: Annotated[str | None, typer.Option(help="A head printed in a report, SEQ:DIGEST.")] = None,
) -> None:
    """Recompute the ledger's chain; with a head from a report, prove that nothing before it was rewritten."""
    from xp_pipeline.errors import SpecError
    from xp_pipeline.lifecycle.workspace import Workspace
    from xp_pipeline.spec.ledger import Head

    expected = None
    if head:
        number, _, digest = head.partition(":")
        if not number.isdigit() or not digest:
            raise SpecError("a head is SEQ:DIGEST, as printed in a report", found=head)
        expected = Head(int(number), digest)
    last = Workspace.open().ledger.verify(expected)
    typer.echo(f"The ledger is whole: {last.seq} entries, head {last.seq}:{last.digest}")
