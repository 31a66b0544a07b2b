import numpy as np
import pytest

from harness.corpus.utterances import Emotion, Happiness
from harness.errors import FeatureError
from harness.features.speech import SHORT_TERM_COLUMNS
from harness.features.store import Features
from tests.features.invented import SETTINGS, make_features, make_mocap, make_speech, make_utterance


def test_rows_come_in_the_order_asked_for():
    features = make_features(
        ["a", "b", "c"], {**make_speech([1, 2, 3], [1.0, 5.0, 9.0]), **make_mocap([1, 2, 3])}
    )
    assert features.speech([2, 0])[:, 0, 0].tolist() == [9, 1]
    assert features.speech(np.array([1]), num_frames=1).shape == (1, 1, 34)
    assert features.mocap([1, 1, 0])[:, 0, 0].tolist() == [2, 2, 1]
    assert features.mocap([]).shape == (0, 200, 189)


def test_emotions_are_numbered_in_the_order_of_the_classes():
    emotions = [Emotion.SADNESS, Emotion.ANGER, Emotion.FRUSTRATION, Emotion.EXCITEMENT, Emotion.NEUTRAL]
    utterances = [make_utterance(f"Ses01F_impro01_F00{i}", emotion) for i, emotion in enumerate(emotions)]
    features = Features.from_arrays(utterances, SETTINGS, SHORT_TERM_COLUMNS, {})
    assert features.emotions.dtype == np.int64
    assert features.emotions.tolist() == [3, 0, -1, 1, 2]


@pytest.mark.parametrize(("happiness", "numbers"), [("excited", [1, -1, 0]), ("merged", [1, 1, 0])])
def test_happiness_is_a_class_where_it_is_merged_into_excitement(happiness, numbers):
    emotions = [Emotion.EXCITEMENT, Emotion.HAPPINESS, Emotion.ANGER]
    utterances = [make_utterance(f"Ses01F_impro01_F00{i}", emotion) for i, emotion in enumerate(emotions)]
    features = Features.from_arrays(utterances, SETTINGS, SHORT_TERM_COLUMNS, {}, Happiness(happiness))
    assert features.emotions.tolist() == numbers
    # The raters' label stays what it was.
    assert [utterance.emotion for utterance in features.utterances] == emotions


def test_a_modality_that_is_not_there_has_no_length_and_cannot_be_read():
    features = make_features(["a", None])
    assert features.speech_lengths.tolist() == features.mocap_rows.tolist() == [0, 0]
    assert features.transcripts == ("a", None)
    with pytest.raises(FeatureError) as caught:
        features.mocap([0])
    assert str(caught.value) == (
        "prepared features: hold no mocap, for the corpus has none; expected a system that does not read it"
    )
