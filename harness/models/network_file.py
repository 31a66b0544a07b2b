"""A network on disk: written whole, and read in Keras's safe mode, in which no code of the file is run."""

from __future__ import annotations

from pathlib import Path

import keras

from harness.errors import ModelError
from harness.files import make_then_rename, why_no_file

# Their layers are registered with Keras as they are imported, and a saved network may have no others but Keras's own.
from harness.models import build, context_networks  # noqa: F401
from harness.models.own import describe_failure

NETWORK_NAME = "model.keras"


def save_network(folder: Path, network: keras.Model) -> None:
    """Write a network into a folder, without its optimiser."""
    with make_then_rename(folder / NETWORK_NAME, ".keras") as partial:
        network.save(partial, include_optimizer=False)


def load_network(folder: Path) -> keras.Model:
    """Load the network of a folder.

    Raises:
        ModelError: its file is missing or damaged
    """
    path = folder / NETWORK_NAME
    if fault := why_no_file(path, "not found"):
        raise ModelError(f"model {str(path)!r}: {fault}; train it again with `harness retrain-best`")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    # The exceptions of Keras, zipfile and HDF5 for a damaged file are no closed list.
    except Exception as error:
        raise ModelError(
            f"model {str(path)!r}: cannot be loaded ({describe_failure(error)}); restore a copy, or train it again "
            "with `harness retrain-best`"
        ) from None
