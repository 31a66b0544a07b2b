"""The paper's modular claim: a missing or better modality needs only the fusion layers trained again.

Source: paper, sections 1 and 6.

`retrain-best --without` and `--replace`: which data trains, which scores, and what is saved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from harness.errors import ModelError
from harness.features.fitted import FittedFeatures, fit_features
from harness.features.store import Features, FeatureStore
from harness.final.retrain import (
    FinalTraining,
    describe_model,
    keep_record,
    load_train_and_validation,
    train_final_models,
)
from harness.final.saved_model import ModelRecord, load_seed, name_in_results, save_seed
from harness.final.test_session import (
    open_test_session,
    record_final_opening,
    record_transcripts_seen,
    score_predictions,
)
from harness.models.build import build_model, build_optimizer, input_shapes
from harness.models.fusion import FUSED_BRANCHES, cut_branch, fuse
from harness.models.hyperparameters import FusionHyperparameters
from harness.splits.protocol import make_split, search_sessions
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from harness.training.loop import ModelInputs, Scorer, Trainer, seed_everything, train_for


@dataclass(frozen=True)
class Fitted:
    """A model with what was fitted for its inputs."""

    model: keras.Model
    fitted: FittedFeatures


@dataclass(frozen=True)
class Variant:
    """One way to do without a modality, or with another branch.

    Attributes:
        probabilities: of the utterances that were scored, float32 (num_utterances, 4), by seed
        seconds: of training, of each seed; 0 where nothing is trained; empty where it was not timed
    """

    kind: ScoreKind
    probabilities: Mapping[int, np.ndarray]
    seconds: tuple[float, ...] = ()


@dataclass(frozen=True)
class FrozenInputs:
    """The outputs of frozen branches in place of the features: what the fusion layers are trained on.

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
        """The branches' outputs of some utterances."""
        return {modality: values[rows] for modality, values in self.outputs.items()}


def kept_modalities(training: FinalTraining, without: Sequence[str]) -> tuple[str, ...]:
    """Return the modalities that stay, in the order of the branches.

    Raises:
        ModelError: the system is no fusion, has no such modality, or none would stay
    """
    modalities = training.system.modalities
    if not isinstance(training.choices, FusionHyperparameters):
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
            f"system {training.system.name!r}: nothing stays without {', '.join(without)}; "
            "expected at least one modality"
        )
    return kept


def train_whole(
    training: FinalTraining, features: Features, seed: int, modalities: Sequence[str]
) -> Fitted:
    """Train a fusion of ``modalities`` from its beginning, for the epochs that validation chose."""
    protocol, choices = training.spec.protocol, training.choices
    keras.backend.clear_session()
    seed_everything(seed)
    fitted = fit_features(
        features,
        modalities,
        protocol,
        training.spec.word_vectors,
        getattr(choices, "embedding_dimension", None),
        seed,
    )
    system = replace(training.system, modalities=tuple(modalities))
    model = build_model(system, choices, input_shapes(fitted, protocol))
    train_for(
        Trainer(model, build_optimizer(choices)),
        fitted.prepare(features),
        batch_size=choices.batch_size,
        num_epochs=training.num_epochs,
        seed=seed,
    )
    return Fitted(model, fitted)


def retrain_fusion_layers(
    training: FinalTraining, branches: Mapping[str, Fitted], features: Features, seed: int
) -> Fitted:
    """Freeze one branch of each of some trained models, and train new fusion layers on their outputs.

    The branches run without dropout, and once: their outputs do not change while the fusion layers train.

    Args:
        branches: by modality, the trained model that its branch is cut from

    Returns:
        the joined model, whose branches hold the weights that they had, to the bit
    """
    choices = training.choices
    assert isinstance(choices, FusionHyperparameters)
    fitted = _join_fitted(branches)
    cut = {modality: cut_branch(owner.model, modality) for modality, owner in branches.items()}
    for branch in cut.values():
        branch.trainable = False
    inputs = FrozenInputs(
        features,
        {
            modality: _run(branch, branches[modality].fitted, features)
            for modality, branch in cut.items()
        },
    )
    seed_everything(seed)
    entries = {
        modality: keras.Input((branch.output.shape[-1],), name=modality) for modality, branch in cut.items()
    }
    layers = keras.Model(entries, fuse(list(entries.values()), choices.finalfc), name="fusion_layers")
    train_for(
        Trainer(layers, build_optimizer(choices)),
        inputs,
        batch_size=choices.batch_size,
        num_epochs=training.num_epochs,
        seed=seed,
    )
    tensors = {tensor.name: tensor for branch in cut.values() for tensor in branch.inputs}
    joined = layers(
        {
            modality: branch({tensor.name: tensor for tensor in branch.inputs})
            for modality, branch in cut.items()
        }
    )
    return Fitted(keras.Model(tensors, joined, name="fusion"), fitted)


