"""Short frames: mel bands and MFCC against sums written out, pitch against sounds whose pitch is known."""

import math

import numpy as np
import pytest

from harness.corpus.audio import SAMPLING_RATE, read_recording
from harness.errors import UnknownNameError
from harness.features.frames import (
    FRAME_COLUMNS,
    MEL,
    MFCC,
    PITCH_WINDOW_SAMPLES,
    frame_columns,
    join_segments,
)
from harness.features.speech import SPEECH_VARIANTS, extract_speech

FRAMES = SPEECH_VARIANTS["frames"]
WINDOW, HOP = 400, 160
NUM_FFT = 512


def extract(samples):
    return extract_speech(samples, FRAMES)


def column(frames, name):
    return frames[:, frame_columns(name)[0]]


def noise(seconds, level=0.05, seed=0):
    return np.random.default_rng(seed).normal(scale=level, size=round(seconds * SAMPLING_RATE))


def voice(hertz, seconds=1.0, noise_level=0.01, seed=0):
    """Ten harmonics of ``hertz``, each weaker than the one below it, with noise."""
    time = np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    harmonics = sum(np.sin(2 * np.pi * number * hertz * time + number) / number for number in range(1, 11))
    return 0.1 * harmonics + noise(seconds, noise_level, seed)


def mel_of(hertz):
    return 2595.0 * math.log10(1.0 + hertz / 700.0)


