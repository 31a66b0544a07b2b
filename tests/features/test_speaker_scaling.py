"""Speech scaled by its speaker: whose frames count, for whom, and what reads them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import FeatureError
from harness.features.fitted import fit_features, fit_functionals, fit_speech
from harness.features.functionals import compute_functionals, summarise_speech
from harness.features.scaling import BACKGROUND_TURNS, Moments
from harness.features.store import FeatureStore
from harness.models.hyperparameters import TurnVectors
from harness.models.turns import TurnInputs
from harness.splits.protocol import PROTOCOLS, adapts_to_speakers, read_protocol
from tests.features.invented import TWO_SPEAKERS, write_two_speakers

OWN = read_protocol({"speaker_scaling": "own"})
TURNS = TWO_SPEAKERS


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_two_speakers(tmp_path_factory.mktemp("a speaker's own"), constant_column=7)


@pytest.fixture
def prepared(written, tmp_path):
    return shutil.copytree(written, tmp_path / "prepared")


def change(prepared, rows):
    """Write other frames of some turns."""
    path = prepared / "Session1/speech.npy"
    speech = np.load(path)
    speech[rows] = np.where(speech[rows] == 0.0, 0.0, 3.0 * speech[rows] + 1.0)
    np.save(path, speech)


def read(prepared, ids=("Ses01F_impro01_F000",)):
    """The frames of utterances as a model reads them, their speakers' functionals, and what the baselines read."""
    store = FeatureStore.open_for(OWN, prepared)
    features = store.load(list(ids))
    rows = np.arange(len(ids))
    fitted = fit_features(features, ("speech",), OWN, None, None, 1, centres_functionals=True)
    inputs = fitted.prepare(features).batch(rows)
    return inputs["speech"], inputs["speaker_functionals"], summarise_speech(features, rows)


def test_frames_are_scaled_by_all_turns_of_their_speaker_labelled_or_not(prepared):
    store = FeatureStore.open_for(OWN, prepared)
    features = store.load([TURNS[2], TURNS[0]])
    speech, lengths = (np.load(prepared / f"Session1/{name}.npy") for name in ("speech", "speech_lengths"))
    for place, row, own in ((0, 2, (2, 3)), (1, 0, (0, 1))):
        # Of the woman's two turns, one has a label that is not scored.
        frames = np.concatenate([speech[turn, : lengths[turn]] for turn in own]).astype(np.float64)
        deviation = frames.std(axis=0)
        deviation[deviation < 1e-6] = 1.0
        found = features.speech([place])[0]
        expected = (speech[row, : lengths[row]] - frames.mean(axis=0)) / deviation
        np.testing.assert_allclose(found[: lengths[row]], expected, atol=1e-5)
        assert not found[lengths[row] :].any()
    assert not features.speech([1], num_frames=3)[0, :, 7].any(), "a number that never changes"
    np.testing.assert_array_equal(features.unscaled_speech([1])[0], speech[0])


def test_the_model_and_everything_beside_it_read_the_same_frames(prepared):
    features = FeatureStore.open_for(OWN, prepared).load(TURNS)
    rows = np.arange(4)
    batch = fit_features(features, ("speech",), OWN, None, None, 1).prepare(features).batch(rows)
    np.testing.assert_array_equal(batch["speech"], features.speech(rows, batch["speech"].shape[1]))
    means = [features.speech([row])[0, : features.speech_lengths[row]].mean(axis=0) for row in rows]
    np.testing.assert_allclose(summarise_speech(features, rows)[:, :34], means, atol=1e-5)
    turns = TurnInputs.read(FeatureStore.open_for(OWN, prepared).load(TURNS[:1]).all_turns, TurnVectors.FUNCTIONALS)
    np.testing.assert_array_equal(turns.speech, summarise_speech(features, rows))


def test_the_functionals_of_a_speaker_are_the_mean_over_all_turns_and_some_of_training(prepared):
    features = FeatureStore.open_for(OWN, prepared).load([TURNS[2], TURNS[0]])
    everyone = FeatureStore.open_for(OWN, prepared).load(TURNS)
    of_turns, background = compute_functionals(everyone, np.arange(4)), fit_functionals(features)
    np.testing.assert_allclose(background, of_turns[[2, 0]].mean(axis=0), atol=1e-5)
    found = features.speaker_functionals([0, 1], background)
    for place, own in ((0, [2, 3]), (1, [0, 1])):
        expected = (of_turns[own].sum(axis=0) + BACKGROUND_TURNS * background) / (2 + BACKGROUND_TURNS)
        np.testing.assert_allclose(found[place], expected, atol=1e-5)
    # Nobody is known to speak: they are those of training.
    alone = FeatureStore.open(prepared).load(TURNS).speaker_functionals([0, 3], background)
    np.testing.assert_array_equal(alone, [background] * 2)


