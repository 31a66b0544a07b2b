"""Prediction by small saved models: recordings that are not as they should be, and dialogues in a CSV file."""

import csv
import io
import json
import shutil
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from harness.corpus.audio import read_recording
from harness.corpus.irregularities import IrregularityKind
from harness.corpus.layout import MocapStream
from harness.corpus.utterances import CLASSES
from harness.errors import CorpusError, FeatureError, ModelError
from harness.features.fitted import fit_features
from harness.features.scaling import Moments
from harness.features.speech import SPEECH_VARIANTS, SpeechSettings, column_names, extract_speech
from harness.files import hash_json, write_digests
from harness.final.predict import (
    note_context,
    note_speaker_scaling,
    note_unread,
    predict_dialogue,
    predict_each,
    read_recorded,
)
from harness.final.recorded import Recorded, RecordedTurn, read_dialogue, read_recordings
from harness.final.saved_model import ModelRecord, check_probabilities, load_seed, save_seed
from harness.models.build import build_model
from harness.models.inputs import input_shapes
from harness.models.network_file import load_network
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.splits.protocol import PROTOCOLS, read_protocol
from harness.training.loop import TrainedModel
from harness.training.recipe import train_for_epochs
from tests.cli.commands import type_command
from tests.cli.terminals import Terminal
from tests.corpus.written import COMPLETE, mocap_bytes, mocap_values, tone, wav_bytes, write_tiny_corpus
from tests.invented_features import SETTINGS, invent_features
from tests.training.test_context import hold, invent_turns, recipe

KIND = IrregularityKind
PAPER = PROTOCOLS["paper"]


def save_untrained(model_dir, system_name, protocol=PAPER, **choices):
    system = SYSTEMS[system_name]
    point = read_hyperparameters(system, choices, protocol)
    train, centres = invent_features(8, with_mocap=True), "centring" in choices
    fitted = fit_features(train, system.modalities, protocol, None, None, seed=1, centres_functionals=centres)
    save_seed(model_dir, 1, TrainedModel(build_model(system, point, input_shapes(fitted, protocol)), fitted))
    return write_record(model_dir, system_name, system.modalities, choices, protocol)


def predict(model_dir, recorded, scene=None, speaker_wavs=None):
    """Return the answer for one recording: that of a dialogue of one turn."""
    (answer,) = predict_dialogue(model_dir, [RecordedTurn(recorded)], scene, speaker_wavs)
    return answer


def write_record(model_dir, system_name, modalities, choices, protocol=PAPER):
    ModelRecord(
        system=system_name,
        hyperparameters=choices,
        protocol=protocol,
        modalities=modalities,
        classes=tuple(CLASSES),
        num_epochs=1,
        seeds=(1,),
        speech_settings=SETTINGS.to_json() if "speech" in modalities else None,
        corpus_hash="0" * 64,
        is_synthetic=True,
        num_train_utterances=8,
        is_fitted_on_test=False,
        variant=None,
        eid=1,
        trial_index=0,
        versions={},
        created_at="2026-01-01T00:00:00Z",
    ).write(model_dir)
    return model_dir


@pytest.fixture(scope="module")
def listener(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a model's folder") / "speech"
    return save_untrained(folder, "speech4", speechlstm=4, dense=4, attention="pooling")


@pytest.fixture(scope="module")
def watcher(tmp_path_factory):
    return save_untrained(tmp_path_factory.mktemp("a model's folder") / "motion", "head2")


@pytest.fixture(scope="module", params=["past", "dialogue"])
def reader(request, tmp_path_factory):
    """The folder of a chain over words, and the same chain in memory."""
    choices = {"context": request.param, "turns": "labelled-only"}
    trained, _ = train_for_epochs(recipe("chain", **choices), hold(*invent_turns()), 1)
    folder = tmp_path_factory.mktemp("a model's folder") / "chain"
    save_seed(folder, 1, trained)
    return write_record(folder, "chain", ("text",), choices), trained


@pytest.fixture
def face_path(tmp_path):
    """The tiny corpus's face file, with 80 rows; hand and head lie beside it."""
    return write_tiny_corpus(tmp_path / "corpus").mocap_path(COMPLETE, MocapStream.FACE)


def write_wav(folder, content):
    path = folder / "hello you.wav"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        (wav_bytes(tone(1.0)), []),
        (wav_bytes(tone(1.0))[:12844], [KIND.TRUNCATED_RECORDING]),
        (wav_bytes(np.stack([tone(1.0)] * 2, axis=1)), [KIND.STEREO_RECORDING]),
        (wav_bytes(tone(1.0, 8000), 8000), [KIND.OTHER_SAMPLING_RATE]),
        (wav_bytes(np.sign(tone(1.0)) * np.int16(32767)), [KIND.CLIPPED_RECORDING]),
    ],
    ids=["whole", "truncated", "stereo", "8 kHz", "clipped"],
)
def test_what_is_irregular_in_a_recording_comes_with_the_probabilities(listener, tmp_path, content, kinds):
    found = predict(listener, Recorded(wav_path=write_wav(tmp_path, content)))
    assert list(found.probabilities) == list(CLASSES)
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert [irregularity.kind for irregularity in found.irregularities] == kinds


