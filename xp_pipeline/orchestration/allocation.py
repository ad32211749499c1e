"""The asset of adaptive experiments: what was learned, and the weights that follow."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from xp_pipeline.errors import XpError
from xp_pipeline.lifecycle.allocate import Allocated, allocate
from xp_pipeline.lifecycle.assignment.published import Publication, last
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.orchestration.assets import AsOf, failure
from xp_pipeline.orchestration.partitions import experiments
from xp_pipeline.orchestration.resources import ProjectResource

ALLOCATION = "allocation"


@dg.asset(
    name=ALLOCATION,
    deps=[dg.AssetKey("adjusted_metrics")],
    output_required=False,
    group_name="p5_analysed",
    kinds={"python"},
    partitions_def=experiments,
)
def allocation(
    context: dg.AssetExecutionContext, config: AsOf, project: ProjectResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """The weights that services follow, learned from every reward once; only adaptive experiments have them."""
    workspace = project.open(run_id=context.run.run_id)
    try:
        found = allocate(workspace, sealed(workspace, context.partition_key), as_of=config.day)
    except XpError as error:
        raise failure(error) from error
    if found is None:
        context.log.info(f"{context.partition_key} is not adaptive: its weights stay as they were designed")
        return
    yield dg.MaterializeResult(
        metadata=_shown(found), data_version=dg.DataVersion(found.publication.allocation.version)
    )


def materialised(workspace: Workspace, experiment: str) -> dg.AssetMaterialization | None:
    """An event for the weights that this run published; None where it published none."""
    publication = last(workspace, experiment)
    if publication is None or publication.run_id != workspace.run_id:
        return None
    return dg.AssetMaterialization(ALLOCATION, partition=experiment, metadata=_of(publication))


def _shown(found: Allocated) -> dict[str, Any]:
    return _of(found.publication) | {"published": found.is_new} | ({"reason": found.reason} if found.reason else {})


def _of(publication: Publication) -> dict[str, Any]:
    return {
        "weights": dg.MetadataValue.json(dict(publication.allocation.shares)),
        "version": publication.allocation.version,
        "number": publication.number,
        "learned_up_to": publication.as_of or "nothing yet",
        "state": publication.state,
    }
