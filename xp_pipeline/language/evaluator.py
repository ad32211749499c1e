"""A program as a call with keywords, as programs have been used before they were part of a pipeline."""

from __future__ import annotations

import secrets

from xp_pipeline.errors import DataError
from xp_pipeline.language.program import Program
from xp_pipeline.language.rules import Rule

_DRAWN = "drawn anew for each call"


class ExperimentConditionalFailedError(DataError):
    """No branch of the program is taken, and it has no ``else``."""


class ExperimentEvaluator:
    """The arm of a unit: ``ExperimentEvaluator(text)(user_id=123, country="US")``.

    The label is what the program wrote, a number as a number. Fields of branches that are not taken may be left out,
    and more fields may be given. A program without splitters draws anew on every call. The bucket rule is ``v1``, so
    that units keep the arms which they have.
    """

    def __init__(self, source_code: str, *, rule: Rule = "v1", default_salt: str | None = None) -> None:
        """Reads the program.

        Raises:
            SpecError: the text is not a program that can assign anybody.
        """
        self._rule, self._default_salt = rule, default_salt
        self._source, self._program = source_code, self._read(source_code)

    def recompile(self, source_code: str) -> None:
        """Goes on with another program; one that cannot be read leaves the evaluator as it was.

        Raises:
            SpecError: at every attempt with a text that is not a program.
        """
        if source_code != self._source:
            self._program = self._read(source_code)
            self._source = source_code

    def __call__(self, **fields: object) -> int | float | str | None:
        """The label of the unit's arm; None where the bucket rule gives the unit none.

        Raises:
            ExperimentConditionalFailedError: the unit falls through the program.
            DataError: a field is needed and not given, or has a type without meaning.
        """
        if self._program.splitters == (_DRAWN,):
            fields[_DRAWN] = secrets.token_hex(16)
        branch, _, part = self._program.chosen(fields)
        if branch is None:
            raise ExperimentConditionalFailedError(
                "no branch of the program is taken", where=self._program.tree.id, next_step="add an 'else'"
            )
        return part.label if part else None

    def _read(self, text: str) -> Program:
        return Program.parse(text, rule=self._rule, default_salt=self._default_salt, default_splitters=(_DRAWN,))
