"""The recogniser's loss against the enumeration of all paths, and what it reads off the best one."""

from itertools import groupby, product

import numpy as np
import pytest
import tensorflow as tf

from harness.features.text import LETTERS
from harness.models.recogniser import BLANK, ctc_loss, encode_letters, fits, read_best_path


def random_scores(*shape):
    return np.random.default_rng(2).normal(scale=2.0, size=(*shape, BLANK + 1)).astype(np.float32)


def scores_of(path):
    return np.eye(BLANK + 1, dtype=np.float32)[[BLANK if letter == "-" else LETTERS.index(letter) for letter in path]]


@pytest.mark.parametrize("text", ["a", "ab", "aa"])
def test_the_loss_is_that_of_the_sum_over_all_paths_of_the_real_steps(text):
    scores = random_scores(2, 6)
    scores[:, :, 2:BLANK] = -50.0  # two letters are enough to enumerate
    posteriors = np.exp(scores[0, :4] - np.log(np.exp(scores[0, :4]).sum(axis=-1, keepdims=True)))
    likelihood = 0.0
    for path in product((0, 1, BLANK), repeat=4):
        if "".join(LETTERS[label] for label, _ in groupby(path) if label != BLANK) == text:
            likelihood += np.prod(posteriors[np.arange(4), path])
    found = ctc_loss(encode_letters([text, "b"]), tf.constant(scores), tf.constant([4, 6]))
    np.testing.assert_allclose(found[0], -np.log(likelihood), rtol=1e-4)


def test_the_best_path_is_read_without_repetitions_blanks_and_padding():
    scores = np.stack([scores_of("hh-e-lll-lo"), scores_of("-- '---abcd")])
    assert read_best_path(scores, np.array([11, 7])) == ["hello", " '"]


def test_a_text_fits_where_it_has_a_path():
    assert [fits(text, 3) for text in ("abc", "aab", "aa", "abcd")] == [True, False, True, False]