def test_what_is_irregular_in_the_motion_comes_with_the_probabilities(watcher, face_path):
    hand_path = face_path.parents[1] / MocapStream.HAND.folder / face_path.name
    hand_path.write_bytes(mocap_bytes(MocapStream.HAND, mocap_values(MocapStream.HAND, num_rows=30))[:-20])
    found = predict(watcher, Recorded(mocap_path=face_path))
    assert [(irregularity.kind, irregularity.path) for irregularity in found.irregularities] == [
        (KIND.TRUNCATED_MOCAP, f"Session1/dialog/MOCAP_hand/{COMPLETE}.txt"),
        (KIND.FEW_MOCAP_ROWS, f"Session1/dialog/MOCAP_rotated/{COMPLETE}.txt"),
    ]
    assert found.irregularities[1].detail == "rows: face 80, hand 29, head 80"


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"start": 900.0}, "has no row after 900 s; expected a start and an end inside the recording"),
        ({"start": 5.0, "end": 2.5}, "has no row after 5 s and before 2.5 s; expected a start and an end inside the "),
        ({}, "has no row; expected a file with rows of motion"),
    ],
    ids=["after its end", "backwards", "an empty file"],
)
def test_motion_without_a_row_is_refused_without_infinite_seconds(watcher, face_path, bounds, said):
    """It had no row between -inf s and inf s."""
    if not bounds:
        face_path.write_bytes(b"")
    with pytest.raises(ModelError) as caught:
        predict(watcher, Recorded(mocap_path=face_path, **bounds))
    assert str(caught.value).startswith(f"motion file {str(face_path)!r}: {said}")


@pytest.mark.long
def test_the_command_tells_it_on_standard_error_and_keeps_json_alone(listener, tmp_path):
    wav = write_wav(tmp_path, wav_bytes(tone(1.0))[:12844])
    for option in ([], ["--json"]):
        done = type_command(tmp_path, "predict", listener, wav, *option)
        assert done.returncode == 0, done.stderr
        assert done.stderr == (
            "hello you.wav: truncated recording (12800 of 32000 bytes of sound). The samples that exist are used.\n"
        )
    assert list(json.loads(done.stdout)) == ["ang", "exc", "neu", "sad"]


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a model's folder") / "speech"
    protocol = read_protocol({"speaker_scaling": "own"})
    return save_untrained(folder, "speech4", protocol, speechlstm=4, dense=4, attention="pooling")


@pytest.fixture(scope="module")
def centred(tmp_path_factory):
    """A model that reads functionals, from which their mean over the speaker's turns is subtracted."""
    folder = tmp_path_factory.mktemp("a model's folder") / "functionals"
    protocol = read_protocol({"speaker_scaling": "own"})
    return save_untrained(folder, "speech_functionals", protocol, classifier="network", dense=4, centring="speaker")


@pytest.fixture
def wavs(tmp_path):
    """A folder with two recordings of a speaker, of which the tone and the loudness differ."""
    folder = tmp_path / "the speaker's"
    folder.mkdir()
    for hertz in (200.0, 700.0):
        samples = (tone(1.0, hertz=hertz) * np.linspace(0.1, 1.0, 16000)).astype(np.int16)
        (folder / f"{hertz:.0f}.wav").write_bytes(wav_bytes(samples))
    return folder


def test_a_model_that_scales_by_speaker_takes_the_speakers_recordings(adapted, wavs):
    recorded = Recorded(wav_path=wavs / "200.wav")
    found = predict(adapted, recorded, speaker_wavs=wavs)
    settings = ModelRecord.read(adapted).speech_settings
    frames = [
        extract_speech(read_recording(path)[0].samples, SpeechSettings.from_json(settings))
        for path in sorted(wavs.iterdir())
    ]
    together = np.concatenate(frames).astype(np.float64)
    deviation = together.std(axis=0)
    deviation[deviation < 1e-6] = 1.0
    scaled = ((frames[0] - together.mean(axis=0)) / deviation).astype(np.float32)[None]
    model = load_seed(adapted, 1).model
    expected = model({"speech": scaled, "speech_lengths": np.array([len(frames[0])], np.int32)}).numpy()[0]
    np.testing.assert_allclose(list(found.probabilities.values()), expected, atol=1e-5)
    # Without them, the training utterances' statistics scale it, as for a model that knows no speakers.
    alone = predict(adapted, recorded)
    fitted = load_seed(adapted, 1).fitted.speech
    scaled = ((frames[0] - fitted.mean) / fitted.std).astype(np.float32)[None]
    expected = model({"speech": scaled, "speech_lengths": np.array([len(frames[0])], np.int32)}).numpy()[0]
    np.testing.assert_allclose(list(alone.probabilities.values()), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["adapted", "centred"])