def predict(scored: Fitted, features: Features) -> np.ndarray:
    """Probabilities of a model for utterances, float32 (num_utterances, 4)."""
    return Scorer(scored.model).score(scored.fitted.prepare(features))


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
        """The model's inputs of some utterances, zeros for those modalities."""
        batch = self.inputs.batch(rows)
        return {
            name: np.zeros_like(values) if name in self.zeroed else values for name, values in batch.items()
        }


def predict_with_zeros(scored: Fitted, features: Features, without: Sequence[str]) -> np.ndarray:
    """Probabilities of the untouched model when zeros stand in place of some modalities."""
    inputs = ZeroedInputs(scored.fitted.prepare(features), frozenset(without))
    return Scorer(scored.model).score(inputs)


def compare_without(
    training: FinalTraining,
    bases: Mapping[int, Fitted],
    without: Sequence[str],
    train: Features,
    scored: Features,
) -> tuple[list[Variant], dict[int, Fitted]]:
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
        began = time.perf_counter()
        models[seed] = retrain_fusion_layers(training, dict.fromkeys(kept, base), train, seed)
        frozen_seconds.append(time.perf_counter() - began)
        frozen[seed] = predict(models[seed], scored)
        zeros[seed] = predict_with_zeros(base, scored, without)
        began = time.perf_counter()
        again = train_whole(training, train, seed, kept)
        whole_seconds.append(time.perf_counter() - began)
        whole[seed] = predict(again, scored)
    variants = [
        Variant(ScoreKind.FUSION_RETRAINED, frozen, tuple(frozen_seconds)),
        Variant(ScoreKind.ALL_RETRAINED, whole, tuple(whole_seconds)),
        Variant(ScoreKind.ZEROED, zeros, (0.0,) * len(zeros)),
    ]
    return variants, models


def _run(branch: keras.Model, fitted: FittedFeatures, features: Features) -> np.ndarray:
    scorer = Scorer(branch)
    return scorer.score(fitted.prepare(features))


def _join_fitted(branches: Mapping[str, Fitted]) -> FittedFeatures:
    """Take of each branch's fitted features what its modality needs."""
    owners = {modality: owner.fitted for modality, owner in branches.items()}
    text, first = owners.get("text"), next(iter(owners.values()))
    spoken = owners.get("speech", first)
    return replace(
        first,
        modalities=tuple(modality for modality in ("speech", "text", "mocap") if modality in owners),
        speech_settings=spoken.speech_settings,
        speech_columns=spoken.speech_columns,
        speech=owners["speech"].speech if "speech" in owners else None,
        mocap=owners["mocap"].mocap if "mocap" in owners else None,
        tokenizer=None if text is None else text.tokenizer,
        embedding=None if text is None else text.embedding,
        embedding_source="the model takes no text" if text is None else text.embedding_source,
    )


#: Called with what is being done.
Tell = Callable[[str], None]


@dataclass(frozen=True)
class SideBySide:
    """Several ways side by side, all scored on the same utterances.

    Attributes:
        scored_on: in words
        emotions: int64 (num_utterances,), index into ``CLASSES``, of what was scored
    """

    scored_on: str
    emotions: np.ndarray
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Destination:
    """Where models go that came from others, and what will be said of them.

    Attributes:
        modalities: what they read
        variant: a sentence on how they came about
        is_fitted_on_test: whether a vocabulary in them knows the test session's words
    """

    folder: Path
    modalities: tuple[str, ...]
    variant: str
    is_fitted_on_test: bool = False


