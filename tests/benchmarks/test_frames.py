"""`benchmarks.frames`: what it says of two trackers, and that their frames are ours."""

import numpy as np
import pytest

from benchmarks.frames import (
    describe_difference,
    spectral_of_librosa,
    track_ours,
    track_praat,
    track_pyin,
    track_yin,
)
from harness.corpus.audio import SAMPLING_RATE
from tests.features.test_frames import noise, voice


def test_differences_are_those_of_frames_that_both_call_voiced(capsys):
    describe_difference("one and other", np.array([100.0, 200.0, 150.0, 0.0]), np.array([100.0, 100.0, 0.0, 0.0]))
    assert capsys.readouterr().out == (
        "  one and other: 600.0 cents, 50.00% gross, 50.00% an octave; 75.0% alike (voiced: 75.0% and 50.0%)\n"
    )


@pytest.mark.parametrize(
    ("track", "package"),
    [(track_ours, "numpy"), (track_yin, "librosa"), (track_pyin, "librosa"), (track_praat, "parselmouth")],
    ids=["ours", "yin", "pyin", "Praat"],
)
def test_each_tracker_has_our_frames_and_finds_where_a_rising_pitch_is(track, package):
    pytest.importorskip(package, reason="not installed; it is an extra of the benchmarks")
    hertz = np.linspace(150.0, 250.0, SAMPLING_RATE)
    samples = 0.3 * np.sin(2 * np.pi * np.cumsum(hertz) / SAMPLING_RATE) + noise(1.0, 0.001)
    pitch = track(samples)
    middles = 160 * np.arange(98) + 200
    assert pitch.shape == middles.shape
    # The pitch rises by 1 Hz a frame: a frame too early or too late would be seen in the median.
    assert abs(np.median(pitch[5:90] - hertz[middles[5:90]])) < 0.6


def test_librosa_has_our_numbers_in_our_order():
    pytest.importorskip("librosa", reason="not installed; it is an extra of the benchmarks")
    assert spectral_of_librosa(voice(150.0, 0.5)).shape == (47, 41)
