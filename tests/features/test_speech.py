import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from pyAudioAnalysis import ShortTermFeatures

from harness.corpus.audio import SAMPLING_RATE, read_recording
from harness.errors import FeatureError, HarnessError, ShapeError
from harness.features.frames import FRAME_COLUMNS, extract_frames, mel_filters
from harness.features.speech import (
    NUM_MEL_BANDS,
    SHORT_TERM_COLUMNS,
    SPEECH_VARIANTS,
    SpeechKind,
    SpeechSettings,
    column_names,
    extract_speech,
    prepared_key,
    short_term_library,
    speech_settings,
)
from harness.splits.protocol import PROTOCOLS, SpeechSource

SHORT_TERM = SpeechSettings()
DELTAS = SPEECH_VARIANTS["deltas"]
MEL = SPEECH_VARIANTS["mel"]


def noise(seconds, seed=0):
    return np.random.default_rng(seed).normal(scale=0.1, size=round(seconds * SAMPLING_RATE))


def tone(hertz, seconds=1.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE)


@pytest.fixture
def library_frames(monkeypatch):
    """What the library as it is installed gives, its table rebuilt for every frame."""

    def extract(samples, settings):
        memoised = short_term_library().chroma_features_init
        with monkeypatch.context() as context:
            context.setattr(ShortTermFeatures, "chroma_features_init", memoised.__wrapped__)
            features, names = ShortTermFeatures.feature_extraction(
                samples * 2.0**15, SAMPLING_RATE, settings.window_samples, settings.hop_samples, deltas=False
            )
        return features.T, tuple(names)

    return extract


SOUNDS = {
    "noise": noise(3.0),
    "tone": tone(440.0),
    "silence": np.zeros(SAMPLING_RATE),
    "constant": np.full(SAMPLING_RATE, 0.25),
    "one window": noise(0.2),
}


@pytest.mark.parametrize("name", SOUNDS)
@pytest.mark.parametrize("variant", ["short-term", "short-windows"])
def test_the_34_features_are_the_librarys_to_the_bit(name, variant, library_frames):
    settings = SPEECH_VARIANTS[variant]
    expected, names = library_frames(SOUNDS[name], settings)
    frames = extract_speech(SOUNDS[name], settings)
    assert names == column_names(settings) == SHORT_TERM_COLUMNS
    assert np.array_equal(frames, expected)


def test_the_34_features_of_real_recordings_are_the_librarys_to_the_bit(emodb, library_frames):
    for path in emodb.utterance_wav_paths("Ses01F_impro01")[:5]:
        recording, _ = read_recording(path)
        expected, _ = library_frames(recording.samples, SHORT_TERM)
        memoised = extract_speech(recording.samples, SHORT_TERM)
        assert memoised.shape == (int((recording.duration - 0.1 + 1e-9) / 0.1), 34)
        assert np.array_equal(memoised, expected)


def test_the_chroma_table_is_computed_once_for_all_frames():
    table = short_term_library().chroma_features_init
    table.cache_clear()
    extract_speech(noise(2.0), SHORT_TERM)
    extract_speech(noise(1.0), SHORT_TERM)
    assert table.cache_info().misses == 1
    assert table.cache_info().hits == 19 + 9 - 1


@pytest.mark.parametrize("variant", SPEECH_VARIANTS)
@pytest.mark.parametrize("name", SOUNDS)
def test_every_variant_is_finite_and_has_its_columns(name, variant):
    settings = SPEECH_VARIANTS[variant]
    frames = extract_speech(SOUNDS[name], settings)
    assert frames.dtype == np.float64
    assert frames.shape[1] == len(column_names(settings))
    assert np.isfinite(frames).all()


@pytest.mark.parametrize(
    ("seconds", "variant", "num_frames"),
    [
        (0.2, "short-term", 1),
        (0.29, "short-term", 1),
        (0.3, "short-term", 2),
        (10.1, "short-term", 100),
        (12.0, "short-term", 100),
        (12.0, "deltas", 100),
        (12.0, "mel", 100),
        (8.04, "short-windows", 200),
        (12.0, "short-windows", 200),
        (0.08, "short-windows", 1),
        (0.025, "frames", 1),
        (15.015, "frames", 1500),
        (16.0, "frames", 1500),
    ],
)
def test_the_number_of_frames_follows_from_window_and_hop(seconds, variant, num_frames):
    assert len(extract_speech(noise(seconds), SPEECH_VARIANTS[variant])) == num_frames