def retrain_without(
    training: FinalTraining,
    results: ResultsStore,
    without: Sequence[str],
    command: str | None,
    tell: Tell = lambda doing: None,
) -> tuple[Path, list[SideBySide]]:
    """Save models that do without some modalities, and compare the ways to get there.

    The saved models are the final ones of train + validation, their branches frozen and their fusion
    layers trained again. They have seen validation, so the comparison on validation trains models
    of its own, on train alone.

    Args:
        command: what the user typed, where the test session is to be opened and scored; otherwise None

    Returns:
        the folder of the saved models; one comparison on validation, and one on the test session if opened

    Raises:
        ModelError: the system is no fusion, has no such modality, or none would stay; the features are of another
            corpus; a saved model is damaged; or the test session would be open in training
        FeatureError: the features are damaged, or lack what the system needs
    """
    _require_sealed(training)
    kept = kept_modalities(training, without)
    store = training.open_features()
    name = f"{training.model_dir.name}-without-{'-'.join(sorted(without))}"
    variant = f"Without {', '.join(without)}: the branches of {training.model_dir.name} frozen, the fusion layers new."
    destination = Destination(training.model_dir.with_name(name), kept, variant)
    utterances = store.utterances(search_sessions(training.spec.protocol))
    split = make_split(training.spec.protocol, [utterance.utterance_id for utterance in utterances])
    train, validation = store.load(split.train), store.load(split.validation)
    tell("training whole models on train alone, to compare on validation")
    bases = {seed: train_whole(training, train, seed, training.system.modalities) for seed in training.seeds}
    tell("retraining without " + ", ".join(without))
    variants, _ = compare_without(training, bases, without, train, validation)
    comparisons = [SideBySide("validation, trained on train", validation.emotions, tuple(variants))]

    tell("training the final models on train + validation")
    train_final_models(training, results)
    both = load_train_and_validation(training, store)
    finals = {seed: Fitted(*load_seed(training.model_dir, seed)) for seed in training.seeds}
    if command is None:
        models = {
            seed: retrain_fusion_layers(training, dict.fromkeys(kept, base), both, seed)
            for seed, base in finals.items()
        }
    else:
        opening_id = record_final_opening(training, results, store, command)
        test = open_test_session(store, training.spec.protocol)
        record_transcripts_seen(results, opening_id, both, test)
        tell("retraining without " + ", ".join(without))
        variants, models = compare_without(training, finals, without, both, test)
        comparisons.append(_record(training, results, opening_id, test, variants, destination))
    _save(training, results, store, destination, models, both)
    return destination.folder, comparisons


