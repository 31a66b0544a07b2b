"""The combined models: branches without their softmax, joined before the last layers. Source: paper, section 5.1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf
from keras import layers

from harness.corpus.utterances import CLASSES
from harness.models.hyperparameters import FusionHyperparameters
from harness.models.inputs import Branch, InputShapes
from harness.models.mocap import build_fused_mocap
from harness.models.speech import build_attentive
from harness.models.text import build_fused_text


def classify(features: keras.KerasTensor) -> keras.KerasTensor:
    """Add the softmax over the four classes, float32 (batch, 4)."""
    return layers.Dense(len(CLASSES), activation="softmax", name="emotion")(features)


def cross_entropies(emotions: tf.Tensor, probabilities: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Return the cross-entropy of each utterance, float32 (batch,).

    Args:
        emotions: int64 (batch,), indices into ``CLASSES``; or float32 (batch, 4), the share of each class in the target
        probabilities: float32 (batch, 4), those of ``classify``
        label_smoothing: share of each target that is spread over all classes
    """
    if emotions.dtype.is_floating:
        targets = emotions
    elif not label_smoothing:
        return keras.losses.sparse_categorical_crossentropy(emotions, probabilities)
    else:
        targets = tf.one_hot(emotions, len(CLASSES))
    return keras.losses.categorical_crossentropy(targets, probabilities, label_smoothing=label_smoothing)


def fuse(outputs: Sequence[keras.KerasTensor], finalfc: int) -> keras.KerasTensor:
    """Add the fusion layers: concatenation, relu, Dense ``finalfc`` relu, softmax.

    The relu comes after the concatenation, as the published code has it; layers with relu it leaves as they are.
    """
    joined = layers.Concatenate(name="fusion")(outputs) if len(outputs) > 1 else outputs[0]
    hidden = layers.Dense(finalfc, activation="relu", name="finalfc")(layers.ReLU(name="fusion_relu")(joined))
    return classify(hidden)


def build_fused_speech(hyperparameters: FusionHyperparameters, shapes: InputShapes) -> Branch:
    """Speech_Model4 as it stands in a fusion, its last layer as ``FusedBranches`` says."""
    return build_attentive(hyperparameters, shapes, hyperparameters.branch_dense, hyperparameters.branch_activation)


#: Each modality's branch: (hyperparameters, shapes) -> branch; its last layer is named ``<modality>_dense``.
FUSED_BRANCHES: Mapping[str, Callable[[FusionHyperparameters, InputShapes], Branch]] = {
    "text": build_fused_text,
    "speech": build_fused_speech,
    "mocap": build_fused_mocap,
}


def build_fusion(
    hyperparameters: FusionHyperparameters, shapes: InputShapes, modalities: Sequence[str]
) -> keras.Model:
    """Build the combined model of some modalities: Text_Model2, Speech_Model4, Mocap_Model1, in this order."""
    branches = [build(hyperparameters, shapes) for name, build in FUSED_BRANCHES.items() if name in modalities]
    inputs = {name: tensor for branch in branches for name, tensor in branch.inputs.items()}
    outputs = fuse([branch.output for branch in branches], hyperparameters.finalfc)
    return keras.Model(inputs, outputs, name="fusion")


def cut_branch(model: keras.Model, modality: str) -> keras.Model:
    """Return one branch of a trained model, up to its last layer before fusion or softmax.

    The branch shares its weights with ``model``.
    """
    inputs = {tensor.name: tensor for tensor in model.inputs if tensor.name in (modality, f"{modality}_lengths")}
    return keras.Model(inputs, model.get_layer(f"{modality}_dense").output, name=f"{modality}_branch")
