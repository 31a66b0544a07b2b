"""Speech scaled by the speaker's turns so far: which frames count, from what it begins, and what is never read."""

import json
import math
import random
import shutil
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import ExperimentFileError, FeatureError
from harness.features.fitted import fit_features, fit_speech
from harness.features.functionals import summarise_speech
from harness.features.scaling import BACKGROUND_SECONDS, ColumnScaling
from harness.features.store import FeatureStore, _order_in_time
from harness.models.baselines import BASELINES
from harness.models.probes import PROBES, answer_shared
from harness.models.systems import find_system, read_hyperparameters
from harness.splits.protocol import SpeakerScaling, adapts_to_speakers, read_protocol
from tests.features.invented import TWO_SPEAKERS, make_utterance, write_two_speakers

PAST = read_protocol({"speaker_scaling": "past"})
TURNS = TWO_SPEAKERS


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_two_speakers(tmp_path_factory.mktemp("so far"))


@pytest.fixture
def prepared(written, tmp_path):
    return shutil.copytree(written, tmp_path / "prepared")


def rewrite_turns(prepared, **changes):
    """Change the entries of some turns, by their place among the sorted ids."""
    path = prepared / "Session1/utterances.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for key, values in changes.items():
        for place, value in values.items():
            lines[place][key] = value
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def overwrite(prepared, rows):
    path = prepared / "Session1/speech.npy"
    speech = np.load(path)
    speech[rows] = np.where(speech[rows] == 0.0, 0.0, 3.0 * speech[rows] + 1.0)
    np.save(path, speech)


#: What was fitted before, on other speakers.
BACKGROUND = ColumnScaling(np.full(34, 2.0, np.float32), np.full(34, 4.0, np.float32))


def read(prepared, turn):
    features = FeatureStore.open_for(PAST, prepared).load([turn]).against(BACKGROUND)
    return features.speech([0]), summarise_speech(features, np.array([0]))


def test_functionals_have_no_mean_so_far(prepared):
    features = FeatureStore.open_for(PAST, prepared).load(TURNS)
    with pytest.raises(FeatureError) as refused:
        features.speaker_functionals([0], np.zeros(7 * 34, np.float32))
    assert str(refused.value).startswith("functionals: speech is scaled by each speaker's turns so far; expected all ")


def test_turns_up_to_this_one_are_joined_with_ten_seconds_of_training(prepared):
    features = FeatureStore.open_for(PAST, prepared).load(TURNS).against(BACKGROUND)
    speech, lengths = (np.load(prepared / f"Session1/{name}.npy") for name in ("speech", "speech_lengths"))
    for row, so_far in ((0, [0]), (1, [0, 1]), (3, [2, 3])):
        frames = np.concatenate([speech[turn, : lengths[turn]] for turn in so_far]).astype(np.float64)
        count, known = BACKGROUND_SECONDS / 0.1, len(frames)
        mean = (frames.sum(axis=0) + count * 2.0) / (known + count)
        # The mean square of all rows about the joined mean, those of training with a deviation of 4 about 2.
        squares = ((frames - mean) ** 2).sum(axis=0) + count * (4.0**2 + (2.0 - mean) ** 2)
        expected = (speech[row, : lengths[row]] - mean) / np.sqrt(squares / (known + count))
        np.testing.assert_allclose(features.speech([row])[0, : lengths[row]], expected, rtol=1e-4, atol=1e-4)
    assert not features.speech([0])[0, lengths[0] :].any()


@pytest.mark.parametrize(
    ("turn", "later", "earlier"), [(0, [1, 2, 3], [0]), (1, [2, 3], [0]), (2, [0, 1, 3], [2]), (3, [0, 1], [2])]
)
def test_no_later_turn_and_nobody_elses_changes_a_bit(prepared, turn, later, earlier):
    before = read(prepared, TURNS[turn])
    overwrite(prepared, later)
    assert all(np.array_equal(*pair) for pair in zip(before, read(prepared, TURNS[turn]), strict=True))
    overwrite(prepared, earlier)
    assert not any(np.array_equal(*pair) for pair in zip(before, read(prepared, TURNS[turn]), strict=True))


def test_the_beginning_of_a_turn_decides_not_its_id(prepared):
    before = read(prepared, TURNS[0])
    rewrite_turns(prepared, start={0: 1.5}, end={0: 2.5})
    rewrite_turns(prepared, start={1: 0.0}, end={1: 1.0})
    assert not np.array_equal(before[0], read(prepared, TURNS[0])[0])
    first = read(prepared, TURNS[1])
    overwrite(prepared, [0])
    assert np.array_equal(first[0], read(prepared, TURNS[1])[0])


def test_a_turn_of_unknown_time_moves_no_turn_of_the_partner():
    """NaN has no place in an order: sorted together, the turns of both speakers were mixed."""
    for seed in range(200):
        drawn = random.Random(seed)
        names = [f"Ses01F_impro01_{drawn.choice('FM')}{number:03d}" for number in range(16)]
        turns = [replace(make_utterance(name), start=drawn.random()) for name in sorted(names)]
        place = drawn.randrange(len(turns))
        others = [turn for turn in turns if turn.name.speaker != turns[place].name.speaker]
        turns[place] = replace(turns[place], start=math.nan)
        assert [turn for turn in _order_in_time(turns) if turn in others] == _order_in_time(others), seed


