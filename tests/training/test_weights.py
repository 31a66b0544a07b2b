"""The epoch that a training keeps, the average of its weights, and the length of a final training."""

from pathlib import Path

import numpy as np
import pytest

from harness.features.auxiliary import AuxiliaryCorpora, AuxiliaryTraining
from harness.features.frames import frame_columns
from harness.features.speech import SPEECH_VARIANTS
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.splits.protocol import PROTOCOLS, KeptWeights, read_protocol
from harness.store.records import EpochRecord
from harness.training import recipe as recipe_module
from harness.training.loop import Trainer
from harness.training.recipe import Recipe, final_epochs, train_for_epochs, train_validated
from harness.training.weights import WeightsKeeper
from tests.invented_features import invent_features


def keep(rule, accuracies, losses=None):
    """Return the kept epoch after each epoch."""
    keeper, kept = WeightsKeeper(rule), []
    for number, (accuracy, loss) in enumerate(zip(accuracies, losses or accuracies, strict=True), start=1):
        epoch = EpochRecord(number, 1.0, 0.5, 0.5, loss, accuracy, accuracy, 1.0)
        keeper.add(epoch, np.full((1, 4), number), lambda number=number: [np.array(number)])
        best = keeper.best
        assert best is not None and best.weights[0] == best.number == best.probabilities[0, 0]
        kept.append(best.number)
    return kept


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        (KeptWeights.BEST_EPOCH, [1, 1, 3, 3, 3, 3]),
        (KeptWeights.AVERAGE, [1, 1, 3, 3, 3, 3]),
        (KeptWeights.LOSS, [1, 1, 1, 1, 1, 6]),
    ],
)
def test_each_rule_keeps_its_epoch_and_of_equals_the_first(rule, kept):
    assert keep(rule, [0.5, 0.2, 0.8, 0.8, 0.7, 0.75], [0.5, 0.6, 0.5, 0.6, 0.7, 0.4]) == kept


def test_a_single_high_epoch_between_low_ones_is_not_kept_where_accuracies_are_smoothed():
    # The means over each epoch and its neighbours: 0.267, 0.467, 0.433, 0.6, 0.5, 0.633, 0.6, 0.6.
    assert keep(KeptWeights.SMOOTHED, [0.3, 0.2, 0.9, 0.2, 0.7, 0.6, 0.6, 0.6])[-1] == 6


def test_one_neighbour_decides_no_more_at_either_end_than_in_the_middle():
    assert keep(KeptWeights.SMOOTHED, [0.6, 0.9, 0.7, 0.2])[-1] == 2
    assert keep(KeptWeights.SMOOTHED, [0.2, 0.7, 0.9, 0.6])[-1] == 3


def test_the_second_epoch_may_be_better_than_the_first_where_accuracies_are_smoothed():
    # Otherwise a patience of one epoch would end every training after the second.
    assert keep(KeptWeights.SMOOTHED, [0.4, 0.5, 0.6]) == [1, 2, 3]
    # The means of epochs 2 and 3 are of the same numbers, and of equals the first is kept.
    assert keep(KeptWeights.SMOOTHED, [0.1, 0.2, 0.7, 0.1])[-1] == 2


SPEECH4 = {"speechlstm": 8, "dense": 16, "attention": "pooling", "optimizer": "adam", "learning_rate": 0.01}


def recipe_for(kept_weights, name="speech4", values=SPEECH4):
    system, protocol = SYSTEMS[name], read_protocol({"base": "paper", "kept_weights": kept_weights})
    point = read_hyperparameters(system, {"batch_size": 16} | values, protocol)
    return Recipe(system, point, protocol, 3, 6, 2, None)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kept_weights", ["smoothed", "loss", "average"])
def test_the_model_answers_with_the_weights_that_are_kept(kept_weights):
    train, validation = invent_features(40, cue=1), invent_features(40, cue=1, seed=9)
    trained, history = train_validated(recipe_for(kept_weights), train, validation)
    np.testing.assert_allclose(trained.predict(validation), history.best_probabilities, atol=1e-6)
    kept = history.epochs[history.best_epoch - 1]
    is_right = history.best_probabilities.argmax(axis=1) == validation.emotions
    assert kept.validation_accuracy == is_right.mean()
    if kept_weights == "loss":
        assert kept.validation_loss == min(epoch.validation_loss for epoch in history.epochs)


@pytest.mark.timeout(300)
def test_an_average_of_weights_changes_the_answers_and_not_the_training():
    train = invent_features(40, cue=1)
    answers = {}
    for name in ("best-epoch", "average"):
        trained, epochs = train_for_epochs(recipe_for(name), train, 3, test=train, scored_epochs=(1, 2, 3))
        answers[name] = epochs
        np.testing.assert_allclose(trained.predict(train), epochs[3], atol=1e-6)
    assert np.abs(answers["average"][3] - answers["best-epoch"][3]).max() > 1e-3
    # It trails what it averages: its answers are nearer to those at the beginning.
    moved = {name: np.abs(epochs[3] - epochs[1]).mean() for name, epochs in answers.items()}
    assert moved["average"] < moved["best-epoch"]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_decision_is_fitted_to_the_averaged_weights():
    invented = {"settings": SPEECH_VARIANTS["frames"], "cue_column": frame_columns("mfcc_2")[0]}
    train, validation = invent_features(60, **invented), invent_features(40, seed=9, **invented)
    values = {"elm_units": 10, "dense": 16, "learning_rate": 0.02, "optimizer": "momentum"}
    trained, history = train_validated(recipe_for("average", "dnn_elm", values), train, validation)
    np.testing.assert_allclose(trained.predict(validation), history.best_probabilities, atol=1e-6)


