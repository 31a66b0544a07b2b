"""Fusions without a modality, or with a branch of another model: `retrain-best --without` and `--replace`.

The paper claims that a missing or better modality needs only the fusion layers trained again. That way is compared
with training everything again, and with zeros in place of the input.

Source: paper, sections 1 and 6.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from harness.errors import ModelError
from harness.features.fitted import NO_TEXT, FittedFeatures
from harness.features.manifest import MODALITIES
from harness.features.store import Features, FeatureStore
from harness.final.baselines import score_probes
from harness.final.retrain import FinalTraining, describe_model, keep_record, train_final_models
from harness.final.saved_model import ModelRecord, load_seed, name_in_results, save_seed
from harness.final.test_session import open_for_scoring
from harness.models.fusion import FUSED_BRANCHES, cut_branch, fuse
from harness.models.hyperparameters import FusionHyperparameters
from harness.store.records import ScoreKind, TestScores
from harness.store.store import ResultsStore
from harness.training.loop import (
    AveragedTrainer,
    ModelInputs,
    Scorer,
    TrainedModel,
    seed_everything,
    train_for,
)
from harness.training.recipe import (
    Recipe,
    open_parts,
    score_predictions,
    train_for_epochs,
)
from harness.training.single import make_trainer


@dataclass(frozen=True)
class Variant:
    """One way to do without a modality, or with another branch.

    Attributes:
        probabilities: of the scored utterances, float32 (num_utterances, 4), by seed
        seconds: of training, of each seed; 0 where nothing is trained; empty where it was not timed
    """

    kind: ScoreKind
    probabilities: Mapping[int, np.ndarray]
    seconds: tuple[float, ...] = ()


@dataclass(frozen=True)
class SideBySide:
    """Several ways side by side, all scored on the same utterances.

    Attributes:
        scored_on: in words
        emotions: int64 (num_utterances,), index into ``CLASSES``, of the scored utterances
    """

    scored_on: str
    emotions: np.ndarray
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Destination:
    """The folder of models that come from others, and what their record says.

    Attributes:
        modalities: that they read
        variant: a sentence on how they came about
        is_fitted_on_test: whether a vocabulary in them knows the test session's words
    """

    folder: Path
    modalities: tuple[str, ...]
    variant: str
    is_fitted_on_test: bool = False


@dataclass(frozen=True)
class FrozenInputs:
    """The outputs of frozen branches in place of the features: the inputs of the fusion layers.

    Attributes:
        outputs: float32 (num_utterances, units) by modality
    """

    features: Features
    outputs: Mapping[str, np.ndarray]

    @property
    def lengths(self) -> Mapping[str, np.ndarray]:
        """No steps are left."""
        return {}

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the branches' outputs of some utterances."""
        return {modality: values[rows] for modality, values in self.outputs.items()}


@dataclass(frozen=True)
class ZeroedInputs:
    """Inputs in which some modalities are zeros: no words, and motion and frames at the training mean."""

    inputs: ModelInputs
    zeroed: frozenset[str]

    @property
    def features(self) -> Features:
        """The utterances."""
        return self.inputs.features

    @property
    def lengths(self) -> Mapping[str, np.ndarray]:
        """Steps of each utterance by modality."""
        return self.inputs.lengths

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the model's inputs of some utterances, zeros for those modalities."""
        batch = self.inputs.batch(rows)
        return {
            name: np.zeros_like(values) if name in self.zeroed else values for name, values in batch.items()
        }


def kept_modalities(training: FinalTraining, without: Sequence[str]) -> tuple[str, ...]:
    """Return the modalities that stay, in the order of the branches.

    Raises:
        ModelError: the system is no fusion, has no such modality, or none would stay
    """
    modalities = training.system.modalities
    if not isinstance(training.hyperparameters, FusionHyperparameters):
        raise ModelError(
            f"system {training.system.name!r}: has one branch and no fusion layers; expected 'fusion' or 'speech_text'"
        )
    for modality in without:
        if modality not in modalities:
            raise ModelError(
                f"system {training.system.name!r}: has no branch for {modality!r}; expected one of {sorted(modalities)}"
            )
    kept = tuple(modality for modality in FUSED_BRANCHES if modality in modalities and modality not in without)
    if not kept:
        raise ModelError(
            f"system {training.system.name!r}: no modality is left without {', '.join(without)}; expected at least one "
            "modality"
        )
    return kept