def test_all_turns_of_a_dialogue_scale_their_speaker(name, request, wavs, tmp_path):
    adapted = request.getfixturevalue(name)
    (tmp_path / "300.wav").write_bytes(wav_bytes(tone(0.7, hertz=300.0)))
    paths = [wavs / "200.wav", tmp_path / "300.wav", wavs / "700.wav"]
    turns = write_dialogue(tmp_path, "speaker,wav\n" + "".join(map("{},{}\n".format, ("Bo", "Al", "Bo"), paths)))
    found = answers_of(predict_dialogue(adapted, turns))
    (tmp_path / "Al's").mkdir()
    shutil.copy(paths[1], tmp_path / "Al's")
    folders = (wavs, tmp_path / "Al's", wavs)
    pairs = zip(paths, folders, strict=True)
    expected = answers_of([predict(adapted, Recorded(path), speaker_wavs=folder) for path, folder in pairs])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # Where each stands alone, nobody's turns are counted, whoever is named.
    alone = answers_of([predict(adapted, Recorded(path)) for path in paths])
    np.testing.assert_allclose(answers_of(predict_each(adapted, turns)), alone, atol=1e-6)
    assert np.abs(found - alone).max() > 1e-4
    assert note_speaker_scaling(adapted, None, is_dialogue=True) == (
        "Adapted to the speakers without labels: speech is scaled by all turns of the speaker in the dialogue. The "
        "fewer those are, the less this is as in training."
    )


def test_what_has_no_statistics_of_training_answers_dialogues_alone(tmp_path, wavs):
    protocol = read_protocol({"speaker_scaling": "own"})
    trained, _ = train_for_epochs(recipe("chain", protocol, vectors="both"), hold(*invent_turns()), 1)
    save_seed(tmp_path / "chain", 1, trained)
    chain = write_record(tmp_path / "chain", "chain", ("text", "speech"), {"vectors": "both"}, protocol)
    turns = write_dialogue(tmp_path, f"speaker,text,wav\nBo,no stop,{wavs / '200.wav'}\nAl,well,{wavs / '700.wav'}\n")
    assert answers_of(predict_dialogue(chain, turns)).sum(axis=1) == pytest.approx(1)
    with pytest.raises(ModelError) as refused:
        predict(chain, turns[0].recorded)
    assert str(refused.value) == (
        f"model {str(chain)!r}: reads speech that is scaled by its speaker's own turns; expected other recordings of "
        "the speaker as --speaker-wavs, or the dialogue as --dialogue"
    )


def test_whose_statistics_scale_the_speech_is_said(adapted, listener, wavs):
    assert note_speaker_scaling(listener, None) is None
    assert note_speaker_scaling(adapted, wavs) == (
        f"Adapted to the speaker without labels: speech is scaled by the recordings in {str(wavs)!r}."
    )
    assert note_speaker_scaling(adapted, None) == (
        "Not adapted to the speaker as in training: speech is scaled by the mean and the deviation of the training "
        "utterances. Give a folder of the speaker's recordings with --speaker-wavs."
    )


def test_recordings_stand_for_the_turns_so_far_where_those_scale_the_speech(tmp_path, wavs):
    protocol = read_protocol({"speaker_scaling": "past"})
    live = save_untrained(tmp_path / "live", "speech4", protocol, speechlstm=4, dense=4, attention="pooling")
    recorded = Recorded(wav_path=wavs / "200.wav")
    found = predict(live, recorded, speaker_wavs=wavs)
    settings = SpeechSettings.from_json(ModelRecord.read(live).speech_settings)
    frames = [extract_speech(read_recording(path)[0].samples, settings) for path in sorted(wavs.iterdir())]
    loaded = load_seed(live, 1)
    moments = Moments(34)
    moments.add(np.concatenate(frames).astype(np.float32))
    # Ten seconds of frames every tenth of a second.
    scaling = moments.shrink(loaded.fitted.speech, 100)
    scaled = ((frames[0] - scaling.mean) / scaling.std).astype(np.float32)[None]
    expected = loaded.model({"speech": scaled, "speech_lengths": np.array([len(frames[0])], np.int32)}).numpy()[0]
    np.testing.assert_allclose(list(found.probabilities.values()), expected, atol=1e-5)
    note = (
        "Adapted to the speaker without labels: speech is scaled by the training utterances and, the more there are, "
        "by the speaker's turns up to the scaled one."
    )
    assert note_speaker_scaling(live, None) == note
    assert note_speaker_scaling(live, wavs) == (
        f"{note} The recordings in {str(wavs)!r} count as if the speaker had said them before."
    )
    # Without them the recording itself counts, as in training; so does each speaker's own of a dialogue.
    (tmp_path / "nothing yet").mkdir()
    first = predict(live, recorded, speaker_wavs=tmp_path / "nothing yet")
    assert first == predict(live, recorded)
    moments = Moments(34)
    moments.add(frames[0].astype(np.float32))
    scaling = moments.shrink(loaded.fitted.speech, 100)
    scaled = ((frames[0] - scaling.mean) / scaling.std).astype(np.float32)[None]
    expected = loaded.model({"speech": scaled, "speech_lengths": np.array([len(frames[0])], np.int32)}).numpy()[0]
    np.testing.assert_allclose(list(first.probabilities.values()), expected, atol=1e-5)
    turns = [RecordedTurn(Recorded(wavs / name), speaker) for name, speaker in (("700.wav", "Bo"), ("200.wav", "Al"))]
    both = predict_dialogue(live, turns)
    np.testing.assert_allclose(list(both[1].probabilities.values()), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        (
            "own",
            "Not adapted to the speaker as in training: motion is scaled by the mean and the deviation of the training "
            "utterances.",
        ),
        (
            "past",
            "Adapted to the speaker without labels: motion is scaled by the training utterances and, the more there "
            "are, by the speaker's turns up to the scaled one.",
        ),
    ],
)
def test_whose_statistics_scale_the_motion_is_said(tmp_path, wavs, scaling, expected):
    protocol = read_protocol({"speaker_scaling": scaling})
    assert note_speaker_scaling(write_record(tmp_path, "head2", ("mocap",), {}, protocol), None) == expected
    both = write_record(tmp_path, "fusion", ("text", "speech", "mocap"), {}, protocol)
    assert "speech and motion are scaled by" in note_speaker_scaling(both, None)
    if scaling == "own":
        assert note_speaker_scaling(both, wavs).endswith(
            ". Motion is not adapted as in training: it is scaled by the mean and the deviation of the training "
            "utterances."
        )
    assert note_speaker_scaling(write_record(tmp_path, "text2", ("text",), {}, protocol), None) is None


