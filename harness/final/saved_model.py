"""A final model on disk: one folder, one Keras file and what was fitted with it for each seed.

    model.json              its record; written last, so that a folder with it is whole
    MODEL_CARD.md           its description for people, which the command writes
    mine.py                 of a model of one's own, the file that built it; it is checked, and never run from here
    seed-1234/model.keras   the network, without its optimiser; chain.json in its place for a chain of emotions
    seed-1234/fitted/       tokenizer, word vectors and scaling, or the turns' own classifier: JSON and .npy. The
                            network of a turn model, with what was fitted for it, is in turn_model/ there
    seed-1234/sha256.json   the SHA-256 of each of the seed's files; written last, and checked whenever they are loaded

Where scenes are disjoint there is one network for each group of scenes, in ``seed-1234-scenes-1`` and so on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import keras
import numpy as np

from harness.codec import from_plain, may_be_missing, to_plain
from harness.corpus.layout import MocapStream
from harness.corpus.utterances import CLASSES
from harness.errors import ModelError, one_line, show_value, unknown_name
from harness.features.auxiliary import AuxiliaryCorpora
from harness.features.manifest import MODALITIES, describe_own
from harness.files import (
    DIGESTS_NAME,
    find_changed,
    hash_file,
    hash_json,
    read_object,
    read_regular,
    write_digests,
    write_json,
    write_then_rename,
)
from harness.models.network_file import load_network, save_network
from harness.models.systems import SYSTEMS, find_system, name_system, read_hyperparameters
from harness.models.turn_model import read_turn_model
from harness.scoring.calibration import MAX_TEMPERATURE
from harness.splits.protocol import Protocol
from harness.training.context import load_chain, load_fitted
from harness.training.recipe import Recipe, Trained

#: 2: the fields of ensembles, what is added to them, temperatures, auxiliary corpora and notes on the corpus came.
#: 3: a support vector machine keeps the margins of its pairs of classes apart.
FORMAT_VERSION = 3
#: Changed files that a message names.
_MOST_SHOWN = 4
RESTORE = "restore a copy, or move the folder away and train it again with `harness retrain-best`"


@dataclass(frozen=True)
class Member:
    """The models of one trial in an ensemble.

    Attributes:
        model: name of their folder, which lies beside the ensemble's
        seeds: of those of its models that belong to the ensemble
    """

    model: str
    system: str
    eid: int
    trial_index: int
    seeds: tuple[int, ...]
    num_epochs: int
    hyperparameters: Mapping[str, Any]


class AddedKind(StrEnum):
    """A model without a search of its own that an ensemble can have beside its members."""

    TFIDF = "tfidf"  # the baseline of words: logistic regression over TF-IDF
    SVM = "svm"  # that of speech: support vector machine over functionals, as the system speech_functionals has it

    @property
    def modality(self) -> str:
        """What it reads."""
        return "text" if self is AddedKind.TFIDF else "speech"

    @property
    def phrase(self) -> str:
        """Its name in a sentence."""
        if self is AddedKind.TFIDF:
            return "a logistic regression over TF-IDF of the words"
        return "a support vector machine over functionals of speech"


@dataclass(frozen=True)
class AddedModel:
    """A model without a search of its own in an ensemble.

    Attributes:
        weight: its share of the ensemble's answer, 0 to 1, chosen on validation
    """

    kind: AddedKind
    weight: float


_CHAIN_NAME = "chain.json"
#: Whatever else a user keeps beside them is no seed's.
_SEED_NAME = re.compile(r"seed-(?P<seed>[0-9]+)(-scenes-[0-9]+)?")
#: By how much the probabilities of one answer may miss 1: networks compute in single precision.
_SUM_TOLERANCE = 1e-3
#: By how much a temperature may miss the bounds of its fit, which are bounds of its logarithm.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ModelRecord:
    """The content of ``model.json``.

    Attributes:
        hyperparameters: the complete point, defaults included
        num_epochs: epochs that each seed was trained for, as validation chose them
        seeds: one saved network each
        speech_settings: how frames were extracted; None for a system without speech
        num_train_utterances: train and validation together
        is_fitted_on_test: whether the vocabulary knows the test session's words, as the published code's does
        variant: a sentence on how it came from other models; None for one trained from its beginning
        scene_groups: each seed has one network a group, trained without the group's scenes; empty where scenes are
            shared, and each seed has one network
        turn_model: the system below one that reads the dialogue, as plain values; each seed has trained its own.
            None where there is none
        word_vectors: the file that the turn model reads; None without one, or without a turn model
        auxiliary: that each seed was trained on too; None without auxiliary corpora
        corpus_note: a sentence that says what a corpus of recordings is where it is not the complete IEMOCAP; None for
            the complete one, and for a synthetic one
        temperature: applied to the probabilities of each network; None where the protocol fits none
        members: of an ensemble, which has no network of its own: its answer is the mean over every seed of its members,
            the best trial first, whose hyperparameters stand here. Empty for any other model
        added: the models without a search of their own that answer in an ensemble too; empty without any
        text_features: the user's file that it reads in place of words; None where it reads words, or no text
        own_system: the user's function that built it, as plain values; its source is a file of the folder. None for a
            system of this package
    """

    system: str
    hyperparameters: Mapping[str, Any]
    protocol: Protocol
    modalities: tuple[str, ...]
    classes: tuple[str, ...]
    num_epochs: int
    seeds: tuple[int, ...]
    speech_settings: Mapping[str, Any] | None
    corpus_hash: str
    is_synthetic: bool
    num_train_utterances: int
    is_fitted_on_test: bool
    variant: str | None
    eid: int
    trial_index: int
    versions: Mapping[str, str]
    created_at: str
    scene_groups: tuple[tuple[str, ...], ...] = ()
    turn_model: Mapping[str, Any] | None = None
    word_vectors: Path | None = None
    temperature: float | None = None
    members: tuple[Member, ...] = ()
    added: tuple[AddedModel, ...] = ()
    auxiliary: AuxiliaryCorpora | None = None
    corpus_note: str | None = None
    text_features: Mapping[str, Any] | None = may_be_missing(None)
    own_system: Mapping[str, Any] | None = may_be_missing(None)

    @property
    def is_on_iemocap(self) -> bool:
        """True where the models were trained on the complete IEMOCAP, of which the paper's figures speak."""
        return not self.is_synthetic and self.corpus_note is None

    @property
    def own_features(self) -> tuple[str, ...]:
        """A phrase on each of the user's files that it reads, which nothing here can compute for a recording."""
        return describe_own(self.speech_settings, self.text_features)

    @property
    def group_numbers(self) -> tuple[int | None, ...]:
        """The groups of scenes by number, from 1; None alone where a seed has one network."""
        return number_groups(len(self.scene_groups))

    @property
    def named_system(self) -> str:
        """The system with its context."""
        return name_system(self.system, self.hyperparameters)

    @property
    def streams(self) -> tuple[MocapStream, ...]:
        """The streams of the motion capture that its networks read; without meaning where they read no motion."""
        systems = {member.system for member in self.members}
        if len(systems) < 2:
            return self.recipe().reader.streams
        read = [SYSTEMS[name] for name in systems if name in SYSTEMS]
        known = {stream for system in read if "mocap" in system.modalities for stream in system.streams}
        if len(read) < len(systems):
            # A model of one's own has all of them, if it reads motion.
            known |= set(MocapStream) if "mocap" in self.modalities else set()
        return tuple(stream for stream in MocapStream if stream in known)

    @property
    def is_in_context(self) -> bool:
        """True for a system that reads the other turns of an utterance's dialogue."""
        return bool(find_system(self.system, self.own_system).contexts)

    @property
    def settings(self) -> dict[str, Any]:
        """The hyperparameters by name, and those of the turn model with a dotted name."""
        below = dict(self.turn_model or {})
        below |= below.pop("hyperparameters", {})
        return {**self.hyperparameters, **{f"turn_model.{name}": value for name, value in below.items()}}

    def recipe(self) -> Recipe:
        """Return the recipe of the first seed, whose ``word_vectors`` are those of a turn model."""
        system, seed = find_system(self.system, self.own_system), self.seeds[0]
        point = read_hyperparameters(system, self.hyperparameters, self.protocol)
        below = read_turn_model(self.turn_model, system, self.protocol)
        recipe = Recipe(
            system, point, self.protocol, seed, self.num_epochs, None, self.word_vectors, below, self.auxiliary
        )
        return recipe.with_seed(seed)

    def write(self, model_dir: Path) -> None:
        """Write ``model.json`` into ``model_dir``, whole or not at all; before it the file of a user's function."""
        value = {**to_plain(self), "format_version": FORMAT_VERSION}
        if self.own_system is not None:
            source = value["own_system"].pop("source")
            with write_then_rename(model_dir / self.own_system["file_name"]) as stream:
                stream.write(source.encode("utf-8"))
        write_json(model_dir / "model.json", {**value, "sha256": hash_json(value, num_digits=64)})

    @classmethod
    def read(cls, model_dir: Path) -> ModelRecord:
        """Read ``model.json``.

        Raises:
            ModelError: the folder holds no whole model, or one of another format
        """
        path = model_dir / "model.json"
        try:
            value = read_object(path)
        except (FileNotFoundError, NotADirectoryError):
            raise ModelError(
                f"model {str(model_dir)!r}: has no model.json; expected a folder that `harness retrain-best` wrote"
            ) from None
        except (OSError, ValueError) as error:
            raise ModelError(f"model file {str(path)!r}: cannot be read ({one_line(error)}); {RESTORE}") from None
        digest, found_digest = value.pop("sha256", None), hash_json(value, num_digits=64)
        version = value.pop("format_version", None)
        if version != FORMAT_VERSION:
            raise ModelError(
                f"model file {str(path)!r}: format version {show_value(version)}; expected {FORMAT_VERSION}; "
                "train it again with `harness retrain-best`"
            )
        if isinstance(value.get("own_system"), dict):
            _read_source(model_dir, value["own_system"])
        try:
            record = from_plain(cls, value)
            record._check()
        except ValueError as error:
            raise ModelError(
                f"model file {str(path)!r}: not a model's record ({one_line(error)}); {RESTORE}"
            ) from None
        if digest != found_digest:
            raise ModelError(
                f"model file {str(path)!r}: has changed since it was saved, by the SHA-256 in it; expected the file "
                f"that `harness retrain-best` wrote; {RESTORE}"
            )
        return record

    def _check(self) -> None:
        """Check the values of the record, and that they go together as far as the record alone can say.

        The files of each network are checked where they are loaded, and an ensemble's members by their own records.

        Raises:
            ValueError: something does not
        """
        if self.classes != CLASSES:
            raise ValueError(f"classes is {self.classes!r:.80}; expected {tuple(map(str, CLASSES))}")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"seeds is {self.seeds!r:.80}; expected at least one, each once and not negative")
        for trained in (self, *self.members):
            _check_lowest(trained, {"num_epochs": 1, "eid": 1, "trial_index": 0})
        _check_lowest(self, {"num_train_utterances": 1})
        if self.auxiliary is not None:
            _check_lowest(self.auxiliary, {"num_epochs": 1})
            num_dirs, num_hashes = len(self.auxiliary.prepared_dirs), len(self.auxiliary.corpus_hashes)
            if not num_dirs or num_dirs != num_hashes:
                raise ValueError(f"auxiliary has {num_dirs} prepared_dirs, {num_hashes} corpus_hashes; expected pairs")
        scenes = [scene for group in self.scene_groups for scene in group]
        if not all(self.scene_groups) or len(set(scenes)) != len(scenes):
            raise ValueError(f"scene_groups is {self.scene_groups!r:.80}; expected groups of scenes, each scene once")
        for modality in self.modalities:
            if modality not in MODALITIES:
                raise unknown_name("modality", modality, MODALITIES)
        # Of an ensemble it is the best trial's.
        recipe = self.recipe()
        if recipe.turn_model is not None and self.turn_model is None:
            raise ValueError(f"turn_model is null; expected the one that system {self.system!r} was trained with")
        # The members and the added models of an ensemble may read more than the system that it is named after.
        readable = MODALITIES if self.members else recipe.modalities
        is_once = len(set(self.modalities)) == len(self.modalities)
        if not self.modalities or not set(self.modalities) <= set(readable) or not is_once:
            raise ValueError(f"modalities is {self.modalities!r:.80}; expected some of {list(readable)}, each once")
        if "speech" in self.modalities and self.speech_settings is None:
            raise ValueError("speech_settings is null; expected the settings of the speech that the model reads")
        describe_own(self.speech_settings, self.text_features)
        lowest, highest = 1 / MAX_TEMPERATURE, MAX_TEMPERATURE
        # NaN fails every comparison.
        if self.temperature is not None and not lowest - _ROUNDING <= self.temperature <= highest + _ROUNDING:
            raise ValueError(f"temperature is {self.temperature}; expected a number from {lowest:g} to {highest:g}")
        for member in self.members:
            if len(set(member.seeds)) != len(member.seeds) or min(member.seeds, default=0) < 0:
                raise ValueError(f"members has the seeds {member.seeds!r:.80}; expected each once and not negative")
            if Path(member.model).name != member.model or not member.seeds:
                raise ValueError(
                    f"members has {member.model!r:.80} with the seeds {member.seeds!r:.80}; expected the name of a "
                    "folder, and at least one seed"
                )
        weights = [added.weight for added in self.added]
        if not all(0 <= weight <= 1 for weight in weights) or sum(weights) > 1 + _SUM_TOLERANCE:
            raise ValueError(f"the weights of added are {weights!r:.80}; expected shares of 1")


