"""The rules by which an experiment is accepted beside others."""

from __future__ import annotations

from collections.abc import Sequence

from xp_pipeline.delivery.errors import RegistrationError
from xp_pipeline.delivery.served import ServedExperiment
from xp_pipeline.delivery.variants import Variant


def check_registration(experiment: ServedExperiment, others: Sequence[ServedExperiment]) -> None:
    """Refuse an experiment that clashes with itself or with others; its name is looked at first, then its variants.

    Raises:
        RegistrationError: says which name or which symbols.
    """
    if not isinstance(experiment, ServedExperiment):
        raise RegistrationError("this is no experiment", found=type(experiment).__name__)
    if any(other.name == experiment.name for other in others):
        raise RegistrationError("an experiment of that name is registered already", found=repr(experiment.name))
    experiment.require_variants()
    _check_variants(experiment)
    _check_symbols(experiment, others)


def _check_variants(experiment: ServedExperiment) -> None:
    names = [variant.name for variant in experiment.variants]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RegistrationError("two variants have the same name", where=experiment.name, found=", ".join(twice))
    _ = experiment.control_index
    first = experiment.variants[0]
    for variant in experiment.variants[1:]:
        _check_same_symbols(experiment, first, variant)


def _check_same_symbols(experiment: ServedExperiment, first: Variant, variant: Variant) -> None:
    missing = [str(symbol) for symbol in first.picks if symbol not in variant.picks]
    extra = [str(symbol) for symbol in variant.picks if symbol not in first.picks]
    told = [f"missing {', '.join(missing)}"] * bool(missing) + [f"in addition {', '.join(extra)}"] * bool(extra)
    if told:
        raise RegistrationError(
            f"the variants {first.name!r} and {variant.name!r} have different symbols",
            where=experiment.name,
            found="; ".join(told),
            allowed=", ".join(map(str, first.picks)) or "none",
        )


def _check_symbols(experiment: ServedExperiment, others: Sequence[ServedExperiment]) -> None:
    for other in others:
        shared = [str(symbol) for symbol in experiment.variants[0].picks if symbol in other.variants[0].picks]
        if shared:
            raise RegistrationError(
                f"the experiment {other.name!r} serves the same symbols", where=experiment.name, found=", ".join(shared)
            )
