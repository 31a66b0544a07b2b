"""Lines that report epochs and predictions: what is printed can be read, and what cannot be read is named."""

import io
import json
import math
import sys

import pytest

import harness
from harness.errors import ExperimentFileError
from harness.store.records import EpochRecord, Prediction
from harness.store.reported import read_line


def test_what_is_reported_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    harness.report_epoch(2, 0.5, train_loss=1.25, seconds=3)
    harness.report_predictions(["a", "b"], ["ang", "sad"], [[0.1, 0.2, 0.3, 0.4], (1, 0, 0, 0)])
    epoch, predictions = map(read_line, capsys.readouterr().out.splitlines())
    assert isinstance(epoch, EpochRecord) and isinstance(predictions, tuple)
    assert (epoch.epoch, epoch.validation_accuracy, epoch.train_loss, epoch.seconds) == (2, 0.5, 1.25, 3.0)
    assert math.isnan(epoch.validation_loss) and math.isnan(epoch.train_unweighted_accuracy)
    assert predictions == (
        Prediction("a", predictions[0].emotion, predictions[0].predicted, (0.1, 0.2, 0.3, 0.4)),
        Prediction("b", predictions[1].emotion, predictions[1].predicted, (1.0, 0.0, 0.0, 0.0)),
    )
    assert [(each.emotion.value, each.predicted.value) for each in predictions] == [("ang", "sad"), ("sad", "ang")]


def test_a_report_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    class Output(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stdout", Output())
    harness.report_epoch(1, 0.5)
    harness.report_predictions(["a"], ["ang"], [[1, 0, 0, 0]])
    assert len(written) == 2
    assert written[0].startswith("#Auptimizer-epoch: {") and written[0].endswith("}\n")
    assert written[1].startswith("#Auptimizer-predictions: [") and written[1].endswith("]\n")


def test_numbers_of_numpy_can_be_reported(capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    harness.report_epoch(np.int64(1), np.float32(0.5))  # type: ignore[arg-type]
    harness.report_predictions(["a"], np.array(["neu"]), np.eye(4, dtype=np.float32)[2:3])  # type: ignore[arg-type]
    assert [read_line(line) is not None for line in capsys.readouterr().out.splitlines()] == [True, True]


def test_a_loss_that_is_no_number_is_the_trials_and_not_the_lines_fault() -> None:
    epoch = read_line('#Auptimizer-epoch: {"epoch": 1, "validation_accuracy": 0.2, "train_loss": NaN}')
    assert isinstance(epoch, EpochRecord) and math.isnan(epoch.train_loss)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("epoch 3", "line 1, column 2: found 'epoch 3'; expected a value"),
        ("[3]", "found no object; expected one with epoch and validation_accuracy"),
        ('{"epoch": 0, "validation_accuracy": 0.5}', "epoch is 0; expected a whole number from 1 on"),
        ('{"epoch": 1.0, "validation_accuracy": 0.5}', "epoch is 1.0; expected a whole number from 1 on"),
        ('{"epoch": 1}', "validation_accuracy is missing; expected a number from 0 to 1"),
        ('{"epoch": 1, "validation_accuracy": 61}', "validation_accuracy is 61; expected a number from 0 to 1"),
        ('{"epoch": 1, "validation_accuracy": NaN}', "validation_accuracy is nan; expected a number from 0 to 1"),
        ('{"epoch": 1, "validation_accuracy": 0.5, "val_loss": 1}', "unknown key 'val_loss'; expected some of"),
        ('{"epoch": 1, "validation_accuracy": 0.5, "seconds": -1}', "seconds is -1; expected a number from 0 on"),
        ('{"epoch": 1, "validation_accuracy": 0.5, "train_loss": "x"}', "train_loss is 'x'; expected a number"),
        (f'{{"epoch": 1, "validation_accuracy": 0.5, "train_loss": {"9" * 400}}}', "expected a number below 1e308"),
        (f'{{"epoch": 1, "validation_accuracy": 0.5, "seconds": {"9" * 400}}}', "expected a number below 1e308"),
    ],
)
def test_an_epoch_that_cannot_be_read_is_named(said: str, complaint: str) -> None:
    with pytest.raises(ExperimentFileError) as caught:
        read_line(f"#Auptimizer-epoch: {said}")
    assert str(caught.value).startswith("#Auptimizer-epoch: ") and complaint in str(caught.value)


