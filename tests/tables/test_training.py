"""One training: who chooses the epoch, what is trained on, and what is scored."""

import numpy as np
import pytest
import tensorflow as tf

from harness.errors import Diverged, FeatureError
from harness.models.systems import find_system, read_hyperparameters
from harness.splits.protocol import PROTOCOLS, leave_scenes_out, read_protocol
from harness.store.records import ScoreKind, TrialStatus
from harness.tables.experiments import TableExperiment
from harness.tables.parts import TableSplit, make_parts
from harness.tables.trainings import train
from harness.training.child_process import cause_of
from harness.training.recipe import Recipe, Watch, train_for_epochs

pytestmark = pytest.mark.long


@pytest.fixture
def train_row(settings, store):
    def train_with(name, split=TableSplit.SESSIONS, protocol="paper", seed=1, **changes):
        chosen = PROTOCOLS[protocol] if isinstance(protocol, str) else protocol
        experiment = TableExperiment(name, chosen, split)
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


def test_where_the_partner_validates_its_best_weights_are_scored_and_nothing_else_is_trained(train_row):
    protocol = read_protocol({"test_session": 3, "test_speaker": "F"})
    outcome, epochs, shown, parts = train_row("head2", TableSplit.PARTNER_VALIDATES, protocol, max_epochs=3)
    best = max(epochs, key=lambda epoch: (epoch.validation_accuracy, -epoch.epoch))
    (scores,) = outcome.scores
    assert (scores.kind, scores.epoch) == (ScoreKind.VALIDATION_CHOSEN, best.epoch)
    assert tuple(found.utterance_id for found in scores.predictions) == parts.test
    assert {found.utterance_id for found in outcome.result.predictions} == set(parts.validation)
    assert {stage for stage, _ in shown} == {"validated"}


@pytest.mark.parametrize("name", ["head2", "text_logistic", "sc_lstm"])
def test_with_scenes_left_out_each_utterance_is_scored_once_by_a_model_of_its_own_group(train_row, name):
    protocol = leave_scenes_out(PROTOCOLS["strict"])
    outcome, epochs, shown, parts = train_row(name, protocol=protocol, max_epochs=2)
    (scores,) = outcome.scores
    assert scores.kind is ScoreKind.VALIDATION_CHOSEN
    assert tuple(found.utterance_id for found in scores.predictions) == parts.test
    if epochs:
        num_scored = sum(bool(fold.scored) for fold in parts.final_folds(parts.test))
        models = {stage for stage, _ in shown if stage.startswith("without scenes")}
        assert len(models) == num_scored > 1 and scores.epoch == outcome.result.best_epoch


def test_a_model_without_scenes_answers_as_if_it_alone_had_been_trained(train_row, store, settings):
    """Each group's answers are those of one training on the rest, with the number of epochs that validation chose."""
    protocol = leave_scenes_out(PROTOCOLS["strict"])
    outcome, *_, parts = train_row("head2", protocol=protocol)
    fold = next(fold for fold in parts.final_folds(parts.test) if fold.scored)
    system = find_system("head2")
    recipe = Recipe(system, read_hyperparameters(system, {}, protocol), protocol, 1, 2, None, None)
    epoch, test = outcome.result.best_epoch, store.load(fold.scored)
    _, epochs = train_for_epochs(recipe, store.load(fold.train), epoch, test=test, scored_epochs=(epoch,))
    expected = dict(zip(fold.scored, epochs[epoch], strict=True))
    for found in outcome.scores[0].predictions:
        if found.utterance_id in expected:
            assert found.probabilities == tuple(float(value) for value in expected[found.utterance_id])