def _check_lowest(record: object, lowest: Mapping[str, int]) -> None:
    for name, low in lowest.items():
        if getattr(record, name) < low:
            raise ValueError(f"{name} is {getattr(record, name)}; expected a whole number from {low} on")


def _read_source(model_dir: Path, own: dict[str, Any]) -> None:
    """Put the file of a user's function into what a record says of it.

    Raises:
        ModelError: it is missing, or is not the file that the models were built by
    """
    name = own.get("file_name")
    path = model_dir / Path(str(name)).name
    try:
        own["source"] = read_regular(path).decode("utf-8")
        is_same = hash_file(path) == own.get("sha256")
    except (OSError, ValueError):
        is_same = False
    if not is_same:
        raise ModelError(
            f"model {str(model_dir)!r}: {str(name)!r} is missing or has changed since the models were built by it; "
            "restore a copy, or move the folder away and train it again with `harness retrain-best`"
        )


def check_digests(folder: Path) -> None:
    """Check that a folder's files are those that were saved.

    Raises:
        ModelError: a file is missing, has changed or was added, or nothing says what was saved
    """
    try:
        changed = find_changed(folder)
    except FileNotFoundError:
        raise ModelError(
            f"model {str(folder)!r}: has no {DIGESTS_NAME}, which is written last; expected a folder that was saved "
            "whole; train it again with `harness retrain-best`"
        ) from None
    except (OSError, ValueError) as error:
        path = folder / DIGESTS_NAME
        raise ModelError(f"model file {str(path)!r}: cannot be read ({one_line(error)}); {RESTORE}") from None
    if changed:
        shown = ", ".join(changed[:_MOST_SHOWN]) + (f", {len(changed)} in all" if len(changed) > _MOST_SHOWN else "")
        raise ModelError(
            f"model {str(folder)!r}: {shown}; expected the files whose SHA-256 is in {DIGESTS_NAME}; "
            + RESTORE
        )