def train_whole(
    recipe: Recipe, features: Features, num_epochs: int, modalities: Sequence[str]
) -> TrainedModel:
    """Train a fusion of ``modalities`` from its beginning."""
    system = replace(recipe.system, modalities=tuple(modalities))
    trained = train_for_epochs(replace(recipe, system=system), features, num_epochs)[0]
    assert isinstance(trained, TrainedModel)
    return trained


def retrain_fusion_layers(
    recipe: Recipe, branches: Mapping[str, TrainedModel], features: Features, num_epochs: int
) -> TrainedModel:
    """Freeze one branch of each of some trained models, and train new fusion layers on their outputs.

    The branches run without dropout, and once: their outputs do not change while the fusion layers train.

    Args:
        branches: by modality, the trained model that its branch is cut from

    Returns:
        the joined model, whose branches hold exactly the weights that they had
    """
    point = recipe.hyperparameters
    assert isinstance(point, FusionHyperparameters)
    cut = {modality: cut_branch(owner.model, modality) for modality, owner in branches.items()}
    for branch in cut.values():
        branch.trainable = False
    outputs = {
        modality: Scorer(branch).score(branches[modality].fitted.prepare(features))
        for modality, branch in cut.items()
    }
    seed_everything(recipe.seed)
    entries = {
        modality: keras.Input((branch.output.shape[-1],), name=modality) for modality, branch in cut.items()
    }
    layers = keras.Model(entries, fuse(list(entries.values()), point.finalfc), name="fusion_layers")
    is_averaged = recipe.protocol.averages_weights
    trainer = make_trainer(layers, point, recipe.protocol, features)
    train_for(
        AveragedTrainer(trainer) if is_averaged else trainer,
        FrozenInputs(features, outputs),
        batch_size=point.batch_size,
        num_epochs=num_epochs,
        seed=recipe.seed,
    )
    tensors = {tensor.name: tensor for branch in cut.values() for tensor in branch.inputs}
    joined = layers(
        {
            modality: branch({tensor.name: tensor for tensor in branch.inputs})
            for modality, branch in cut.items()
        }
    )
    return TrainedModel(keras.Model(tensors, joined, name="fusion"), _join_fitted(branches))


def _join_fitted(branches: Mapping[str, TrainedModel]) -> FittedFeatures:
    """Join the parts of the fitted features that each branch's modality needs."""
    owners = {modality: owner.fitted for modality, owner in branches.items()}
    text, first = owners.get("text"), next(iter(owners.values()))
    spoken = owners.get("speech", first)
    return replace(
        first,
        modalities=tuple(modality for modality in MODALITIES if modality in owners),
        speech_settings=spoken.speech_settings,
        speech_columns=spoken.speech_columns,
        speech=owners["speech"].speech if "speech" in owners else None,
        mocap=owners["mocap"].mocap if "mocap" in owners else None,
        tokenizer=None if text is None else text.tokenizer,
        embedding=None if text is None else text.embedding,
        embedding_source=NO_TEXT if text is None else text.embedding_source,
        text_features=None if text is None else text.text_features,
        text=None if text is None else text.text,
    )


def predict_with_zeros(trained: TrainedModel, features: Features, without: Sequence[str]) -> np.ndarray:
    """Probabilities of the untouched model when zeros stand in place of some modalities."""
    return Scorer(trained.model).score(ZeroedInputs(trained.fitted.prepare(features), frozenset(without)))


