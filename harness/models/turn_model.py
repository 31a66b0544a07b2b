"""The system that answers each turn of a dialogue on its own, below a system that reads the dialogue. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from harness.codec import to_plain
from harness.errors import ExperimentFileError, HarnessError, show_value, unknown_name
from harness.models.hyperparameters import ChainHyperparameters, Hyperparameters
from harness.models.systems import SYSTEMS, System, find_system, read_hyperparameters
from harness.splits.protocol import Protocol

#: Epochs of a turn model whose number is not given: half of those that a trial may take. Ours.
DEFAULT_NUM_EPOCHS = 15
#: Hyperparameters of the logistic regression that a turn model takes the place of.
REPLACED = ("vectors", "svd_dimension")


class NetworkVectors(StrEnum):
    """The vector of a turn that a network over dialogues reads of a turn model."""

    PROBABILITIES = "probabilities"  # their logarithms alone
    HIDDEN = "hidden"  # and the activations before the softmax


@dataclass(frozen=True)
class TurnModel:
    """A network that answers each turn on its own, and its training.

    Attributes:
        hyperparameters: complete, defaults included
        num_epochs: that it is trained for, 1 of what is fitted at once: no validation chooses them
        seed: of its training in a search; a final training has its own
    """

    system: System
    hyperparameters: Hyperparameters
    num_epochs: int
    seed: int
    turn_vectors: NetworkVectors

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values, which ``read_turn_model`` reads."""
        return {
            "system": self.system.name,
            "hyperparameters": to_plain(self.hyperparameters.chosen),
            "num_epochs": self.num_epochs,
            "seed": self.seed,
            "turn_vectors": self.turn_vectors.value,
        }

    def shorten(self, max_epochs: int, batch_size: int) -> TurnModel:
        """Return it as a quick start trains it; a batch size of its own stays."""
        point: Any = self.hyperparameters
        if point.batch_size == type(point)().batch_size:
            point = replace(point, batch_size=batch_size)
        return replace(self, hyperparameters=point, num_epochs=min(self.num_epochs, max_epochs))


def read_turn_model(value: object, system: System, protocol: Protocol) -> TurnModel | None:
    """Read the key ``turn_model`` of an experiment file, such as ``{"system": "text2", "num_epochs": 8}``.

    Args:
        value: None where it is not given
        system: that is searched

    Returns:
        None for a system without a turn model

    Raises:
        ExperimentFileError, UnknownNameError: one sentence that names the key, the value found and the values allowed
    """
    if value is None:
        if system.turn_model is None:
            return None
        value = {"system": system.turn_model}
    if not system.contexts:
        raise ExperimentFileError(
            f"turn_model is given, and system {system.name!r} reads single utterances; expected it with one of "
            f"{[name for name, known in SYSTEMS.items() if known.contexts]}"
        )
    if not isinstance(value, Mapping):
        found = show_value(value)
        raise ExperimentFileError(f'turn_model is {found}; expected an object such as {{"system": "text2"}}')
    default = NetworkVectors.PROBABILITIES if system.turn_model is None else NetworkVectors.HIDDEN
    given: dict[str, Any] = {
        "system": system.turn_model, "num_epochs": DEFAULT_NUM_EPOCHS, "hyperparameters": {}, "seed": 0,
        "turn_vectors": default.value,
    }  # fmt: skip
    for key, found in value.items():
        if key not in given:
            raise unknown_name("key of turn_model:", str(key), given)
        given[key] = found
    below = _read_system(given["system"])
    if not isinstance(given["hyperparameters"], Mapping):
        raise ExperimentFileError(
            f"turn_model.hyperparameters is {show_value(given['hyperparameters'])}; expected an object of "
            "hyperparameters"
        )
    try:
        point = read_hyperparameters(below, given["hyperparameters"], protocol)
    except HarnessError as error:
        raise ExperimentFileError(f"turn_model.hyperparameters: {error}") from error
    num_epochs = _read_number(given, "num_epochs", 1)
    return TurnModel(
        system=below,
        hyperparameters=point,
        num_epochs=1 if point.is_fitted_at_once else num_epochs,
        seed=_read_number(given, "seed", 0),
        turn_vectors=_read_vectors(given["turn_vectors"], system, below),
    )


def _read_system(name: object) -> System:
    alone = [known for known, system in SYSTEMS.items() if not system.contexts]
    if not isinstance(name, str):
        found = "missing" if name is None else show_value(name)
        raise ExperimentFileError(f"turn_model.system is {found}; expected one of {alone}")
    try:
        system = find_system(name)
    except HarnessError as error:
        raise ExperimentFileError(f"turn_model.system: {error}") from error
    if system.contexts:
        raise ExperimentFileError(
            f"turn_model.system is {name!r}, which reads the dialogue itself; expected one of {alone}"
        )
    return system


def _read_number(given: Mapping[str, Any], key: str, low: int) -> int:
    number = given[key]
    if not isinstance(number, int) or isinstance(number, bool) or not low <= number < 2**63:
        raise ExperimentFileError(f"turn_model.{key} is {show_value(number)}; expected a whole number from {low} on")
    return number


def _read_vectors(name: object, system: System, below: System) -> NetworkVectors:
    allowed = [each.value for each in NetworkVectors]
    if name not in allowed:
        raise unknown_name("value of turn_model.turn_vectors:", name, allowed)
    vectors = NetworkVectors(name)
    if vectors is NetworkVectors.HIDDEN and not below.has_hidden:
        raise ExperimentFileError(
            f"turn_model.turn_vectors is 'hidden', and system {below.name!r} has no activations before its softmax, "
            "only a score of each class; expected 'probabilities'"
        )
    if vectors is NetworkVectors.HIDDEN and issubclass(system.hyperparameters, ChainHyperparameters):
        raise ExperimentFileError(
            f"turn_model.turn_vectors is 'hidden', and system {system.name!r} reads probabilities alone; expected "
            "'probabilities'"
        )
    return vectors
