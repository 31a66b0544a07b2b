"""The speech recogniser whose layers a classifier takes over: the turns that train it, its training, its errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from harness.errors import FeatureError
from harness.features.fitted import FittedFeatures, Inputs
from harness.features.store import Features
from harness.features.text import spell
from harness.files import hash_json, read_json, write_json
from harness.models.build import FusedAdam
from harness.models.hyperparameters import AsrTransferHyperparameters, Transfer
from harness.models.inputs import input_shapes
from harness.models.network_file import load_network, save_network
from harness.models.recogniser import (
    build_recogniser,
    count_steps,
    ctc_loss,
    encode_letters,
    fits,
    read_best_path,
)
from harness.provenance import package_versions
from harness.scoring.metrics import character_error_rate
from harness.training.kept import hash_sessions, train_or_load
from harness.training.loop import Scorer, Trainer, check_loss, like_length_batches, seed_everything, train_for
from harness.wording import plural

#: Of the recogniser's first weights and of its batches. Ours: one for all trials of a search, and for all seeds of a
#: final training, for it costs more than they do.
SEED = 0
#: Turns a training step; ours.
BATCH_SIZE = 32
#: Of the gradient of all weights together; ours. Those of the first steps are in the hundreds.
LARGEST_NORM = 5.0
#: The origin of the weights of a classifier without one.
NO_RECOGNISER = "none: the weights begin at random"
_COUNTS_NAME = "recogniser.json"
_READ_TOGETHER = 64


def training_turns(train: Features) -> Features:
    """Return the turns whose sound and transcripts may train a recogniser, whatever their label.

    These are the training utterances, and the turns of other labels by their speakers in their dialogues. The other
    utterances of the four classes there belong to validation or to the test, as may all turns of another speaker.

    Raises:
        FeatureError: as ``Features.all_turns``
    """
    turns, own = train.all_turns, set(train.utterance_ids)
    speakers = {utterance.name.speaker for utterance in train.utterances}
    allowed = [
        turn.utterance_id in own or (emotion < 0 and turn.name.speaker in speakers)
        for turn, emotion in zip(turns.utterances, turns.emotions, strict=True)
    ]
    return turns.select([name for name, may_train in zip(turns.utterance_ids, allowed, strict=True) if may_train])


@dataclass(frozen=True)
class SpelledTurns:
    """The turns among some whose whole sound and spelling are known, as a recogniser is trained and measured on them.

    Attributes:
        texts: in ``LETTERS``, of each turn
    """

    inputs: Inputs
    texts: tuple[str, ...]

    @classmethod
    def find(cls, turns: Features, fitted: FittedFeatures, *, trains: bool) -> SpelledTurns:
        """Find them; with ``trains``, only those whose spelling has a path through their steps."""
        texts = [spell(transcript) for transcript in turns.transcripts]
        steps = count_steps(turns.speech_lengths)
        # A sound that fills all frames has been cut, and its transcript goes on.
        is_whole = (turns.speech_lengths > 0) & (turns.speech_lengths < turns.speech_shape[0])
        found = [
            (name, text)
            for name, text, length, whole in zip(turns.utterance_ids, texts, steps, is_whole, strict=True)
            if text is not None and whole and (not trains or fits(text, int(length)))
        ]
        return cls(fitted.prepare(turns.select([name for name, _ in found])), tuple(text for _, text in found))

    @property
    def features(self) -> Features:
        """The turns."""
        return self.inputs.features

    @property
    def lengths(self) -> np.ndarray:
        """int64 (num_turns,), the frames of each."""
        return self.inputs.lengths["speech"]

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the recogniser's inputs of some turns by name, as ``Inputs.batch``."""
        return self.inputs.batch(rows)


