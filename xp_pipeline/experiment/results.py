"""The results of an analysis as people hold them: a list of ``MetricResult``, a frame, JSON, a plot, a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xp_pipeline.experiment.tables import Kind, as_frame, html_table
from xp_pipeline.lifecycle.publish import frame
from xp_pipeline.results import MetricResult, metric_result
from xp_pipeline.serialization import make_serializable, serialize_to_json

if TYPE_CHECKING:
    import polars as pl

    from xp_pipeline.decision.verdict import Decision
    from xp_pipeline.lifecycle.inference.rows import Row
    from xp_pipeline.report.document import ReportDocument

SUMMARY = (
    "metric", "role", "arm", "baseline", "control_mean", "treatment_mean", "control_n", "treatment_n",
    "absolute_difference", "ci_lower", "ci_upper", "relative_lift", "rel_ci_lower", "rel_ci_upper", "p_value",
    "p_adjusted", "significant", "margin", "margin_kind", "margin_bound", "margin_p_value", "margin_holds",
    "cuped_applied", "variance_reduction", "power", "status", "reason", "label",
)  # fmt: skip
SHOWN = (
    "metric", "arm", "control_mean", "treatment_mean", "absolute_difference", "ci_lower", "ci_upper",
    "relative_lift", "p_value", "p_adjusted", "significant", "status",
)  # fmt: skip
_ADDED = (
    "role", "arm", "baseline", "estimator", "status", "reason", "se", "df", "p_adjusted", "significant",
    "ci_adjusted_low", "ci_adjusted_high", "interval_kind", "margin", "margin_kind", "margin_bound", "margin_p_value",
    "margin_holds",
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A chart as SVG, shown by a notebook as it is."""

    svg: str

    def save(self, path: str | Path) -> Path:
        """Write the SVG file."""
        Path(path).write_text(self.svg, encoding="utf-8")
        return Path(path)

    def _repr_svg_(self) -> str:
        return self.svg


class Results(list[MetricResult]):
    """One ``MetricResult`` for every metric and treatment arm: the estimate that decides.

    Args:
        rows: Rows of the published ``results`` table, those beside the deciding ones included.
        decided: The recommendation about each arm; none for a side result.
        names: Metric id to the name it was given.
        document: Makes the report that the plot is drawn from.
        kind: Library of the frame that ``summary()`` gives.

    Attributes:
        experiment: Experiment id.
        label: ``retrospective,local`` and the like; a side result ends in ``reanalysis``.
        alpha: Significance level.
        final: Whether p-values may be read; before, intervals are confidence sequences.
        decisions: The recommendation about each arm.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        decided: Sequence[Decision],
        names: Mapping[str, str],
        alpha: float,
        document: Callable[[], ReportDocument],
        kind: Kind,
    ) -> None:
        self._rows = frame("results", rows).to_dicts()
        self._deciding = [row for row in self._rows if row["decisive"]]
        self._names, self._document, self._kind = names, document, kind
        first = self._rows[0]
        self.experiment: str = first["experiment"]
        self.label: str = first["label"]
        self.alpha, self.final = alpha, bool(first["final"])
        self.decisions = tuple(decided)
        super().__init__(self._named(row) for row in self._deciding)

    def _named(self, row: Row) -> MetricResult:
        named = metric_result(row)
        named["metric_name"] = self._names.get(row["metric"], row["metric"])
        return named

    def table(self) -> pl.DataFrame:
        """Every row as in the pipeline's ``results`` table: raw beside adjusted, plain beside capped."""
        return frame("results", self._rows)

    def summary(self) -> Any:
        """One row a metric and arm, as a frame of the library that the data came in."""
        return as_frame(self._summarised(), SUMMARY, kind=self._kind)

    def _summarised(self) -> list[dict[str, Any]]:
        return [
            {**row, **{k: None if v != v else v for k, v in result.items()}, "metric": result["metric_name"]}
            for row, result in zip(self._deciding, self, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything as dicts, lists, text and numbers; NaN is the text ``nan``."""
        results = [
            {**result, **{name: row[name] for name in _ADDED}} for row, result in zip(self._deciding, self, strict=True)
        ]
        said = {
            "experiment": self.experiment,
            "label": self.label,
            "alpha": self.alpha,
            "final": self.final,
            "results": results,
            "decisions": list(self.decisions),
        }
        return dict(make_serializable(said))

    def to_json(self, indent: int | None = None) -> str:
        """The same as JSON that every parser accepts."""
        return serialize_to_json(self.to_dict(), indent=indent)

    def plot(self) -> Picture:
        """The forest plot: every effect with its interval."""
        from xp_pipeline.report.charts import forest_svg

        return Picture(forest_svg(self._document()))

    def _repr_html_(self) -> str:
        verdicts = [f"{d.arm}: {d.verdict.replace('_', ' ')}" for d in self.decisions]
        notes = [*verdicts, *(f"{r['metric']}, {r['arm']}: {r['reason']}" for r in self._deciding if r["reason"])]
        said = "" if self.final else " Interim: intervals hold at every look, and there is no p-value yet."
        title = f"{self.experiment}, alpha {self.alpha:g} ({self.label}).{said}"
        return html_table(self._summarised(), SHOWN, title=title, notes=notes)