@pytest.mark.parametrize(("scaling", "count"), [("past", 400), ("own", 0)])
def test_motion_is_scaled_by_the_turns_that_are_given(tmp_path, face_path, scaling, count):
    protocol = read_protocol({"speaker_scaling": scaling})
    live = save_untrained(tmp_path / "live", "head2", protocol)
    turns = [RecordedTurn(Recorded(mocap_path=face_path), "Al")]
    loaded = load_seed(live, 1)
    features, _ = read_recorded(ModelRecord.read(live), turns)
    windows = features.mocap([0])
    moments = Moments(189)
    moments.add(windows[0].copy())
    scaling = moments.shrink(loaded.fitted.mocap, count)
    scaled = np.nan_to_num((windows - scaling.mean) / scaling.std, nan=0.0).astype(np.float32)
    inputs = {"mocap": scaled, "mocap_lengths": np.array([200], np.int32)}
    inputs = {tensor.name: inputs[tensor.name] for tensor in loaded.model.inputs}
    (found,) = predict_dialogue(live, turns)
    np.testing.assert_allclose(list(found.probabilities.values()), loaded.model(inputs).numpy()[0], atol=1e-5)


def test_a_speakers_recordings_are_refused_where_there_is_none_or_no_use_for_them(adapted, listener, wavs, tmp_path):
    recorded = Recorded(wav_path=wavs / "200.wav")
    with pytest.raises(ModelError) as refused:
        predict(listener, recorded, speaker_wavs=wavs)
    assert str(refused.value) == (
        f"model {str(listener)!r}: does not scale speech by speaker, protocol 'paper'; omit --speaker-wavs"
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError) as refused:
        predict(adapted, recorded, speaker_wavs=tmp_path / "empty")
    assert str(refused.value) == (
        f"folder {str(tmp_path / 'empty')!r}: has no .wav file; expected recordings of the speaker"
    )


def write_dialogue(folder, text):
    (folder / "talk.csv").write_text(text)
    return read_dialogue(folder / "talk.csv").turns


def answers_of(found):
    return np.array([list(answer.probabilities.values()) for answer in found])


SPOKEN = (("Bo", "great yes"), ("Al", "no stop"), ("Al", "[breath]"), ("Bo", ""), ("Al", "sorry gone"))


def write_spoken(folder, spoken=SPOKEN):
    return write_dialogue(folder, "speaker,text\n" + "".join(f"{name},{words}\n" for name, words in spoken))


def test_a_system_in_context_reads_all_turns_of_a_dialogue_as_it_reads_those_of_a_corpus(reader, tmp_path):
    folder, trained = reader
    found = answers_of(predict_dialogue(folder, write_spoken(tmp_path)))
    turns, frames = invent_turns(sessions=(1,), num_turns=len(SPOKEN))
    letters = {"Bo": "M", "Al": "F"}
    same = [
        replace(turn, utterance_id=f"Ses02M_script01_1_{letters[name]}{row:03d}", transcript=words, emotion=CLASSES[0])
        for row, (turn, (name, words)) in enumerate(zip(turns, SPOKEN, strict=True))
    ]
    np.testing.assert_array_equal(found, trained.predict(hold(same, frames)))
    later = answers_of(predict_dialogue(folder, write_spoken(tmp_path, (*SPOKEN[:-1], ("Bo", "great yes")))))
    assert np.array_equal(found[0], later[0]) is (trained.fitted.context == "past")
    alone = answers_of(predict_dialogue(folder, write_spoken(tmp_path, SPOKEN[1:2])))
    np.testing.assert_array_equal(alone[0], answers_of([predict(folder, Recorded(transcript="no stop"))])[0])
    assert not np.array_equal(alone[0], found[1])


