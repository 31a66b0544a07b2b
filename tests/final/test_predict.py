"""Prediction on files that are not as they should be: a small saved model, untrained, and damaged recordings."""

import json

import numpy as np
import pytest

from harness.corpus.irregularities import IrregularityKind
from harness.corpus.layout import MocapStream
from harness.corpus.utterances import CLASSES
from harness.features.fitted import fit_features
from harness.final.predict import Recorded, predict
from harness.final.saved_model import ModelRecord, save_seed
from harness.models.build import build_model, input_shapes
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.splits.protocol import PROTOCOLS
from harness.training.loop import TrainedModel
from tests.cli.commands import type_command
from tests.corpus.written import COMPLETE, mocap_bytes, mocap_values, tone, wav_bytes, write_tiny_corpus
from tests.invented_features import SETTINGS, invent_features

KIND = IrregularityKind
PAPER = PROTOCOLS["paper"]


def save_untrained(model_dir, system_name, **choices):
    system = SYSTEMS[system_name]
    point = read_hyperparameters(system, choices, PAPER)
    fitted = fit_features(invent_features(8, with_mocap=True), system.modalities, PAPER, None, None, seed=1)
    save_seed(model_dir, 1, TrainedModel(build_model(system, point, input_shapes(fitted, PAPER)), fitted))
    ModelRecord(
        system=system_name,
        hyperparameters=choices,
        protocol=PAPER,
        modalities=system.modalities,
        classes=tuple(CLASSES),
        num_epochs=1,
        seeds=(1,),
        speech_settings=SETTINGS.to_json() if "speech" in system.modalities else None,
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
