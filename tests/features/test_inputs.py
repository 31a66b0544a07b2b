from dataclasses import replace

import numpy as np
import pytest

from harness.features.fitted import EncodedWords, fit_features
from harness.features.speech import SHORT_TERM_COLUMNS
from harness.features.text import Tokenizer
from harness.splits.protocol import PROTOCOLS, Chroma, HeadAndHand, Lengths, ListenerMocap, MocapGaps, Scaling
from tests.features.invented import make_features, make_mocap, make_speech

PAPER = PROTOCOLS["paper"]
MARKED, LISTENING = "Ses01F_impro01_F000", "Ses01F_impro01_M000"


def fit(features, modality, **choices):
    return fit_features(features, [modality], replace(PAPER, **choices), None, None, seed=0)


def test_speech_is_cut_to_the_longest_of_the_batch_and_scaled():
    features = make_features(["a", "b", "c"], make_speech([3, 1, 0], [1.0, 8.0, 0.0]))
    batch = fit(features, "speech").prepare(features).batch([1, 0])
    assert set(batch) == {"speech", "speech_lengths"}
    assert batch["speech"].dtype == np.float32
    assert batch["speech_lengths"].dtype == np.int32
    assert batch["speech_lengths"].tolist() == [1, 3]
    assert batch["speech"].shape == (2, 3, 34)
    deviation = np.sqrt(29 / 4)
    assert np.allclose(batch["speech"][0, :, 0], [4.5 / deviation, 0, 0])
    assert np.allclose(batch["speech"][1, :, 33], np.array([-2.5, -1.5, -0.5]) / deviation)


def test_a_batch_of_missing_recordings_has_one_empty_frame():
    features = make_features(["a", "b"], make_speech([2, 0], [1.0, 0.0]))
    batch = fit(features, "speech").prepare(features).batch([1])
    assert batch["speech"].tolist() == np.zeros((1, 1, 34)).tolist()
    assert batch["speech_lengths"].tolist() == [0]


def test_padded_speech_has_every_frame_and_full_lengths():
    features = make_features(["a", "b"], make_speech([2, 1], [1.0, 5.0]))
    batch = fit(features, "speech", lengths=Lengths.PADDED, scaling=Scaling.NONE).prepare(features).batch([0, 1])
    assert batch["speech"][:, :, 3].tolist() == [[1, 2, 0, 0], [5, 0, 0, 0]]
    assert batch["speech_lengths"].tolist() == [4, 4]


def test_chroma_can_be_zero():
    features = make_features(["a", "b"], make_speech([2, 1], [1.0, 5.0]))
    frames = fit(features, "speech", chroma=Chroma.ZEROS).prepare(features).batch([0, 1])["speech"]
    is_zero = (frames[:, 0] == 0).all(axis=0)
    assert [name for name, zero in zip(SHORT_TERM_COLUMNS, is_zero, strict=True) if zero] == [
        *(f"chroma_{number}" for number in range(1, 13)),
        "chroma_std",
    ]


def test_words_are_padded_on_the_right():
    features = make_features(["so what", "what now so what", None])
    fitted = fit(features, "text")
    assert fitted.tokenizer.vocabulary == ("what", "so", "now")
    batch = fitted.prepare(features).batch([2, 0, 1])
    assert set(batch) == {"text"}
    assert batch["text"].dtype == np.int32
    assert batch["text"].tolist() == [[0, 0, 0, 0], [3, 2, 0, 0], [2, 4, 3, 2]]


def test_a_batch_is_as_wide_as_its_own_longest_transcript():
    features = make_features(["so what", "what now so what", None])
    fitted = fit(features, "text")
    assert fitted.prepare(features).batch([0])["text"].shape == (1, 2)
    assert fitted.prepare(features).batch([2])["text"].tolist() == [[0]]


@pytest.mark.parametrize(
    ("max_words", "expected"),
    [(5, [[0, 0, 0, 3, 2], [0, 2, 4, 3, 2], [0] * 5]), (3, [[0, 3, 2], [4, 3, 2], [0] * 3])],
)
def test_padded_words_are_padded_and_cut_on_the_left(max_words, expected):
    features = make_features(["so what", "what now so what", None])
    fitted = fit(features, "text", lengths=Lengths.PADDED, max_words=max_words)
    batch = fitted.prepare(features).batch([0, 1, 2])
    assert batch["text"].tolist() == expected


def test_more_words_than_allowed_are_cut_where_keras_cuts_them():
    words = EncodedWords.encode(Tokenizer(("a", "b", "c")), ("a b c", "c"), max_words=2)
    assert words.lengths.tolist() == [2, 1]
    assert words.pad([0, 1], width=2, on_the_left=False).tolist() == [[3, 4], [4, 0]]


