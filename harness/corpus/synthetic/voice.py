"""A voice: pulses of a glottis and noise, through the resonances of a vocal tract."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.corpus.audio import SAMPLING_RATE

Hertz = float

#: The first four resonances of five vowels, as a male vocal tract has them.
#: Source: G. E. Peterson and H. L. Barney, "Control methods used in a study of the vowels" (1952),
#: averages of the men for the first three; the fourth is a choice.
VOWELS: tuple[tuple[Hertz, ...], ...] = (
    (730.0, 1090.0, 2440.0, 3400.0),
    (530.0, 1840.0, 2480.0, 3400.0),
    (270.0, 2290.0, 3010.0, 3600.0),
    (570.0, 840.0, 2410.0, 3300.0),
    (300.0, 870.0, 2240.0, 3300.0),
)
_BANDWIDTHS: tuple[Hertz, ...] = (80.0, 100.0, 140.0, 200.0)

#: Share of a syllable that its consonant takes, before the vowel.
_CONSONANT_SHARE = 0.25
_FADE_SECONDS = 0.012


@dataclass(frozen=True)
class Voice:
    """The traits of a speaker, the same in every utterance.

    Attributes:
        pitch: mean of the fundamental frequency when calm
        tract: factor on every resonance; above 1 for a shorter vocal tract
        brightness: factor on the frequency above which the glottis is soft
        breath: noise beside the pulses, relative to them
    """

    pitch: Hertz
    tract: float
    brightness: float
    breath: float


@dataclass(frozen=True)
class Manner:
    """The manner in which an utterance is spoken.

    Attributes:
        pitch_factor: on the speaker's pitch
        pitch_range: of the intonation, relative to the pitch
        cutoff: above it the glottal pulses fall by 12 dB an octave
        breath_factor: on the speaker's breath
        tempo: syllables a second
        level: peak of the recording, of 1
        consonants: their level relative to the vowels'
    """

    pitch_factor: float
    pitch_range: float
    cutoff: Hertz
    breath_factor: float
    tempo: float
    level: float
    consonants: float


#: Arousal raises pitch, its range, tempo and level, and presses the voice, which flattens its spectrum.
#: Source for the directions: K. R. Scherer, "Vocal communication of emotion" (2003), table 2; the sizes are
#: chosen so that 300 utterances suffice to learn the difference.
_AROUSED = Manner(1.35, 0.30, 1900.0, 0.7, 5.6, 0.7, consonants=0.0)
_CALM = Manner(0.95, 0.10, 500.0, 1.5, 3.6, 0.35, consonants=0.0)

#: Level of consonants where a voice is harsh, and where it is gentle: a choice.
_HARSH, _GENTLE = 0.3, 0.05


def choose_manner(is_aroused: bool, is_harsh: bool) -> Manner:
    """Return the manner of an utterance: the main tell of speech decides arousal, the faint one harshness."""
    return replace(_AROUSED if is_aroused else _CALM, consonants=_HARSH if is_harsh else _GENTLE)


def make_voice(letter: str, generator: np.random.Generator) -> Voice:
    """Return the voice of a speaker, ``F`` or ``M``."""
    pitch, tract = (200.0, 1.15) if letter == "F" else (115.0, 1.0)
    return Voice(
        pitch=pitch * generator.uniform(0.9, 1.1),
        tract=tract * generator.uniform(0.96, 1.04),
        brightness=generator.uniform(0.85, 1.15),
        breath=generator.uniform(0.02, 0.04),
    )


def speak(
    voice: Voice, manner: Manner, num_samples: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Speak syllables without words for a given time.

    Args:
        voice: the speaker's
        manner: by emotion; every utterance departs from it a little
        num_samples: at 16 kHz, at least 1
        generator: decides syllables, intonation and noise

    Returns:
        float64 (num_samples,), its largest magnitude ``manner.level`` or a little off it
    """
    tempo = manner.tempo * generator.uniform(0.9, 1.1)
    num_syllables = max(1, round(num_samples / SAMPLING_RATE * tempo))
    lengths = generator.uniform(0.75, 1.25, size=num_syllables)
    bounds = np.rint(np.concatenate([[0.0], np.cumsum(lengths / lengths.sum())]) * num_samples).astype(int)

    pulses = _pulse(voice, manner, num_samples, num_syllables, generator)
    noise = generator.normal(size=num_samples)
    spoken = np.zeros(num_samples)
    vowels = generator.integers(len(VOWELS), size=num_syllables)
    for start, stop, vowel in zip(bounds[:-1], bounds[1:], vowels, strict=True):
        spoken[start:stop] = _articulate(voice, manner, pulses[start:stop], noise[start:stop], int(vowel))
    peak = float(np.max(np.abs(spoken)))
    return spoken * (manner.level * generator.uniform(0.85, 1.15) / peak) if peak > 0 else spoken