def name_in_results(model_dir: Path) -> str:
    """Return the path of a model's folder inside the results folder, by which test scores name the model.

    Example:
        >>> name_in_results(Path("results/models/experiment-1-trial-4-0a1b2c3d"))
        'models/experiment-1-trial-4-0a1b2c3d'
    """
    return f"{model_dir.parent.name}/{model_dir.name}"


def number_groups(num_groups: int) -> tuple[int | None, ...]:
    """Return the numbers of groups of scenes, from 1; None alone where there is no group.

    Example:
        >>> number_groups(3), number_groups(0)
        ((1, 2, 3), (None,))
    """
    return tuple(range(1, num_groups + 1)) or (None,)


def seed_dir(model_dir: Path, seed: int, group: int | None = None) -> Path:
    """Return the folder of one seed's network.

    Args:
        group: number of the group of scenes that it was trained without; None for a seed's only network
    """
    return model_dir / (f"seed-{seed}" if group is None else f"seed-{seed}-scenes-{group}")


def save_seed(model_dir: Path, seed: int, trained: Trained, group: int | None = None) -> None:
    """Save one seed's network, as ``save_trained`` does, where ``load_seed`` looks for it."""
    save_trained(seed_dir(model_dir, seed, group), trained)


def save_trained(folder: Path, trained: Trained) -> None:
    """Save one network and what was fitted with it; the SHA-256 of their files is written last."""
    folder.mkdir(parents=True, exist_ok=True)
    # Until the new files are whole, the folder holds no model.
    (folder / DIGESTS_NAME).unlink(missing_ok=True)
    trained.fitted.save(folder / "fitted")
    if isinstance(trained.model, keras.Model):
        save_network(folder, trained.model)
    else:
        trained.model.write(folder / _CHAIN_NAME)
    write_digests(folder)