def test_what_a_reader_of_context_reads_is_said(reader, listener):
    folder, trained = reader
    assert note_context(folder, is_alone=True) == (
        f"Read as a dialogue of one turn: chain with context '{trained.fitted.context}' answers from the other turns "
        "too; give them with --dialogue."
    )
    assert note_context(folder, is_alone=False).startswith("Every turn is in the dialogue, for none has a label;")
    assert note_context(listener, is_alone=True) is None


def test_another_system_answers_each_turn_of_a_dialogue_on_its_own(listener, tmp_path):
    for number, seconds in enumerate((1.0, 2.0)):
        (tmp_path / f"{number}.wav").write_bytes(wav_bytes(tone(seconds)))
    found = predict_dialogue(listener, write_dialogue(tmp_path, "wav,speaker\n0.wav,F\n1.wav,M\n"))
    alone = [predict(listener, Recorded(tmp_path / f"{number}.wav")) for number in range(2)]
    np.testing.assert_allclose(answers_of(found), answers_of(alone), atol=1e-6)


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        (
            "speaker\nF\n",
            ModelError,
            "model {model!r}: was trained with speech, and speech is missing; expected a recording of every turn, in "
            "the column 'wav' or as 01_F.wav",
        ),
        ("speaker,wav\nF,no.wav\n", CorpusError, "recording '{folder}/no.wav': no such file; expected a wav file"),
        (
            "speaker,wav\nF,talk.csv\n",
            ModelError,
            "recording '{folder}/talk.csv': begins with b'speaker,wav\\n', expected a RIFF WAVE header; give a wav "
            "file with sound",
        ),
    ],
)
def test_a_turn_that_cannot_be_read_is_named_by_its_line(listener, tmp_path, text, error, sentence):
    with pytest.raises(error) as raised:
        predict_dialogue(listener, write_dialogue(tmp_path, text))
    expected = sentence.format(model=str(listener), folder=tmp_path)
    assert str(raised.value) == f"dialogue '{tmp_path}/talk.csv', line 2: {expected}"


def spoil(model_dir, change):
    """Change the last weights of a saved network, and make its files agree with each other again."""
    path = model_dir / "seed-1" / "model.keras"
    network = keras.saving.load_model(path)
    *others, last = network.get_weights()
    network.set_weights([*others, change(last)])
    network.save(path)
    write_digests(model_dir / "seed-1")


def copy_model(model_dir, tmp_path):
    copy = tmp_path / "models" / model_dir.name
    shutil.copytree(model_dir, copy)
    return copy


def test_an_answer_that_is_no_distribution_is_refused(listener, tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_bytes(tone(0.3)))
    model = copy_model(listener, tmp_path)
    spoil(model, lambda weights: np.full_like(weights, np.nan))
    with pytest.raises(ModelError) as raised:
        predict(model, Recorded(tmp_path / "a.wav"))
    assert str(raised.value) == (
        f"model '{model}/seed-1': answers nan, nan, nan, nan; expected probabilities from 0 to 1 that sum to 1; the "
        "model is damaged, or its training diverged: train it again with `harness retrain-best`"
    )


@pytest.mark.parametrize("row", [[37.97, -26.36, -5.0, -5.61], [0.2, 0.2, 0.2, 0.2], [0.5, 0.5, 0.5, -0.5]])
def test_numbers_that_are_no_probabilities_are_refused(row):
    with pytest.raises(ModelError, match="^model 'a': answers .*; expected probabilities from 0 to 1 that sum to 1; "):
        check_probabilities(np.array([[0.25, 0.25, 0.25, 0.25], row]), "model 'a'")


def test_what_a_model_does_not_read_is_said(listener):
    turn = RecordedTurn(Recorded(Path("a.wav"), "Oh, no."))
    assert note_unread(listener, [turn]) == "Not read: text, for the model was trained with speech alone."
    assert note_unread(listener, [RecordedTurn(Recorded(Path("a.wav")))]) is None


def test_a_model_s_file_that_changed_is_named(listener, tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_bytes(tone(0.3)))
    model = copy_model(listener, tmp_path)
    changed = model / "seed-1" / "fitted" / "speech_mean.npy"
    np.save(changed, np.load(changed) + 1)
    with pytest.raises(ModelError) as raised:
        predict(model, Recorded(tmp_path / "a.wav"))
    assert str(raised.value) == (
        f"model '{model}/seed-1': '{changed}' has changed since it was saved; expected the files whose SHA-256 is in "
        "sha256.json; restore a copy, or move the folder away and train it again with `harness retrain-best`"
    )


def test_a_model_s_record_that_changed_is_named(listener, tmp_path):
    model = copy_model(listener, tmp_path)
    path = model / "model.json"
    path.write_text(path.read_text().replace('"num_epochs": 1', '"num_epochs": 2'))
    with pytest.raises(ModelError, match=f"^model file '{path}': has changed since it was saved, by the SHA-256"):
        ModelRecord.read(model)


def rewrite_record(model_dir, **changes):
    """Change a model's record, and make it agree with itself again."""
    path = model_dir / "model.json"
    value = json.loads(path.read_text()) | changes
    del value["sha256"]
    path.write_text(json.dumps({**value, "sha256": hash_json(value, num_digits=64)}))


