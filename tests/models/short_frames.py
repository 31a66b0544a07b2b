"""Networks over short frames with small inputs, and such inputs."""

import keras
import numpy as np

from harness.features.frames import FRAME_COLUMNS, frame_columns
from harness.models.build import build_network
from harness.models.inputs import InputShapes
from harness.models.systems import find_system, read_hyperparameters
from harness.splits.protocol import PROTOCOLS


def network_of(name, num_training=4, seed=1, **choices):
    """A system of short frames, with its defaults but for some choices."""
    system = find_system(name)
    keras.utils.set_random_seed(seed)
    shapes = InputShapes(speech_columns=len(FRAME_COLUMNS), num_training=num_training)
    return build_network(system, read_hyperparameters(system, choices, PROTOCOLS["paper"]), shapes)


def random_frames(lengths, seed=0):
    """The inputs of utterances of some lengths, in frames; beyond those they are 0."""
    rng = np.random.default_rng(seed)
    speech = rng.normal(size=(len(lengths), max(lengths), len(FRAME_COLUMNS))).astype(np.float32)
    speech[..., frame_columns("voiced")[0]] = rng.random(speech.shape[:2]) < 0.5
    speech[np.arange(max(lengths)) >= np.array(lengths)[:, None]] = 0.0
    return {"speech": speech, "speech_lengths": np.array(lengths, np.int32)}