class RecogniserTrainer(Trainer):
    """A recogniser with its optimiser; in the place of emotions it has the characters of ``encode_letters``."""

    @property
    def target_signature(self) -> tf.TensorSpec:
        """int64 (batch, letters)."""
        return tf.TensorSpec((None, None), tf.int64)

    def _train_step(self, inputs: Mapping[str, tf.Tensor], targets: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            scores = self.model(inputs, training=True)
            # Without masks every utterance has the same frames.
            frames = inputs.get("speech_lengths", tf.fill(tf.shape(targets)[:1], tf.shape(inputs["speech"])[1]))
            loss = tf.reduce_mean(ctc_loss(targets, scores, count_steps(frames)))
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def train_epoch(
        self, inputs: Any, batch_size: int, generator: np.random.Generator
    ) -> tuple[float, np.ndarray]:
        """Take one pass over ``SpelledTurns``.

        Returns:
            the mean of minus the logarithm of a text's likelihood; and nothing, for there is no class

        Raises:
            Diverged: the loss became NaN or infinite
        """
        total = 0.0
        for rows in like_length_batches(inputs.lengths, batch_size, generator):
            loss = self._step(self.feed(inputs, rows), encode_letters([inputs.texts[row] for row in rows]))
            total += check_loss(float(loss)) * len(rows)
        return total / len(inputs.texts), np.zeros((0, 0), np.float32)


@dataclass(frozen=True, eq=False)
class Recogniser:
    """A recogniser of characters.

    Attributes:
        network: its outputs are the scores of ``build_recogniser``
        fitted: what its inputs are made with
        num_turns: that it was trained on
        num_left_out: turns that it might have been trained on, but whose spelling, or whole sound, is not known or
            does not fit into their steps
    """

    network: keras.Model
    fitted: FittedFeatures
    num_turns: int
    num_left_out: int

    def read(self, turns: SpelledTurns) -> list[str]:
        """Read what is spoken in some turns, by the most probable character of each step."""
        scorer, texts = Scorer(self.network), [""] * len(turns.texts)
        order = np.argsort(turns.lengths, kind="stable")
        for start in range(0, len(order), _READ_TOGETHER):
            rows = order[start : start + _READ_TOGETHER]
            scores = scorer.outputs(turns.inputs, rows)
            for row, text in zip(rows, read_best_path(scores, count_steps(turns.lengths[rows])), strict=True):
                texts[row] = text
        return texts

    def describe(self) -> str:
        """Say what it is, without a full stop."""
        turns, verb = plural(self.num_turns, "transcribed turn"), "was" if self.num_left_out == 1 else "were"
        return (
            f"a recogniser of characters, trained on {turns} of the training dialogues ({self.num_left_out} {verb} "
            "left out)"
        )

    def describe_errors(self, validation: Features) -> str:
        """Say how well it reads utterances that it was not trained on."""
        turns = SpelledTurns.find(validation, self.fitted, trains=False)
        if not turns.texts:
            return "no validation utterance has a transcript to compare with"
        rate = character_error_rate(turns.texts, self.read(turns))
        utterances = plural(len(turns.texts), "utterance")
        return f"character error rate on {utterances} that chose the epoch {100 * rate:.1f} %"


def fit_recogniser(
    hyperparameters: AsrTransferHyperparameters, train: Features, fitted: FittedFeatures
) -> Recogniser | None:
    """Train the recogniser, or load the one that an earlier trial has trained in the same way.

    Args:
        train: the training utterances, whose dialogues it is trained on
        fitted: on them

    Returns:
        None where nothing is taken over

    Raises:
        Diverged: the loss became NaN or infinite
        FeatureError: no turn has a transcript that it can be trained on
    """
    if hyperparameters.transfer is Transfer.SCRATCH:
        return None
    turns = training_turns(train)
    if train.prepared_dir is None:
        return _fit(hyperparameters, turns, fitted)
    name = _name(hyperparameters, train, turns, fitted, train.prepared_dir)
    return train_or_load(
        train.prepared_dir / "recognisers" / name,
        lambda: _fit(hyperparameters, turns, fitted),
        lambda folder: _load(folder, fitted),
        _save,
    )


def _fit(hyperparameters: AsrTransferHyperparameters, turns: Features, fitted: FittedFeatures) -> Recogniser:
    spelled = SpelledTurns.find(turns, fitted, trains=True)
    if not spelled.texts:
        raise FeatureError(
            f"system 'asr_transfer': none of the {len(turns)} turns of the training dialogues has a transcript that a "
            'recogniser can be trained on; expected at least one; only "transfer": "scratch" needs none'
        )
    seed_everything(SEED)
    network = build_recogniser(hyperparameters, input_shapes(fitted, fitted.protocol))
    trainer = RecogniserTrainer(network, FusedAdam(global_clipnorm=LARGEST_NORM))
    train_for(trainer, spelled, batch_size=BATCH_SIZE, num_epochs=hyperparameters.asr_epochs, seed=SEED)
    return Recogniser(network, fitted, len(spelled.texts), len(turns) - len(spelled.texts))


def _name(
    hyperparameters: AsrTransferHyperparameters,
    train: Features,
    turns: Features,
    fitted: FittedFeatures,
    prepared_dir: Path,
) -> str:
    """Return a hash of everything that decides the recogniser."""
    return hash_json(
        {
            "units": hyperparameters.asr_units,
            "num_epochs": hyperparameters.asr_epochs,
            "gates": hyperparameters.gates.value,
            "inputs": [fitted.protocol.scaling, fitted.protocol.speaker_scaling, fitted.protocol.lengths],
            "training": [SEED, BATCH_SIZE, LARGEST_NORM],
            "scaled by": train.utterance_ids,
            "trained on": turns.utterance_ids,
            "versions": package_versions(),
            **hash_sessions(prepared_dir, turns),
        },
        32,
    )


def _save(folder: Path, recogniser: Recogniser) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _COUNTS_NAME, {"trained": recogniser.num_turns, "left_out": recogniser.num_left_out})
    save_network(folder, recogniser.network)


def _load(folder: Path, fitted: FittedFeatures) -> Recogniser:
    counts = read_json(folder / _COUNTS_NAME)
    if not isinstance(counts, dict) or set(counts) != {"trained", "left_out"}:
        raise ValueError(f"{_COUNTS_NAME} holds {counts!r:.80}; expected the counts 'trained' and 'left_out'")
    return Recogniser(load_network(folder), fitted, int(counts["trained"]), int(counts["left_out"]))