def member(name="another", seeds=(1,)):
    of_trial = {"system": "speech4", "eid": 1, "trial_index": 0, "num_epochs": 1, "hyperparameters": {}}
    return {"model": name, "seeds": list(seeds), **of_trial}


def auxiliary(**changes):
    return {"prepared_dirs": ["a"], "corpus_hashes": ["0" * 64], "training": "together", "num_epochs": 5, **changes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"temperature": 0.0}, "temperature is 0.0; expected a number from 0.1 to 10"),
        ({"temperature": np.inf}, "temperature is inf; expected a number from 0.1 to 10"),
        ({"temperature": np.nan}, "temperature is nan; expected a number from 0.1 to 10"),
        ({"temperature": 11.0}, "temperature is 11.0; expected a number from 0.1 to 10"),
        ({"eid": -1}, "eid is -1; expected a whole number from 1 on"),
        ({"trial_index": -1}, "trial_index is -1; expected a whole number from 0 on"),
        ({"members": [member() | {"eid": 0}]}, "eid is 0; expected a whole number from 1 on"),
        ({"members": [member() | {"trial_index": -2}]}, "trial_index is -2; expected a whole number from 0 on"),
        ({"members": [member(seeds=(1, 1))]}, r"members has the seeds \(1, 1\); expected each once and not negative"),
        ({"members": [member(seeds=(-1,))]}, r"members has the seeds \(-1,\); expected each once and not negative"),
        ({"num_train_utterances": 0}, "num_train_utterances is 0; expected a whole number from 1 on"),
        ({"scene_groups": [["impro01"], []]}, r"scene_groups is .*; expected groups of scenes, each scene once"),
        ({"scene_groups": [["impro01"]] * 2}, r"scene_groups is .*; expected groups of scenes, each scene once"),
        ({"auxiliary": auxiliary(num_epochs=0)}, "num_epochs is 0; expected a whole number from 1 on"),
        ({"auxiliary": auxiliary(corpus_hashes=[])}, "auxiliary has 1 prepared_dirs, 0 corpus_hashes; expected pairs"),
        ({"speech_settings": {**SETTINGS.to_json(), "window": -0.2}}, "speech settings: found .*window"),
        ({"modalities": []}, r"modalities is \(\); expected some of \['speech'\], each once"),
        ({"modalities": ["text"]}, r"modalities is \('text',\); expected some of \['speech'\]"),
        ({"modalities": ["speech"] * 2}, r"modalities is \('speech', 'speech'\); expected some of .*, each once"),
        ({"num_epochs": -5}, "num_epochs is -5; expected a whole number from 1 on"),
        ({"members": [member() | {"num_epochs": 0}]}, "num_epochs is 0; expected a whole number from 1 on"),
        ({"system": "speech9", "members": [member()]}, "unknown system 'speech9'; expected one of "),
        ({"system": "fusion_context", "hyperparameters": {}}, "turn_model is null; expected the one that system "),
        ({"speech_settings": None}, "speech_settings is null; expected the settings of the speech that "),
        ({"system": "head2"}, "unknown hyperparameter of system 'head2': '[a-z]+'; expected one of "),
        ({"system": "speech9"}, "unknown system 'speech9'; expected one of "),
        ({"hyperparameters": {"dense": "4"}}, "system 'speech4': hyperparameter 'dense' is '4'; expected an integer"),
        ({"turn_model": {}}, "turn_model is given, and system 'speech4' reads single utterances; expected it with "),
        ({"members": [member("../another")]}, "members has '../another' with the seeds .*; expected the name of a "),
        ({"members": [member(seeds=())]}, r"members has 'another' with the seeds \(\); expected .*at least one seed"),
        ({"added": [{"kind": "tfidf", "weight": 5.0}]}, r"the weights of added are \[5.0\]; expected shares of 1"),
        ({"added": [{"kind": "svm", "weight": 0.7}] * 2}, r"the weights of added are \[0.7, 0.7\]; expected shares "),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_record_whose_values_do_not_go_together_is_refused(listener, tmp_path, changes, said):
    model = copy_model(listener, tmp_path)
    rewrite_record(model, **changes)
    path = model / "model.json"
    with pytest.raises(ModelError, match=f"^model file '{path}': not a model's record \\({said}.*; restore a "):
        ModelRecord.read(model)


def test_an_ensemble_that_is_its_own_member_is_refused(listener, tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_bytes(tone(0.3)))
    model = copy_model(listener, tmp_path)
    rewrite_record(model, members=[member(model.name)])
    with pytest.raises(ModelError, match=f"^ensemble '{model}': its member 'speech' is an ensemble too; expected "):
        predict(model, Recorded(tmp_path / "a.wav"))


def write_network(model_dir, network):
    network.save(model_dir / "seed-1" / "model.keras")
    write_digests(model_dir / "seed-1")


