"""The assignment language, and the bucket rules beneath it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xp_pipeline.language.checks import Finding, check
    from xp_pipeline.language.evaluator import ExperimentConditionalFailedError, ExperimentEvaluator
    from xp_pipeline.language.formulas import Kind
    from xp_pipeline.language.intervals import confidence_interval, probit
    from xp_pipeline.language.parser import parse
    from xp_pipeline.language.program import Assigned, Program
    from xp_pipeline.language.routes import Route
    from xp_pipeline.language.rules import Range, Rule
    from xp_pipeline.language.sql import AssignmentSQL
    from xp_pipeline.language.tree import (
        BooleanOperatorEnum,
        ConditionalType,
        ExperimentAST,
        ExperimentConditional,
        ExperimentGroup,
        Identifier,
        LogicalOperatorEnum,
        Position,
        RecursivePredicate,
        TerminalPredicate,
    )
    from xp_pipeline.language.tree_json import from_json, to_json
    from xp_pipeline.language.unparser import unparse

_HOMES = {
    "Assigned": "program",
    "AssignmentSQL": "sql",
    "BooleanOperatorEnum": "tree",
    "ConditionalType": "tree",
    "ExperimentAST": "tree",
    "ExperimentConditional": "tree",
    "ExperimentConditionalFailedError": "evaluator",
    "ExperimentEvaluator": "evaluator",
    "ExperimentGroup": "tree",
    "Finding": "checks",
    "Identifier": "tree",
    "Kind": "formulas",
    "LogicalOperatorEnum": "tree",
    "Position": "tree",
    "Program": "program",
    "Range": "rules",
    "RecursivePredicate": "tree",
    "Route": "routes",
    "Rule": "rules",
    "TerminalPredicate": "tree",
    "check": "checks",
    "confidence_interval": "intervals",
    "from_json": "tree_json",
    "parse": "parser",
    "probit": "intervals",
    "to_json": "tree_json",
    "unparse": "unparser",
}

__all__ = [
    "Assigned",
    "AssignmentSQL",
    "BooleanOperatorEnum",
    "ConditionalType",
    "ExperimentAST",
    "ExperimentConditional",
    "ExperimentConditionalFailedError",
    "ExperimentEvaluator",
    "ExperimentGroup",
    "Finding",
    "Identifier",
    "Kind",
    "LogicalOperatorEnum",
    "Position",
    "Program",
    "Range",
    "RecursivePredicate",
    "Route",
    "Rule",
    "TerminalPredicate",
    "check",
    "confidence_interval",
    "from_json",
    "parse",
    "probit",
    "to_json",
    "unparse",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that a bucket rule alone costs no parser."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"xp_pipeline.language.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'xp_pipeline.language' has no attribute {name!r}")
