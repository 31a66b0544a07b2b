"""A network on disk: written whole, and read in Keras's safe mode, in which no code of the file is run."""

from __future__ import annotations

from pathlib import Path

import keras

from harness.errors import ModelError, one_line
from harness.files import make_then_rename
from harness.models.decoder import AttentionDecoder
from harness.models.layers import (
    AttentionPooling,
    Columns,
    DropoutRelu,
    EveryNth,
    FlattenedDense,
    LengthMask,
    MaskedSteps,
    WordMask,
)
from harness.models.recurrence import CompiledLSTM
from harness.models.text import EachRow, SharedPadding

NETWORK_NAME = "model.keras"

#: Layers that a saved network may have besides Keras's own.
OWN_LAYERS = (
    AttentionDecoder,
    AttentionPooling,
    Columns,
    CompiledLSTM,
    DropoutRelu,
    EachRow,
    EveryNth,
    FlattenedDense,
    LengthMask,
    MaskedSteps,
    SharedPadding,
    WordMask,
)


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
    if not path.is_file():
        raise ModelError(f"model {str(path)!r}: not found; train it again with `harness retrain-best`")
    try:
        return keras.saving.load_model(
            path,
            custom_objects={f"harness>{layer.__name__}": layer for layer in OWN_LAYERS},
            compile=False,
            safe_mode=True,
        )
    # The exceptions of Keras, zipfile and HDF5 for a damaged file are no closed list.
    except Exception as error:
        reason = one_line(error) or type(error).__name__
        raise ModelError(f"model {str(path)!r}: cannot be loaded ({reason:.200})") from None
