"""What is wrong with a synthetic corpus on purpose: the real one's irregularities, and damaged files."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from enum import StrEnum
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from harness.corpus.audio import SAMPLING_RATE
from harness.corpus.layout import MocapStream

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Hertz: a rate that some recordings have by accident.
OTHER_SAMPLING_RATE = 22050

#: Utterances that carry each kind of damage at scale 1; at every scale at least one does.
NUM_DAMAGED_OF_A_KIND = 3

#: Seconds by which an annotated end may lie beyond the recording.
SECONDS_BEYOND = 1.5

#: What macOS leaves beside a file: magic number, version, filler, no entries.
APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        \x00\x00" + b"\x00" * 56

#: Dialogues whose motion was lost, and the streams that are missing.
MISSING_MOCAP: Mapping[str, tuple[MocapStream, ...]] = {
    "Ses05M_script01_1b": tuple(MocapStream),
    "Ses02M_script03_2": (MocapStream.HAND,),
}


class Damage(StrEnum):
    """What is wrong with one utterance."""

    SHORT = "shorter than a window of 0.2 s"
    TRUNCATED = "wav ends before its header says"
    EMPTY = "wav has no byte"
    STEREO = "wav has two channels"
    OTHER_RATE = "wav has another sampling rate"
    DUPLICATE_TURN = "turn stands twice in the label file"
    NO_TRANSCRIPT = "no line in the transcript"
    ONLY_TAG = "transcript is a tag alone"
    COLON = "transcript has a colon"
    NOT_UTF8 = "transcript has a byte that is not UTF-8"
    BEYOND_RECORDING = "annotated end lies beyond the recording"


def choose_damaged(
    utterance_ids: Sequence[str], last_ids: Sequence[str], scale: float, generator: np.random.Generator
) -> dict[str, Damage]:
    """Choose the damaged utterances, whatever their emotion.

    Args:
        utterance_ids: those to choose from
        last_ids: the last utterance of every dialogue, of which some end beyond the recording
        scale: of the corpus
        generator: decides

    Returns:
        by utterance id; no utterance has two kinds
    """
    count = max(1, round(NUM_DAMAGED_OF_A_KIND * scale))
    last = generator.choice(np.array(last_ids), size=min(count, len(last_ids)), replace=False)
    damaged = {str(utterance_id): Damage.BEYOND_RECORDING for utterance_id in last}
    others = [utterance_id for utterance_id in utterance_ids if utterance_id not in set(last_ids)]
    kinds = [kind for kind in Damage if kind is not Damage.BEYOND_RECORDING for _ in range(count)]
    chosen = generator.choice(np.array(others), size=min(len(kinds), len(others)), replace=False)
    return damaged | {str(utterance_id): kind for utterance_id, kind in zip(chosen, kinds, strict=False)}


def encode_wav(samples: NDArray[np.int16], sampling_rate: int = SAMPLING_RATE) -> bytes:
    """Return the bytes of a 16-bit wav file.

    Args:
        samples: int16 (num_samples,) or (num_samples, num_channels)
        sampling_rate: hertz
    """
    num_channels = 1 if samples.ndim == 1 else samples.shape[1]
    data = samples.astype("<i2").tobytes()
    frame_bytes = 2 * num_channels
    byte_rate = sampling_rate * frame_bytes
    layout = struct.pack("<HHIIHH", 1, num_channels, sampling_rate, byte_rate, frame_bytes, 16)
    head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<I", 16) + layout
    return head + b"data" + struct.pack("<I", len(data)) + data


def encode_utterance_wav(samples: NDArray[np.int16], damage: Damage | None) -> bytes:
    """Return the bytes of an utterance's wav file, damaged where it has to be.

    Args:
        samples: int16 (num_samples,), at 16 kHz
        damage: None for a sound file
    """
    if damage is Damage.EMPTY:
        return b""
    if damage is Damage.STEREO:
        return encode_wav(np.stack([samples, samples // 2], axis=1))
    if damage is Damage.OTHER_RATE:
        # Imported here, as everywhere in this package: it takes four times as long as all the rest of it.
        from scipy.signal import resample_poly

        divisor = gcd(OTHER_SAMPLING_RATE, SAMPLING_RATE)
        up, down = OTHER_SAMPLING_RATE // divisor, SAMPLING_RATE // divisor
        resampled = resample_poly(samples.astype(np.float64), up, down)
        return encode_wav(np.clip(np.rint(resampled), -32768, 32767).astype(np.int16), OTHER_SAMPLING_RATE)
    encoded = encode_wav(samples)
    if damage is Damage.TRUNCATED:
        return encoded[: 44 + (len(encoded) - 44) * 2 // 3 // 2 * 2]
    return encoded