def test_lists_inside_lists_are_named_however_deep_they_are() -> None:
    for depth in range(880, 1000):
        for marker in ("#Auptimizer-epoch:", "#Auptimizer-predictions:"):
            with pytest.raises(ExperimentFileError, match="expected"):
                read_line(marker + "[" * depth + "]" * depth)


GOOD = {"utterance_id": "a", "emotion": "ang", "predicted": "sad", "probabilities": [0.25, 0.25, 0.25, 0.25]}


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ({}, "expected a list of objects, one an utterance"),
        ([3], "entry 1: found 3; expected an object with"),
        ([GOOD, {**GOOD, "more": 1}], "entry 2: found"),
        ([{**GOOD, "utterance_id": ""}], "utterance_id is ''; expected a text"),
        ([{**GOOD, "utterance_id": "a\ud800"}], "utterance_id is 'a\\ud800', half a character; expected a text that"),
        ([{**GOOD, "emotion": "happy"}], "emotion is 'happy'; expected one of ['ang', 'exc', 'neu', 'sad']"),
        ([{**GOOD, "probabilities": [1, 1, 0, 0]}], "probabilities are [1, 1, 0, 0]; expected 4 numbers from 0 to 1"),
        ([GOOD, GOOD], "utterance 'a' comes twice; expected each once"),
    ],
)
def test_predictions_that_cannot_be_read_are_named(entries: object, complaint: str) -> None:
    with pytest.raises(ExperimentFileError) as caught:
        read_line(f"#Auptimizer-predictions: {json.dumps(entries)}")
    assert complaint in str(caught.value)


@pytest.mark.timeout(20)
def test_an_utterance_that_comes_twice_among_very_many_is_named_at_once() -> None:
    """The controller reads this line: 20,000 of them took half a minute, and 100,000 a quarter of an hour."""
    entries = [{**GOOD, "utterance_id": f"utterance {number}"} for number in range(50_000)]
    with pytest.raises(ExperimentFileError, match="utterance 'utterance 49999' comes twice; expected each once"):
        read_line(f"#Auptimizer-predictions: {json.dumps([*entries, entries[-1]])}")


def test_a_wrong_report_is_an_error_where_it_is_made() -> None:
    with pytest.raises(ExperimentFileError, match="validation_accuracy is 61.0; expected a number from 0 to 1"):
        harness.report_epoch(1, 61)
    with pytest.raises(ExperimentFileError, match="found a number above 1e308; expected a smaller one"):
        harness.report_epoch(1, 0.5, train_loss=10**400)
    with pytest.raises(ExperimentFileError, match="half a character; expected a text that UTF-8 can write"):
        harness.report_predictions(["\udcff"], ["ang"], [[1, 0, 0, 0]])
    with pytest.raises(ExperimentFileError, match="1 utterances, 2 emotions and 1 rows of probabilities"):
        harness.report_predictions(["a"], ["ang", "sad"], [[1, 0, 0, 0]])
    with pytest.raises(ExperimentFileError, match="epoch is 3.7; expected a whole number from 1 on"):
        harness.report_epoch(3.7, 0.5)  # type: ignore[arg-type]
    with pytest.raises(ExperimentFileError, match="epoch: found 'last'; expected a number"):
        harness.report_epoch("last", 0.5)  # type: ignore[arg-type]
    with pytest.raises(ExperimentFileError, match="train_loss: found null; expected a number"):
        harness.report_epoch(1, 0.5, train_loss=None)  # type: ignore[arg-type]
    with pytest.raises(ExperimentFileError, match="probabilities: found 'x'; expected a number"):
        harness.report_predictions(["a"], ["ang"], [["x", 0, 0, 1]])  # type: ignore[list-item]
    for rows in ([[1, 0, 0]], [0.5]):
        with pytest.raises(ExperimentFileError, match="expected 4 numbers from 0 to 1 whose sum is 1"):
            harness.report_predictions(["a"], ["ang"], rows)  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'report_epochs'"):
        harness.report_epochs  # type: ignore[attr-defined]
