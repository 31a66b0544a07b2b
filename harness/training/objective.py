"""The loss that networks are trained by: what each utterance is trained towards, and how much it weighs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from harness.corpus.utterances import CLASSES
from harness.errors import FeatureError
from harness.features.store import Features
from harness.models.class_weights import balance_classes
from harness.models.context_networks import NOT_SCORED
from harness.models.fusion import cross_entropies
from harness.models.hyperparameters import TrainingHyperparameters
from harness.splits.protocol import ClassWeights

#: The parts of a target: the class, int64; the raters' votes, float32 (4,); and the scene, int64.
EMOTION, VOTES, SCENE = "emotion", "votes", "scene"

Targets = dict[str, npt.NDArray[np.generic]]


class Objective:
    """The loss of a training; with no argument the mean cross-entropy towards the raters' label.

    Args:
        class_weights: float32 (4,), of the classes in the loss; None where all weigh 1
        label_smoothing: share of each target that is spread over all classes
        soft_labels: share of each target that is the raters' votes; the label has the rest, before it is smoothed
        scenes: of the training utterances, each once; read only where ``scene_robustness`` is above 0
        scene_robustness: the step by which scenes of a high loss gain weight; 0 for the plain mean

    Source:
        Sagawa et al., "Distributionally Robust Neural Networks for Group Shifts", ICLR 2020, algorithm 1, with scenes
        as groups. Deviates in three things: a batch is drawn from all scenes and updates the weights of all of them at
        once, where the paper draws one group a step; the weights of the scenes of a batch are divided by their sum, so
        that a batch in which a scene is missing makes no smaller step; and class weights multiply the losses before a
        scene's mean is taken.
    """

    def __init__(
        self,
        class_weights: npt.NDArray[np.float32] | None = None,
        label_smoothing: float = 0.0,
        soft_labels: float = 0.0,
        scenes: Sequence[str] = (),
        scene_robustness: float = 0.0,
    ) -> None:
        self.class_weights = class_weights
        self.label_smoothing = label_smoothing
        self.soft_labels = soft_labels
        self.scene_robustness = scene_robustness
        self._numbers = {scene: number for number, scene in enumerate(scenes)} if scene_robustness else {}
        # Training steps change it. Logarithms: a weight itself would become 0 in time, and stay 0.
        self._log_scene_weights = tf.Variable(
            np.full(len(self._numbers), -np.log(max(1, len(self._numbers))), np.float32), trainable=False
        )

    @property
    def scene_weights(self) -> npt.NDArray[np.float32]:
        """float32 (num_scenes,), the weight of each of ``scenes`` so far, of sum 1; empty without ``scene_robustness``.
        """
        return np.asarray(tf.exp(self._log_scene_weights).numpy())

    @property
    def signature(self) -> dict[str, tf.TensorSpec]:
        """The parts of the targets of a batch that ``targets`` gives, by name."""
        found = {EMOTION: tf.TensorSpec((None,), tf.int64)}
        if self.soft_labels:
            found[VOTES] = tf.TensorSpec((None, len(CLASSES)), tf.float32)
        if self.scene_robustness:
            found[SCENE] = tf.TensorSpec((None,), tf.int64)
        return found

    def targets(self, features: Features) -> Targets:
        """Return what each utterance is trained towards, by part, each (num_utterances, ...).

        Without a vote for any of the four classes, an utterance's votes are its label.
        """
        found: Targets = {EMOTION: features.emotions}
        if self.soft_labels:
            labels = np.eye(len(CLASSES), dtype=np.float32)[features.emotions]
            shares = features.vote_shares
            found[VOTES] = np.where(np.isnan(shares), labels, shares)
        if self.scene_robustness:
            found[SCENE] = np.array([self._numbers[one.scene] for one in features.utterances], dtype=np.int64)
        return found

    def distributions(self, targets: Mapping[str, tf.Tensor]) -> tf.Tensor | None:
        """Return the targets of a batch before they are smoothed, float32 (batch, 4); None where labels are all."""
        if not self.soft_labels:
            return None
        labels = tf.one_hot(targets[EMOTION], len(CLASSES))
        return (1.0 - self.soft_labels) * labels + self.soft_labels * targets[VOTES]

    def cross_entropy(self, targets: Mapping[str, tf.Tensor], probabilities: tf.Tensor) -> tf.Tensor:
        """Return the loss of a batch's probabilities, float32 (batch, 4)."""
        wanted = self.distributions(targets)
        return self.reduce(
            targets,
            cross_entropies(
                targets[EMOTION] if wanted is None else wanted, probabilities, self.label_smoothing
            ),
        )

    def scored_cross_entropy(self, targets: Mapping[str, tf.Tensor], probabilities: tf.Tensor) -> tf.Tensor:
        """Return the loss of the turns of dialogues; those of emotion ``NOT_SCORED``, and padding, have no part in it.

        Args:
            targets: each part (batch, turns, ...)
            probabilities: float32 (batch, turns, 4)
        """
        is_scored = targets[EMOTION] != NOT_SCORED
        scored = {name: tf.boolean_mask(values, is_scored) for name, values in targets.items()}
        return self.cross_entropy(scored, tf.boolean_mask(probabilities, is_scored))

    def reduce(self, targets: Mapping[str, tf.Tensor], losses: tf.Tensor) -> tf.Tensor:
        """Return the mean of a batch's losses, float32 (batch,), in which classes and scenes may weigh differently."""
        if self.class_weights is not None:
            losses *= tf.gather(self.class_weights, targets[EMOTION])
        if not self.scene_robustness:
            return tf.reduce_mean(losses)
        is_of_scene = tf.one_hot(targets[SCENE], len(self._numbers))
        counts = tf.reduce_sum(is_of_scene, axis=0)
        means = tf.math.divide_no_nan(tf.linalg.matvec(is_of_scene, losses, transpose_a=True), counts)
        raised = self._log_scene_weights + self.scene_robustness * tf.stop_gradient(means)
        self._log_scene_weights.assign(tf.nn.log_softmax(raised))
        of_batch = tf.nn.softmax(tf.where(counts > 0, self._log_scene_weights, -np.inf))
        return tf.reduce_sum(of_batch * means)


def make_objective(
    hyperparameters: TrainingHyperparameters, class_weights: ClassWeights, train: Features
) -> Objective:
    """Return the loss that the hyperparameters name.

    Args:
        class_weights: of the protocol; balanced ones are in place of the hyperparameter's
        train: the training utterances, whose classes are counted, and whose scenes are weighed

    Raises:
        FeatureError: the raters' votes are to be learnt, and no training utterance has one for a class
    """
    power = 1.0 if class_weights is ClassWeights.BALANCED else hyperparameters.class_weight_power
    if hyperparameters.soft_labels and np.isnan(train.vote_shares).all():
        raise FeatureError(
            f"soft_labels is {hyperparameters.soft_labels:g}, and none of the {len(train)} training utterances has a "
            "rater's vote for one of the four classes; expected raters' words in the corpus's label files (lines like "
            "'C-E1: Anger;'), or soft_labels 0"
        )
    return Objective(
        balance_classes(train.emotions, power) if power else None,
        hyperparameters.label_smoothing,
        hyperparameters.soft_labels,
        sorted({utterance.scene for utterance in train.utterances}),
        hyperparameters.scene_robustness,
    )
