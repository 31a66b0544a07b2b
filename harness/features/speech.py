"""Sound to frames: the numbers that describe each short window of an utterance."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from types import ModuleType
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from harness.codec import from_plain, may_be_missing, to_plain
from harness.corpus.audio import SAMPLING_RATE
from harness.corpus.utterances import Seconds
from harness.errors import FeatureError, ShapeError, one_line, unknown_name
from harness.features.frames import FRAME_COLUMNS, extract_frames, log_energy, mel_filters
from harness.features.own import MAX_FRAMES, OwnFeatures
from harness.files import hash_json
from harness.splits.protocol import DEFAULT_SPEECH_VARIANT, Protocol, SpeechSource

Frames = npt.NDArray[np.float64]

#: In the order of pyAudioAnalysis 0.3.14. Source: paper, section 3 (8 + 13 + 13).
SHORT_TERM_COLUMNS = (
    "zcr",
    "energy",
    "energy_entropy",
    "spectral_centroid",
    "spectral_spread",
    "spectral_entropy",
    "spectral_flux",
    "spectral_rolloff",
    *(f"mfcc_{number}" for number in range(1, 14)),
    *(f"chroma_{number}" for number in range(1, 13)),
    "chroma_std",
)
MFCC_COLUMNS = tuple(name for name in SHORT_TERM_COLUMNS if name.startswith("mfcc_"))

#: As many bands as the library's own filters for the MFCC have, so that the two inputs can be compared.
NUM_MEL_BANDS = 40
#: Added to a band's power before the logarithm: the library's own floor under its logarithms.
LOG_FLOOR = float(np.finfo(np.float64).eps)
#: Samples. Below it the library indexes its chroma table out of bounds.
MIN_WINDOW_SAMPLES = 200
#: The frames of a user's own features are taken to be spread over so much time, to know how many of them a time is:
#: the mean of the corpus's utterances.
MEAN_UTTERANCE_SECONDS = 4.5


class SpeechKind(StrEnum):
    """The kinds of numbers in a frame."""

    SHORT_TERM = "short-term"  # the 34 of pyAudioAnalysis
    DELTAS = "deltas"  # the 34, the 13 deltas of the MFCC, their 13 double deltas: 60
    LOUD = "loud"  # the 34, and the log energy of the frame as it was recorded: 35
    DETAILED = "detailed"  # those 35, and means and deviations of the 46 of the short frames within the window: 127
    MEL = "mel"  # the logarithm of 40 mel bands' power
    FRAMES = "frames"  # the 46 of short frames: mel bands, MFCC, energy, zero crossings, pitch
    OWN = "own"  # those of a user's file


@dataclass(frozen=True)
class SpeechSettings:
    """Everything that changes the frames of an utterance.

    Attributes:
        window, hop: seconds
        max_frames: frames kept, from the beginning
        own: the file that the frames come from; None where they are computed here
        source: which recording the utterance is taken from
        trims_edge_frames: whether the first and the last frame are dropped before the others are cut

    Raises:
        FeatureError: a number is out of the range in which frames can be computed

    Source:
        paper, section 3. ``trims_edge_frames`` is the published code's.
    """

    kind: SpeechKind = SpeechKind.SHORT_TERM
    window: Seconds = 0.2
    hop: Seconds = 0.1
    max_frames: int = 100
    source: SpeechSource = SpeechSource.UTTERANCE
    trims_edge_frames: bool = False
    own: OwnFeatures | None = may_be_missing(None)

    def __post_init__(self) -> None:
        if (self.kind is SpeechKind.OWN) != (self.own is not None):
            raise FeatureError(
                f"speech settings: found kind '{self.kind}' and own {self.own!r:.80}; expected 'own' with a file alone"
            )
        for name, seconds in (("window", self.window), ("hop", self.hop)):
            if not math.isfinite(seconds):
                raise FeatureError(f"speech settings: found a {name} of {seconds} s; expected a finite number")
        if self.window_samples < MIN_WINDOW_SAMPLES:
            raise FeatureError(
                f"speech settings: a window of {self.window} s has {self.window_samples} samples at "
                f"{SAMPLING_RATE} Hz; expected at least {MIN_WINDOW_SAMPLES}, which is "
                f"{MIN_WINDOW_SAMPLES / SAMPLING_RATE} s"
            )
        if self.hop_samples < 1:
            raise FeatureError(f"speech settings: found a hop of {self.hop} s; expected more than 0 s")
        if not 1 <= self.max_frames <= MAX_FRAMES:
            raise FeatureError(
                f"speech settings: found max_frames {self.max_frames}; expected from 1 to {MAX_FRAMES}"
            )

    @property
    def holds_motion(self) -> bool:
        """True where the motion is prepared together with the sound: no system reads both short frames and motion."""
        return self.kind is not SpeechKind.FRAMES

    @property
    def window_samples(self) -> int:
        """Length of a window at ``SAMPLING_RATE``."""
        return round(self.window * SAMPLING_RATE)

    @property
    def hop_samples(self) -> int:
        """Distance between the beginnings of two windows at ``SAMPLING_RATE``."""
        return round(self.hop * SAMPLING_RATE)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that changes the frames, as plain values: of a user's file its content alone, and not its name."""
        return self.to_json() if self.own is None else {"kind": self.kind.value, "own": self.own.sha256}

    def to_json(self) -> dict[str, Any]:
        """Every setting by name, as plain values."""
        return cast(dict[str, Any], to_plain(self))

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> SpeechSettings:
        """Read the settings that ``to_json`` wrote.

        Raises:
            FeatureError: a setting is missing, unknown or of a value that is not allowed
        """
        try:
            return from_plain(cls, record)
        except (ValueError, OverflowError) as error:
            raise FeatureError(
                f"speech settings: found {json.dumps(record, sort_keys=True):.400}; "
                f"expected exactly {sorted(cls().to_json())} ({one_line(error)})"
            ) from error


