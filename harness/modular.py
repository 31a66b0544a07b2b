"""The paper's modular claim: a missing or better modality needs only the fusion layers trained again.

Source: paper, sections 1 and 6.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np

from harness.errors import ModelError
from harness.features.fitted import FittedFeatures, fit_features
from harness.features.gathered import Features
from harness.models.build import build_model, build_optimizer, input_shapes
from harness.models.fusion import FUSED_BRANCHES, cut_branch, fuse
from harness.models.hyperparameters import FusionHyperparameters
from harness.retrain import FinalTraining
from harness.store.records import ScoreKind
from harness.training import ModelInputs, Scorer, Trainer, seed_everything, train_for


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