def compare_without(
    training: FinalTraining,
    bases: Mapping[int, TrainedModel],
    without: Sequence[str],
    train: Features,
    scored: Features,
) -> tuple[list[Variant], dict[int, TrainedModel]]:
    """Score three ways to do without some modalities, on the same utterances and with the same seeds.

    Args:
        bases: the whole model of each seed, trained on ``train``
        scored: utterances that none of them has trained on

    Returns:
        the fusion layers trained again, all trained again, and zeros in place of the input; and the
        first way's models by seed
    """
    kept = kept_modalities(training, without)
    frozen: dict[int, np.ndarray] = {}
    whole: dict[int, np.ndarray] = {}
    zeros: dict[int, np.ndarray] = {}
    models, frozen_seconds, whole_seconds = {}, [], []
    for seed, base in bases.items():
        recipe = training.recipe(seed)
        began = time.perf_counter()
        models[seed] = retrain_fusion_layers(recipe, dict.fromkeys(kept, base), train, training.num_epochs)
        frozen_seconds.append(time.perf_counter() - began)
        frozen[seed] = models[seed].predict(scored)
        zeros[seed] = predict_with_zeros(base, scored, without)
        began = time.perf_counter()
        again = train_whole(recipe, train, training.num_epochs, kept)
        whole_seconds.append(time.perf_counter() - began)
        whole[seed] = again.predict(scored)
    variants = [
        Variant(ScoreKind.FUSION_RETRAINED, frozen, tuple(frozen_seconds)),
        Variant(ScoreKind.ALL_RETRAINED, whole, tuple(whole_seconds)),
        Variant(ScoreKind.ZEROED, zeros, (0.0,) * len(zeros)),
    ]
    return variants, models


def retrain_without(
    training: FinalTraining,
    results: ResultsStore,
    without: Sequence[str],
    command: str | None,
    show: Callable[[str], None] = lambda doing: None,
) -> tuple[Path, list[SideBySide]]:
    """Save models that do without some modalities, and compare the ways to get there.

    The saved models are the final ones of train + validation, their branches frozen and their fusion
    layers trained again. They have seen validation, so the comparison on validation trains models
    of its own, on train alone.

    Args:
        command: as the user typed it, if the test session is to be opened and scored; otherwise None
        show: called with a description of each step

    Returns:
        the folder of the saved models; one comparison on validation, and one on the test session if opened

    Raises:
        ModelError: the system is no fusion, has no such modality, or none would stay; the features are of another
            corpus; a saved model is damaged; or the test session would be open in training
        FeatureError: the features are damaged, or lack a modality that the system reads
    """
    _require_sealed(training)
    kept = kept_modalities(training, without)
    store = training.open_features()
    name = f"{training.model_dir.name}-without-{'-'.join(sorted(without))}"
    variant = f"Without {', '.join(without)}: frozen branches of {training.model_dir.name}, new fusion layers."
    destination = Destination(training.model_dir.with_name(name), kept, variant)
    parts, num_epochs = open_parts(training.spec.protocol, store), training.num_epochs
    train, validation = store.load(parts.train), store.load(parts.validation)
    show("training whole models on train alone, to compare on validation")
    bases = {
        seed: train_whole(training.recipe(seed), train, num_epochs, training.system.modalities)
        for seed in training.seeds
    }
    show("retraining without " + ", ".join(without))
    variants, _ = compare_without(training, bases, without, train, validation)
    comparisons = [SideBySide("validation, trained on train", validation.emotions, tuple(variants))]

    show("training the final models on train + validation")
    train_final_models(training, results)
    both = store.load(parts.trained_on)
    finals = {seed: load_network(training.model_dir, seed) for seed in training.seeds}
    if command is None:
        models = {
            seed: retrain_fusion_layers(training.recipe(seed), dict.fromkeys(kept, base), both, num_epochs)
            for seed, base in finals.items()
        }
    else:
        opening_id, test = open_for_scoring(training, results, store, both, command)
        show("retraining without " + ", ".join(without))
        variants, models = compare_without(training, finals, without, both, test)
        scores, comparison = _score(training, test, variants, destination)
        comparisons.append(comparison)
        results.record_test_scores(opening_id, *scores, *score_probes(both, test, training.seeds[0], show)[0])
    _save(training, store, destination, models, both)
    return destination.folder, comparisons