def test_of_no_words_none_is_kept():
    words = EncodedWords.encode(Tokenizer(("a", "b", "c")), ("a b c", None), max_words=0)
    assert words.lengths.tolist() == [0, 0]
    assert words.ids.tolist() == [0]


def test_lost_markers_become_the_training_mean():
    arrays = make_mocap([1.0, 3.0])
    arrays["mocap"][0, 0, 0] = np.nan
    features = make_features(["a", "b"], arrays)
    windows = fit(features, "mocap").prepare(features).batch([0, 1])["mocap"]
    assert windows.dtype == np.float32
    assert windows.shape == (2, 200, 189)
    assert windows[0, 0, 0] == 0
    assert np.allclose(windows[0, 1:, 1:], -1)
    assert np.allclose(windows[1, :, 1:], 1)


@pytest.mark.parametrize(
    ("choices", "lost", "seen"),
    [
        ({"mocap_gaps": MocapGaps.ZEROS}, -2, 1),
        ({"mocap_gaps": MocapGaps.ZEROS, "scaling": Scaling.NONE}, 0, 3),
        ({"scaling": Scaling.NONE}, 2, 3),
    ],
    ids=["zeros before scaling", "zeros unscaled", "mean unscaled"],
)
def test_gaps_and_scaling_are_choices(choices, lost, seen):
    train = make_features(["a", "b"], make_mocap([1.0, 3.0]))
    arrays = make_mocap([3.0])
    arrays["mocap"][0, 0, 0] = np.nan
    features = make_features(["c"], arrays)
    windows = fit(train, "mocap", **choices).prepare(features).batch([0])["mocap"]
    assert windows[0, 0, 0] == pytest.approx(lost)
    assert windows[0, 1, 0] == pytest.approx(seen)


def test_head_and_hand_can_be_zero():
    features = make_features(["a", "b"], make_mocap([1.0, 3.0]))
    windows = fit(features, "mocap", head_and_hand=HeadAndHand.ZEROS).prepare(features).batch([1])["mocap"]
    assert (windows[..., 165:] == 0).all()
    assert (windows[..., :165] != 0).all()


def test_the_listeners_motion_can_be_masked():
    features = make_features(["a", "b"], make_mocap([1.0, 3.0]), ids=[MARKED, LISTENING])
    used = fit(features, "mocap").prepare(features).batch([0, 1])["mocap"]
    masked = fit(features, "mocap", listener_mocap=ListenerMocap.MASKED).prepare(features).batch([0, 1])["mocap"]
    assert (used[1] != 0).all()
    assert (masked[1] == 0).all()
    assert np.array_equal(masked[0], used[0])


def test_the_published_codes_choices_go_together():
    arrays = {**make_speech([2], [1.0]), **make_mocap([3.0])}
    arrays["mocap"][0, 7, 7] = np.nan
    features = make_features(["so what"], arrays)
    fitted = fit_features(
        features, ["speech", "text", "mocap"], PROTOCOLS["published-code"], None, None, seed=0
    )
    batch = fitted.prepare(features).batch([0])
    assert batch["speech"][0, :, 0].tolist() == [1, 2, 0, 0]
    assert (batch["speech"][0, :, 21:] == 0).all()
    assert batch["text"].tolist() == [[0] * 48 + [2, 3]]
    assert batch["mocap"][0, 7, 7] == 0
    assert batch["mocap"][0, 7, 8] == 3
    assert (batch["mocap"][0, :, 165:] == 0).all()


def test_a_batch_leaves_the_features_as_they_are():
    arrays = {**make_speech([2], [1.0]), **make_mocap([3.0])}
    features = make_features(["so what"], arrays)
    fitted = fit_features(features, ["speech", "mocap"], PAPER, None, None, seed=0)
    fitted.prepare(features).batch([0])
    assert features.speech([0])[0, :, 0].tolist() == [1, 2, 0, 0]
    assert (features.mocap([0]) == 3).all()


def test_inputs_tell_the_lengths_of_every_utterance():
    features = make_features(["so what", None], make_speech([2, 1], [1.0, 5.0]))
    inputs = fit_features(features, ["speech", "text"], PAPER, None, None, seed=0).prepare(features)
    assert inputs.lengths["speech"].tolist() == [2, 1]
    assert inputs.lengths["text"].tolist() == [2, 0]


def test_everything_has_the_full_length_where_padding_counts():
    features = make_features(["so what", None], make_speech([2, 1], [1.0, 5.0]))
    padded = replace(PAPER, lengths=Lengths.PADDED, max_words=7)
    inputs = fit_features(features, ["speech", "text"], padded, None, None, seed=0).prepare(features)
    assert inputs.lengths["speech"].tolist() == [4, 4]
    assert inputs.lengths["text"].tolist() == [7, 7]
