"""The project folder: find it, read all of it, and check that names refer to something."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.spec import loader
from xp_pipeline.spec.assigned import check_assignment, overlaps, programs_in
from xp_pipeline.spec.experiment import Experiment
from xp_pipeline.spec.loader import Document
from xp_pipeline.spec.metric import Metric, MetricPack
from xp_pipeline.spec.names import check_id
from xp_pipeline.spec.project import Project
from xp_pipeline.spec.references import check_experiment, check_metric, check_span
from xp_pipeline.spec.source import Source

PROJECT_FILE = "xp.yaml"


@dataclass(frozen=True)
class Folder:
    """Everything a project folder says, each named thing with the document it came from.

    ``problems`` holds the errors of files that could not be accepted; the rest is usable, so one broken
    experiment never keeps the others from running.
    """

    root: Path
    project: Project
    sources: Mapping[str, Source]
    metrics: Mapping[str, Metric]
    experiments: Mapping[str, Experiment]
    documents: Mapping[tuple[str, str], Document] = field(repr=False)
    programs: Mapping[str, str] = field(default_factory=dict, repr=False)
    problems: tuple[SpecError, ...] = ()

    @property
    def lake(self) -> Path:
        return self.root / self.project.lake

    @property
    def record(self) -> Path:
        return self.root / self.project.record

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.project.timezone)

    def where(self, kind: str, name: str, *position: str | int) -> str:
        """``file:line`` of a part of a source, metric or experiment."""
        document = self.documents.get((kind, name))
        return document.where(position) if document else f"{kind} {name}"

    def experiment(self, experiment_id: str) -> Experiment:
        """One experiment by id.

        Raises:
            SpecError: the folder has none of that id, or its file is broken.
        """
        if experiment_id in self.experiments:
            return self.experiments[experiment_id]
        for problem in self.problems:
            if Path(str(problem.where).rsplit(":", 1)[0]).stem == experiment_id:
                raise problem
        raise SpecError(
            f"no experiment {experiment_id!r} in {self.root.name}/experiments",
            allowed=nearest(experiment_id, self.experiments),
        )


def find_root(start: Path | None = None) -> Path:
    """The nearest folder upwards that has an xp.yaml; ``XP_PROJECT`` names one outright."""
    named = os.environ.get("XP_PROJECT")
    origin = Path(start or named or Path.cwd()).resolve()
    for folder in (origin, *origin.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise SpecError(
        f"no {PROJECT_FILE} here or above", where=str(origin), next_step="xp init NAME, or cd into a project"
    )


def load(root: Path) -> Folder:
    """Read a project folder; a broken file becomes a problem, a broken xp.yaml raises."""
    project = _project(root)
    reading = _Reading(root, project)
    reading.each("sources", reading.source)
    reading.each("metrics", reading.pack)
    reading.each("experiments", reading.experiment)
    reading.layers()
    return Folder(
        root,
        project,
        reading.sources,
        reading.metrics,
        reading.experiments,
        reading.documents,
        reading.programs,
        tuple(reading.problems),
    )


def _project(root: Path) -> Project:
    document = loader.read(root / PROJECT_FILE)
    project = loader.validate(Project, document)
    try:
        ZoneInfo(project.timezone)
    except (KeyError, ValueError, OSError):
        raise SpecError(
            "unknown time zone",
            where=document.where(("timezone",)),
            found=project.timezone,
            allowed="an IANA name",
        ) from None
    return project


class _Reading:
    """The state of one pass over the folder."""

    def __init__(self, root: Path, project: Project) -> None:
        self.root = root
        self.project = project
        self.sources: dict[str, Source] = {}
        self.metrics: dict[str, Metric] = {}
        self.experiments: dict[str, Experiment] = {}
        self.documents: dict[tuple[str, str], Document] = {}
        self.programs = programs_in(root)
        self.problems: list[SpecError] = []

    def each(self, folder: str, accept: Callable[[Document], None]) -> None:
        for path in sorted((self.root / folder).glob("*.y*ml")):
            try:
                accept(loader.read(path))
            except SpecError as problem:
                self.problems.append(problem)

    def source(self, document: Document) -> None:
        source = loader.validate(Source, document)
        check_id(source.name, what="source name", where=document.where(("name",)))
        self._new("source", source.name, self.sources, document, ("name",))
        self.sources[source.name] = source

    def pack(self, document: Document) -> None:
        raw = document.content
        defaults = _merge(self.project.defaults.metric, raw.get("defaults") or {})
        entries = raw.get("metrics")
        if not isinstance(entries, list) or not entries:
            raise SpecError("a metrics file has a list under metrics", where=document.where(("metrics",)))
        loader.validate(MetricPack, document, {**raw, "defaults": raw.get("defaults") or {}, "metrics": []})
        for i, entry in enumerate(entries):
            try:
                self._metric(document, i, _with_defaults(entry, defaults))
            except SpecError as problem:
                self.problems.append(problem)

    def _metric(self, document: Document, i: int, raw: Any) -> None:
        metric = loader.validate(Metric, document, raw, ("metrics", i))
        check_id(metric.name, what="metric name", where=document.where(("metrics", i, "name")))
        self._new("metric", metric.name, self.metrics, document, ("metrics", i, "name"))
        check_metric(metric, self.sources, document, ("metrics", i))
        self.metrics[metric.name] = metric
        self.documents["metric", metric.name] = Document(
            document.path, raw, {k[2:]: v for k, v in document.lines.items() if k[:2] == ("metrics", i)}
        )

    def experiment(self, document: Document) -> None:
        raw = document.content
        analysis = _merge(self.project.defaults.analysis, raw.get("analysis") or {})
        experiment = loader.validate(Experiment, document, {**raw, "analysis": analysis})
        check_id(experiment.id, where=document.where(("id",)))
        self._new("experiment", experiment.id, self.experiments, document, ("id",))
        check_span(experiment, ZoneInfo(self.project.timezone), document)
        check_experiment(experiment, self.sources, self.metrics, document)
        check_assignment(experiment, self.sources, self.programs, ZoneInfo(self.project.timezone), document)
        self.experiments[experiment.id] = experiment

    def layers(self) -> None:
        """Experiments that would share units of a layer; the later of two in order of id is refused."""
        for one, problem in overlaps(self.project, self.experiments, self.documents):
            self.problems.append(problem)
            self.experiments.pop(one, None)

    def _new(self, kind: str, name: str, known: Mapping[str, Any], document: Document, at: tuple[Any, ...]) -> None:
        if name in known:
            first = self.documents[kind, name].where()
            raise SpecError(
                f"the {kind} {name!r} is defined twice", where=document.where(at), found=f"another in {first}"
            )
        self.documents[kind, name] = document


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one layer of settings over another; nested mappings merge, everything else replaces."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _with_defaults(entry: Any, defaults: Mapping[str, Any]) -> Any:
    """A default that a metric's type cannot take (a cap on a proportion) is left out of it."""
    if not isinstance(entry, dict):
        return entry
    unfit = {
        "proportion": ("cap", "log"),
        "retention": ("cap", "log"),
        "ratio": ("source", "log", "cap"),
        "quantile": ("cap", "log", "covariates"),
    }.get(str(entry.get("type")), ())
    return _merge({k: v for k, v in defaults.items() if k not in unfit}, entry)