def replace_branch(
    training: FinalTraining,
    results: ResultsStore,
    modality: str,
    other_dir: Path,
    command: str | None,
    show: Callable[[str], None] = lambda doing: None,
) -> tuple[Path, list[SideBySide]]:
    """Save fusions whose branch of one modality comes from another trained system of that modality.

    Args:
        other_dir: a folder that `retrain-best` wrote for a system of that modality alone
        command: as the user typed it, if the test session is to be opened and scored; otherwise None
        show: called with a description of each step

    Returns:
        the folder of the saved models; a comparison on the test session if it was opened

    Raises:
        ModelError: the other model reads another modality, other features, or has too few seeds; else as
            ``retrain_without``
        FeatureError: the features are damaged, or lack a modality that the system reads
    """
    _require_sealed(training)
    modalities = kept_modalities(training, ())
    store = training.open_features()
    other = ModelRecord.read(other_dir)
    if other.members:
        raise ModelError(
            f"model {str(other_dir)!r}: is an ensemble, which has no branch of its own; expected one of its members"
        )
    _check_replacement(training, store, other, modality, other_dir)
    name = f"{training.model_dir.name}-{modality}-from-{other_dir.name}"
    variant = (
        f"The {modality} branch is from {other.system} in {other_dir.name}, the others are from "
        f"{training.model_dir.name}; all are frozen, the fusion layers are new."
    )
    destination = Destination(
        training.model_dir.with_name(name), modalities, variant, other.is_fitted_on_test and modality == "text"
    )
    show("training the final models on train + validation")
    train_final_models(training, results)
    both = store.load(open_parts(training.spec.protocol, store).trained_on)
    finals = {seed: load_network(training.model_dir, seed) for seed in training.seeds}
    show(f"retraining the fusion layers over the {modality} branch of {other.system}")
    models = {}
    for seed, other_seed in zip(training.seeds, other.seeds, strict=False):
        branches = dict.fromkeys(modalities, finals[seed])
        branches[modality] = load_network(other_dir, other_seed)
        models[seed] = retrain_fusion_layers(training.recipe(seed), branches, both, training.num_epochs)
    comparisons = []
    if command is not None:
        opening_id, test = open_for_scoring(training, results, store, both, command)
        found = {ScoreKind.VALIDATION_CHOSEN: finals, ScoreKind.BRANCH_REPLACED: models}
        variants = [
            Variant(kind, {seed: model.predict(test) for seed, model in by_seed.items()})
            for kind, by_seed in found.items()
        ]
        scores, comparison = _score(training, test, variants, destination)
        comparisons = [comparison]
        results.record_test_scores(opening_id, *scores, *score_probes(both, test, training.seeds[0], show)[0])
    _save(training, store, destination, models, both)
    return destination.folder, comparisons


def load_network(model_dir: Path, seed: int) -> TrainedModel:
    """Load one seed of a network over single utterances.

    Raises:
        ModelError: it reads the dialogue, or a file is missing or damaged
    """
    trained = load_seed(model_dir, seed)
    if not isinstance(trained, TrainedModel):
        raise ModelError(
            f"model {str(model_dir)!r}: reads the dialogue, and has no branch for a single modality; expected a system "
            "that reads single utterances"
        )
    return trained


