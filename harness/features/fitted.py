"""What is fitted on training utterances, inside the trial: vocabulary, vectors, scaling."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from harness.codec import check_types
from harness.errors import FeatureError, one_line, unknown_name
from harness.features.gathered import Features, Rows
from harness.features.inputs import Batch, EncodedWords, Inputs
from harness.features.manifest import MODALITIES
from harness.features.mocap import NUM_MOCAP_COLUMNS
from harness.features.scaling import ColumnScaling, MocapScaling, SpeechScaling
from harness.features.speech import SpeechSettings, column_names
from harness.features.text import Tokenizer
from harness.files import read_json, read_npy, write_json, write_then_rename
from harness.splits import Protocol, Vocabulary, protocol_from_json

__all__ = ["FittedFeatures", "MocapScaling", "SpeechScaling", "fit_features"]

FITTED_NAME = "fitted.json"
ARRAY_NAMES = ("embedding", "mocap_mean", "mocap_std", "speech_mean", "speech_std")


@dataclass(frozen=True)
class FittedFeatures:
    """Everything learnt from the training utterances that turns features into a model's inputs.

    Attributes:
        modalities: those that the model takes
        protocol: whose choices the inputs follow
        speech_settings: how the frames were made
        tokenizer: None without text
        embedding: float32 (tokenizer.num_ids, dimension); None without text, or where the model makes its own
        embedding_source: one sentence that says where the vectors come from
        speech: None without speech
        mocap: None without mocap
    """

    modalities: tuple[str, ...]
    protocol: Protocol
    speech_settings: SpeechSettings
    speech_columns: tuple[str, ...]
    tokenizer: Tokenizer | None
    embedding: npt.NDArray[np.float32] | None
    embedding_source: str
    speech: SpeechScaling | None
    mocap: MocapScaling | None
    _encoded: WeakKeyDictionary[Features, EncodedWords] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False, compare=False
    )

    @property
    def chroma_columns(self) -> list[int]:
        """Where the chroma features stand in a frame; empty for features that have none."""
        return [number for number, name in enumerate(self.speech_columns) if name.startswith("chroma_")]

    def prepare(self, features: Features) -> Inputs:
        """Encode the words of ``features`` once, and return what cuts them into batches.

        Raises:
            FeatureError: the frames of ``features`` were made in another way than those that were fitted
        """
        if self.speech is not None and features.speech_settings != self.speech_settings:
            raise FeatureError(
                f"speech frames were made with {json.dumps(features.speech_settings.to_json())}; "
                f"these statistics were fitted on {json.dumps(self.speech_settings.to_json())}"
            )
        words = None
        if self.tokenizer is not None:
            words = self._encoded.get(features)
            if words is None:
                words = EncodedWords.encode(self.tokenizer, features.transcripts, self.protocol.max_words)
                self._encoded[features] = words
        return Inputs(self, features, words)

    def batch(self, features: Features, rows: Rows) -> Batch:
        """Return what a model takes for some utterances: ``prepare(features).batch(rows)``."""
        return self.prepare(features).batch(rows)

    def save(self, directory: Path) -> None:
        """Write JSON and ``.npy`` files into ``directory``, which is made where it does not exist."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, array in self._named_arrays().items():
            with write_then_rename(directory / f"{name}.npy") as stream:
                np.save(stream, array, allow_pickle=False)
        record = {
            "modalities": self.modalities,
            "protocol": self.protocol.to_json(),
            "speech_settings": self.speech_settings.to_json(),
            "speech_columns": self.speech_columns,
            "vocabulary": None if self.tokenizer is None else self.tokenizer.vocabulary,
            "embedding_source": self.embedding_source,
            "arrays": sorted(self._named_arrays()),
        }
        write_json(directory / FITTED_NAME, record)

    @classmethod
    def load(cls, directory: Path) -> FittedFeatures:
        """Read what ``save`` wrote.

        Raises:
            FeatureError: a file is missing or damaged
        """
        try:
            record = read_json(directory / FITTED_NAME)
            for name in record["arrays"]:
                if name not in ARRAY_NAMES:
                    raise unknown_name("array", name, ARRAY_NAMES)
            arrays = {name: read_npy(directory / f"{name}.npy") for name in record["arrays"]}
            fitted = cls._from_record(record, arrays)
            check_types(fitted)
            fitted._check_shapes()
            return fitted
        except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise FeatureError(
                f"fitted features {str(directory)!r}: cannot be read ({one_line(error)}); train the model again"
            ) from error

    @classmethod
    def _from_record(
        cls, record: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> FittedFeatures:
        modalities = tuple(record["modalities"])
        vocabulary = record["vocabulary"]
        return cls(
            modalities=modalities,
            protocol=protocol_from_json(record["protocol"]),
            speech_settings=SpeechSettings.from_json(record["speech_settings"]),
            speech_columns=tuple(record["speech_columns"]),
            tokenizer=None if vocabulary is None else Tokenizer(tuple(vocabulary)),
            embedding=arrays.get("embedding"),
            embedding_source=record["embedding_source"],
            speech=(
                SpeechScaling(arrays["speech_mean"], arrays["speech_std"]) if "speech" in modalities else None
            ),
            mocap=MocapScaling(arrays["mocap_mean"], arrays["mocap_std"]) if "mocap" in modalities else None,
        )

    def _check_shapes(self) -> None:
        for modality in self.modalities:
            if modality not in MODALITIES:
                raise unknown_name("modality", modality, MODALITIES)
        if ("text" in self.modalities) != (self.tokenizer is not None):
            raise ValueError("vocabulary is there without text, or text without it")
        if self.speech_columns != column_names(self.speech_settings):
            raise ValueError("speech_columns are not those of speech_settings")
        num_columns = {"speech": len(self.speech_columns), "mocap": NUM_MOCAP_COLUMNS}
        for name, array in self._named_arrays().items():
            shape: tuple[int, ...] = (num_columns.get(name.partition("_")[0], 0),)
            if name == "embedding":
                shape = (0 if self.tokenizer is None else self.tokenizer.num_ids, *array.shape[1:2])
            if array.dtype != np.float32 or array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{name} is {array.dtype.str} {array.shape}; expected finite <f4 {shape}")

    def _named_arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        arrays = {} if self.embedding is None else {"embedding": self.embedding}
        scalings: dict[str, ColumnScaling | None] = {"speech": self.speech, "mocap": self.mocap}
        for name, scaling in scalings.items():
            if scaling is not None:
                arrays |= {f"{name}_mean": scaling.mean, f"{name}_std": scaling.std}
        return arrays


def fit_features(
    train: Features,
    modalities: Iterable[str],
    protocol: Protocol,
    word_vectors: Path | None,
    embedding_dimension: int | None,
    seed: int,
    vocabulary_extra: Features | None = None,
) -> FittedFeatures:
    """Fit vocabulary, word vectors and scaling on training utterances alone.

    Args:
        modalities: of ``speech``, ``text``, ``mocap``, those that the model takes
        word_vectors: a GloVe or word2vec file, whose dimension then counts; None to train on ``train``;
            not opened where the model makes its own embedding
        embedding_dimension: numbers of a trained vector; None where the model makes its own embedding
        seed: decides the trained vectors and those of words without one
        vocabulary_extra: utterances whose words are known too under ``Vocabulary.EVERYTHING_OPENED``;
            not looked at under any other choice

    Raises:
        FeatureError: ``train`` is empty or lacks a modality, or the file of word vectors cannot be used
        UnknownNameError: no such modality
    """
    if not len(train):
        raise FeatureError("there are no training utterances; expected at least one to fit features on")
    wanted = set(modalities)
    for modality in sorted(wanted):
        if modality not in MODALITIES:
            raise unknown_name("modality", modality, MODALITIES)
    tokenizer, embedding, source = None, None, "the model takes no text"
    if "text" in wanted:
        tokenizer = _fit_tokenizer(train, protocol, vocabulary_extra)
        embedding, source = _make_embedding(tokenizer, train, word_vectors, embedding_dimension, seed)
    return FittedFeatures(
        modalities=tuple(modality for modality in MODALITIES if modality in wanted),
        protocol=protocol,
        speech_settings=train.speech_settings,
        speech_columns=train.speech_columns,
        tokenizer=tokenizer,
        embedding=embedding,
        embedding_source=source,
        speech=SpeechScaling.fit(train) if "speech" in wanted else None,
        mocap=MocapScaling.fit(train) if "mocap" in wanted else None,
    )


def _fit_tokenizer(train: Features, protocol: Protocol, extra: Features | None) -> Tokenizer:
    transcripts = train.transcripts
    if protocol.vocabulary is Vocabulary.EVERYTHING_OPENED and extra is not None:
        transcripts += extra.transcripts
    return Tokenizer.fit(transcripts)


def _make_embedding(
    tokenizer: Tokenizer, train: Features, path: Path | None, dimension: int | None, seed: int
) -> tuple[npt.NDArray[np.float32] | None, str]:
    if dimension is None:
        return None, "the model's own random vectors"
    # Imported here: gensim takes longer to import than everything else that a model without text needs.
    from harness.features.word_vectors import embedding_matrix, read_word_vectors, train_word_vectors

    if path is not None:
        vectors = read_word_vectors(path, tokenizer.vocabulary)
        source = (
            f"{path.name}, {vectors.vector_size} numbers a word: it has {len(vectors)} of the "
            f"{len(tokenizer.vocabulary)} words, the others are small random vectors"
        )
    else:
        vectors = train_word_vectors(train.transcripts, dimension, seed)
        source = (
            f"gensim Word2Vec, {dimension} numbers a word, trained on the {len(train)} training transcripts"
        )
    return embedding_matrix(tokenizer, vectors, seed), source