@pytest.mark.parametrize(
    ("name", "num_outputs", "said"),
    [
        ("speech", 7, r"answers with numbers of the shape \(1, 7\); expected a probability of each of the 4 classes; "),
        ("text", 4, r"its network cannot answer \(.*\); expected the one that was trained with the files beside it; "),
    ],
)
def test_a_network_of_other_inputs_or_outputs_is_refused(listener, tmp_path, name, num_outputs, said):
    (tmp_path / "a.wav").write_bytes(wav_bytes(tone(0.3)))
    model = copy_model(listener, tmp_path)
    read = keras.Input((None, len(column_names(SETTINGS))), name=name)
    pooled = keras.layers.GlobalAveragePooling1D()(read)
    write_network(model, keras.Model([read], keras.layers.Dense(num_outputs, activation="softmax")(pooled)))
    with pytest.raises(ModelError, match=f"^model '{model}/seed-1': {said}restore a copy, or move the folder away"):
        predict(model, Recorded(tmp_path / "a.wav"))


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("layers/dense", "the weights of 1 layer are missing or of another shape, such as those of 'speech_dense'"),
        ("layers/attention_pooling/vars/1", "the weights of 1 layer are missing or of another shape, such as those"),
        ("layers", "the weights of 7 layers are missing or of another shape, such as those of 'lstm_cell'"),
    ],
)
def test_a_network_that_lacks_weights_is_refused_in_one_sentence_of_ours(listener, tmp_path, lost, said):
    path = copy_model(listener, tmp_path) / "seed-1" / "model.keras"
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        del file[lost]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**parts, "model.weights.h5": weights.getvalue()}.items():
            archive.writestr(name, content)
    write_digests(path.parent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ModelError) as raised:
            load_seed(path.parents[1], 1)
    sentence = str(raised.value)
    assert sentence.startswith(f"model '{path}': cannot be loaded ({said}")
    assert sentence.endswith("); restore a copy, or train it again with `harness retrain-best`")
    assert "\n" not in sentence and "\\n" not in sentence


@pytest.mark.parametrize("lost", ["other layers", "no layer"])
def test_a_network_whose_nested_layers_get_new_weights_is_refused(tmp_path, monkeypatch, lost):
    """Keras warns of them, and goes on with weights that nothing has trained."""

    def load(*_given, **_choices):
        if lost == "other layers":
            place = "Skipping nested container at 'layers/own/container': no matching group found in the saved file. "
            warnings.warn(f"{place}Affected layers will retain their freshly-initialized weights.", stacklevel=1)
        warnings.warn("something else", stacklevel=1)
        return "the network"

    (tmp_path / "model.keras").touch()
    monkeypatch.setattr(keras.saving, "load_model", load)
    if lost == "no layer":
        with pytest.warns(UserWarning, match="^something else$"):
            assert load_network(tmp_path) == "the network"
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ModelError, match="cannot be loaded .the weights of 'layers/own/container' are missing.; r"):
            load_network(tmp_path)


@pytest.mark.parametrize("deviation", [0.0, -1.0, 1e-40])
def test_a_scaling_by_no_deviation_is_refused(listener, tmp_path, deviation):
    model = copy_model(listener, tmp_path)
    path = model / "seed-1" / "fitted" / "speech_std.npy"
    deviations = np.load(path)
    deviations[3] = deviation
    np.save(path, deviations)
    write_digests(model / "seed-1")
    with pytest.raises(FeatureError, match="cannot be read .speech_std has .*; expected deviations above 0.; train "):
        load_seed(model, 1)


def test_more_turns_than_ids_are_refused(listener, tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_bytes(tone(0.3)))
    (turn,) = write_dialogue(tmp_path, "speaker,wav\nF,a.wav\n")
    record = replace(ModelRecord.read(listener), modalities=())
    assert len(read_recorded(record, [turn] * 1000)[0]) == 1000
    lost = replace(turn, recorded=Recorded(tmp_path / "no.wav"))
    with pytest.raises(CorpusError, match="line 2: is one turn too many; expected at most 1000 turns of a speaker"):
        read_recorded(ModelRecord.read(listener), [lost] * 1001)


def test_short_frames_are_read_from_a_recording_as_they_are_prepared(listener, tmp_path):
    settings = SPEECH_VARIANTS["frames"]
    (tmp_path / "a.wav").write_bytes(wav_bytes(tone(0.3)))
    record = replace(ModelRecord.read(listener), modalities=("speech",), speech_settings=settings.to_json())
    features, _ = read_recorded(record, [RecordedTurn(Recorded(tmp_path / "a.wav"))])
    expected = extract_speech(tone(0.3) / 2**15, settings)
    assert features.speech_columns == column_names(settings)
    assert np.array_equal(features.speech([0], len(expected))[0], expected.astype(np.float32))