#: The variants that a user may name.
#: Source: paper, section 4.1 (mel-spectrogram; 0.08 s with 200 frames) and section 3 (deltas).
#: ``loud`` is ours: the paper's numbers lose how loud an utterance is beside another. So is ``detailed``: they have no
#: pitch either, and one spectrum of 0.2 s blurs what changes within it.
#: The hop of 0.04 s is ours: half a window, as in the paper's 0.2 s and 0.1 s.
#: Frames of 25 ms every 10 ms: Han, Yu and Tashev, Interspeech 2014, section 4.1, and Neumann and Vu, Interspeech 2017,
#: section 3. That 15 s of them are kept is ours.
SPEECH_VARIANTS: Mapping[str, SpeechSettings] = {
    "short-term": SpeechSettings(),
    "deltas": SpeechSettings(kind=SpeechKind.DELTAS),
    "loud": SpeechSettings(kind=SpeechKind.LOUD),
    "detailed": SpeechSettings(kind=SpeechKind.DETAILED),
    "mel": SpeechSettings(kind=SpeechKind.MEL),
    "short-windows": SpeechSettings(window=0.08, hop=0.04, max_frames=200),
    "frames": SpeechSettings(kind=SpeechKind.FRAMES, window=0.025, hop=0.01, max_frames=1500),
}


def speech_settings(protocol: Protocol, variant: str = DEFAULT_SPEECH_VARIANT) -> SpeechSettings:
    """Return a variant's settings with the recording and the trimming that ``protocol`` chooses.

    Raises:
        UnknownNameError: no such variant

    Example:
        >>> from harness.splits.protocol import PROTOCOLS
        >>> speech_settings(PROTOCOLS["published-code"], "mel").source.value
        'dialogue-left'
    """
    if variant not in SPEECH_VARIANTS:
        raise unknown_name("speech variant", variant, SPEECH_VARIANTS)
    return replace(
        SPEECH_VARIANTS[variant], source=protocol.speech_source, trims_edge_frames=protocol.trims_edge_frames
    )


