"""The command that plans: from an experiment of the project, or from typed numbers alone."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from xp_pipeline.errors import EvidenceError, SpecError

Number = float | None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(plan)


def plan(
    experiment: Annotated[str | None, typer.Argument(help="Experiment id; none to plan from --baseline.")] = None,
    baseline: Annotated[Number, typer.Option(help="Mean, share, ratio or quantile without the change.")] = None,
    sd: Annotated[Number, typer.Option(help="Standard deviation per unit; a share needs none.")] = None,
    metric: Annotated[
        str | None, typer.Option("--type", help="mean, proportion, ratio, revenue, count, retention or quantile.")
    ] = None,
    mde: Annotated[str | None, typer.Option(help="Smallest effect worth detecting: 5% or 0.5.")] = None,
    margin: Annotated[str | None, typer.Option(help="Instead: harm to rule out, 2% or 0.5.")] = None,
    equivalence: Annotated[str | None, typer.Option(help="Instead: change that counts as none, 2% or 0.5.")] = None,
    decrease: Annotated[bool, typer.Option("--decrease", help="Lower is better.")] = False,
    weights: Annotated[str, typer.Option(help="Sizes of the arms, control first: 50,50 or 2,1,1.")] = "50,50",
    per_day: Annotated[Number, typer.Option(help="New units a day, of all arms.")] = None,
    days: Annotated[Number, typer.Option(help="Days of enrolment.")] = None,
    units: Annotated[Number, typer.Option(help="Instead: units that there will be, of all arms.")] = None,
    window: Annotated[str | None, typer.Option(help="Wait until a unit counts, such as 7d.")] = None,
    alpha: Annotated[float, typer.Option(help="Error rate: two-sided, one-sided for margins.")] = 0.05,
    power: Annotated[float, typer.Option(help="That all tests that must hold succeed.")] = 0.8,
    metrics: Annotated[int, typer.Option(help="Primary metrics that share alpha.")] = 1,
    guardrails: Annotated[int, typer.Option(help="Further tests that must hold.")] = 0,
    correction: Annotated[str, typer.Option(help="bonferroni, holm, dunnett or none.")] = "bonferroni",
    looks: Annotated[str, typer.Option(help="fixed, group_sequential or always_valid.")] = "fixed",
    explained: Annotated[float, typer.Option(help="Share of variance that covariates remove.")] = 0.0,
    cluster_size: Annotated[float, typer.Option(help="Units a cluster.")] = 1.0,
    icc: Annotated[float, typer.Option(help="Correlation within clusters.")] = 0.0,
    cluster_cv: Annotated[float, typer.Option(help="Coefficient of variation of cluster sizes.")] = 0.0,
    quantile: Annotated[Number, typer.Option(help="Which quantile, such as 0.9.")] = None,
    density: Annotated[Number, typer.Option(help="Density at it; a normal's with --sd unless given.")] = None,
    denominator: Annotated[Number, typer.Option(help="Of a ratio: mean per unit; --sd is the numerator's.")] = None,
    denominator_sd: Annotated[Number, typer.Option(help="Its standard deviation.")] = None,
    correlation: Annotated[float, typer.Option(help="Of numerator and denominator.")] = 0.0,
    output: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """Sample size, smallest detectable effect and run time; registers nothing."""
    if output not in ("table", "json"):
        raise SpecError("unknown format", found=output, allowed="table, json")
    if (experiment is None) == (baseline is None):
        raise SpecError("plan an experiment or typed numbers", allowed="xp plan ID, or xp plan --baseline 0.1 --mde 5%")
    if baseline is None:
        made = _of_experiment(str(experiment))
    else:
        made = _of_numbers(
            mean=baseline, sd=sd, type=metric, mde=mde, margin=margin, equivalence=equivalence,
            increase_is_good=not decrease, weights=weights, per_day=per_day, days=days, units=units, window=window,
            alpha=alpha, power=power, metrics=metrics, guardrails=guardrails, correction=correction, looks=looks,
            explained=explained,
            cluster_size=cluster_size, cluster_correlation=icc, cluster_variation=cluster_cv, quantile=quantile,
            density=density, denominator=denominator, denominator_sd=denominator_sd, correlation=correlation,
        )  # fmt: skip
    _show(made, output)


def _of_experiment(experiment: str) -> dict[str, Any]:
    from xp_pipeline.lifecycle.planning.plan import make_plan
    from xp_pipeline.lifecycle.preview import previewed
    from xp_pipeline.lifecycle.workspace import Workspace

    workspace = Workspace.open()
    return make_plan(workspace, previewed(workspace, experiment))


def _of_numbers(**typed: Any) -> dict[str, Any]:
    """The plan of typed numbers; what cannot be is an error of the command line."""
    from pydantic import ValidationError

    from xp_pipeline.lifecycle.planning.typed import Numbers, typed_plan
    from xp_pipeline.spec.looks import Looks
    from xp_pipeline.spec.values import Amount, parse_duration, parse_weight

    try:
        for name in ("mde", "margin", "equivalence"):
            typed[name] = Amount.model_validate(Amount.parse(_number_or_text(typed[name]))) if typed[name] else None
        typed["weights"] = tuple(parse_weight(part) for part in typed["weights"].split(","))
        typed["looks"] = Looks(schedule=typed["looks"])
        typed["window"] = parse_duration(typed["window"] or "0d")
        return typed_plan(Numbers(**typed))
    except EvidenceError as problem:
        raise SpecError(
            problem.what, found=problem.found, allowed=problem.allowed, next_step=problem.next_step
        ) from None
    except ValidationError as problem:
        first = problem.errors()[0]
        raise SpecError(first["msg"].removeprefix("Value error, "), found=first.get("input")) from None
    except ValueError as problem:
        raise SpecError(str(problem)) from None


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _show(made: dict[str, Any], output: str) -> None:
    if output == "json":
        from xp_pipeline.serialization import serialize_to_json

        typer.echo(serialize_to_json(made, indent=2))
    else:
        from xp_pipeline.cli.planned import show_plan

        show_plan(made)
