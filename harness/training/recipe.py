"""The way from hyperparameters and a split to a trained, scored model.

A search's trial, the final training, replications, leaks and the paper's tables all train whole models through this
file; new fusion layers on frozen branches, which have no features to fit, train in ``final/modalities.py``.

The order of the random operations is fixed: seed everything, fit the features (word vectors are drawn here), build
the model (its weights are drawn here), then train, with a generator of batches of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from weakref import WeakSet

import keras
import numpy as np

from harness.corpus.utterances import CLASSES, Seconds, parse_utterance_id
from harness.features.auxiliary import AuxiliaryCorpora, AuxiliaryTraining, join_words
from harness.features.store import Features, FeatureStore
from harness.models.hyperparameters import DialogueHyperparameters, Hyperparameters, TrainingHyperparameters
from harness.models.systems import System, modalities_of
from harness.models.turn_model import TurnModel, read_turn_model
from harness.scoring.calibration import fit_temperature
from harness.scoring.metrics import macro_f1, unweighted_accuracy, weighted_accuracy
from harness.splits.parts import Parts, part_search
from harness.splits.protocol import Calibrating, FinalLength, KeptWeights, Protocol
from harness.store.records import (
    EpochRecord,
    Prediction,
    ScoreKind,
    TestScores,
    TrialResult,
)
from harness.store.trial_spec import TrialSpec
from harness.training import context, single
from harness.training.loop import (
    AveragedTrainer,
    HasFeatures,
    History,
    Learner,
    TrainedModel,
    Trainer,
    fit,
    num_batches,
    seed_everything,
    train_for,
)
from harness.training.turn_network import TurnTraining, plan_turn_training

#: The whole models that this file has built and that are still in memory; fusion layers on frozen branches are not.
_MODELS: WeakSet[keras.Model] = WeakSet()


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training's numbers, except its utterances.

    Attributes:
        hyperparameters: complete, defaults included
        max_epochs: where validation chooses the epoch
        patience: epochs without a better one, by the protocol's ``kept_weights``, after which training stops; None for
            never
        word_vectors: a GloVe or word2vec file; None for vectors trained on the training text
        turn_model: the system below one that reads the dialogue; None where there is none
        auxiliary: None without auxiliary corpora
    """

    system: System
    hyperparameters: Hyperparameters
    protocol: Protocol
    seed: int
    max_epochs: int
    patience: int | None
    word_vectors: Path | None
    turn_model: TurnModel | None = None
    auxiliary: AuxiliaryCorpora | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that its models read."""
        if self.turn_model is not None:
            return modalities_of(self.turn_model.system, self.turn_model.hyperparameters)
        return modalities_of(self.system, self.hyperparameters)

    @property
    def reader(self) -> System:
        """The system that reads the utterances' features: the turn model's, or its own."""
        return self.system if self.turn_model is None else self.turn_model.system

    @property
    def trains_together(self) -> bool:
        """Whether every epoch is of auxiliary turns too."""
        return self.auxiliary is not None and self.auxiliary.training is AuxiliaryTraining.TOGETHER

    def with_seed(self, seed: int) -> Recipe:
        """Return the same with another seed, the turn model's too."""
        below = None if self.turn_model is None else replace(self.turn_model, seed=seed)
        return replace(self, seed=seed, turn_model=below)


def recipe_of(spec: TrialSpec, system: System, hyperparameters: Hyperparameters) -> Recipe:
    """Return the recipe of a search's trial.

    Raises:
        ExperimentFileError, UnknownNameError: its turn model is none
    """
    below = read_turn_model(spec.turn_model, system, spec.protocol)
    return Recipe(
        system,
        hyperparameters,
        spec.protocol,
        spec.seed,
        spec.max_epochs,
        spec.patience,
        spec.word_vectors,
        below,
        spec.auxiliary,
    )


@dataclass(frozen=True)
class Watch:
    """Callbacks of a training.

    Attributes:
        record_epoch: called with the record of each validated epoch as soon as it is known
        show: called after every epoch with the stage of the training and the epoch's number, from 1
    """

    record_epoch: Callable[[EpochRecord], None] = lambda epoch: None
    show: Callable[[str, int], None] = lambda stage, epoch: None


#: A trained model of any system.
Trained = TrainedModel | context.TrainedContext


@dataclass(frozen=True)
class Outcome:
    """The scores of one training.

    Attributes:
        result: of validation
        scores: on the test set, the honest one first
    """

    result: TrialResult
    scores: tuple[TestScores, ...] = ()


