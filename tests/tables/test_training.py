"""One training: who chooses the epoch, what is trained on, and what is scored."""

import numpy as np
import pytest
import tensorflow as tf

from harness.errors import Diverged, FeatureError
from harness.splits.protocol import PROTOCOLS
from harness.store.records import ScoreKind, TrialStatus
from harness.tables.plan import TableExperiment, TableSplit, make_parts
from harness.tables.trainings import train
from harness.training.recipe import Watch
from harness.training.runner import cause_of

pytestmark = pytest.mark.long


@pytest.fixture
def train_row(settings, store):
    def train_with(name, split=TableSplit.SESSIONS, protocol="paper", seed=1, **changes):
        experiment = TableExperiment(name, PROTOCOLS[protocol], split)
        epochs, shown = [], []
        watch = Watch(epochs.append, lambda stage, epoch: shown.append((stage, epoch)))
        parts = make_parts(split, experiment.protocol, store)
        return train(experiment, settings(**changes), seed, watch, store, parts), epochs, shown, parts

    return train_with


def test_validation_chooses_the_epoch_and_the_test_set_is_scored_at_it(train_row):
    outcome, epochs, shown, parts = train_row("head2", max_epochs=3)
    best = max(epochs, key=lambda epoch: (epoch.validation_accuracy, -epoch.epoch))
    assert outcome.result.best_epoch == best.epoch and outcome.result.score == best.validation_accuracy
    chosen, maximum = outcome.scores
    assert (chosen.kind, chosen.epoch) == (ScoreKind.VALIDATION_CHOSEN, best.epoch)
    assert maximum.kind is ScoreKind.TEST_MAXIMUM
    assert maximum.weighted_accuracy >= chosen.weighted_accuracy
    for scores in outcome.scores:
        assert tuple(found.utterance_id for found in scores.predictions) == parts.test
    assert {found.utterance_id for found in outcome.result.predictions} == set(parts.validation)
    stages = [stage for stage, _ in shown]
    assert stages == ["validated"] * 3 + ["on train + validation"] * 3


def test_the_epochs_after_the_chosen_one_do_not_change_its_score(train_row):
    """The second training goes on for the optimistic column alone."""
    short, *_ = train_row("head2", max_epochs=1)
    long, epochs, *_ = train_row("head2", max_epochs=3, patience=1)
    if long.result.best_epoch == 1:
        assert long.scores[0].predictions == short.scores[0].predictions
    assert long.scores[1].weighted_accuracy >= short.scores[1].weighted_accuracy


def test_the_same_seed_gives_the_same_numbers(train_row):
    first, *_ = train_row("head2")
    same, *_ = train_row("head2")
    other, *_ = train_row("head2", seed=2)
    assert first.scores == same.scores
    assert first.scores[0].predictions != other.scores[0].predictions


def test_by_position_the_test_set_chooses_the_epoch_and_the_score_says_so(train_row):
    outcome, epochs, _, parts = train_row("head2", TableSplit.BY_POSITION, "published-code")
    (maximum,) = outcome.scores
    assert maximum.kind is ScoreKind.TEST_MAXIMUM
    assert maximum.weighted_accuracy == max(epoch.validation_accuracy for epoch in epochs)
    assert tuple(found.utterance_id for found in maximum.predictions) == parts.test


@pytest.mark.parametrize("split", [TableSplit.SESSIONS, TableSplit.BY_POSITION])
def test_a_baseline_has_no_epochs_and_one_score(train_row, split):
    outcome, epochs, _, parts = train_row("text_logistic", split)
    (scores,) = outcome.scores
    assert (scores.kind, scores.epoch, epochs) == (ScoreKind.VALIDATION_CHOSEN, None, [])
    assert tuple(found.utterance_id for found in scores.predictions) == parts.test
    scored = parts.validation or parts.test
    assert tuple(found.utterance_id for found in outcome.result.predictions) == scored


def test_the_majority_class_is_that_of_train_and_validation(train_row, store):
    outcome, _, _, parts = train_row("majority")
    shares = np.bincount(store.load(parts.trained_on).emotions, minlength=4) / len(parts.trained_on)
    assert outcome.scores[0].predictions[0].probabilities == pytest.approx(shares)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (Diverged("the loss is nan"), TrialStatus.DIVERGED, "the loss is nan"),
        (FeatureError("no file\nmore"), TrialStatus.CRASHED, "no file"),
        (MemoryError(), TrialStatus.OUT_OF_MEMORY, "MemoryError: no message"),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\ntrace"),
            TrialStatus.OUT_OF_MEMORY,
            "ResourceExhaustedError: OOM when allocating",
        ),
        (ValueError("shapes"), TrialStatus.CRASHED, "ValueError: shapes"),
    ],
    ids=["diverged", "ours", "memory", "device memory", "any other"],
)
def test_a_failure_has_its_cause(error, status, message):
    assert cause_of(error) == (status, message)