def own_speech_settings(own: OwnFeatures) -> SpeechSettings:
    """Return the settings of frames that are a user's own: no protocol changes them.

    Their number is limited by ``OwnFile.beside`` alone, for the longest of a file may be of no utterance of the corpus.
    """
    # A sample apart at least, which only frames of utterances beyond the limit would not be.
    hop = max(MEAN_UTTERANCE_SECONDS / own.mean_frames, 1 / SAMPLING_RATE)
    return SpeechSettings(SpeechKind.OWN, hop=hop, max_frames=min(own.max_frames, MAX_FRAMES), own=own)


def prepared_key(settings: SpeechSettings) -> str:
    """Return 8 hexadecimal digits over every setting, to name a folder of prepared features with."""
    return hash_json(settings.identity, 8)


def column_names(settings: SpeechSettings) -> tuple[str, ...]:
    """Name the numbers of a frame, in order.

    Example:
        >>> [len(column_names(settings)) for settings in SPEECH_VARIANTS.values()]
        [34, 60, 35, 127, 40, 34, 46]
        >>> column_names(SpeechSettings(kind=SpeechKind.DELTAS))[-1]
        'delta_delta_mfcc_13'
    """
    if settings.own is not None:
        return tuple(f"own_{number}" for number in range(1, settings.own.num_columns + 1))
    if settings.kind is SpeechKind.MEL:
        return tuple(f"mel_{number}" for number in range(1, NUM_MEL_BANDS + 1))
    if settings.kind is SpeechKind.FRAMES:
        return FRAME_COLUMNS
    if settings.kind is SpeechKind.SHORT_TERM:
        return SHORT_TERM_COLUMNS
    loud = (*SHORT_TERM_COLUMNS, "log_energy")
    if settings.kind is SpeechKind.LOUD:
        return loud
    if settings.kind is SpeechKind.DETAILED:
        return (*loud, *(f"{name}_{moment}" for moment in ("mean", "deviation") for name in FRAME_COLUMNS))
    deltas = tuple(f"delta_{name}" for name in MFCC_COLUMNS)
    return SHORT_TERM_COLUMNS + deltas + tuple(f"delta_{name}" for name in deltas)


def extract_speech(samples: npt.NDArray[np.float64], settings: SpeechSettings) -> Frames:
    """Describe each window of an utterance by ``column_names(settings)``.

    The signal loses its mean and is divided by its peak first, as pyAudioAnalysis does, so that
    the loudness between utterances is lost; short frames keep it, and ``log_energy``, which is that of the samples
    as they are, adds it to the 34. A delta is the difference to the frame before, 0 in the first. A mean or a deviation
    of ``detailed`` is over all short frames that lie within the window, voiced or not.

    Args:
        samples: float64 (num_samples,) in [-1, 1) at ``SAMPLING_RATE``

    Returns:
        float64 (num_frames, num_columns), at most ``max_frames`` frames; finite, silence included.
        No frame only where ``trims_edge_frames`` has dropped all there were

    Raises:
        ShapeError: ``samples`` is not 1-D, or shorter than one window

    Source:
        paper, section 3: 0.2 s windows every 0.1 s, the first 100 frames. Deviates: nothing.
    """
    if samples.ndim != 1:
        raise ShapeError(f"samples have shape {samples.shape}; expected one channel, (num_samples,)")
    if samples.size < settings.window_samples:
        raise ShapeError(
            f"the recording has {samples.size} samples ({samples.size / SAMPLING_RATE:.3f} s); "
            f"expected at least {settings.window_samples}, one window of {settings.window} s"
        )
    if settings.kind is SpeechKind.MEL:
        frames = _log_mel(samples, settings)
    elif settings.kind is SpeechKind.FRAMES:
        # Two more than are kept, of which the trimming may take one at each end.
        frames = extract_frames(samples, settings.window_samples, settings.hop_samples, settings.max_frames + 2)
    else:
        # Two more than are kept, of which the trimming may take one at each end.
        frames = _short_term(samples, settings)[: settings.max_frames + 2]
        if settings.kind is SpeechKind.DELTAS:
            frames = _with_deltas(frames)
        elif settings.kind in (SpeechKind.LOUD, SpeechKind.DETAILED):
            starts = np.arange(len(frames)) * settings.hop_samples
            frames = np.column_stack([frames, log_energy(samples, starts, settings.window_samples)])
            if settings.kind is SpeechKind.DETAILED:
                frames = np.column_stack([frames, _summarise_short_frames(samples, starts, settings.window_samples)])
    if settings.trims_edge_frames:
        frames = frames[1:-1]
    return frames[: settings.max_frames]