def open_parts(protocol: Protocol, store: FeatureStore) -> Parts:
    """Return the utterances that a search trains and validates on; the test session's files are not opened.

    Where one speaker is the test set they are opened for the partner's turns, and the speaker's are left out here.

    Raises:
        FeatureError: a part would be empty, or scenes are to be disjoint and a single one is played
    """
    return part_search(protocol, store.searchable_classes(protocol))


def train_once(recipe: Recipe, store: FeatureStore, parts: Parts, watch: Watch) -> Outcome:
    """Train on train and let validation choose the epoch, as every trial of a search does.

    Raises:
        Diverged: a loss became NaN or infinite
        FeatureError: the features that the system reads cannot be used
    """
    began = time.monotonic()
    train, validation = store.load(parts.train), store.load(parts.validation)
    trained, history = train_validated(recipe, train, validation, watch)
    result = _describe_result(history, validation, trained, time.monotonic() - began)
    if recipe.protocol.calibration is Calibrating.TEMPERATURE:
        result = replace(result, temperature=fit_temperature(history.best_probabilities, validation.emotions))
    return Outcome(result)


def train_twice(
    recipe: Recipe, store: FeatureStore, parts: Parts, watch: Watch, *, finds_maximum: bool
) -> Outcome:
    """Let validation choose the number of epochs, then train on train + validation with the same seed.

    The honest test score is that of the number of epochs that validation chose, or of ``final_epochs``.

    Args:
        finds_maximum: whether to train on to the last epoch and score the test set after each. The maximum over
            all of them is the published code's rule, optimistic. What is fitted at once has one epoch

    Raises:
        Diverged, FeatureError: as ``train_once``
    """
    began = time.monotonic()
    result = train_once(recipe, store, parts, watch).result
    best_epoch = final_epochs(recipe, result.best_epoch, parts.train, [parts.trained_on])
    goes_on = finds_maximum and not recipe.hyperparameters.is_fitted_at_once
    num_epochs = max(recipe.max_epochs, best_epoch) if goes_on else best_epoch
    trained_on, test = store.load(parts.trained_on), store.load(parts.test)
    _, epochs = train_for_epochs(
        recipe,
        trained_on,
        num_epochs,
        test=test,
        scored_epochs=range(1, num_epochs + 1) if finds_maximum else (best_epoch,),
        on_epoch=lambda number, trained: watch.show("on train + validation", number),
    )
    seed = recipe.seed
    scores = [score_predictions(seed, ScoreKind.VALIDATION_CHOSEN, test, epochs[best_epoch], best_epoch)]
    if finds_maximum:
        scores.append(best_test_epoch(seed, test, epochs))
    return Outcome(replace(result, duration_seconds=time.monotonic() - began), tuple(scores))


def train_and_score(recipe: Recipe, store: FeatureStore, parts: Parts, watch: Watch) -> Outcome:
    """Train on train, let validation choose the epoch, and score the test set with the weights of that epoch.

    The validation utterances are never trained on.

    Raises:
        Diverged, FeatureError: as ``train_once``
    """
    began = time.monotonic()
    train, validation, test = (store.load(part) for part in (parts.train, parts.validation, parts.test))
    trained, history = train_validated(recipe, train, validation, watch)
    scores = score_predictions(
        recipe.seed, ScoreKind.VALIDATION_CHOSEN, test, trained.predict(test), history.best_epoch
    )
    return Outcome(_describe_result(history, validation, trained, time.monotonic() - began), (scores,))


def train_on_test_epochs(recipe: Recipe, store: FeatureStore, parts: Parts, watch: Watch) -> Outcome:
    """Train with the test set as validation data and take the best epoch on it, as the published code does.

    Raises:
        Diverged, FeatureError: as ``train_once``
    """
    began = time.monotonic()
    train, test = store.load(parts.train), store.load(parts.test)
    protocol = replace(recipe.protocol, kept_weights=KeptWeights.BEST_EPOCH)
    trained, history = train_validated(replace(recipe, patience=None, protocol=protocol), train, test, watch)
    maximum = score_predictions(
        recipe.seed, ScoreKind.TEST_MAXIMUM, test, history.best_probabilities, history.best_epoch
    )
    return Outcome(_describe_result(history, test, trained, time.monotonic() - began), (maximum,))