def test_turns_without_sound_have_no_functionals(prepared):
    path = prepared / "Session1/speech_lengths.npy"
    lengths = np.load(path)
    for silent in ([0], [0, 1]):
        np.save(path, np.where(np.isin(np.arange(4), silent), 0, lengths))
        features = FeatureStore.open_for(OWN, prepared).load(TURNS)
        background = fit_functionals(features)
        found = features.speaker_functionals([0, 1], background)
        heard = [row for row in (0, 1) if row not in silent]
        total = compute_functionals(features, np.array(heard)).sum(axis=0) if heard else 0.0
        expected = (total + BACKGROUND_TURNS * background) / (len(heard) + BACKGROUND_TURNS)
        # The functionals of an utterance without sound are 0, and nothing is subtracted from them.
        subtracted = [0.0 * background if row in silent else expected for row in (0, 1)]
        np.testing.assert_allclose(found, subtracted, atol=1e-5)


@pytest.mark.parametrize("rows", [[2], [2, 3]])
def test_nobody_elses_frames_change_an_input(prepared, rows):
    before = read(prepared)
    change(prepared, rows)
    assert all(np.array_equal(*pair) for pair in zip(before, read(prepared), strict=True))
    change(prepared, [1])
    assert not any(np.array_equal(*pair) for pair in zip(before, read(prepared), strict=True))


def test_no_label_changes_an_input(prepared):
    before = read(prepared)
    path = prepared / "Session1/utterances.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines[1:]:
        line["emotion"], line["valence"], line["activation"] = "fru", 1.0, 5.0
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert all(np.array_equal(*pair) for pair in zip(before, read(prepared), strict=True))


def test_nobody_elses_frames_are_opened_for_a_speaker(prepared, monkeypatch):
    measured = []
    add = Moments.add
    monkeypatch.setattr(Moments, "add", lambda self, values: (measured.append(len(values)), add(self, values)))
    store = FeatureStore.open_for(OWN, prepared)
    store.load([TURNS[0]]).transcripts
    assert not measured, "words need no frames"
    lengths = np.load(prepared / "Session1/speech_lengths.npy")
    for _ in range(2):
        store.load([TURNS[0]]).speech([0])
    assert measured == [lengths[:2].sum()], "the woman's, once"


def test_a_flag_stays_as_it_is():
    moments = Moments(2)
    moments.add(np.array([[0.0, 5.0], [1.0, 7.0]], np.float32))
    scaling = moments.finish(("voiced", "pitch"))
    assert (scaling.mean.tolist(), scaling.std.tolist()) == ([0.0, 6.0], [1.0, 1.0])
    scaling = moments.finish()
    assert (scaling.mean.tolist(), scaling.std.tolist()) == ([0.5, 6.0], [0.5, 1.0])


def test_the_statistics_of_training_are_of_unscaled_frames_and_scale_who_has_no_other_turns(prepared):
    by_speaker = FeatureStore.open_for(OWN, prepared).load(TURNS)
    plain = FeatureStore.open(prepared).load(TURNS)
    fitted = fit_features(by_speaker, ("speech",), OWN, None, None, 1)
    np.testing.assert_array_equal(fitted.speech.mean, fit_speech(plain).mean)
    alone = replace(plain, prepared_dir=None)
    expected = fit_features(plain, ("speech",), PROTOCOLS["paper"], None, None, 1).prepare(plain).batch([0])
    np.testing.assert_array_equal(fitted.prepare(alone).batch([0])["speech"], expected["speech"])


def test_features_that_were_loaded_under_another_choice_are_refused(prepared):
    by_speaker = FeatureStore.open_for(OWN, prepared).load(TURNS)
    plain = FeatureStore.open(prepared).load(TURNS)
    for protocol, features, found in ((OWN, plain, "not "), (PROTOCOLS["paper"], by_speaker, "")):
        with pytest.raises(FeatureError) as refused:
            fit_features(features, ("speech",), protocol, None, None, 1).prepare(features)
        assert str(refused.value) == (
            f"speech features: were loaded {found}scaled by speaker; expected speaker_scaling "
            f"'{protocol.speaker_scaling}', as in protocol {protocol.name!r}"
        )


def test_the_choice_stands_in_the_name_and_the_hash_but_changes_no_hash_of_before():
    assert "speaker_scaling" not in PROTOCOLS["paper"].choices
    assert OWN.protocol_hash != PROTOCOLS["paper"].protocol_hash
    named = read_protocol({"name": "mine", "speaker_scaling": "own"})
    assert named.name == "mine+speaker_scaling=own"
    assert all(adapts_to_speakers(protocol.name) for protocol in (OWN, named))
    assert not adapts_to_speakers(read_protocol({"name": "mine", "speaker_scaling": "none"}).name)