@pytest.mark.parametrize("variant", SPEECH_VARIANTS)
def test_trimming_drops_the_first_and_last_frame_before_the_cut(variant):
    settings = SPEECH_VARIANTS[variant]
    trimmed = replace(settings, trims_edge_frames=True)
    short, long = noise(1.0), noise(16.0)
    wide = replace(settings, max_frames=2000)
    # Not to the bit: on some processors a row of a product of matrices depends on how many rows there are.
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    close(extract_speech(short, trimmed), extract_speech(short, settings)[1:-1])
    close(extract_speech(long, trimmed), extract_speech(long, wide)[1:-1][: settings.max_frames])


def test_trimming_leaves_no_frame_of_two():
    assert extract_speech(noise(0.3), replace(SHORT_TERM, trims_edge_frames=True)).shape == (0, 34)


def test_deltas_are_differences_of_the_13_mfcc_and_of_those_differences():
    samples = noise(1.0)
    frames = extract_speech(samples, DELTAS)
    names = column_names(DELTAS)
    mfcc_2 = frames[:, names.index("mfcc_2")]
    delta = frames[:, names.index("delta_mfcc_2")]
    double = frames[:, names.index("delta_delta_mfcc_2")]
    assert np.array_equal(frames[:, :34], extract_speech(samples, SHORT_TERM))
    assert delta[0] == double[0] == 0
    assert delta[3] == mfcc_2[3] - mfcc_2[2]
    assert double[3] == delta[3] - delta[2]
    assert names[34:36] == ("delta_mfcc_1", "delta_mfcc_2")
    assert names[47] == "delta_delta_mfcc_1"
    assert len(set(names)) == 60


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 3000.0, 6000.0])
def test_a_tone_is_loudest_in_the_mel_band_around_it(hertz):
    frames = extract_speech(tone(hertz), MEL)
    top = 2595 * np.log10(1 + 8000 / 700)
    position = 2595 * np.log10(1 + hertz / 700) / top * (NUM_MEL_BANDS + 1) - 1
    assert (np.abs(frames.argmax(axis=1) - position) < 1).all()


