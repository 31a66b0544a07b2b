"""A network on disk: written whole, and read in Keras's safe mode, in which no code of the file is run."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import keras

from harness.errors import ModelError
from harness.files import make_then_rename, why_no_file

# Their layers are registered with Keras as they are imported, and a saved network may have no others but Keras's own.
from harness.models import build, context_networks  # noqa: F401
from harness.models.own import describe_failure
from harness.wording import plural

NETWORK_NAME = "model.keras"
#: What Keras says of weights that are not in the file, or of another shape: an error, or a warning and new weights.
_LACKING = re.compile(r"A total of (?P<count>\d+) objects could not be loaded.*?<\w+ name=(?P<name>[^,>]+)", re.S)
_SKIPPED = re.compile(r"nested container at '(?P<place>[^']+)'.*freshly-initialized", re.S)


def save_network(folder: Path, network: keras.Model) -> None:
    """Write a network into a folder, without its optimiser."""
    with make_then_rename(folder / NETWORK_NAME, ".keras") as partial:
        network.save(partial, include_optimizer=False)


def load_network(folder: Path) -> keras.Model:
    """Load the network of a folder.

    Raises:
        ModelError: its file is missing or damaged, or lacks weights
    """
    path = folder / NETWORK_NAME
    if fault := why_no_file(path, "not found"):
        raise ModelError(f"model {str(path)!r}: {fault}; train it again with `harness retrain-best`")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            network = keras.saving.load_model(path, compile=False, safe_mode=True)
        # The exceptions of Keras, zipfile and HDF5 for a damaged file are no closed list.
        except Exception as error:
            raise _cannot_be_loaded(path, _describe_lacking(str(error)) or describe_failure(error)) from None
    for warning in said:
        if lacking := _describe_lacking(str(warning.message)):
            raise _cannot_be_loaded(path, lacking)
    for warning in said:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return network


def _describe_lacking(said: str) -> str | None:
    """Say which weights a network's file lacks; None where Keras speaks of something else."""
    if found := _LACKING.search(said):
        layers = plural(int(found["count"]), "layer")
        return f"the weights of {layers} are missing or of another shape, such as those of {found['name']!r}"
    if found := _SKIPPED.search(said):
        return f"the weights of {found['place']!r} are missing"
    return None


def _cannot_be_loaded(path: Path, why: str) -> ModelError:
    return ModelError(
        f"model {str(path)!r}: cannot be loaded ({why}); restore a copy, or train it again with `harness retrain-best`"
    )