def short_term_library() -> ModuleType:
    """Return pyAudioAnalysis.ShortTermFeatures with its chroma table computed once for each size of window.

    This is the one place that changes the library: it rebuilds that table for every frame, 70 % of
    its time. The function keeps its arguments and its values; its arrays become read-only.
    """
    from pyAudioAnalysis import ShortTermFeatures

    if not hasattr(ShortTermFeatures.chroma_features_init, "cache_info"):
        original = ShortTermFeatures.chroma_features_init

        @lru_cache(maxsize=8)
        def chroma_features_init(
            num_fft: int, sampling_rate: float
        ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
            num_chroma, num_freqs_per_chroma = original(num_fft, sampling_rate)
            num_chroma.flags.writeable = False
            num_freqs_per_chroma.flags.writeable = False
            return num_chroma, num_freqs_per_chroma

        ShortTermFeatures.chroma_features_init = chroma_features_init
    library: ModuleType = ShortTermFeatures
    return library


def _short_term(samples: npt.NDArray[np.float64], settings: SpeechSettings) -> Frames:
    as_16_bit = samples * 2.0**15
    features, _ = short_term_library().feature_extraction(
        as_16_bit, SAMPLING_RATE, settings.window_samples, settings.hop_samples, deltas=False
    )
    return np.ascontiguousarray(features.T)


def _summarise_short_frames(samples: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], window: int) -> Frames:
    """Return mean and deviation of each number of the short frames within some windows: float64 (num_windows, 92).

    Args:
        starts: int64 (num_windows,), the first sample of each window
        window: samples of each
    """
    short = SPEECH_VARIANTS["frames"]
    within = (window - short.window_samples) // short.hop_samples + 1
    num_frames = int(starts[-1]) // short.hop_samples + within
    frames = extract_frames(samples, short.window_samples, short.hop_samples, num_frames)
    numbers = frames[starts[:, None] // short.hop_samples + np.arange(within)]
    return np.concatenate([numbers.mean(axis=1), numbers.std(axis=1)], axis=1)


def _with_deltas(frames: Frames) -> Frames:
    first = SHORT_TERM_COLUMNS.index(MFCC_COLUMNS[0])
    mfcc = frames[:, first : first + len(MFCC_COLUMNS)]
    deltas = np.diff(mfcc, axis=0, prepend=mfcc[:1])
    double_deltas = np.diff(deltas, axis=0, prepend=deltas[:1])
    return np.concatenate([frames, deltas, double_deltas], axis=1)


def _log_mel(samples: npt.NDArray[np.float64], settings: SpeechSettings) -> Frames:
    centred = samples - samples.mean()
    normalised = centred / (np.abs(centred).max() + 1e-10)
    windows = np.lib.stride_tricks.sliding_window_view(normalised, settings.window_samples)[
        :: settings.hop_samples
    ]
    power = np.abs(np.fft.rfft(windows * np.hanning(settings.window_samples), axis=1)) ** 2
    filters = mel_filters(settings.window_samples, NUM_MEL_BANDS, SAMPLING_RATE / 2)
    return np.log(power @ filters + LOG_FLOOR)