def test_no_label_changes_a_bit(prepared):
    before = read(prepared, TURNS[1])
    rewrite_turns(prepared, emotion={0: "xxx", 2: "fru", 3: "xxx"}, valence={0: 1.0, 3: 5.0})
    assert all(np.array_equal(*pair) for pair in zip(before, read(prepared, TURNS[1]), strict=True))


def test_the_model_the_baselines_and_the_probes_begin_from_training(prepared):
    features = FeatureStore.open_for(PAST, prepared).load(TURNS)
    background = fit_speech(features)
    inputs = fit_features(features, ("speech",), PAST, None, None, 1).prepare(features)
    batch = inputs.batch(np.arange(4))["speech"]
    np.testing.assert_array_equal(batch, features.against(background).speech(np.arange(4), batch.shape[1]))
    given = features.against(background)
    labelled = np.flatnonzero(features.emotions >= 0)
    some, same = (each.select([TURNS[row] for row in labelled]) for each in (features, given))
    background = fit_speech(some)
    for name in ("speech_forest", "speech_framewise"):
        answers = BASELINES[name].fit(some, 1).probabilities(some)
        expected = BASELINES[name].fit(same.against(background), 1).probabilities(same.against(background))
        np.testing.assert_array_equal(answers, expected)
    (probe,) = (probe for probe in PROBES.values() if probe.modality == "speech")
    answers = answer_shared(probe, same.against(background), same.against(background))
    np.testing.assert_array_equal(answer_shared(probe, some, some), answers)


def test_speech_without_a_beginning_is_one_sentence(prepared):
    features = FeatureStore.open_for(PAST, prepared).load(TURNS)
    with pytest.raises(FeatureError) as refused:
        features.speech([0])
    assert str(refused.value) == (
        "speech is scaled by each speaker's turns so far (speaker_scaling 'past'), and nothing says what the first "
        "ones begin from; expected the statistics of the training utterances"
    )
    assert features.unscaled_speech([0]).any()


#: The motion that was fitted before.
BEFORE = ColumnScaling(np.full(189, 2.0, np.float32), np.full(189, 4.0, np.float32))


@pytest.mark.parametrize("scaling", [SpeakerScaling.PAST, SpeakerScaling.OWN])
@pytest.mark.parametrize("speakers", [["Al", "Al", "Bo", "Bo"], ["Bo", "Bo", "Al", "Al"]])
def test_turns_of_a_conversation_are_scaled_as_they_are_when_they_are_loaded(prepared, speakers, scaling):
    loaded = FeatureStore.open_for(replace(PAST, speaker_scaling=scaling), prepared).load(TURNS)
    unscaled = FeatureStore.open(prepared).load(TURNS)
    given = unscaled.scale_by_turns(speakers, is_past=scaling is SpeakerScaling.PAST)
    rows = np.arange(4)
    expected, found = (each.against(BACKGROUND).speech(rows) for each in (loaded, given))
    # All turns of a session are added up in other chunks.
    rounding = 0.0 if scaling is SpeakerScaling.PAST else 1e-5
    np.testing.assert_allclose(found, expected, rtol=rounding, atol=rounding)
    expected, found = loaded.mocap(rows), given.mocap(rows)
    loaded.scale_mocap(rows, expected, BEFORE)
    given.scale_mocap(rows, found, BEFORE)
    np.testing.assert_array_equal(found, expected)


def test_recordings_of_a_speaker_precede_the_turns_so_far(prepared):
    features = FeatureStore.open(prepared).load([TURNS[0]])
    frames = [np.full((100, 34), 6.0, np.float32)]
    found = features.scale_by_turns(["Al"], is_past=True, recordings=frames).against(BACKGROUND).speech([0])[0]
    length = features.speech_lengths[0]
    own = features.unscaled_speech([0])[0, :length].astype(np.float64)
    # Training counts as a hundred rows of mean 2 and deviation 4.
    rows = np.concatenate([own, np.full((100, 34), 6.0), np.full((50, 34), -2.0), np.full((50, 34), 6.0)])
    np.testing.assert_allclose(found[:length], (own - rows.mean(axis=0)) / rows.std(axis=0), rtol=1e-4, atol=1e-4)


def test_the_protocol_says_that_it_adapts_and_that_it_is_not_the_other(prepared):
    own = read_protocol({"speaker_scaling": "own"})
    assert PAST.name == "paper+speaker_scaling=past" and adapts_to_speakers(PAST.name)
    assert len({PAST.protocol_hash, own.protocol_hash, read_protocol("paper").protocol_hash}) == 3
    assert read_protocol({"name": "live", "speaker_scaling": "past"}).name == "live+speaker_scaling=past"
    with pytest.raises(ExperimentFileError, match="speaker_scaling is 'past'; expected another name"):
        read_protocol({"name": own.name, "speaker_scaling": "past"})


def test_functionals_below_a_dialogue_are_refused():
    system = find_system("chain")
    with pytest.raises(ExperimentFileError, match="cannot be scaled by the turns so far yet, which protocol 'paper"):
        read_hyperparameters(system, {"vectors": "functionals"}, PAST)
    read_hyperparameters(system, {"vectors": "tfidf"}, PAST)
    read_hyperparameters(system, {"vectors": "functionals"}, read_protocol({"speaker_scaling": "own"}))
