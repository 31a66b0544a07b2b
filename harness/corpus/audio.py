"""Recordings: any wav file in, samples of one channel at 16 kHz out.

The files are parsed here rather than by a library, because a header alone must be cheap to read,
and because a damaged file must be distinguished from an uncommon one.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from harness.corpus.irregularities import Irregularity, IrregularityKind, Problems, irregularity_of
from harness.corpus.utterances import Seconds
from harness.errors import CorpusError
from harness.files import open_regular

#: Hertz, of the corpus's own recordings and of every ``Recording``.
SAMPLING_RATE = 16000

#: Bytes a sample of the corpus's own recordings.
SAMPLE_BYTES = 2

#: Samples in a row at full scale that make a recording clipped: a single one may be a true peak.
CLIPPED_SAMPLES = 3

#: A header that claims a rate outside of these bounds (hertz) is damaged.
_PLAUSIBLE_RATES = range(2_000, 400_000)

#: The longest description of samples: that of an extensible header.
_FORMAT_BYTES = 40

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
#: By encoding and bytes a sample; three bytes have no type of their own and are joined later.
_DTYPES: dict[tuple[int, int], np.dtype[Any]] = {
    (_PCM, 1): np.dtype("u1"),
    (_PCM, 2): np.dtype("<i2"),
    (_PCM, 3): np.dtype("u1"),
    (_PCM, 4): np.dtype("<i4"),
    (_FLOAT, 4): np.dtype("<f4"),
    (_FLOAT, 8): np.dtype("<f8"),
}

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Recording:
    """One channel of sound at ``SAMPLING_RATE``.

    Attributes:
        samples: float64 (num_samples,), full scale is -1 to 1; resampling may overshoot it a little
    """

    samples: Samples

    @property
    def duration(self) -> Seconds:
        """Length in seconds."""
        return len(self.samples) / SAMPLING_RATE


@dataclass(frozen=True)
class RecordingHeader:
    """The header of a wav file, and how many of its samples are there.

    Attributes:
        encoding: 1 for integers, 3 for floating point
        data_offset: bytes before the first sample
        num_samples: whole samples that the file holds, of each channel
    """

    encoding: int
    num_channels: int
    sampling_rate: int
    sample_bytes: int
    data_offset: int
    num_samples: int

    @property
    def duration(self) -> Seconds:
        """Length in seconds of the samples that are there."""
        return self.num_samples / self.sampling_rate


def read_header(path: Path, num_channels: int = 1) -> tuple[RecordingHeader | None, list[Irregularity]]:
    """Read the header of a recording, without its samples.

    Args:
        path: a wav file
        num_channels: the channels it should have: 1 for an utterance, 2 for a dialogue

    Returns:
        the header, or None where nothing can be heard in the file; and what is wrong with it

    Raises:
        CorpusError: there is no such file, or it may not be read
    """
    try:
        with open_regular(path) as stream:
            header, problems = _parse_header(stream)
    except OSError as error:
        raise CorpusError(
            f"recording {str(path)!r}: cannot be read ({error.strerror}); expected a wav file"
        ) from error
    if header is not None:
        problems += _describe_differences(header, num_channels)
    return header, [irregularity_of(kind, path, detail) for kind, detail in problems]


def read_recording(path: Path) -> tuple[Recording | None, list[Irregularity]]:
    """Read an utterance's recording as one channel at 16 kHz.

    Reads integers of 8 to 32 bits and floating point of 32 and 64. Several channels are averaged,
    another rate is resampled, a truncated file gives what it holds; each is an irregularity.

    Returns:
        the recording, or None where nothing can be heard in the file; and what is wrong with it

    Raises:
        CorpusError: there is no such file, or it may not be read
    """
    return _read(path, 1, lambda channels: channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1))


def read_dialogue_left(path: Path) -> tuple[Recording | None, list[Irregularity]]:
    """Read the left channel of a dialogue's recording, at 16 kHz.

    Returns:
        the channel, or None where nothing can be heard in the file; and what is wrong with it

    Raises:
        CorpusError: there is no such file, or it may not be read
    """
    return _read(path, 2, lambda channels: np.ascontiguousarray(channels[:, 0]))


def _read(
    path: Path, num_channels: int, join: Callable[[Samples], Samples]
) -> tuple[Recording | None, list[Irregularity]]:
    header, irregularities = read_header(path, num_channels)
    if header is None:
        return None, irregularities
    channels, problems = _read_channels(path, header)
    irregularities += [irregularity_of(kind, path, detail) for kind, detail in problems]
    if channels is None:
        return None, irregularities
    return Recording(_resample(join(channels), header.sampling_rate)), irregularities


def _parse_header(stream: BinaryIO) -> tuple[RecordingHeader | None, Problems]:
    num_bytes = os.fstat(stream.fileno()).st_size
    if num_bytes == 0:
        return None, [(IrregularityKind.EMPTY_RECORDING, "0 bytes")]
    riff = stream.read(12)
    if riff[:4] != b"RIFF" or riff[8:12] != b"WAVE":
        return None, [_unreadable(f"begins with {riff!r}, expected a RIFF WAVE header")]
    chunk_format: bytes | None = None
    while len(chunk := stream.read(8)) == 8:
        name, size = struct.unpack("<4sI", chunk)
        if name == b"data":
            return _describe_data(chunk_format, stream.tell(), size, num_bytes)
        if name == b"fmt ":
            # A damaged size would have memory made for 4 GB.
            chunk_format = stream.read(min(size, _FORMAT_BYTES))
            stream.seek(size + size % 2 - len(chunk_format), os.SEEK_CUR)
        else:
            stream.seek(size + size % 2, os.SEEK_CUR)
    return None, [_unreadable("ends before its samples begin")]


def _describe_data(
    chunk_format: bytes | None, offset: int, declared: int, num_bytes: int
) -> tuple[RecordingHeader | None, Problems]:
    if chunk_format is None or len(chunk_format) < 16:
        return None, [_unreadable("has no description of its samples")]
    encoding, num_channels, rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", chunk_format[:16])
    if encoding == _EXTENSIBLE and len(chunk_format) >= 26:
        (encoding,) = struct.unpack("<H", chunk_format[24:26])
    sample_bytes = frame_bytes // num_channels if num_channels else 0
    if (encoding, sample_bytes) not in _DTYPES or frame_bytes != sample_bytes * num_channels:
        detail = f"has encoding {encoding}, {bits} bits and {num_channels} channels, which is not a known format"
        return None, [_unreadable(detail)]
    if rate not in _PLAUSIBLE_RATES:
        return None, [_unreadable(f"claims a sampling rate of {rate} Hz")]
    present = min(declared, num_bytes - offset)
    num_samples = present // frame_bytes
    if num_samples == 0:
        return None, [(IrregularityKind.EMPTY_RECORDING, "a header without samples")]
    problems: Problems = []
    if present < declared or present % frame_bytes:
        detail = f"{present} of {declared} bytes of sound"
        problems.append((IrregularityKind.TRUNCATED_RECORDING, detail))
    return RecordingHeader(encoding, num_channels, rate, sample_bytes, offset, num_samples), problems


def _describe_differences(header: RecordingHeader, num_channels: int) -> Problems:
    problems: Problems = []
    if header.num_channels > num_channels:
        problems.append((IrregularityKind.STEREO_RECORDING, f"{header.num_channels} channels"))
    if header.num_channels < num_channels:
        problems.append((IrregularityKind.MONO_DIALOGUE_RECORDING, f"{header.num_channels} channel"))
    if header.sampling_rate != SAMPLING_RATE:
        problems.append((IrregularityKind.OTHER_SAMPLING_RATE, f"{header.sampling_rate} Hz"))
    if (header.encoding, header.sample_bytes) != (_PCM, SAMPLE_BYTES):
        encoding = "floating point" if header.encoding == _FLOAT else "integers"
        detail = f"{8 * header.sample_bytes} bit {encoding}"
        problems.append((IrregularityKind.OTHER_SAMPLE_FORMAT, detail))
    return problems


def _read_channels(path: Path, header: RecordingHeader) -> tuple[Samples | None, Problems]:
    dtype = _DTYPES[header.encoding, header.sample_bytes]
    num_values = header.num_samples * header.num_channels * (header.sample_bytes // dtype.itemsize)
    values = np.fromfile(path, dtype=dtype, count=num_values, offset=header.data_offset)
    if header.sample_bytes == 3:
        values = _join_three_bytes(values)
    shape = (header.num_samples, header.num_channels)
    channels = values.reshape(shape).astype(np.float64)
    if header.encoding == _FLOAT:
        return _check_float(channels)
    if header.sample_bytes == 1:
        channels -= 128
    # Three bytes stand in the upper part of four, so their full scale is that of four.
    full_scale = 2.0 ** (31 if header.sample_bytes == 3 else 8 * header.sample_bytes - 1)
    channels /= full_scale
    step = 2.0 ** (1 - 8 * header.sample_bytes)
    return channels, _describe_level(channels, highest=1 - step)


def _join_three_bytes(values: NDArray[np.uint8]) -> NDArray[np.int32]:
    padded = np.zeros((len(values) // 3, 4), dtype=np.uint8)
    padded[:, 1:] = values.reshape(-1, 3)
    return padded.view("<i4")[:, 0]


def _check_float(channels: Samples) -> tuple[Samples | None, Problems]:
    if not np.isfinite(channels).all():
        return None, [_unreadable("holds samples that are NaN or infinite")]
    peak = float(np.abs(channels).max())
    if peak > 1:
        return channels / peak, [(IrregularityKind.BEYOND_FULL_SCALE, f"peak {peak:g}")]
    return channels, _describe_level(channels, highest=1.0)


def _describe_level(channels: Samples, highest: float) -> Problems:
    if (channels == channels[0]).all():
        return [(IrregularityKind.SILENT_RECORDING, f"{len(channels)} equal samples")]
    is_full = (channels <= -1) | (channels >= highest)
    length = len(channels) - CLIPPED_SAMPLES + 1
    if length < 1 or not is_full.any():
        return []
    in_a_row = np.all([is_full[first : first + length] for first in range(CLIPPED_SAMPLES)], axis=0)
    if not in_a_row.any():
        return []
    return [(IrregularityKind.CLIPPED_RECORDING, f"{int(is_full.sum())} samples at full scale")]


def _resample(samples: Samples, sampling_rate: int) -> Samples:
    if sampling_rate == SAMPLING_RATE:
        return samples
    # Imported here: it takes longer than reading the index of a whole corpus, and hardly a file needs it.
    from scipy.signal import resample_poly

    divisor = gcd(SAMPLING_RATE, sampling_rate)
    resampled = resample_poly(samples, SAMPLING_RATE // divisor, sampling_rate // divisor)
    return np.asarray(resampled, dtype=np.float64)


def _unreadable(detail: str) -> tuple[IrregularityKind, str]:
    return IrregularityKind.UNREADABLE_RECORDING, detail