def test_a_final_training_takes_as_many_steps_as_the_search_to_the_nearest_epoch():
    searched, trained_on = [f"Ses01F_impro01_F{turn:03d}" for turn in range(300)], []
    trained_on = [*searched, *(f"Ses02F_impro01_F{turn:03d}" for turn in range(180))]
    protocol = read_protocol({"base": "paper", "final_length": "updates"})
    system = SYSTEMS["speech4"]
    point = read_hyperparameters(system, {"batch_size": 30}, protocol)
    by_updates = Recipe(system, point, protocol, 1, 30, None, None)
    # 10 steps an epoch in the search, 16 then: 9 epochs are 90 steps, 5.6 epochs.
    assert final_epochs(by_updates, 9, searched, [trained_on]) == 6
    assert final_epochs(by_updates, 1, searched, [trained_on]) == 1
    by_epochs = Recipe(system, point, PROTOCOLS["paper"], 1, 30, None, None)
    assert final_epochs(by_epochs, 9, searched, [trained_on]) == 9
    # A batch of a system that reads the dialogue is of dialogues: one here, and two then.
    system = SYSTEMS["sc_lstm"]
    in_context = Recipe(system, read_hyperparameters(system, {"batch_size": 1}, protocol), protocol, 1, 30, None, None)
    assert final_epochs(in_context, 9, searched, [trained_on]) == 4


def test_new_choices_change_no_hash_of_before():
    same = read_protocol({"base": "paper", "kept_weights": "best-epoch", "final_length": "epochs"})
    assert same.protocol_hash == PROTOCOLS["paper"].protocol_hash
    assert read_protocol({"kept_weights": "loss"}).protocol_hash != same.protocol_hash


def test_the_turns_of_auxiliary_corpora_count_as_steps_where_every_epoch_has_them(monkeypatch):
    """An epoch of the search is 10 own batches and 50 others, and then 16 and 50: nearly as many steps."""
    searched = [f"Ses01F_impro01_F{turn:03d}" for turn in range(300)]
    trained_on = [*searched, *(f"Ses02F_impro01_F{turn:03d}" for turn in range(180))]
    protocol = read_protocol({"base": "paper", "final_length": "updates"})
    point = read_hyperparameters(SYSTEMS["text2"], {"batch_size": 30}, protocol)
    monkeypatch.setattr(recipe_module, "load_auxiliary", lambda recipe: range(1500))
    for training, expected in ((AuxiliaryTraining.TOGETHER, 8), (AuxiliaryTraining.FIRST, 6)):
        auxiliary = AuxiliaryCorpora((Path("other"),), ("0" * 64,), training, 1)
        recipe = Recipe(SYSTEMS["text2"], point, protocol, 1, 30, None, None, auxiliary=auxiliary)
        assert final_epochs(recipe, 9, searched, [trained_on]) == expected


def test_a_short_training_on_auxiliary_corpora_first_is_compiled_for_the_steps_that_follow(monkeypatch):
    """A step is traced once: what the first one runs, all of them run."""
    seen = []

    def look(trainer, inputs, batch_size, generator):
        seen.append([layer.is_compiled for layer in trainer.model.layers if hasattr(layer, "is_compiled")])
        return 0.0, np.full((len(inputs.features), 4), 0.25, np.float32)

    monkeypatch.setattr(Trainer, "train_epoch", look)
    monkeypatch.setattr(recipe_module, "load_auxiliary", lambda recipe: invent_features(4, seed=1))
    monkeypatch.setattr(AuxiliaryCorpora, "describe", lambda corpora, num_turns: "others")
    values = {"textlstm": 4, "textlstm2": 4, "dense": 4, "embedding_dimension": 4, "batch_size": 8}
    point = read_hyperparameters(SYSTEMS["text2"], values, PROTOCOLS["paper"])
    auxiliary = AuxiliaryCorpora((Path("other"),), ("0" * 64,), AuxiliaryTraining.FIRST, 1)
    recipe = Recipe(SYSTEMS["text2"], point, PROTOCOLS["paper"], 1, 100, None, None, auxiliary=auxiliary)
    for num_epochs, is_compiled in ((199, True), (198, False)):
        seen.clear()
        train_for_epochs(recipe, invent_features(8), num_epochs)
        assert len(seen) == 1 + num_epochs and seen[0] == [is_compiled] * 2
    seen.clear()
    train_validated(recipe, invent_features(16), invent_features(8, seed=2))
    assert len(seen) == 1 + 100 and seen[0] == [True] * 2