def has_seed(model_dir: Path, seed: int, group: int | None = None) -> bool:
    """Return whether one seed's network has been trained and saved."""
    return (seed_dir(model_dir, seed, group) / DIGESTS_NAME).is_file()


def saved_seeds(model_dir: Path, first: Sequence[int], num_groups: int = 0) -> tuple[int, ...]:
    """Return the seeds that are saved whole: those of ``first`` in their order, then any others.

    Args:
        num_groups: groups of scenes, each with a network of every seed; 0 for one network a seed
    """
    names = [_SEED_NAME.fullmatch(path.parent.name) for path in model_dir.glob(f"seed-*/{DIGESTS_NAME}")]
    candidates = {int(name["seed"]) for name in names if name is not None}
    numbers = number_groups(num_groups)
    found = {seed for seed in candidates if all(has_seed(model_dir, seed, number) for number in numbers)}
    return tuple([seed for seed in first if seed in found] + sorted(found - set(first)))


def load_seed(model_dir: Path, seed: int, group: int | None = None) -> Trained:
    """Load one seed's network.

    Raises:
        ModelError: as ``load_trained``
    """
    return load_trained(seed_dir(model_dir, seed, group))


def load_trained(folder: Path) -> Trained:
    """Load one network with what was fitted with it, in Keras's safe mode: no code in the file is run.

    Raises:
        ModelError: a file is missing or damaged, or has changed or was added since it was saved
    """
    check_digests(folder)
    if (folder / _CHAIN_NAME).is_file():
        return load_chain(folder / _CHAIN_NAME, folder / "fitted")
    return load_fitted(load_network(folder), folder / "fitted")