def replace_branch(
    training: FinalTraining,
    results: ResultsStore,
    modality: str,
    other_dir: Path,
    command: str | None,
    tell: Tell = lambda doing: None,
) -> tuple[Path, list[SideBySide]]:
    """Save fusions whose branch of one modality comes from another trained system of that modality.

    Args:
        other_dir: a folder that `retrain-best` wrote for a system of that modality alone
        command: what the user typed, where the test session is to be opened and scored; otherwise None

    Returns:
        the folder of the saved models; a comparison on the test session if it was opened

    Raises:
        ModelError: the other model reads another modality, other features, or has too few seeds; else as
            ``retrain_without``
        FeatureError: the features are damaged, or lack what the system needs
    """
    _require_sealed(training)
    modalities = kept_modalities(training, ())
    store = training.open_features()
    other = ModelRecord.read(other_dir)
    _check_replacement(training, store, other, modality, other_dir)
    name = f"{training.model_dir.name}-{modality}-from-{other_dir.name}"
    variant = (
        f"The {modality} branch is that of {other.system} in {other_dir.name}, the others those of "
        f"{training.model_dir.name}; all frozen, the fusion layers new."
    )
    destination = Destination(
        training.model_dir.with_name(name), modalities, variant, other.is_fitted_on_test and modality == "text"
    )
    tell("training the final models on train + validation")
    train_final_models(training, results)
    both = load_train_and_validation(training, store)
    finals = {seed: Fitted(*load_seed(training.model_dir, seed)) for seed in training.seeds}
    tell(f"retraining the fusion layers over the {modality} branch of {other.system}")
    models = {}
    for seed, other_seed in zip(training.seeds, other.seeds, strict=False):
        branches = dict.fromkeys(modalities, finals[seed])
        branches[modality] = Fitted(*load_seed(other_dir, other_seed))
        models[seed] = retrain_fusion_layers(training, branches, both, seed)
    comparisons = []
    if command is not None:
        opening_id = record_final_opening(training, results, store, command)
        test = open_test_session(store, training.spec.protocol)
        record_transcripts_seen(results, opening_id, both, test)
        found = {ScoreKind.VALIDATION_CHOSEN: finals, ScoreKind.BRANCH_REPLACED: models}
        variants = [
            Variant(kind, {seed: predict(model, test) for seed, model in by_seed.items()})
            for kind, by_seed in found.items()
        ]
        comparisons = [_record(training, results, opening_id, test, variants, destination)]
    _save(training, results, store, destination, models, both)
    return destination.folder, comparisons


def _require_sealed(training: FinalTraining) -> None:
    """Models that others are made of are trained with the test session sealed, whatever the protocol."""
    if training.test_chooses_epoch:
        raise ModelError(
            f"protocol {training.spec.protocol.name!r}: would open the test session while the models train, from "
            "which others are made here; expected a training planned without it"
        )


def _record(
    training: FinalTraining,
    results: ResultsStore,
    opening_id: int,
    test: Features,
    variants: Sequence[Variant],
    destination: Destination,
) -> SideBySide:
    saved = {
        ScoreKind.VALIDATION_CHOSEN: training.model_dir,
        ScoreKind.FUSION_RETRAINED: destination.folder,
        ScoreKind.BRANCH_REPLACED: destination.folder,
    }
    for variant in variants:
        model = name_in_results(saved[variant.kind]) if variant.kind in saved else None
        for seed, probabilities in variant.probabilities.items():
            scores = score_predictions(seed, variant.kind, test, probabilities, training.num_epochs)
            results.record_test_scores(opening_id, replace(scores, model=model))
    session = f"Session {training.spec.protocol.test_session}, trained on train + validation"
    return SideBySide(session, test.emotions, tuple(variants))


def _check_replacement(
    training: FinalTraining, store: FeatureStore, other: ModelRecord, modality: str, other_dir: Path
) -> None:
    name = f"model {str(other_dir)!r}"
    if modality not in training.system.modalities or other.modalities != (modality,):
        raise ModelError(
            f"{name}: reads {', '.join(other.modalities)}, and was given for {modality!r} of system "
            f"{training.system.name!r}; expected a system of that modality alone"
        )
    if other.corpus_hash != store.corpus_hash or other.protocol != training.spec.protocol:
        raise ModelError(
            f"{name}: was trained on corpus {other.corpus_hash[:12]} under protocol {other.protocol.name!r}; "
            f"expected corpus {store.corpus_hash[:12]} and protocol {training.spec.protocol.name!r}, as the fusion's"
        )
    settings = store.manifest.speech_settings.to_json()
    if modality == "speech" and other.speech_settings != settings:
        raise ModelError(f"{name}: its speech frames were made with {other.speech_settings}; expected {settings}")
    if len(other.seeds) < len(training.seeds):
        raise ModelError(
            f"{name}: has {len(other.seeds)} seed(s); expected at least {len(training.seeds)}, "
            "one for each seed of the fusion"
        )


def _save(
    training: FinalTraining,
    results: ResultsStore,
    store: FeatureStore,
    destination: Destination,
    models: dict[int, Fitted],
    features: Features,
) -> None:
    for seed, model in models.items():
        save_seed(destination.folder, seed, model.model, model.fitted)
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
    )
    keep_record(destination.folder, record, results)