def slow_log_mel(window):
    """One window's 26 bands, by the sums of their definition."""
    hamming = [0.54 - 0.46 * math.cos(2 * math.pi * place / (WINDOW - 1)) for place in range(WINDOW)]
    weighed = np.array(hamming) * window
    angles = 2 * np.pi * np.outer(np.arange(NUM_FFT // 2 + 1), np.arange(WINDOW)) / NUM_FFT
    power = (np.cos(angles) @ weighed) ** 2 + (np.sin(angles) @ weighed) ** 2
    edges = [mel_of(6500.0) * number / 27 for number in range(28)]
    edges = [700.0 * (10 ** (mel / 2595.0) - 1.0) for mel in edges]
    bands = []
    for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
        weights = []
        for number in range(NUM_FFT // 2 + 1):
            hertz = number * SAMPLING_RATE / NUM_FFT
            rising, falling = (hertz - low) / (centre - low), (high - hertz) / (high - centre)
            weights.append(max(0.0, min(rising, falling)))
        rounding = 2.0**-30 / 12 * sum(weight**2 for weight in hamming)
        bands.append(math.log(np.dot(weights, power) / sum(weights) + rounding))
    return bands


def slow_mfcc(bands):
    return [
        math.sqrt(2 / 26)
        * sum(band * math.cos(math.pi * number * (place + 0.5) / 26) for place, band in enumerate(bands))
        for number in range(1, 14)
    ]


@pytest.mark.parametrize("samples", [noise(0.2), voice(150.0, 0.2) + 0.3], ids=["noise", "voice with an offset"])
def test_mel_bands_and_mfcc_are_the_sums_of_their_definition(samples):
    frames = extract(samples)
    centred = samples - samples.mean()
    for number in (0, 7, len(frames) - 1):
        bands = slow_log_mel(centred[number * HOP : number * HOP + WINDOW])
        assert np.allclose(frames[number, frame_columns(*MEL)], bands, atol=2e-4)
        assert np.allclose(frames[number, frame_columns(*MFCC)], slow_mfcc(bands), atol=1e-3)


def test_mel_bands_are_those_of_librosa():
    librosa = pytest.importorskip("librosa", reason="librosa is not installed; it is an extra of the benchmarks")
    samples = noise(0.5)
    samples -= samples.mean()
    spectrum = librosa.stft(
        samples, n_fft=NUM_FFT, hop_length=HOP, win_length=WINDOW, window=np.hamming(WINDOW), center=False
    )
    # Its window is in the middle of the FFT, which is longer, so its frames begin 56 samples earlier than ours.
    filters = librosa.filters.mel(sr=SAMPLING_RATE, n_fft=NUM_FFT, n_mels=26, fmax=6500.0, htk=True, norm=None)
    expected = np.log((filters / filters.sum(axis=1, keepdims=True)) @ np.abs(spectrum) ** 2).T
    frames = extract(samples[(NUM_FFT - WINDOW) // 2 :])[: len(expected)]
    assert np.allclose(frames[:, frame_columns(*MEL)], expected, atol=0.02)


def test_energy_is_the_logarithm_of_the_mean_square_and_keeps_the_loudness():
    samples = noise(0.5)
    loud, quiet = extract(samples), extract(samples / 4)
    squares = [np.mean(samples[place : place + WINDOW] ** 2) for place in range(0, 48 * HOP, HOP)]
    assert np.allclose(column(loud, "log_energy"), np.log(squares), atol=1e-5)
    difference = loud - quiet
    louder = frame_columns(*MEL, "log_energy")
    assert np.allclose(difference[:, louder], math.log(16), atol=1e-3)
    assert np.allclose(np.delete(difference, louder, axis=1), 0.0, atol=1e-2)


def test_zero_crossings_are_counted_a_sample():
    time = np.arange(SAMPLING_RATE) / SAMPLING_RATE
    assert np.allclose(column(extract(np.cos(2 * np.pi * 1000.5 * time)), "zero_crossing_rate"), 1 / 8, atol=1 / 399)
    assert (column(extract(np.resize([0.1, -0.1], 1600)), "zero_crossing_rate") == 1.0).all()


@pytest.mark.parametrize("noise_level", [0.001, 0.02], ids=["clean", "noisy"])
@pytest.mark.parametrize("hertz", [80.0, 101.3, 133.7, 190.0, 251.1, 320.0, 400.0])
def test_the_pitch_of_a_voice_is_found_within_one_per_cent_in_every_frame(hertz, noise_level):
    frames = extract(voice(hertz, noise_level=noise_level))
    assert (column(frames, "voiced") == 1.0).all()
    errors = np.abs(column(frames, "pitch") / hertz - 1.0)
    num_octaves_missed = int((errors > 0.4).sum())
    assert (num_octaves_missed, bool((errors < 0.01).all())) == (0, True)
    assert np.allclose(column(frames, "pitch_period"), 1.0 / column(frames, "pitch"))


@pytest.mark.parametrize("level", [0.1, 0.01, 0.001])
def test_noise_is_not_voiced_and_has_no_pitch_but_a_period(level):
    frames = extract(noise(3.0, level))
    assert not column(frames, "voiced").any()
    assert not column(frames, "pitch").any()
    assert (column(frames, "voicing") < 0.5).all()
    periods = column(frames, "pitch_period")
    assert (periods >= 1 / 500).all() and (periods <= 1 / 60).all()


@pytest.mark.parametrize("ratio", [0.0, 10.0, 20.0])
def test_harmonics_to_noise_is_the_ratio_of_what_was_mixed(ratio):
    """Of a periodic sound and white noise, the autocorrelation at the period is the share of the first."""
    clean = voice(200.0, 2.0, noise_level=0.0)
    level = math.sqrt(np.mean(clean**2) / 10 ** (ratio / 10))
    found = column(extract(clean + noise(2.0, level)), "harmonics_to_noise")
    assert abs(np.median(found) - ratio) < 1.0


def test_voicing_and_the_ratio_say_the_same_and_stay_in_their_range():
    frames = extract(np.concatenate([voice(120.0, 0.5, 0.0), np.zeros(8000), noise(0.5)]))
    voicing, ratio = column(frames, "voicing"), column(frames, "harmonics_to_noise")
    assert voicing.min() >= -1.0 and voicing.max() <= 1.0
    assert ratio.min() == -20.0 and 20.0 < ratio.max() <= 40.0
    inner = (voicing > 0.02) & (voicing < 0.999)
    assert np.allclose(ratio[inner], 10 * np.log10(voicing[inner] / (1 - voicing[inner])))


def test_a_voice_is_voiced_where_it_sounds():
    frames = extract(np.concatenate([noise(0.5, 0.002), voice(150.0, 0.5), noise(0.5, 0.002)]))
    voiced = column(frames, "voiced")
    # Of the 150 frames from number 50 on; a window of pitch reads 12.5 ms more than its frame at each end.
    assert np.flatnonzero(np.diff(voiced)).size == 2
    assert abs(np.flatnonzero(voiced)[0] - 49) <= 2 and abs(np.flatnonzero(voiced)[-1] - 98) <= 2


def test_a_hum_far_quieter_than_the_voice_is_not_voiced():
    samples = np.concatenate([voice(150.0, 0.5), 0.02 * voice(100.0, 0.5)])
    frames = extract(samples)
    assert column(frames, "voiced")[:45].all() and not column(frames, "voiced")[55:].any()
    assert column(extract(samples[8000:]), "voiced").all()
    assert np.array_equal(column(extract(samples + 0.3), "voiced"), column(frames, "voiced"))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("0111110000111110", "0111111111111110"),
        ("0111110000011111", "0111110000011111"),
        ("0000111100000000", "0000000000000000"),
        ("1100001100000000", "1111111100000000"),
        ("1111", "0000"),
        ("11111", "11111"),
        ("000", "000"),
    ],
)
def test_short_gaps_are_closed_then_short_segments_dropped(flags, expected):
    joined = join_segments(np.array([flag == "1" for flag in flags]), min_frames=5)
    assert "".join("01"[int(flag)] for flag in joined) == expected


@pytest.mark.parametrize("num_samples", [WINDOW, WINDOW + 1, PITCH_WINDOW_SAMPLES, PITCH_WINDOW_SAMPLES + 1])
@pytest.mark.parametrize("make", [np.zeros, np.ones, lambda size: np.sign(voice(200.0)[:size])])
def test_short_silent_and_clipped_signals_give_finite_numbers(make, num_samples):
    frames = extract(make(num_samples))
    assert frames.shape == (1 + (num_samples - WINDOW) // HOP, 46)
    assert np.isfinite(frames).all()


def test_silence_is_the_power_of_rounding_and_without_pitch():
    frames = extract(np.zeros(1600))
    assert np.allclose(column(frames, "log_energy"), math.log(2.0**-30 / 12))
    assert not frames[:, frame_columns("zero_crossing_rate", "pitch", "voicing", "voiced")].any()


def test_15_seconds_are_kept_and_what_follows_changes_no_frame():
    speech = np.concatenate([voice(hertz, 0.13, seed=number) for number, hertz in enumerate(range(100, 250))])
    speech[::2] *= np.repeat(np.tile([1.0, 0.0], 100), len(speech) // 400 + 1)[: len(speech[::2])]
    speech -= speech.mean()
    long = np.concatenate([speech, -speech])
    assert len(extract(speech)) == len(extract(long)) == 1500
    assert np.allclose(extract(speech), extract(long), atol=1e-5)


def test_columns_are_found_by_name_and_an_unknown_one_is_refused():
    assert frame_columns("voiced", "mel_1") == [45, 0]
    assert [FRAME_COLUMNS[place] for place in frame_columns(*MFCC)] == list(MFCC)
    with pytest.raises(UnknownNameError, match="^unknown number of a frame 'loudness'; expected one of"):
        frame_columns("loudness")


def test_real_voices_have_a_pitch_of_men_and_women(emodb):
    """EmoDB: dialogues of F speakers are women's, of M men's."""
    medians = {}
    for dialogue_id in ("Ses01F_impro01", "Ses01M_impro01"):
        pitches = []
        for path in emodb.utterance_wav_paths(dialogue_id)[:8]:
            pitch = column(extract(read_recording(path)[0].samples), "pitch")
            assert 0.3 < (pitch > 0).mean() < 0.9
            pitches.append(pitch[pitch > 0])
        medians[dialogue_id[5]] = np.median(np.concatenate(pitches))
    assert 160 < medians["F"] < 330 and 80 < medians["M"] < 200
