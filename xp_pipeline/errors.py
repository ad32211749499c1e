"""Every error the project raises, as one tree.

    XpError                          root: catch this to catch all of ours
    ├── SpecError (ValueError)       a file of the project folder says something we cannot accept
    ├── DataError (ValueError)       data cannot be read, or is not what its source declares
    │   ├── SourceError              missing, empty, truncated, unreachable
    │   └── ContractError            readable, but columns or types break the declaration
    ├── PhaseOrderError              a phase was asked for before (or after) its turn
    ├── TamperError                  a seal, a digest or the ledger's chain does not match
    ├── BlockedError                 a blocking quality check failed; estimates are withheld
    │   └── SRMError                 the sample ratio is not the designed one
    ├── AliasError (ValueError)      a factorial design cannot tell the requested effect apart
    ├── RecordError                  the ledger or another irreplaceable file refused
    └── EvidenceError (ValueError)   a statistic was asked of evidence that cannot carry it

A message is one line: where, what, found, allowed, next step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class XpError(Exception):
    """Root of the tree; its text is one line made of the parts that were given.

    Args:
        what: What is wrong, as a sentence without a full stop.
        where: ``file:line``, a column, or an experiment.
        found: The offending value.
        allowed: What would have been accepted.
        next_step: The command or edit that resolves it.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        found: object = None,
        allowed: object = None,
        next_step: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.found = found
        self.allowed = allowed
        self.next_step = next_step
        super().__init__(self._line())

    def _line(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        if self.found is not None:
            line += f"; found {self.found}"
        if self.allowed is not None:
            line += f"; allowed: {self.allowed}"
        if self.next_step:
            line += f"; next: {self.next_step}"
        return " ".join(line.split())


class SpecError(XpError, ValueError):
    """A file of the project folder says something that cannot be accepted."""


class DataError(XpError, ValueError):
    """Data cannot be read, or is not what its source declares."""


class SourceError(DataError):
    """A source is missing, empty, truncated or unreachable."""


class ContractError(DataError):
    """A source is readable but breaks its declared columns or types."""


class PhaseOrderError(XpError):
    """A phase was asked for out of its turn."""


class TamperError(XpError):
    """A seal, a digest or the ledger's chain does not match what it covers."""


class BlockedError(XpError):
    """A blocking quality check failed; estimates are withheld until a signed override."""


class SRMError(BlockedError):
    """The observed sample ratio is not the designed one."""


class AliasError(XpError, ValueError):
    """A factorial design confounds the requested effect with another."""


class RecordError(XpError):
    """The ledger, or another irreplaceable file, refused an operation."""


class EvidenceError(XpError, ValueError):
    """A statistic was asked of evidence that cannot carry it."""


def nearest(name: str, names: Iterable[str]) -> str:
    """The known names as a hint, the closest one first: ``'a, b (did you mean 'a'?)'``."""
    known = sorted({str(n) for n in names})
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f"{shown} (did you mean {close[0]!r}?)" if close else shown or "none"
