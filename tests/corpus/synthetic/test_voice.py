import numpy as np
import pytest

from harness.corpus.synthetic.voice import choose_manner, make_voice, speak


def generator(seed=0):
    return np.random.default_rng(seed)


def spoken_power(letter, is_aroused, is_harsh=False):
    voice = make_voice(letter, generator(1))
    sound = speak(voice, choose_manner(is_aroused, is_harsh), 32000, generator(2))
    return np.abs(np.fft.rfft(sound)) ** 2, np.fft.rfftfreq(32000, 1 / 16000)


@pytest.mark.parametrize("letter", ["F", "M"])
def test_arousal_moves_power_to_higher_frequencies(letter):
    shares = {}
    for is_aroused in (True, False):
        power, frequencies = spoken_power(letter, is_aroused)
        shares[is_aroused] = power[(frequencies > 1500) & (frequencies < 4000)].sum() / power.sum()
    assert shares[True] > 3 * shares[False]


def test_harshness_adds_hiss():
    powers = {}
    for is_harsh in (True, False):
        power, frequencies = spoken_power("F", False, is_harsh)
        powers[is_harsh] = power[frequencies > 5000].sum() / power.sum()
    assert powers[True] > 5 * powers[False]


def test_a_woman_speaks_higher_than_a_man():
    assert make_voice("F", generator()).pitch > make_voice("M", generator()).pitch


@pytest.mark.parametrize("num_samples", [1, 3, 50, 2400, 16000])
def test_any_duration_can_be_spoken(num_samples):
    sound = speak(make_voice("M", generator()), choose_manner(True, True), num_samples, generator())
    assert sound.shape == (num_samples,)
    assert np.isfinite(sound).all()
    assert np.max(np.abs(sound)) < 1


def test_the_same_random_numbers_speak_the_same():
    voice, manner = make_voice("M", generator()), choose_manner(False, True)
    first, again, other = (speak(voice, manner, 4000, generator(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
