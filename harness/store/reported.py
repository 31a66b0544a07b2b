"""Lines of a script's output that report an epoch or predictions of its trial: written, and read into records.

Any program may print them; ``harness.report_epoch`` and ``harness.report_predictions`` print them for Python.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from harness.corpus.utterances import CLASSES, Emotion
from harness.errors import ExperimentFileError, one_line, show_value
from harness.files import parse_json
from harness.store.records import EpochRecord, Prediction

#: The markers before a JSON object, and before a JSON list of objects.
EPOCH_MARKER = "#Auptimizer-epoch:"
PREDICTIONS_MARKER = "#Auptimizer-predictions:"

#: How far the probabilities of an utterance may be from 1 in sum: printed numbers are rounded.
_TOLERANCE = 1e-3
_LOSSES = ("train_loss", "validation_loss")
_NUMBERS = tuple(field.name for field in fields(EpochRecord) if field.name != "epoch")
_PREDICTION_KEYS = tuple(field.name for field in fields(Prediction))


def report_epoch(epoch: int, validation_accuracy: float, **others: float) -> None:
    """Report an epoch of this trial to the search that runs it, which may end the trial here (early stopping).

    Args:
        epoch: counted from 1; each is reported once, in order
        validation_accuracy: from 0 to 1
        others: ``train_loss`` and ``validation_loss`` in nats, ``train_accuracy``, ``train_unweighted_accuracy`` and
            ``validation_unweighted_accuracy`` from 0 to 1, ``seconds``; without ``seconds`` the search measures them

    Raises:
        ExperimentFileError: an argument is not such a number

    Example:
        >>> report_epoch(3, validation_accuracy=0.61)
        #Auptimizer-epoch: {"epoch": 3, "validation_accuracy": 0.61}
    """
    given = {"epoch": epoch, "validation_accuracy": validation_accuracy, **others}
    values = {name: _to_number(value, f"{EPOCH_MARKER} {name}") for name, value in given.items()}
    if values["epoch"].is_integer():
        values["epoch"] = int(values["epoch"])
    _read_epoch(values)
    _print_line(f"{EPOCH_MARKER} {json.dumps(values)}")


def report_predictions(
    utterance_ids: Sequence[str], emotions: Sequence[str], probabilities: Iterable[Sequence[float]]
) -> None:
    """Report the predictions of this trial on its validation utterances; a later report replaces an earlier one.

    Args:
        emotions: of the raters, each one of ``ang``, ``exc``, ``neu`` and ``sad``
        probabilities: of these four for each utterance, in this order; the largest is the prediction

    Raises:
        ExperimentFileError: the arguments differ in length, or hold something else

    Example:
        >>> report_predictions(["Ses04F_impro01_F000"], ["sad"], [[0.1, 0.1, 0.2, 0.6]])  # doctest: +ELLIPSIS
        #Auptimizer-predictions: [{"utterance_id": "Ses04F_impro01_F000", "emotion": "sad", "predicted": "sad", ...}]
    """
    where = f"{PREDICTIONS_MARKER} probabilities"
    rows = [
        [_to_number(value, where) for value in (row if isinstance(row, Iterable) else [row])] for row in probabilities
    ]
    if not len(utterance_ids) == len(emotions) == len(rows):
        raise ExperimentFileError(
            f"predictions: {len(utterance_ids)} utterances, {len(emotions)} emotions and {len(rows)} rows of "
            "probabilities; expected as many of each"
        )
    entries = [
        {
            "utterance_id": str(utterance_id),
            "emotion": str(emotion),
            "predicted": CLASSES[row.index(max(row)) if len(row) == len(CLASSES) else 0].value,
            "probabilities": row,
        }
        for utterance_id, emotion, row in zip(utterance_ids, emotions, rows, strict=True)
    ]
    _read_predictions(entries)
    _print_line(f"{PREDICTIONS_MARKER} {json.dumps(entries)}")


def read_line(line: str) -> EpochRecord | tuple[Prediction, ...] | None:
    """Read a line of a trial's output; None where it reports nothing. ``seconds`` that are not given are NaN.

    Raises:
        ExperimentFileError: what comes after a marker is not what belongs there

    Example:
        >>> read_line("loss 0.7") is None
        True
        >>> read_line('#Auptimizer-epoch: {"epoch": 3, "validation_accuracy": 0.61}').validation_accuracy
        0.61
    """
    for marker, read in ((EPOCH_MARKER, _read_epoch), (PREDICTIONS_MARKER, _read_predictions)):
        _, found, text = line.partition(marker)
        if found:
            where = f"{marker} {one_line(text.strip()):.80}"
            try:
                value = parse_json(text)
            except ValueError as error:
                raise ExperimentFileError(f"{where}: {error}") from None
            try:
                return read(value)
            except RecursionError:
                raise ExperimentFileError(
                    f"{where}: lists inside lists, too deep to be read; expected one object, or a list"
                ) from None
    return None


def _to_number(value: Any, where: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ExperimentFileError(f"{where}: found a number above 1e308; expected a smaller one") from None
    except (TypeError, ValueError):
        raise ExperimentFileError(f"{where}: found {show_value(value)}; expected a number") from None


def _print_line(line: str) -> None:
    # One write, the end of the line too, which print would write on its own: nothing that another thread or a child
    # writes gets between.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _read_epoch(value: Any) -> EpochRecord:
    where = f"{EPOCH_MARKER} {one_line(json.dumps(value)):.120}"
    if not isinstance(value, Mapping):
        raise ExperimentFileError(f"{where}: found no object; expected one with epoch and validation_accuracy")
    for name in value:
        if name not in ("epoch", *_NUMBERS):
            raise ExperimentFileError(f"{where}: unknown key {name!r}; expected some of {['epoch', *_NUMBERS]}")
    epoch = value.get("epoch")
    if not isinstance(epoch, int) or isinstance(epoch, bool) or not 1 <= epoch < 2**31:
        raise ExperimentFileError(f"{where}: epoch is {show_value(epoch)}; expected a whole number from 1 on")
    if "validation_accuracy" not in value:
        raise ExperimentFileError(f"{where}: validation_accuracy is missing; expected a number from 0 to 1")
    numbers = {name: _read_number(value[name], name, where) if name in value else math.nan for name in _NUMBERS}
    return EpochRecord(epoch, **numbers)


def _read_number(value: Any, name: str, where: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in _LOSSES:
        # A loss may be infinite or NaN: then it is the trial's, and not the line's, fault.
        if not is_number:
            raise ExperimentFileError(f"{where}: {name} is {show_value(value)}; expected a number")
    elif name == "seconds":
        if not is_number or not 0 <= value < math.inf:
            raise ExperimentFileError(f"{where}: seconds is {show_value(value)}; expected a number from 0 on")
    elif not is_number or not 0 <= value <= 1:
        raise ExperimentFileError(f"{where}: {name} is {show_value(value)}; expected a number from 0 to 1")
    try:
        return float(value)
    except OverflowError:
        # Only a whole number can be so large: JSON reads 1e400 as infinity.
        raise ExperimentFileError(f"{where}: {name} is {show_value(value)}...; expected a number below 1e308") from None


def _read_predictions(value: Any) -> tuple[Prediction, ...]:
    if not isinstance(value, list):
        found = show_value(value)
        raise ExperimentFileError(f"{PREDICTIONS_MARKER} found {found}; expected a list of objects, one an utterance")
    predictions = tuple(_read_prediction(entry, number) for number, entry in enumerate(value, start=1))
    counts = Counter(prediction.utterance_id for prediction in predictions)
    twice = next((utterance_id for utterance_id, count in counts.items() if count > 1), None)
    if twice is not None:
        raise ExperimentFileError(f"{PREDICTIONS_MARKER} utterance {twice!r} comes twice; expected each once")
    return predictions


def _read_prediction(value: Any, number: int) -> Prediction:
    where = f"{PREDICTIONS_MARKER} entry {number}"
    if not isinstance(value, Mapping) or set(value) != set(_PREDICTION_KEYS):
        found = show_value(value)
        raise ExperimentFileError(f"{where}: found {found}; expected an object with {list(_PREDICTION_KEYS)}")
    if not isinstance(value["utterance_id"], str) or not value["utterance_id"]:
        found = show_value(value["utterance_id"])
        raise ExperimentFileError(f"{where}: utterance_id is {found}; expected a text that is not empty")
    try:
        value["utterance_id"].encode("utf-8")
    except UnicodeEncodeError:
        raise ExperimentFileError(
            f"{where}: utterance_id is {show_value(value['utterance_id'])}, half a character; expected a text that "
            "UTF-8 can write"
        ) from None
    known = [emotion.value for emotion in CLASSES]
    for name in ("emotion", "predicted"):
        if value[name] not in known:
            raise ExperimentFileError(f"{where}: {name} is {show_value(value[name])}; expected one of {known}")
    row = value["probabilities"]
    if (
        not isinstance(row, list)
        or len(row) != len(known)
        or not all(isinstance(each, int | float) and not isinstance(each, bool) and 0 <= each <= 1 for each in row)
        or abs(sum(row) - 1) > _TOLERANCE
    ):
        raise ExperimentFileError(
            f"{where}: probabilities are {show_value(row)}; expected {len(known)} numbers from 0 to 1 whose sum is 1, "
            f"in the order {known}"
        )
    probabilities = tuple(float(each) for each in row)
    return Prediction(value["utterance_id"], Emotion(value["emotion"]), Emotion(value["predicted"]), probabilities)