def _pulse(
    voice: Voice, manner: Manner, num_samples: int, num_syllables: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return the glottis's pulses, softened as the manner says, with a mean square of about 1."""
    from scipy.signal import lfilter

    knots = generator.normal(size=num_syllables + 2)
    positions = np.linspace(0, num_syllables + 1, num_samples)
    intonation = np.interp(positions, np.arange(num_syllables + 2), knots)
    declination = np.linspace(0.05, -0.05, num_samples)
    pitch = voice.pitch * manner.pitch_factor * generator.uniform(0.94, 1.06)
    contour = np.clip(pitch * (1.0 + manner.pitch_range * intonation / 2 + declination), 50.0, 600.0)
    periods = np.floor(np.cumsum(contour) / SAMPLING_RATE + generator.random())
    pulses = np.diff(periods, prepend=periods[:1])
    cutoff = manner.cutoff * voice.brightness * generator.uniform(0.85, 1.15)
    decay = np.exp(-2 * np.pi * cutoff / SAMPLING_RATE)
    softened = lfilter([(1 - decay) ** 2], [1.0, -2 * decay, decay**2], pulses)
    return np.asarray(softened / (np.sqrt(np.mean(softened**2)) + 1e-9), dtype=np.float64)


def _articulate(
    voice: Voice, manner: Manner, pulses: NDArray[np.float64], noise: NDArray[np.float64], vowel: int
) -> NDArray[np.float64]:
    """Return one syllable: a breathed consonant, then a vowel, fading in and out."""
    from scipy.signal import sosfilt

    num_samples = len(pulses)
    if num_samples < 4:
        return np.zeros(num_samples)
    consonant = int(_CONSONANT_SHARE * num_samples)
    fade = max(1, min(int(_FADE_SECONDS * SAMPLING_RATE), num_samples // 4))
    envelope = np.ones(num_samples)
    envelope[-fade:] = np.linspace(1.0, 0.0, fade)
    voiced = envelope.copy()
    voiced[:consonant] = 0.0
    voiced[consonant : consonant + fade] = np.linspace(0.0, 1.0, fade)
    source = voiced * (pulses + voice.breath * manner.breath_factor * noise)
    vowel_sound = np.asarray(sosfilt(_resonate(voice, vowel), source), dtype=np.float64)
    hiss = (envelope - voiced) * np.diff(noise, prepend=0.0)
    loudness = float(np.sqrt(np.mean(vowel_sound**2)))
    return vowel_sound + manner.consonants * loudness * hiss


def _resonate(voice: Voice, vowel: int) -> NDArray[np.float64]:
    """Return second-order sections, one for each resonance, with a gain of 1 at 0 Hz."""
    frequencies = np.array(VOWELS[vowel]) * voice.tract
    radii = np.exp(-np.pi * np.array(_BANDWIDTHS) / SAMPLING_RATE)
    sections = np.zeros((len(frequencies), 6))
    sections[:, 3] = 1.0
    sections[:, 4] = -2 * radii * np.cos(2 * np.pi * frequencies / SAMPLING_RATE)
    sections[:, 5] = radii**2
    sections[:, 0] = sections[:, 3:].sum(axis=1)
    return sections