def train_validated(
    recipe: Recipe, train: Features, validation: Features, watch: Watch = Watch()
) -> tuple[Trained, History]:
    """Train one model, validated after every epoch.

    Returns:
        the model with the weights that the protocol keeps
    """
    max_epochs = 1 if recipe.hyperparameters.is_fitted_at_once else recipe.max_epochs
    trained, learner, train_inputs = _build(recipe, train, validation, max_epochs)

    def finish_epoch(epoch: EpochRecord) -> None:
        watch.record_epoch(epoch)
        watch.show("validated", epoch.epoch)

    history = fit(
        learner,
        train_inputs,
        trained.fitted.prepare(validation),
        batch_size=recipe.hyperparameters.batch_size,
        max_epochs=max_epochs,
        patience=recipe.patience,
        seed=recipe.seed,
        on_epoch=finish_epoch,
        kept_weights=recipe.protocol.kept_weights,
    )
    return trained, history


def final_epochs(
    recipe: Recipe, best_epoch: int, searched_on: Sequence[str], trained_on: Sequence[Sequence[str]]
) -> int:
    """Return the number of epochs for which a training on train + validation goes on.

    Under ``FinalLength.UPDATES`` it takes as many training steps as the search had taken at its best epoch, to the
    nearest whole epoch, and at least one epoch.

    Args:
        best_epoch: the epoch, from 1, that validation chose in the search
        searched_on: ids of the utterances that the search trained on
        trained_on: those of each model of the final training; all models have the same number of epochs, for which
            their mean number of steps counts
    """
    if recipe.protocol.final_length is FinalLength.EPOCHS or recipe.hyperparameters.is_fitted_at_once:
        return best_epoch
    steps = np.mean([_count_steps(recipe, names) for names in trained_on])
    return max(1, round(best_epoch * _count_steps(recipe, searched_on) / float(steps)))


def _count_steps(recipe: Recipe, utterance_ids: Sequence[str]) -> int:
    """Return the training steps of an epoch; a batch of a system that reads the dialogue is of dialogues."""
    rows = set(utterance_ids)
    if isinstance(recipe.hyperparameters, DialogueHyperparameters):
        rows = {parse_utterance_id(name).dialogue_id for name in utterance_ids}
    others = load_auxiliary(recipe) if recipe.trains_together else None
    num_others = 0 if others is None else len(others)
    return num_batches(len(rows) + num_others, recipe.hyperparameters.batch_size)


def train_for_epochs(
    recipe: Recipe,
    train: Features,
    num_epochs: int,
    *,
    test: Features | None = None,
    scored_epochs: Collection[int] = (),
    on_epoch: Callable[[int, Trained], None] = lambda number, trained: None,
) -> tuple[Trained, dict[int, np.ndarray]]:
    """Train one model for a number of epochs that was chosen beforehand.

    Args:
        test: the opened test set; a vocabulary knows its words where the protocol says so
        scored_epochs: numbers of the epochs after which ``test`` is scored
        on_epoch: called after each epoch with its number, from 1, and the model as it is then

    Returns:
        the model, and the test probabilities, float32 (num_test, 4), by epoch
    """
    trained, learner, train_inputs = _build(recipe, train, test, num_epochs)
    test_inputs = None if test is None else trained.fitted.prepare(test)
    probabilities: dict[int, np.ndarray] = {}

    def finish_epoch(number: int) -> None:
        if test_inputs is not None and number in scored_epochs:
            probabilities[number] = learner.score(test_inputs)
        on_epoch(number, trained)

    train_for(
        learner,
        train_inputs,
        batch_size=recipe.hyperparameters.batch_size,
        num_epochs=num_epochs,
        seed=recipe.seed,
        on_epoch=finish_epoch,
    )
    return trained, probabilities


def _build(
    recipe: Recipe, train: Features, vocabulary_extra: Features | None, num_epochs: int
) -> tuple[Trained, Learner, HasFeatures]:
    """Fit the features and build the model; the last is what the learner trains on, for at most ``num_epochs``."""
    # Collecting the garbage of earlier models takes half a second, which a trial of a search need not spend.
    keras.backend.clear_session(free_memory=bool(_MODELS))
    seed_everything(recipe.seed)
    point = recipe.hyperparameters
    if isinstance(point, DialogueHyperparameters):
        in_context, learner, dialogues = context.begin_training(
            point, train, recipe.protocol, recipe.seed, plan_turns(recipe)
        )
        if isinstance(in_context.model, keras.Model):  # a chain is a few numbers
            _MODELS.add(in_context.model)
        return in_context, _average(learner, recipe), dialogues
    assert isinstance(point, TrainingHyperparameters)
    others, known = load_auxiliary(recipe), train
    if others is not None:
        known = join_words(train, others)
    trained, trainer, inputs = single.begin_training(
        recipe.system,
        point,
        known if recipe.trains_together else train,
        recipe.protocol,
        recipe.word_vectors,
        recipe.seed,
        vocabulary_extra,
        known,
    )
    _MODELS.add(trained.model)
    if others is not None and recipe.auxiliary is not None:
        source = f"{trained.fitted.embedding_source}; {recipe.auxiliary.describe(len(others))}"
        trained = replace(trained, fitted=replace(trained.fitted, embedding_source=source))
        if not recipe.trains_together:
            train_for(
                trainer,
                trained.fitted.prepare(others),
                batch_size=point.batch_size,
                num_epochs=recipe.auxiliary.num_epochs,
                seed=recipe.seed,
                num_later_steps=num_epochs * num_batches(len(train), point.batch_size),
            )
    return trained, _average(trainer, recipe), inputs