def check_probabilities(answers: np.ndarray, whose: str) -> None:
    """Check that each row is a distribution over the classes.

    Args:
        answers: floating (num_utterances, 4); of any shape where the model is damaged
        whose: begins the error, e.g. ``"model 'models/a'"``

    Raises:
        ModelError: a row has another number of values, or one that is not finite or not from 0 to 1, or does not
            sum to 1

    Example:
        >>> check_probabilities(np.array([[0.25, 0.25, 0.5, np.nan]]), "model 'a'")
        Traceback (most recent call last):
        harness.errors.ModelError: model 'a': answers 0.25, 0.25, 0.5, nan; expected probabilities from 0 to 1 that sum to 1; the model is damaged, or its training diverged: train it again with `harness retrain-best`
    """  # noqa: E501
    if answers.ndim != 2 or answers.shape[1] != len(CLASSES):
        raise ModelError(
            f"{whose}: answers with numbers of the shape {answers.shape}; expected a probability of each of the "
            f"{len(CLASSES)} classes; {RESTORE}"
        )
    # NaN fails every comparison.
    is_right = ((answers >= 0) & (answers <= 1)).all(axis=1) & (abs(answers.sum(axis=1) - 1) <= _SUM_TOLERANCE)
    if not is_right.all():
        row = answers[int(np.argmin(is_right))]
        raise ModelError(
            f"{whose}: answers {', '.join(f'{value:.4g}' for value in row)}; expected probabilities from 0 to 1 that "
            "sum to 1; the model is damaged, or its training diverged: train it again with `harness retrain-best`"
        )
