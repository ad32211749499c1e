"""Salt search: of many salts, the one under which the arms are most alike before the experiment."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xp_pipeline.design.ranges import cumulative
from xp_pipeline.errors import DataError, SpecError
from xp_pipeline.language.buckets import bucket_sql

if TYPE_CHECKING:
    import polars as pl

Criterion = Literal["max_smd", "mahalanobis"]
Vector = NDArray[np.float64]
Units: TypeAlias = "Sequence[str] | Sequence[int] | NDArray[np.int64] | pl.Series"

LARGE_SMD = 0.1
"""Beyond this standardised difference a covariate is usually called imbalanced (Austin 2009, Stat. Med. 28)."""


@dataclass(frozen=True, eq=False)
class SaltSearch:
    """The salts tried and the imbalance of each.

    Attributes:
        salt: The one of smallest imbalance, the first of several.
        imbalance: Its value of the criterion.
        salts: All that were tried, in order.
        imbalances: Their values, shape (k,); inf where an arm got no unit.
        criterion: What was made small.
        differences: Standardised difference from control under the chosen salt, by metric, then by arm.
        units: Units searched on.
    """

    salt: str
    imbalance: float
    salts: tuple[str, ...]
    imbalances: Vector
    criterion: Criterion
    differences: dict[str, dict[str, float]]
    units: int

    def distribution(self) -> dict[str, float]:
        """The smallest, quartiles and largest imbalance of the salts tried: what a salt not searched for gives."""
        points = np.quantile(self.imbalances, [0, 0.25, 0.5, 0.75, 1], method="nearest")
        return dict(zip(("min", "q25", "median", "q75", "max"), map(float, points), strict=True))


def candidates(experiment: str, tries: int) -> tuple[str, ...]:
    """The experiment's id, which is the salt nobody searched for, and ``id/1``, ``id/2`` …"""
    if tries < 1:
        raise SpecError("a search tries at least one salt", found=tries)
    return (experiment, *(f"{experiment}/{i}" for i in range(1, tries)))


def search(
    units: Units,
    metrics: Mapping[str, ArrayLike],
    shares: Mapping[str, float],
    *,
    experiment: str,
    control: str,
    tries: int = 100,
    criterion: Criterion = "max_smd",
) -> SaltSearch:
    """Re-randomise by trying salts, and keep the one that balances pre-period metrics best.

    ``max_smd`` is the largest |mean_arm - mean_control| / s over metrics and arms, s the metric's sd over all units;
    ``mahalanobis`` the largest d' S^-1 d of an arm's vector of differences, S their covariance under randomisation,
    so that correlated metrics count once (Morgan and Rubin 2012, Ann. Statist. 40). A metric with missing values
    counts twice: with its mean in their place, and as the share of units that have it.

    The estimate stays unbiased, as the choice treats all arms alike (exactly so at equal shares), and its usual
    standard error is conservative: the true one is smaller by what the metrics explain of the outcome. Adjust for the
    same metrics (CUPED) to make use of it; balance checks on them no longer say anything.

    Args:
        units: Each once, integers or text.
        metrics: Values before the experiment by metric, shape (n,); NaN is missing.
        shares: Designed weight by arm, of any positive sum.
        experiment: Its id, from which the candidates derive: the search is reproducible.
        control: The arm the others are compared with.
        tries: Number of salts; best of 100 leaves about 1 % of the random distribution.
        criterion: What to make small.

    Raises:
        DataError: no unit, a unit twice, no metric, or lengths that differ.
        SpecError: the control gets nobody, fewer than two arms do, or the criterion is unknown.
    """
    if criterion not in ("max_smd", "mahalanobis"):
        raise SpecError("unknown criterion of balance", found=criterion, allowed="max_smd, mahalanobis")
    bounds = cumulative(shares)
    arms = [arm for arm, _ in bounds]
    if control not in arms or len(arms) < 2:
        raise SpecError("the control and another arm have positive shares", found=dict(shares))
    names, table = _standardised(metrics, len(units))
    salts = candidates(experiment, tries)
    edges = [bound for _, bound in bounds[:-1]]
    drawn = (np.searchsorted(edges, u, side="right") for u in _buckets(units, salts))
    differences = np.array([_differences(table, arm, arms.index(control), len(arms)) for arm in drawn])
    imbalances = _imbalances(differences, table, criterion)
    best = int(np.argmin(imbalances))
    others = [arm for arm in arms if arm != control]
    return SaltSearch(
        salts[best],
        float(imbalances[best]),
        salts,
        imbalances,
        criterion,
        {name: dict(zip(others, map(float, differences[best, :, i]), strict=True)) for i, name in enumerate(names)},
        len(units),
    )


def _standardised(metrics: Mapping[str, ArrayLike], n: int) -> tuple[list[str], Vector]:
    """Columns of mean 0 and variance 1 with their names, indicators of presence included; constants are left out."""
    columns: dict[str, Vector] = {}
    for name, raw in metrics.items():
        values = np.asarray(raw, dtype=np.float64)
        if values.shape != (n,):
            raise DataError("a metric has one value per unit", where=name, found=values.shape, allowed=(n,))
        present = ~np.isnan(values)
        if np.isinf(values).any():
            raise DataError("a value is infinite", where=name)
        mean = values[present].mean() if present.any() else 0.0
        columns[name] = np.where(present, values, mean)
        columns[f"{name} is present"] = present.astype(np.float64)
    kept = {name: (v - v.mean()) / v.std() for name, v in columns.items() if np.ptp(v) > 0}
    if not kept:
        raise DataError("no metric varies before the experiment", found=", ".join(metrics) or "no metric")
    return list(kept), np.column_stack(list(kept.values()))


def _buckets(units: Units, salts: Sequence[str]) -> Iterator[Vector]:
    """The buckets of all units under each salt, in the order of the units."""
    import polars as pl

    from xp_pipeline.engine.duckdb import connect

    frame = pl.DataFrame({"unit": units})
    if not (frame["unit"].dtype == pl.String or frame["unit"].dtype.is_integer()):
        raise DataError("units are integers or text", found=str(frame["unit"].dtype))
    if frame["unit"].null_count() or frame["unit"].n_unique() < frame.height:
        raise DataError("every unit appears once and has a name", found=f"{frame.height} rows")
    with connect() as con:
        con.register("frame", frame.to_arrow())
        con.execute("CREATE TABLE units AS SELECT CAST(unit AS VARCHAR) AS unit FROM frame")
        for salt in salts:
            yield con.execute(f"SELECT {bucket_sql(salt, ['unit'])} AS u FROM units").fetchnumpy()["u"]


def _differences(table: Vector, arm: NDArray[np.intp], control: int, arms: int) -> Vector:
    """Mean of every column in every arm but the control, minus that in the control, shape (arms - 1, columns)."""
    counts = np.bincount(arm, minlength=arms)
    sums = np.array([np.bincount(arm, weights=column, minlength=arms) for column in table.T]).T
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / counts[:, None]
    differences: Vector = np.delete(means, control, axis=0) - means[control]
    return differences


def _imbalances(differences: Vector, table: Vector, criterion: Criterion) -> Vector:
    """The criterion under each salt, from differences of shape (k, arms - 1, columns)."""
    if criterion == "max_smd":
        found = np.abs(differences).max(axis=(1, 2))
    else:
        precision = np.linalg.pinv(table.T @ table / len(table), hermitian=True)
        found = np.einsum("kai,ij,kaj->ka", differences, precision, differences).max(axis=1)
    return np.where(np.isfinite(found), found, math.inf)