def _average(learner: Learner, recipe: Recipe) -> Learner:
    """Let a learner answer with averaged weights where the protocol says so; what takes no steps has no average."""
    is_averaged = recipe.protocol.averages_weights and not recipe.hyperparameters.is_fitted_at_once
    return AveragedTrainer(learner) if is_averaged and isinstance(learner, Trainer) else learner


def load_auxiliary(recipe: Recipe) -> Features | None:
    """Return the words of the auxiliary corpora's turns that a recipe trains on; None without auxiliary corpora.

    Raises:
        FeatureError: as ``AuxiliaryCorpora.load``
    """
    return None if recipe.auxiliary is None else recipe.auxiliary.load(recipe.protocol.happiness)


def plan_turns(recipe: Recipe) -> TurnTraining | None:
    """Plan the training of the turns' own network; None for a system without a turn model."""
    below = recipe.turn_model
    if below is None:
        return None
    own = Recipe(
        below.system, below.hyperparameters, recipe.protocol, below.seed, below.num_epochs, None, recipe.word_vectors
    )

    def train_below(train: Features) -> TrainedModel:
        trained, _ = train_for_epochs(own, train, below.num_epochs)
        assert isinstance(trained, TrainedModel)
        return trained

    return plan_turn_training(below, recipe.protocol, recipe.word_vectors, train_below)


def _describe_result(
    history: History, validation: Features, trained: Trained, duration_seconds: Seconds
) -> TrialResult:
    return TrialResult(
        score=history.epochs[history.best_epoch - 1].validation_accuracy,
        best_epoch=history.best_epoch,
        num_epochs=len(history.epochs),
        predictions=describe_predictions(validation, history.best_probabilities),
        # A process that trains several models knows only the peak of all of them together.
        peak_memory_bytes=None,
        duration_seconds=duration_seconds,
        embedding_source=_describe_source(trained, validation),
    )


def _describe_source(trained: Trained, validation: Features) -> str | None:
    if isinstance(trained, single.TransferredModel):
        return trained.describe_source(validation)
    return trained.fitted.embedding_source if "text" in trained.fitted.modalities else None


def describe_predictions(features: Features, probabilities: np.ndarray) -> tuple[Prediction, ...]:
    """Set a model's probabilities, float32 (num_utterances, 4), beside the classes that the raters' labels have."""
    return tuple(
        Prediction(
            utterance.utterance_id,
            CLASSES[emotion],
            CLASSES[int(row.argmax())],
            tuple(float(probability) for probability in row),
        )
        for utterance, emotion, row in zip(features.utterances, features.emotions, probabilities, strict=True)
    )


def score_predictions(
    seed: int, kind: ScoreKind, test: Features, probabilities: np.ndarray, epoch: int | None
) -> TestScores:
    """Score probabilities, floating (num_test, 4), of the model as it was after ``epoch``; a baseline has none."""
    predicted = probabilities.argmax(axis=1)
    return TestScores(
        seed=seed,
        kind=kind,
        weighted_accuracy=weighted_accuracy(test.emotions, predicted),
        unweighted_accuracy=unweighted_accuracy(test.emotions, predicted),
        macro_f1=macro_f1(test.emotions, predicted),
        predictions=describe_predictions(test, probabilities),
        epoch=epoch,
    )


def best_test_epoch(seed: int, test: Features, epochs: dict[int, np.ndarray]) -> TestScores:
    """Score the epoch that scores best on the test set, as the published code does: optimistic.

    Args:
        epochs: test probabilities, float32 (num_test, 4), by epoch; of equally good epochs the first counts
    """
    best = max(sorted(epochs), key=lambda epoch: weighted_accuracy(test.emotions, epochs[epoch].argmax(axis=1)))
    return score_predictions(seed, ScoreKind.TEST_MAXIMUM, test, epochs[best], best)