@pytest.mark.parametrize("window_samples", [200, 1280, 3200])
def test_mel_filters_sum_to_one_and_none_is_empty(window_samples):
    filters = mel_filters(window_samples, NUM_MEL_BANDS, SAMPLING_RATE / 2)
    assert filters.shape == (window_samples // 2 + 1, NUM_MEL_BANDS)
    assert np.allclose(filters.sum(axis=0), 1.0)
    assert (filters >= 0).all()


def test_mel_of_silence_is_the_floor():
    assert np.allclose(extract_speech(np.zeros(SAMPLING_RATE), MEL), np.log(np.finfo(float).eps))


@pytest.mark.parametrize("variant", ["short-term", "deltas", "mel", "short-windows"])
def test_loudness_between_utterances_is_lost(variant):
    settings = SPEECH_VARIANTS[variant]
    loud, quiet = (extract_speech(noise(1.0) * level, settings) for level in (1.0, 0.25))
    assert np.allclose(loud, quiet, atol=1e-4)


@pytest.mark.parametrize("seconds", [0.2, 1.05, 12.0])
def test_loud_frames_are_the_34_and_the_energy_of_the_recording_as_it_is(seconds):
    samples = noise(seconds)
    loud, quiet = (extract_speech(samples * level, SPEECH_VARIANTS["loud"]) for level in (1.0, 0.25))
    assert np.array_equal(loud[:, :34], extract_speech(samples, SHORT_TERM))
    assert np.allclose(loud[:, 34] - quiet[:, 34], 2 * np.log(4.0), atol=1e-4)
    third = min(2, len(loud) - 1)
    window = samples[1600 * third : 1600 * third + 3200]
    assert loud[third, 34] == pytest.approx(np.log((window**2).mean()))


@pytest.mark.parametrize("seconds", [0.2, 1.05, 12.0])
def test_detailed_frames_are_those_of_loud_and_the_moments_of_the_short_frames_within(seconds):
    samples = noise(seconds) * np.linspace(0.1, 1.0, round(seconds * SAMPLING_RATE))
    found, loud = (extract_speech(samples, SPEECH_VARIANTS[name]) for name in ("detailed", "loud"))
    assert np.array_equal(found[:, :35], loud)
    # What is behind the last window that is kept changes nothing but the signal's mean.
    num_windows = min(102, (len(samples) - 3200) // 1600 + 1)
    short = extract_frames(samples, 400, 160, 10 * (num_windows - 1) + 18)
    for number, row in enumerate(found):
        # Each begins and ends within the window of 0.2 s that begins every 0.1 s.
        within = [frame for frame in range(len(short)) if 1600 * number <= 160 * frame <= 1600 * number + 3200 - 400]
        assert len(within) == 18
        np.testing.assert_allclose(row[35:], [*short[within].mean(axis=0), *short[within].std(axis=0)], atol=1e-9)
    names = column_names(SPEECH_VARIANTS["detailed"])
    assert names[35 + FRAME_COLUMNS.index("pitch")] == "pitch_mean" and names[-1] == "voiced_deviation"


def test_a_recording_shorter_than_a_window_is_rejected():
    with pytest.raises(ShapeError) as caught:
        extract_speech(np.zeros(3199), SHORT_TERM)
    assert str(caught.value) == (
        "the recording has 3199 samples (0.200 s); expected at least 3200, one window of 0.2 s"
    )


def test_more_than_one_channel_is_rejected():
    with pytest.raises(ShapeError) as caught:
        extract_speech(np.zeros((16000, 2)), SHORT_TERM)
    assert str(caught.value) == "samples have shape (16000, 2); expected one channel, (num_samples,)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"window": 0.01},
            "speech settings: a window of 0.01 s has 160 samples at 16000 Hz; expected at least 200, "
            "which is 0.0125 s",
        ),
        ({"hop": 0.0}, "speech settings: found a hop of 0.0 s; expected more than 0 s"),
        ({"max_frames": 0}, "speech settings: found max_frames 0; expected from 1 to 72000"),
    ],
    ids=["window", "hop", "max_frames"],
)
def test_settings_out_of_range_are_rejected(change, message):
    with pytest.raises(FeatureError) as caught:
        SpeechSettings(**change)
    assert str(caught.value) == message


@pytest.mark.parametrize("variant", SPEECH_VARIANTS)
def test_settings_survive_json(variant):
    settings = SPEECH_VARIANTS[variant]
    assert SpeechSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


@pytest.mark.parametrize(
    "change", [{"kind": "chroma"}, {"window": None}, {"extra": 1}], ids=["kind", "window", "extra"]
)
def test_settings_that_cannot_be_read_are_rejected(change):
    with pytest.raises(HarnessError, match=r"^speech settings: found .*; expected exactly \['hop', 'kind'"):
        SpeechSettings.from_json({**SHORT_TERM.to_json(), **change})


def test_each_setting_changes_the_key_of_a_folder():
    changes = [
        {"kind": SpeechKind.MEL},
        {"window": 0.08},
        {"hop": 0.04},
        {"max_frames": 200},
        {"source": SpeechSource.DIALOGUE_LEFT},
        {"trims_edge_frames": True},
    ]
    keys = {prepared_key(replace(SHORT_TERM, **change)) for change in changes}
    assert len(keys | {prepared_key(SHORT_TERM)}) == 7
    assert all(len(key) == 8 for key in keys)


def test_a_protocol_chooses_recording_and_trimming():
    published = speech_settings(PROTOCOLS["published-code"])
    assert published == SpeechSettings(source=SpeechSource.DIALOGUE_LEFT, trims_edge_frames=True)
    assert speech_settings(PROTOCOLS["paper"], "mel") == MEL


def test_an_unknown_variant_is_rejected():
    with pytest.raises(HarnessError) as caught:
        speech_settings(PROTOCOLS["paper"], "melody")
    assert str(caught.value) == (
        "unknown speech variant 'melody'; expected one of ['deltas', 'detailed', 'frames', 'loud', 'mel', "
        "'short-term', 'short-windows']"
    )