def _require_sealed(training: FinalTraining) -> None:
    """Models that others are made of are trained with the test session sealed, and one alone for each seed."""
    if training.scene_groups:
        raise ModelError(
            f"protocol {training.spec.protocol.name!r}: has a model for each group of scenes, and only "
            'single models can be changed; expected a search with "scenes": "shared"'
        )
    if training.trial.temperature is not None:
        raise ModelError(
            f"protocol {training.spec.protocol.name!r}: has fitted a temperature for the whole model, which a changed "
            'one has no validation predictions for; expected a search with "calibration": "none"'
        )
    if training.test_chooses_epoch:
        raise ModelError(
            f"protocol {training.spec.protocol.name!r}: would open the test session while the models train that others "
            "are built from; expected a training planned without it"
        )


def _score(
    training: FinalTraining, test: Features, variants: Sequence[Variant], destination: Destination
) -> tuple[list[TestScores], SideBySide]:
    saved = {
        ScoreKind.VALIDATION_CHOSEN: training.model_dir,
        ScoreKind.FUSION_RETRAINED: destination.folder,
        ScoreKind.BRANCH_REPLACED: destination.folder,
    }
    scores = []
    for variant in variants:
        model = name_in_results(saved[variant.kind]) if variant.kind in saved else None
        for seed, probabilities in variant.probabilities.items():
            score = score_predictions(seed, variant.kind, test, probabilities, training.num_epochs)
            scores.append(replace(score, model=model))
    scored_on = f"{training.spec.protocol.test_set}, trained on train + validation"
    return scores, SideBySide(scored_on, test.emotions, tuple(variants))


def _check_replacement(
    training: FinalTraining, store: FeatureStore, other: ModelRecord, modality: str, other_dir: Path
) -> None:
    name = f"model {str(other_dir)!r}"
    if modality not in training.system.modalities or other.modalities != (modality,):
        raise ModelError(
            f"{name}: reads {', '.join(other.modalities)}, but is to replace {modality!r} of system "
            f"{training.system.name!r}; expected a system of that modality alone"
        )
    if other.corpus_hash != store.corpus_hash or other.protocol != training.spec.protocol:
        raise ModelError(
            f"{name}: was trained on corpus {other.corpus_hash[:12]} under protocol {other.protocol.name!r}; expected "
            f"corpus {store.corpus_hash[:12]} and protocol {training.spec.protocol.name!r}, like the fusion"
        )
    settings = store.manifest.speech_settings
    # Of a user's own features the content is compared, and not the name of their file.
    if modality == "speech" and settings.from_json(other.speech_settings or {}) != settings:
        raise ModelError(
            f"{name}: its speech frames were made with {other.speech_settings}; expected {settings.to_json()}"
        )
    own, read = store.manifest.text_features, other.text_features or {}
    if modality == "text" and read.get("sha256") != (None if own is None else own.sha256):
        expected = "words" if own is None else repr(own.file_name)
        found = read.get("file_name", "words")
        raise ModelError(f"{name}: reads {found!r} for text; expected {expected}, as the fusion does")
    layers = load_network(other_dir, other.seeds[0]).model.layers
    branches = [layer for layer in layers if layer.name == f"{modality}_dense"]
    if not branches or len(branches[0].output.shape) != 2:
        raise ModelError(
            f"{name}: system {other.system!r} has no branch that a fusion can read; expected a single-modality system "
            "of the paper"
        )
    if len(other.seeds) < len(training.seeds):
        raise ModelError(
            f"{name}: has {len(other.seeds)} seed(s); expected at least {len(training.seeds)}, "
            "one for each seed of the fusion"
        )


def _save(
    training: FinalTraining,
    store: FeatureStore,
    destination: Destination,
    models: Mapping[int, TrainedModel],
    features: Features,
) -> None:
    for seed, trained in models.items():
        save_seed(destination.folder, seed, trained)
    record = describe_model(
        training,
        store,
        len(features),
        is_fitted_on_test=destination.is_fitted_on_test,
        variant=destination.variant,
    )
    record = replace(
        record,
        modalities=destination.modalities,
        speech_settings=record.speech_settings if "speech" in destination.modalities else None,
        text_features=record.text_features if "text" in destination.modalities else None,
    )
    keep_record(destination.folder, record)
