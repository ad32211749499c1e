"""JSON Schemas of the folder's files, for editors and for other languages."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.spec.experiment import Experiment
from xp_pipeline.spec.metric import MetricPack
from xp_pipeline.spec.project import Project
from xp_pipeline.spec.source import Location, Source

FILES: dict[str, type[BaseModel]] = {
    "project": Project,
    "source": Source,
    "metrics": MetricPack,
    "experiment": Experiment,
}


def json_schema(name: str) -> dict[str, Any]:
    """The schema (draft 2020-12) of one kind of file: project, source, metrics or experiment."""
    if name not in FILES:
        raise SpecError(f"no schema {name!r}", allowed=nearest(name, FILES))
    schema = FILES[name].model_json_schema(mode="validation")
    if name == "source":
        schema = _flat_location(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _flat_location(schema: dict[str, Any]) -> dict[str, Any]:
    """In a file the keys of a location stand beside the others."""
    properties = {k: v for k, v in schema["properties"].items() if k != "location"}
    properties |= Location.model_json_schema()["properties"]
    definitions = {**schema["$defs"], **Location.model_json_schema().get("$defs", {})}
    required = [name for name in schema["required"] if name != "location"]
    return {**schema, "properties": properties, "required": required, "$defs": definitions}
