"""A turn's own network below a system that reads the dialogue: trained out of fold, and kept for a search's trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from harness.corpus.utterances import CLASSES
from harness.features.fitted import FittedFeatures
from harness.features.store import Features
from harness.files import hash_json, read_npy, write_then_rename
from harness.models.network_file import load_network, save_network
from harness.models.out_of_fold import Folds, part_folds
from harness.models.turn_model import NetworkVectors, TurnModel
from harness.provenance import hash_word_vectors, package_versions
from harness.splits.protocol import Protocol
from harness.training.kept import hash_sessions, train_or_load
from harness.training.loop import Scorer, TrainedModel

Floats = npt.NDArray[np.float64]

NUM_CLASSES = len(CLASSES)
_FOLDER = "turn_model"
_ANSWERS_NAME = "answers.npy"


@dataclass(frozen=True, eq=False)
class TurnNetwork:
    """A network that answers turns, each on its own.

    Attributes:
        network: its outputs are the probabilities and, under ``NetworkVectors.HIDDEN``, the activations before the
            softmax after them
        fitted: what its inputs are made with
    """

    network: keras.Model
    fitted: FittedFeatures

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that are read."""
        return self.fitted.modalities

    @property
    def embedding_source(self) -> str:
        """The origin of the numbers that stand for words, in one sentence."""
        return self.fitted.embedding_source

    def answer(self, turns: Features) -> tuple[Floats, Floats]:
        """Return the probabilities of turns, float64 (num_turns, 4), and their activations, float64 (num_turns, width).
        """
        outputs = Scorer(self.network).score(self.fitted.prepare(turns)).astype(np.float64)
        return outputs[:, :NUM_CLASSES], outputs[:, NUM_CLASSES:]

    def save(self, directory: Path) -> None:
        """Write the network and what was fitted for it into a folder inside ``directory``."""
        folder = directory / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self.fitted.save(folder / "fitted")
        save_network(folder, self.network)

    @classmethod
    def load(cls, directory: Path) -> TurnNetwork:
        """Read what ``save`` wrote.

        Raises:
            ModelError, FeatureError: a file is missing or damaged
        """
        folder = directory / _FOLDER
        return cls(load_network(folder), FittedFeatures.load(folder / "fitted"))

    @staticmethod
    def is_saved_in(directory: Path) -> bool:
        """Return whether ``save`` wrote into a folder."""
        return (directory / _FOLDER).is_dir()


@dataclass(frozen=True)
class TurnTraining:
    """The training of a turn's own network.

    Attributes:
        train: trains it on some utterances
        decides: everything that decides its numbers, except its utterances, as plain values
        turn_vectors: the outputs that are read
    """

    train: Callable[[Features], TurnNetwork]
    decides: dict[str, Any]
    turn_vectors: NetworkVectors


def plan_turn_training(
    turn_model: TurnModel, protocol: Protocol, word_vectors: Path | None, train: Callable[[Features], TrainedModel]
) -> TurnTraining:
    """Plan the training of a turn model.

    Args:
        train: trains its system on some utterances, as it is trained on its own
    """

    def train_network(utterances: Features) -> TurnNetwork:
        trained = train(utterances)
        has_hidden = turn_model.turn_vectors is NetworkVectors.HIDDEN
        return TurnNetwork(expose_hidden(trained.model) if has_hidden else trained.model, trained.fitted)

    decides = {
        "turn_model": turn_model.to_json(),
        "protocol": protocol.choices,
        "word_vectors": hash_word_vectors(word_vectors) if "text" in turn_model.system.modalities else None,
        "versions": package_versions(),
    }
    return TurnTraining(train_network, decides, turn_model.turn_vectors)


def expose_hidden(network: keras.Model) -> keras.Model:
    """Return the network with the activations before its softmax after the probabilities; it shares its weights."""
    inputs = {tensor.name: tensor for tensor in network.inputs}
    outputs = [network.output, network.get_layer("emotion").input]
    return keras.Model(inputs, keras.layers.Concatenate(name="answers")(outputs), name=network.name)


