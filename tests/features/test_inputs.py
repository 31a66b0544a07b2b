from dataclasses import replace

import numpy as np
import pytest

from harness.corpus.layout import MocapStream
from harness.corpus.synthetic import motion
from harness.corpus.synthetic.plan import plan_corpus
from harness.corpus.synthetic.settings import SyntheticSettings
from harness.features.fitted import MOST_DEVIATIONS, EncodedWords, fit_features
from harness.features.mocap import average_windows
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


def test_lost_markers_can_be_filled_from_their_neighbours_in_time():
    train = make_features(["a", "b"], make_mocap([1.0, 3.0]))
    arrays = make_mocap([3.0])
    mocap = arrays["mocap"][0]
    mocap[:, 0] = np.linspace(1.0, 3.0, 200)
    mocap[[0, 1, 50, 51, 52, 196], 0] = np.nan
    mocap[:, 1] = np.nan
    mocap[0, 2], mocap[1, 2] = 400.0, -400.0
    mocap[197:] = np.nan
    features = make_features(["c"], arrays)
    batch = fit(train, "mocap", mocap_gaps=MocapGaps.NEIGHBOURS).prepare(features).batch([0])
    windows = batch["mocap"][0]
    # Scaled by the mean 2 and the deviation 1.
    expected = np.linspace(-1.0, 1.0, 200)
    assert batch["mocap_lengths"].tolist() == [196 + 1]
    assert np.allclose(windows[2:196, 0], expected[2:196], atol=1e-5), "a line between two seen windows"
    assert np.allclose(windows[:2, 0], expected[2]) and np.allclose(windows[196, 0], expected[195])
    assert (windows[:197, 1] == 0).all(), "never seen: the training mean"
    assert windows[:2, 2].tolist() == [MOST_DEVIATIONS, -MOST_DEVIATIONS]
    assert (windows[197:] == 0).all() and np.isfinite(windows).all()
    unscaled = fit(train, "mocap", mocap_gaps=MocapGaps.NEIGHBOURS, scaling=Scaling.NONE).prepare(features).batch([0])
    assert unscaled["mocap"][0, 50, 0] == pytest.approx(mocap[49, 0] + 2.0 / 199)
    assert unscaled["mocap"][0, 0, 1] == 2.0 and unscaled["mocap"][0, 0, 2] == 400.0


def test_neighbours_are_nearer_to_the_truth_than_the_training_mean(monkeypatch):
    settings = SyntheticSettings(scale=0.02)
    dialogues = [each for each in plan_corpus(settings).dialogues if each.session == 5]
    shown = [read_motion(settings, dialogue) for dialogue in dialogues]
    monkeypatch.setattr(motion, "_lose", lambda *arguments: None)
    truth = [read_motion(settings, dialogue) for dialogue in dialogues]
    shown, truth = np.concatenate(shown), np.concatenate(truth)
    is_gap = np.isnan(shown) & ~np.isnan(truth)
    assert is_gap.mean() > 0.002
    arrays = {"mocap": shown, "mocap_rows": np.full(len(shown), 200)}
    features, rows = make_features([None] * len(shown), arrays), np.arange(len(shown))
    # Of a marker that an utterance never shows, no neighbour is known.
    is_gap &= ~np.isnan(shown).all(axis=1, keepdims=True)
    errors = {}
    for gaps in (MocapGaps.TRAINING_MEAN, MocapGaps.NEIGHBOURS):
        fitted = fit(features, "mocap", mocap_gaps=gaps)
        found = fitted.prepare(features).batch(rows)["mocap"]
        exact = (truth - fitted.mocap.mean) / fitted.mocap.std
        errors[gaps] = np.abs(found - exact)[is_gap].mean()
    assert errors[MocapGaps.NEIGHBOURS] < 0.75 * errors[MocapGaps.TRAINING_MEAN]


def read_motion(settings, dialogue):
    """The windows of a dialogue's utterances, float32 (num_utterances, 200, 189)."""
    streams = [motion.move(settings, dialogue, stream) for stream in MocapStream]
    rows = [motion.rows_of(settings, utterance) for utterance in dialogue.utterances]
    return np.array(
        [np.concatenate([average_windows(values[row], 200) for values in streams], axis=1) for row in rows], np.float32
    )


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
