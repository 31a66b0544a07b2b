"""Short frames of speech: mel bands, MFCC, energy, zero crossings, pitch and voicing, 25 ms every 10 ms.

They are what systems read that classify short segments of sound. Loudness is kept: no sample is divided by a peak.
All frames of a signal are computed at once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import scipy.fft

from harness.corpus.audio import SAMPLING_RATE
from harness.errors import unknown_name

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Number = TypeVar("Number", np.float32, np.float64)

#: Source: Neumann and Vu, Interspeech 2017, section 3, as is the top of the bands.
NUM_BANDS = 26
MAX_MEL_HERTZ = 6500.0
MEL = tuple(f"mel_{number}" for number in range(1, NUM_BANDS + 1))
MFCC = tuple(f"mfcc_{number}" for number in range(1, 14))
FRAME_COLUMNS = (
    *MEL,
    *MFCC,
    "log_energy",
    "zero_crossing_rate",
    "pitch",
    "pitch_period",
    "harmonics_to_noise",
    "voicing",
    "voiced",
)

#: A model may read it as it is: it is 0 or 1 after training statistics have scaled the others too.
UNSCALED = ("voiced",)

#: Mean square of the error of samples of 16 bits, which is even between half a step below and half a step above. It is
#: under every logarithm, and a quieter signal has no pitch: there is nothing but rounding in it.
ROUNDING_POWER = 2.0**-30 / 12.0

#: Hertz. Ours: from a low man's voice to an excited woman's.
MIN_PITCH, MAX_PITCH = 60.0, 500.0
#: Three periods of the lowest pitch. Source: Boersma, Proceedings of the Institute of Phonetic Sciences 17 (1993).
PITCH_WINDOW_SAMPLES = round(3.0 / MIN_PITCH * SAMPLING_RATE)
MIN_LAG, MAX_LAG = int(SAMPLING_RATE / MAX_PITCH), int(np.ceil(SAMPLING_RATE / MIN_PITCH))
#: Taken off the autocorrelation for each octave below the highest pitch: twice the period is as good a period.
#: Ours: with the recommended 0.01 of Boersma (1993), who searches a path through all frames, more octaves are missed.
OCTAVE_COST = 0.03
#: Of the normalised autocorrelation, above which a frame may be voiced. Ours: of 0.4 to 0.6 it agrees best with Praat,
#: whose own threshold of 0.45 belongs to a search of the best path through all frames (`benchmarks.frames`).
VOICING_THRESHOLD = 0.55
#: Amplitude, of the loudest frame's: hum and echoes are not voiced, nor is a second voice far from the microphone.
#: Ours, as is the threshold above; Boersma (1993) compares with about 0.04 of the signal's peak.
QUIET_SHARE = 0.05
#: Their autocorrelations are in memory at once: few enough for the processor's cache, which about halves the time.
BLOCK_FRAMES = 128
#: Decibels. Ours: beyond them the ratio says nothing but how exact the interpolation is.
MIN_HARMONICS_TO_NOISE, MAX_HARMONICS_TO_NOISE = -20.0, 40.0
#: Seconds. Ours: shorter gaps within a voiced segment are closed; then shorter segments are dropped.
MIN_VOICED_SECONDS = 0.05
#: Times as many frames are read behind those that are returned: a gap, a segment and a gap again may begin there.
LOOK_AHEAD = 4


def frame_columns(*names: str) -> list[int]:
    """Return the places of some numbers in a frame, in the order of the names.

    Raises:
        UnknownNameError: a frame has no such number

    Example:
        >>> frame_columns("mel_1", "log_energy", "voiced")
        [0, 39, 45]
        >>> frame_columns(*MFCC)[:3]
        [26, 27, 28]
    """
    for name in names:
        if name not in FRAME_COLUMNS:
            raise unknown_name("number of a frame", name, FRAME_COLUMNS)
    return [FRAME_COLUMNS.index(name) for name in names]


def extract_frames(samples: Floats, window_samples: int, hop_samples: int, max_frames: int) -> Floats:
    """Describe each window of a signal by ``FRAME_COLUMNS``.

    The signal's mean is subtracted first, except for the energy.

    Args:
        samples: float64 (num_samples,) in [-1, 1) at ``SAMPLING_RATE``, at least one window
        max_frames: frames to return at most; what is behind them changes no number but the signal's mean

    Returns:
        float64 (num_frames, 46), finite. By column: ``mel_1`` to ``mel_26``, the logarithm of the power in bands of 0
        to 6500 Hz; ``mfcc_1`` to ``mfcc_13``, coefficients 1 to 13 of the orthonormal DCT-II of those logarithms (0 is
        left out: ``log_energy`` has the loudness); ``log_energy``, the natural logarithm of the mean square;
        ``zero_crossing_rate``, changes of sign a sample, 0 to 1; and the columns of ``_describe_pitch``

    Source:
        Neumann and Vu, Interspeech 2017, section 3: 26 bands of 0 to 6500 Hz, Hamming window, FFT of 512 at a window
        of 400 samples. Deviates: the signal loses its mean, and each band's filter has the sum 1.
    """
    min_voiced_frames = int(np.ceil(MIN_VOICED_SECONDS * SAMPLING_RATE / hop_samples))
    # More than are returned, so that what the voicing looks ahead at is there too.
    num_frames = max_frames + LOOK_AHEAD * min_voiced_frames
    mean = samples.mean()
    samples = samples[: (num_frames - 1) * hop_samples + max(window_samples, PITCH_WINDOW_SAMPLES)]
    starts = np.arange(0, len(samples) - window_samples + 1, hop_samples)
    centred = (samples - mean).astype(np.float32)
    bands = _log_mel(centred, starts, window_samples)
    loudness = _mean_squares(centred, starts, window_samples)
    is_quiet = loudness < QUIET_SHARE**2 * loudness[:max_frames].max()
    changes = np.concatenate([[0], np.cumsum(np.diff(np.signbit(centred)))])
    zero_crossings = (changes[starts + window_samples - 1] - changes[starts]) / (window_samples - 1)
    return np.column_stack(
        [
            bands,
            scipy.fft.dct(bands, type=2, norm="ortho")[:, 1 : len(MFCC) + 1],
            log_energy(samples, starts, window_samples),
            zero_crossings,
            _describe_pitch(centred, starts + window_samples // 2, is_quiet, min_voiced_frames),
        ]
    )[:max_frames].astype(np.float64)


def log_energy(samples: Floats, starts: npt.NDArray[np.int64], window_samples: int) -> Floats:
    """Return the natural logarithm of the mean square of each window; silence has that of a sample's rounding error.

    Args:
        samples: float64 (num_samples,) in [-1, 1), as they were recorded
        starts: int64 (num_windows,), the first sample of each window; each window lies within the samples

    Returns:
        float64 (num_windows,), finite

    Example:
        >>> log_energy(np.array([0.5, -0.5, 0.25, 0.25]), np.array([0, 2]), 2).round(3)
        array([-1.386, -2.773])
    """
    return np.asarray(np.log(_mean_squares(samples, starts, window_samples) + ROUNDING_POWER))


@lru_cache(maxsize=8)
def mel_filters(num_fft: int, num_bands: int, max_hertz: float) -> Floats:
    """Return triangular filters of sum 1, evenly spaced in mel from 0 Hz to ``max_hertz``.

    A band that lies between two bins of a short window takes the nearer one.

    Returns:
        float64 (num_fft // 2 + 1, num_bands), read-only

    Source:
        mel = 2595 log10(1 + hertz / 700): O'Shaughnessy, Speech Communication (1987), as HTK uses it.
    """
    bins = np.arange(num_fft // 2 + 1) * SAMPLING_RATE / num_fft
    top = 2595.0 * np.log10(1.0 + max_hertz / 700.0)
    edges = 700.0 * (10.0 ** (np.linspace(0.0, top, num_bands + 2) / 2595.0) - 1.0)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins[:, None] - low) / (centre - low)
    falling = (high - bins[:, None]) / (high - centre)
    filters = np.clip(np.minimum(rising, falling), 0.0, None)
    for band in np.flatnonzero(filters.sum(axis=0) == 0.0):
        filters[np.abs(bins - centre[band]).argmin(), band] = 1.0
    filters /= filters.sum(axis=0)
    filters.flags.writeable = False
    return filters


def _windows(
    signal: npt.NDArray[Number], starts: npt.NDArray[np.int64], num_samples: int
) -> npt.NDArray[Number]:
    return np.lib.stride_tricks.sliding_window_view(signal, num_samples)[starts]


def _mean_squares(
    signal: npt.NDArray[Number], starts: npt.NDArray[np.int64], num_samples: int
) -> npt.NDArray[Number]:
    windows = _windows(signal, starts, num_samples)
    squares: npt.NDArray[Number] = np.einsum("ij,ij->i", windows, windows) / num_samples
    return squares


def _log_mel(centred: Singles, starts: npt.NDArray[np.int64], window_samples: int) -> Singles:
    """Return float32 (num_frames, 26)."""
    num_fft = 1 << (window_samples - 1).bit_length()
    window = np.hamming(window_samples)
    spectrum = scipy.fft.rfft(_windows(centred, starts, window_samples) * window.astype(np.float32), num_fft)
    power = spectrum.real**2 + spectrum.imag**2
    filters = mel_filters(num_fft, NUM_BANDS, MAX_MEL_HERTZ).astype(np.float32)
    # What rounding puts into each bin, and so into each band, whose filter has the sum 1.
    return np.log(power @ filters + np.float32(ROUNDING_POWER * np.square(window).sum()))


def _describe_pitch(
    centred: Singles, centres: npt.NDArray[np.int64], is_quiet: Flags, min_voiced_frames: int
) -> Floats:
    """Find the period at which the signal around each place is most like itself.

    The autocorrelation is that of a window of 50 ms, or of the part of the signal that is nearest to it.

    Returns:
        float64 (num_frames, 5): ``pitch``, hertz, 0 where the frame is not voiced; ``pitch_period``, seconds, that of
        the best lag, voiced or not; ``harmonics_to_noise``, 10 log10(r / (1 - r)) of the normalised autocorrelation
        r at that lag, in decibels, from -20 to 40; ``voicing``, r, -1 to 1, 0 in silence; ``voiced``, 0 or 1

    Source:
        Boersma, Proceedings of the Institute of Phonetic Sciences 17 (1993): the autocorrelation is divided by the
        window's own, a parabola goes through each peak, longer periods cost. Deviates: each frame is decided on its
        own, without the path of least cost through all frames.
        harmonics_to_noise: Han, Yu and Tashev, Interspeech 2014, section 3.1.
    """
    padded = np.pad(centred, (0, max(0, PITCH_WINDOW_SAMPLES - len(centred))))
    starts = np.clip(centres - PITCH_WINDOW_SAMPLES // 2, 0, len(padded) - PITCH_WINDOW_SAMPLES)
    blocks = (starts[first : first + BLOCK_FRAMES] for first in range(0, len(starts), BLOCK_FRAMES))
    period, voicing = np.concatenate([_find_periods(padded, block) for block in blocks], axis=1)
    # Beyond these the ratio is clipped; the logarithm of 0 is never taken.
    ratio = np.clip(voicing, 1e-6, 1.0 - 1e-6)
    harmonics = np.clip(10.0 * np.log10(ratio / (1.0 - ratio)), MIN_HARMONICS_TO_NOISE, MAX_HARMONICS_TO_NOISE)
    is_voiced = join_segments((voicing > VOICING_THRESHOLD) & ~is_quiet, min_voiced_frames)
    return np.column_stack([np.where(is_voiced, 1.0 / period, 0.0), period, harmonics, voicing, is_voiced])


def _find_periods(padded: Singles, starts: npt.NDArray[np.int64]) -> Floats:
    """Return float64 (2, num_frames): the best period, seconds, and the normalised autocorrelation there."""
    correlation = _autocorrelation(_windows(padded, starts, PITCH_WINDOW_SAMPLES))
    left, middle, right = correlation[:, :-2], correlation[:, 1:-1], correlation[:, 2:]
    is_peak = (middle > left) & (middle >= right)
    curvature = np.where(is_peak, left - 2.0 * middle + right, -1.0)
    offset = np.where(is_peak, 0.5 * (left - right) / curvature, 0.0)
    height = middle - 0.25 * np.where(is_peak, left - right, 0.0) * offset
    lags = np.arange(MIN_LAG, MAX_LAG + 1)
    cost = OCTAVE_COST * np.log2(lags / MIN_LAG).astype(np.float32)
    # No peak at all is as rare as a signal that only falls or rises for 16 ms.
    best = (height - cost - np.where(is_peak, 0.0, 4.0)).argmax(axis=1)
    rows = np.arange(len(best))
    period = np.clip((lags[best] + offset[rows, best]) / SAMPLING_RATE, 1.0 / MAX_PITCH, 1.0 / MIN_PITCH)
    return np.stack([period, np.clip(height[rows, best], -1.0, 1.0)])


def _autocorrelation(windows: Singles) -> Singles:
    """Return the normalised autocorrelation at the lags from ``MIN_LAG`` - 1 to ``MAX_LAG`` + 1; 0 in silence.

    Args:
        windows: float32 (num_frames, 800), which this changes
    """
    windows -= windows.mean(axis=1, keepdims=True)
    window = np.hanning(PITCH_WINDOW_SAMPLES + 2)[1:-1].astype(np.float32)
    windows *= window
    sums = _correlate(windows)
    power = sums[:, :1]
    is_loud = power > ROUNDING_POWER * np.square(window).sum()
    normalised = np.where(is_loud, sums / np.where(is_loud, power, 1.0), 0.0)
    own = _correlate(window[None])
    corrected: Singles = normalised * (own[:, :1] / own)
    return corrected[:, MIN_LAG - 1 :]


def _correlate(windows: Singles) -> Singles:
    num_fft = scipy.fft.next_fast_len(PITCH_WINDOW_SAMPLES + MAX_LAG + 2, real=True)
    spectrum = scipy.fft.rfft(windows, num_fft)
    correlation: Singles = scipy.fft.irfft(spectrum.real**2 + spectrum.imag**2, num_fft)[:, : MAX_LAG + 2]
    return correlation


def join_segments(is_on: Flags, min_frames: int) -> Flags:
    """Close the gaps between segments that are shorter than ``min_frames``, then drop the segments that are shorter.

    Example:
        >>> flags = np.array([0, 1, 1, 0, 1, 0, 0, 0, 1, 0], dtype=bool)
        >>> join_segments(flags, min_frames=3).astype(int)
        array([0, 1, 1, 1, 1, 0, 0, 0, 0, 0])
    """
    edges = np.flatnonzero(np.diff(is_on, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    if len(starts):
        is_apart = starts[1:] - ends[:-1] >= min_frames
        starts, ends = starts[np.append(True, is_apart)], ends[np.append(is_apart, True)]
        is_long = ends - starts >= min_frames
        starts, ends = starts[is_long], ends[is_long]
    steps = np.zeros(len(is_on) + 1, dtype=np.int64)
    steps[starts] += 1
    steps[ends] -= 1
    return np.cumsum(steps[:-1]) > 0
