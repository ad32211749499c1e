"""A salt that balances what is known of the units before anybody is assigned."""

from __future__ import annotations

from xp_pipeline.design.salts import SaltSearch, search
from xp_pipeline.engine.duckdb import connect
from xp_pipeline.engine.predicates import identifier
from xp_pipeline.errors import SpecError
from xp_pipeline.lifecycle.frames import matching, relation, unit_of
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace


def balanced_salt(workspace: Workspace, promise: Sealed, *, tries: int = 100) -> SaltSearch:
    """Try salts on the units of the population, and keep the one under which the ``balance`` columns differ least.

    Raises:
        SpecError: arms are not computed from one split, nothing is declared to balance, or the experiment has begun.
    """
    experiment = promise.bound.experiment
    assignment, where = experiment.assignment, promise.id
    if assignment.shares is None or assignment.rule != "v2" or assignment.phases or assignment.switchback:
        raise SpecError("a salt is searched for one split by bucket rule v2", where=where)
    if not experiment.balance:
        raise SpecError(
            "nothing to balance", where=where, next_step="name pre-period columns of the population under balance"
        )
    if (workspace.folder.record / "assignments" / promise.id).exists():
        raise SpecError("the experiment has begun: another salt would move its units", where=where)
    source = workspace.folder.sources[experiment.population.source]
    columns = ", ".join(
        f"avg(CAST({identifier(name)} AS DOUBLE)) AS b_{i}" for i, name in enumerate(experiment.balance)
    )
    unit = unit_of(source)
    with connect() as con:
        frame = con.sql(
            f"SELECT {unit} AS unit, {columns} FROM {relation(workspace, source.name)} "
            f"WHERE {matching(experiment.population.where, source)} GROUP BY 1 ORDER BY 1"
        ).pl()
    values = {name: frame[f"b_{i}"].to_numpy() for i, name in enumerate(experiment.balance)}
    return search(
        frame["unit"], values, assignment.shares, experiment=promise.id, control=assignment.control, tries=tries
    )