@pytest.mark.long
def test_the_command_prints_a_row_a_turn(reader, tmp_path):
    write_spoken(tmp_path)
    done = type_command(tmp_path, "predict", reader[0], "--dialogue", "talk.csv", "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert [(turn["turn"], turn["speaker"]) for turn in printed] == [
        (str(number), name) for number, (name, _) in enumerate(SPOKEN, start=1)
    ]
    for turn in printed:
        assert turn["emotion"] == max(turn["probabilities"], key=turn["probabilities"].get)
    done = type_command(tmp_path, "predict", reader[0], "--dialogue", "talk.csv", columns=80)
    assert [line for line in done.stdout.splitlines() if "[breath]" in line], done.stdout
    assert done.stderr.startswith("Every turn is in the dialogue")
    done = type_command(tmp_path, "predict", reader[0], "--dialogue", "talk.csv", "--text", "oh")
    assert done.returncode == 2
    assert "--dialogue has turns of its own; give it without WAV, --text, --mocap, --start and --end." in done.stderr


@pytest.fixture
def recordings(tmp_path):
    """A folder of three recordings, the second of which is no sound."""
    folder = tmp_path / "many recordings"
    folder.mkdir()
    for name, content in (("a", wav_bytes(tone(1.0))), ("b", b"no wav"), ("c", wav_bytes(tone(1.5)))):
        (folder / f"{name}.wav").write_bytes(content)
    return folder


def test_each_of_many_recordings_is_answered_as_if_it_were_given_alone(listener, recordings, monkeypatch):
    turns = read_recordings(recordings).turns
    alone = [predict(listener, turns[number].recorded) for number in (0, 2)]
    for size in (1, 2, 64):
        monkeypatch.setattr("harness.final.predict._BATCH", size)
        first, second, third = predict_each(listener, turns)
        assert isinstance(second, ModelError) and "'b'" in str(second) and "b.wav" in str(second)
        for answer, expected in zip((first, third), alone, strict=True):
            assert list(answer.probabilities.values()) == pytest.approx(list(expected.probabilities.values()), abs=1e-5)


def test_recordings_of_a_model_in_context_are_dialogues_of_one_turn(reader):
    model_dir, _ = reader
    turns = [RecordedTurn(Recorded(transcript=text), "", name, name) for name, text in (("1", "no"), ("2", "yes"))]
    found = list(predict_each(model_dir, turns))
    assert [answer.probabilities for answer in found] == [
        predict(model_dir, turn.recorded).probabilities for turn in turns
    ]


@pytest.mark.long
def test_the_command_classifies_a_folder_and_names_what_it_could_not_read(listener, recordings, tmp_path):
    done = type_command(tmp_path, "predict", listener, recordings, "--csv", "out/emotions.csv")
    assert done.returncode == 1
    assert "Written: out/emotions.csv, 3 recordings\n" in done.stderr
    assert "Classifying" not in done.stderr, "a pipe has no progress bar"
    assert done.stderr.endswith("error: 1 of 3 recordings could not be classified; the others were\n")
    with (tmp_path / "out" / "emotions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["id"] for row in rows] == ["a", "b", "c"]
    assert [bool(row["emotion"]) for row in rows] == [True, False, True] and "b.wav" in rows[1]["error"]
    names = [f"probability_{emotion.name.lower()}" for emotion in CLASSES]
    assert sum(float(rows[0][name]) for name in names) == pytest.approx(1, abs=1e-4)
    (recordings / "b.wav").unlink()
    done = type_command(tmp_path, "predict", listener, recordings, "--json")
    assert done.returncode == 0 and [each["turn"] for each in json.loads(done.stdout)] == ["a", "c"]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_folder_has_a_progress_bar_in_a_terminal(listener, recordings, tmp_path):
    with Terminal(tmp_path, "predict", str(listener), str(recordings)) as terminal:
        terminal.wait_for("Classifying", seconds=300)
        assert "0%" in terminal.wait_for("emotion", seconds=300), "the bar comes before the table"
        code, last = terminal.end(seconds=300)
    assert code == 1 and "1 of 3 recordings could not be classified" in " ".join(last.split())


@pytest.mark.long
def test_where_no_recording_can_be_read_the_first_says_why_and_nothing_is_written(listener, tmp_path):
    (tmp_path / "list.csv").write_text("id,wav\na,nowhere.wav\nb,neither.wav\n")
    done = type_command(tmp_path, "predict", listener, "list.csv", "--csv", "out.csv")
    assert done.returncode == 2 and "nowhere.wav': no such file" in done.stderr
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.wav", "--csv", "x.csv"], "--csv is of many recordings; give it with a folder, a CSV file or --dialogue."),
        (["a.csv", "--text", "hi"], "'a.csv' has many recordings; give it without --text, --mocap, --start and --end."),
        (["a.csv", "--csv", "x.csv", "--json"], "--csv and --json exclude each other; give one of them."),
    ],
)
def test_options_of_one_recording_do_not_go_with_many(tmp_path, words, message):
    done = type_command(tmp_path, "predict", "model", *words)
    assert done.returncode == 2 and message in done.stderr


def test_a_model_of_another_format_is_to_be_trained_again(tmp_path):
    """An older record, which lacks fields, was called damaged."""
    (tmp_path / "model.json").write_text('{"format_version": 1}')
    with pytest.raises(ModelError) as caught:
        ModelRecord.read(tmp_path)
    assert str(caught.value) == (
        f"model file '{tmp_path}/model.json': format version 1; expected 3; train it again with `harness retrain-best`"
    )