def fit_turn_network(
    training: TurnTraining, train: Features, turns: Features, is_trained_on: npt.NDArray[np.bool_], folds: Folds
) -> tuple[TurnNetwork, Floats, Floats]:
    """Train a turn's own network, and answer the training turns out of fold.

    What was found is kept beside prepared features, for a search trains the same turn model in every trial.

    Args:
        train: the training utterances
        turns: all turns of their dialogues
        is_trained_on: bool (num_turns,), those of ``train``
        folds: of the turns

    Returns:
        the network of all training utterances; and, of the turns, the probabilities float64 (num_turns, 4) and the
        activations float64 (num_turns, width) of networks that have trained on nothing of their folds. The
        activations are turned into the space of the network that is returned

    Raises:
        ShapeError: as ``part_folds``
    """
    if train.prepared_dir is None:
        return _fit(training, train, turns, is_trained_on, folds)
    folder = train.prepared_dir / "turn_models" / _name(training, train, turns, folds, train.prepared_dir)
    return train_or_load(
        folder,
        lambda: _fit(training, train, turns, is_trained_on, folds),
        lambda kept: _load(kept, len(turns)),
        lambda unfinished, found: _keep(unfinished, *found),
    )


def _fit(
    training: TurnTraining, train: Features, turns: Features, is_trained_on: npt.NDArray[np.bool_], folds: Folds
) -> tuple[TurnNetwork, Floats, Floats]:
    parts = part_folds(folds, is_trained_on)
    names = np.array(turns.utterance_ids)
    whole = training.train(train)
    own = whole.answer(turns)[1]
    probabilities, hidden = np.full((len(turns), NUM_CLASSES), np.nan), np.full(own.shape, np.nan)
    for asked, trained in parts:
        of_fold = training.train(train.select(list(names[trained])))
        probabilities[asked], activations = of_fold.answer(turns.select(list(names[asked])))
        if training.turn_vectors is NetworkVectors.HIDDEN:
            known = of_fold.answer(turns.select(list(names[trained])))[1]
            hidden[asked] = turn_into(activations, known, own[trained])
    return whole, probabilities, hidden


def turn_into(activations: Floats, known: Floats, target: Floats) -> Floats:
    """Turn activations of one network into the space of another, by shift and rotation.

    Two trainings of one network order and mix their units differently. The rotation is the best one for turns that
    both have trained on.

    Args:
        activations: float64 (num_turns, width), of the first network
        known, target: float64 (num_known, width), of turns that both networks have trained on, by the first and the
            second

    Source:
        Schönemann, Psychometrika 31(1), 1966: the orthogonal Procrustes problem.

    Example:
        >>> known = np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 4.0]])
        >>> turn_into(np.array([[3.0, 5.0]]), known, known[:, ::-1]).round(6).tolist()
        [[5.0, 3.0]]
    """
    left, _, right = np.linalg.svd((known - known.mean(axis=0)).T @ (target - target.mean(axis=0)))
    return np.asarray((activations - known.mean(axis=0)) @ left @ right + target.mean(axis=0))


def _name(training: TurnTraining, train: Features, turns: Features, folds: Folds, prepared_dir: Path) -> str:
    """Return a hash of everything that decides the answers."""
    return hash_json(
        {
            **training.decides,
            "trained on": list(zip(train.utterance_ids, train.emotions.tolist(), strict=True)),
            "turns": turns.utterance_ids,
            "folds": {name: numbers.tolist() for name, numbers in folds.items()},
            **hash_sessions(prepared_dir, turns),
        },
        32,
    )


def _load(folder: Path, num_turns: int) -> tuple[TurnNetwork, Floats, Floats]:
    answers = read_npy(folder / _ANSWERS_NAME)
    if answers.dtype != np.float64 or answers.ndim != 2 or len(answers) != num_turns or np.isnan(answers).any():
        raise ValueError(f"{_ANSWERS_NAME} is {answers.dtype.str} {answers.shape}")
    return TurnNetwork.load(folder), answers[:, :NUM_CLASSES], answers[:, NUM_CLASSES:]


def _keep(folder: Path, network: TurnNetwork, probabilities: Floats, hidden: Floats) -> None:
    network.save(folder)
    with write_then_rename(folder / _ANSWERS_NAME) as stream:
        np.save(stream, np.concatenate([probabilities, hidden], axis=1), allow_pickle=False)
