"""The errors of serving: a branch of the project's tree, each also the built-in that callers may expect.

XpError
├── DeliveryError                       an experiment, a pick or a context is used in a way that cannot work
│   ├── RegistrationError (ValueError)  an experiment clashes with itself or with another
│   ├── UnknownNameError (ValueError)   no experiment, variant or arm of that name
│   ├── UnknownSymbolError (KeyError, ValueError)  nobody serves the symbol
│   ├── VariantIndexError (IndexError, ValueError) an algorithm chose a variant that does not exist
│   ├── PickTypeError (TypeError)       a value is not of the type it was asked for
│   ├── EmptyPickError (RuntimeError)   the value of a variant is None
│   ├── ReadOnlyPickError (AttributeError)  a picked attribute was assigned to
│   └── ContextError (RuntimeError)     a context, or a blocking call, in a place where it cannot work
└── RecordError
    └── StoreError                      the store of assignments is down, locked or refuses
        └── CorruptStateError (ValueError)  what the store holds is not what was stored
"""

from __future__ import annotations

from xp_pipeline.errors import RecordError, XpError


class DeliveryError(XpError):
    """An experiment, a pick or a context is used in a way that cannot work."""


class RegistrationError(DeliveryError, ValueError):
    """An experiment clashes with itself or with another; nothing of it was registered."""


class UnknownNameError(DeliveryError, ValueError):
    """No experiment, variant or arm has that name."""


class UnknownSymbolError(DeliveryError, KeyError, ValueError):
    """No variant has a value for the symbol."""

    __str__ = Exception.__str__  # KeyError would show the representation of the text


class VariantIndexError(DeliveryError, IndexError, ValueError):
    """An algorithm chose a variant that does not exist; nothing was stored."""


class PickTypeError(DeliveryError, TypeError):
    """A picked value is not of the type it was asked for."""


class EmptyPickError(DeliveryError, RuntimeError):
    """The value of the chosen variant is None."""


class ReadOnlyPickError(DeliveryError, AttributeError):
    """A picked attribute was assigned to or deleted."""


class ContextError(DeliveryError, RuntimeError):
    """A context, or a blocking call, is used in a place where it cannot work."""


class StoreError(RecordError):
    """The store of assignments is down, locked, or refuses."""


class CorruptStateError(StoreError, ValueError):
    """What the store holds is not what was stored there."""
