"""The assets of the lifecycle, one a phase, partitioned by experiment."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import dagster as dg

from xp_pipeline.errors import BlockedError, XpError
from xp_pipeline.lifecycle.run import run_phase
from xp_pipeline.orchestration.metadata import of
from xp_pipeline.orchestration.partitions import experiments
from xp_pipeline.orchestration.resources import ProjectResource
from xp_pipeline.spec.phases import Phase

QUALITY = "quality"


class AsOf(dg.Config):
    """Which day to analyse.

    Attributes:
        as_of: Last day that counts (YYYY-MM-DD); the last closed day where left out.
    """

    as_of: str | None = None

    @property
    def day(self) -> date | None:
        return date.fromisoformat(self.as_of) if self.as_of else None


def _materialised(
    context: dg.AssetExecutionContext, project: ProjectResource, phase: Phase, config: AsOf | None = None
) -> dg.MaterializeResult[Any]:
    """Run one phase; an error of ours becomes a failure that is not retried and says what to do next."""
    workspace = project.open(run_id=context.run_id)
    try:
        manifest = run_phase(workspace, context.partition_key, phase, as_of=config.day if config else None)
    except XpError as error:
        raise failure(error) from error
    return dg.MaterializeResult(metadata=of(workspace, manifest), data_version=dg.DataVersion(manifest.digest))


def failure(error: XpError) -> dg.Failure:
    """A Dagster failure with the parts of our error as metadata."""
    parts = {
        "where": error.where,
        "found": error.found,
        "allowed": error.allowed,
        "next step": error.next_step,
    }
    metadata = {name: str(value) for name, value in parts.items() if value is not None}
    return dg.Failure(description=f"{type(error).__name__}: {error}", metadata=metadata, allow_retries=False)


def _kinds(group: str, *kinds: str) -> dict[str, Any]:
    return {"group_name": group, "kinds": set(kinds), "partitions_def": experiments}


@dg.asset(**_kinds("p1_planned", "yaml"))
def registered_spec(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult[Any]:
    """The promise: the canonical spec, its SHA-256 and its registration. Later deviations wait for an amendment."""
    return _materialised(context, project, Phase.REGISTERED_SPEC)


@dg.asset(deps=[registered_spec], **_kinds("p1_planned", "scipy"))
def power_plan(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult[Any]:
    """Sample size, smallest detectable effect and run time of every metric and arm."""
    return _materialised(context, project, Phase.POWER_PLAN)


@dg.asset(deps=[power_plan], **_kinds("p2_designed", "python"))
def design(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult[Any]:
    """Allocation, bucket rule, salt and look schedule, sealed before anyone is analysed."""
    return _materialised(context, project, Phase.DESIGN)


def _assignments(upstream: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    @dg.asset(deps=[design, *upstream], **_kinds("p3_running", "duckdb"))
    def assignments(
        context: dg.AssetExecutionContext, config: AsOf, project: ProjectResource
    ) -> dg.MaterializeResult[Any]:
        """Who is in which arm since when: one row per exposed unit, and why anyone is left out."""
        return _materialised(context, project, Phase.ASSIGNMENTS, config)

    return assignments


@dg.asset(
    deps=[dg.AssetKey("assignments")],
    check_specs=[
        dg.AssetCheckSpec(
            QUALITY,
            asset="validated_exposures",
            blocking=True,
            description="Sample ratio, leaks, undeclared arms and units in several arms.",
        )
    ],
    output_required=False,
    **_kinds("p3_running", "duckdb", "pandera"),
)
def validated_exposures(
    context: dg.AssetExecutionContext, config: AsOf, project: ProjectResource
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """The analysable population and every quality verdict. When a blocking check fails, nothing is materialised."""
    workspace = project.open(run_id=context.run_id)
    try:
        manifest = run_phase(workspace, context.partition_key, Phase.VALIDATED_EXPOSURES, as_of=config.day)
    except BlockedError as error:
        yield dg.AssetCheckResult(check_name=QUALITY, passed=False, description=str(error))
        raise failure(error) from error
    except XpError as error:
        raise failure(error) from error
    yield dg.MaterializeResult(
        metadata=of(workspace, manifest),
        data_version=dg.DataVersion(manifest.digest),
        check_results=[dg.AssetCheckResult(check_name=QUALITY, passed=True, metadata={"verdict": manifest.verdict})],
    )


def _adjusted_metrics(upstream: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    @dg.asset(deps=[validated_exposures, *upstream], **_kinds("p4_measured", "duckdb"))
    def adjusted_metrics(
        context: dg.AssetExecutionContext, config: AsOf, project: ProjectResource
    ) -> dg.MaterializeResult[Any]:
        """Every metric's moments by arm and segment, all metrics in one pass, covariates included."""
        return _materialised(context, project, Phase.ADJUSTED_METRICS, config)

    return adjusted_metrics


@dg.asset(deps=[dg.AssetKey("adjusted_metrics")], **_kinds("p5_analysed", "scipy"))
def inference_results(
    context: dg.AssetExecutionContext, config: AsOf, project: ProjectResource
) -> dg.MaterializeResult[Any]:
    """Effects, intervals, adjusted p-values and the decision with its reasons; the final look freezes its data."""
    return _materialised(context, project, Phase.INFERENCE_RESULTS, config)


@dg.asset(deps=[inference_results], **_kinds("p6_reported", "html"))
def report(context: dg.AssetExecutionContext, config: AsOf, project: ProjectResource) -> dg.MaterializeResult[Any]:
    """The page and the card that people forward, rendered at every as-of."""
    return _materialised(context, project, Phase.REPORT, config)


def lifecycle_assets(upstream: Sequence[dg.AssetKey] = ()) -> list[dg.AssetsDefinition]:
    """The eight assets; those that read sources follow the upstream assets that make them."""
    return [
        registered_spec,
        power_plan,
        design,
        _assignments(upstream),
        validated_exposures,
        _adjusted_metrics(upstream),
        inference_results,
        report,
    ]
