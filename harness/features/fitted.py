"""The features that are fitted in the trial, on training utterances alone, and the batches made with them.

Fitted are the vocabulary, the word vectors and the scaling of each column.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from harness.codec import check_types, from_plain, to_plain
from harness.corpus.layout import MocapStream
from harness.errors import FeatureError, one_line, unknown_name
from harness.features.functionals import NUM_FUNCTIONALS, compute_functionals
from harness.features.lexica import Lexicon, hash_lexicon, read_lexicon
from harness.features.manifest import MODALITIES
from harness.features.mocap import MOCAP_COLUMNS, NUM_MOCAP_COLUMNS, fill_from_neighbours
from harness.features.own import OwnFeatures
from harness.features.scaling import ColumnScaling, Moments, chunks
from harness.features.speech import SpeechSettings, column_names
from harness.features.store import Features, Rows
from harness.features.text import (
    PADDING_ID,
    Tokenizer,
    embedding_matrix,
    inverse_frequencies,
    read_known_vectors,
    read_word_vectors,
    split_words,
    train_word_vectors,
)
from harness.files import read_npy, read_object, write_json, write_then_rename
from harness.splits.protocol import (
    Chroma,
    HeadAndHand,
    Lengths,
    ListenerMocap,
    MocapGaps,
    Protocol,
    Scaling,
    Vocabulary,
)

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int32]
Batch = dict[str, npt.NDArray[Any]]

FITTED_NAME = "fitted.json"
#: Deviations of scaled motion, beyond which values are clipped under ``MocapGaps.NEIGHBOURS``: a marker that jumps for
#: a moment. Ours: of a normal distribution one value in two million lies beyond.
MOST_DEVIATIONS = 5.0
#: The origin of the word vectors of a model without text, as it is stored.
NO_TEXT = "the model takes no text"
#: That of a model of TF-IDF.
TERMS_SOURCE = "TF-IDF of words, sentence marks and pairs, fitted on the training utterances"
ARRAY_NAMES = (
    *("embedding", "functionals", "mocap_mean", "mocap_std", "speech_mean", "speech_std", "text_mean", "text_std"),
)


def fit_features(
    train: Features,
    modalities: Iterable[str],
    protocol: Protocol,
    word_vectors: Path | None,
    embedding_dimension: int | None,
    seed: int,
    vocabulary_extra: Features | None = None,
    *,
    reads_terms: bool = False,
    lexicon: Lexicon = Lexicon.NONE,
    centres_functionals: bool = False,
) -> FittedFeatures:
    """Fit vocabulary, word vectors and scaling on training utterances alone.

    Args:
        modalities: of ``speech``, ``text``, ``mocap``, those that the model takes
        word_vectors: a GloVe or word2vec file, whose dimension then counts, and whose words are known too, except under
            ``Vocabulary.EVERYTHING_OPENED``; None to train on ``train``; not opened where the model makes its own
            embedding
        embedding_dimension: numbers of a trained vector; None where the model makes its own embedding
        seed: decides the trained vectors and those of words without one
        vocabulary_extra: utterances whose words are known too under ``Vocabulary.EVERYTHING_OPENED``;
            ignored under any other choice
        reads_terms: whether the model reads TF-IDF of words, sentence marks and pairs, in place of word vectors
        lexicon: whose terms are among them
        centres_functionals: whether the model subtracts the mean functionals of the speaker's turns

    Raises:
        FeatureError: ``train`` is empty or lacks a modality, or the file of word vectors or the lexicon cannot be used
        UnknownNameError: no such modality
    """
    if not len(train):
        raise FeatureError("there are no training utterances; expected at least one to fit features on")
    wanted = set(modalities)
    _check_modalities(sorted(wanted))
    tokenizer, embedding, source = None, None, NO_TEXT
    own_text = train.text_features if "text" in wanted and not reads_terms else None
    if own_text is not None:
        source = f"{own_text.describe()}, scaled by the training utterances"
    elif "text" in wanted:
        transcripts = train.transcripts
        if protocol.vocabulary is Vocabulary.EVERYTHING_OPENED and vocabulary_extra is not None:
            transcripts += vocabulary_extra.transcripts
        if reads_terms:
            tokenizer = Tokenizer.fit_terms(transcripts, lexicon)
            embedding = inverse_frequencies(tokenizer, train.transcripts)
            source = TERMS_SOURCE + _describe_lexicon(lexicon, train)
        else:
            tokenizer, embedding, source = _make_embedding(
                Tokenizer.fit(transcripts),
                train,
                word_vectors,
                embedding_dimension,
                seed,
                protocol.vocabulary is Vocabulary.TRAINING,
            )
    return FittedFeatures(
        modalities=tuple(modality for modality in MODALITIES if modality in wanted),
        protocol=protocol,
        speech_settings=train.speech_settings,
        speech_columns=train.speech_columns,
        tokenizer=tokenizer,
        embedding=embedding,
        embedding_source=source,
        speech=fit_speech(train) if "speech" in wanted else None,
        mocap=fit_mocap(train) if "mocap" in wanted else None,
        text_features=own_text,
        text=None if own_text is None else fit_text(train),
        functionals=fit_functionals(train) if centres_functionals else None,
    )


def _describe_lexicon(lexicon: Lexicon, train: Features) -> str:
    """Say how many of the spoken words of training a lexicon knows; empty without a lexicon."""
    if lexicon is Lexicon.NONE:
        return ""
    spoken = [word for transcript in train.transcripts for word in split_words(transcript or "")]
    num_known = sum(word in read_lexicon(lexicon) for word in spoken)
    return f"; lexicon {lexicon.value!r} knows {num_known} of the {len(spoken)} spoken words of training"


def _check_modalities(modalities: Iterable[str]) -> None:
    for modality in modalities:
        if modality not in MODALITIES:
            raise unknown_name("modality", modality, MODALITIES)


def _make_embedding(
    tokenizer: Tokenizer, train: Features, path: Path | None, dimension: int | None, seed: int, extends: bool
) -> tuple[Tokenizer, npt.NDArray[np.float32] | None, str]:
    if dimension is None:
        return tokenizer, None, "the model's own random vectors"
    if path is None:
        vectors = train_word_vectors(train.transcripts, dimension, seed)
        source = f"gensim Word2Vec, {dimension} numbers a word, trained on the {len(train)} training transcripts"
        return tokenizer, embedding_matrix(tokenizer, vectors, seed), source
    of_pieces: set[str] = set()
    if extends:
        tokenizer, vectors, of_pieces = read_known_vectors(path, tokenizer)
    else:
        vectors = read_word_vectors(path, tokenizer.vocabulary)
    source = f"{path.name}, {vectors.vector_size} numbers a word: {_count_vectors(train, vectors, of_pieces)}"
    if tokenizer.num_file_words:
        num_pieced = len(of_pieces.intersection(tokenizer.vocabulary[-tokenizer.num_file_words :]))
        source += (
            f"; words that training lacks, not trained: {tokenizer.num_file_words - num_pieced} with the file's "
            f"vector, {num_pieced} with the mean of their pieces"
        )
    return tokenizer, embedding_matrix(tokenizer, vectors, seed), source


def _count_vectors(train: Features, vectors: Container[str], of_pieces: set[str]) -> str:
    """Count the spoken words of training, and the different ones among them, by the origin of their vectors."""
    spoken = Counter(word for transcript in train.transcripts for word in split_words(transcript or ""))
    of_file = {word: count for word, count in spoken.items() if word in vectors and word not in of_pieces}
    pieced = {word: count for word, count in spoken.items() if word in of_pieces}
    return (
        f"of the {spoken.total()} spoken words of training ({len(spoken)} different ones), the file has "
        f"{sum(of_file.values())} ({len(of_file)}), {sum(pieced.values())} ({len(pieced)}) begin as the mean of their "
        "pieces, and the others as small random vectors"
    )


@dataclass(frozen=True)
class FittedFeatures:
    """Everything that was learnt from the training utterances, and turns features into a model's inputs.

    Attributes:
        modalities: those that the model takes
        protocol: its choices decide the inputs
        speech_settings: how the frames were made
        tokenizer: None without text
        embedding: float32 (tokenizer.num_ids, dimension); None without text, or where the model makes its own; of a
            model of TF-IDF ``inverse_frequencies``
        embedding_source: the origin of the vectors, in one sentence
        speech: None without speech
        mocap: None without mocap
        text_features: a user's file that the model reads in place of words; None without
        text: the scaling of that file's numbers
        functionals: float32 (NUM_FUNCTIONALS * num_columns,), the mean functionals of speech; None where the model does
            not centre them
    """

    modalities: tuple[str, ...]
    protocol: Protocol
    speech_settings: SpeechSettings
    speech_columns: tuple[str, ...]
    tokenizer: Tokenizer | None
    embedding: npt.NDArray[np.float32] | None
    embedding_source: str
    speech: ColumnScaling | None
    mocap: ColumnScaling | None
    text_features: OwnFeatures | None = None
    text: ColumnScaling | None = None
    functionals: npt.NDArray[np.float32] | None = None
    _encoded: WeakKeyDictionary[Features, EncodedWords] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False, compare=False
    )

    @property
    def chroma_columns(self) -> list[int]:
        """The places of the chroma features in a frame; empty for features that have none."""
        return [number for number, name in enumerate(self.speech_columns) if name.startswith("chroma_")]

    def prepare(self, features: Features) -> Inputs:
        """Encode the words of ``features`` once, and return them ready to be cut into batches.

        Raises:
            FeatureError: the frames of ``features`` were made or scaled in another way than those that were fitted.
                Recordings without other turns of their speaker are scaled by the training utterances
        """
        is_loaded = features.prepared_dir is not None
        if is_loaded and features.is_scaled_by_speaker != self.protocol.scales_by_speaker:
            raise FeatureError(
                f"speech features: were loaded {'' if features.is_scaled_by_speaker else 'not '}scaled by speaker; "
                f"expected speaker_scaling {str(self.protocol.speaker_scaling)!r}, as in protocol "
                f"{self.protocol.name!r}"
            )
        if self.speech is not None and features.speech_settings != self.speech_settings:
            raise FeatureError(
                f"speech features: were made with {json.dumps(features.speech_settings.to_json())}; "
                f"expected {json.dumps(self.speech_settings.to_json())}, on which the model was fitted"
            )
        if self.text_features is not None and features.text_features != self.text_features:
            read = "words" if features.text_features is None else features.text_features.describe()
            raise FeatureError(
                f"text features: the utterances have {read}; expected {self.text_features.describe()}, on which the "
                "model was fitted"
            )
        words = None
        if self.tokenizer is not None:
            words = self._encoded.get(features)
            if words is None:
                words = EncodedWords.encode(self.tokenizer, features.transcripts, self.protocol.max_words)
                self._encoded[features] = words
        return Inputs(self, features.against(self.speech), words)

    def save(self, directory: Path) -> None:
        """Write JSON and ``.npy`` files into ``directory``, which is made where it does not exist."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, array in self._named_arrays().items():
            with write_then_rename(directory / f"{name}.npy") as stream:
                np.save(stream, array, allow_pickle=False)
        lexicon = Lexicon.NONE if self.tokenizer is None else self.tokenizer.lexicon
        record = {
            "modalities": self.modalities,
            "protocol": self.protocol.to_json(),
            "speech_settings": self.speech_settings.to_json(),
            "speech_columns": self.speech_columns,
            "vocabulary": None if self.tokenizer is None else self.tokenizer.vocabulary,
            "num_file_words": 0 if self.tokenizer is None else self.tokenizer.num_file_words,
            "has_terms": self.tokenizer is not None and self.tokenizer.has_terms,
            "lexicon": lexicon.value,
            "lexicon_hash": hash_lexicon(lexicon),
            "embedding_source": self.embedding_source,
            "arrays": sorted(self._named_arrays()),
        }
        if self.text_features is not None:
            record["text_features"] = to_plain(self.text_features)
        write_json(directory / FITTED_NAME, record)

    @classmethod
    def load(cls, directory: Path) -> FittedFeatures:
        """Read the files that ``save`` wrote.

        Raises:
            FeatureError: a file is missing or damaged, or the lexicon is not the one that was fitted with
        """
        try:
            record = read_object(directory / FITTED_NAME)
            lexicon = Lexicon(record["lexicon"])
            for name in record["arrays"]:
                if name not in ARRAY_NAMES:
                    raise unknown_name("array", name, ARRAY_NAMES)
            arrays = {name: read_npy(directory / f"{name}.npy") for name in record["arrays"]}
            modalities, vocabulary = tuple(record["modalities"]), record["vocabulary"]
            has_speech, has_mocap = "speech" in modalities, "mocap" in modalities
            own_text = record.get("text_features")
            fitted = cls(
                modalities=modalities,
                protocol=from_plain(Protocol, record["protocol"]),
                speech_settings=from_plain(SpeechSettings, record["speech_settings"]),
                speech_columns=tuple(record["speech_columns"]),
                tokenizer=(
                    None
                    if vocabulary is None
                    else Tokenizer(tuple(vocabulary), record["num_file_words"], record["has_terms"], lexicon)
                ),
                embedding=arrays.get("embedding"),
                embedding_source=record["embedding_source"],
                speech=ColumnScaling(arrays["speech_mean"], arrays["speech_std"]) if has_speech else None,
                mocap=ColumnScaling(arrays["mocap_mean"], arrays["mocap_std"]) if has_mocap else None,
                text_features=None if own_text is None else from_plain(OwnFeatures, own_text),
                text=None if own_text is None else ColumnScaling(arrays["text_mean"], arrays["text_std"]),
                functionals=arrays.get("functionals"),
            )
            check_types(fitted)
            if fitted.tokenizer is not None:
                check_types(fitted.tokenizer)
            fitted._check_shapes()
            known = record["lexicon_hash"]
        except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise FeatureError(
                f"fitted features {str(directory)!r}: cannot be read ({one_line(error)}); train the model again"
            ) from error
        if hash_lexicon(lexicon) != known:
            raise FeatureError(
                f"fitted features {str(directory)!r}: were fitted with another lexicon {lexicon.value!r} than the one "
                "that is installed; install the version of its package that the model was trained with, or train again"
            )
        return fitted

    def _check_shapes(self) -> None:
        _check_modalities(self.modalities)
        if ("text" in self.modalities) != (self.tokenizer is not None or self.text_features is not None):
            raise ValueError("found a vocabulary without text, or text without a vocabulary")
        if self.tokenizer is not None and self.text_features is not None:
            raise ValueError("found a vocabulary, and a file of features in place of words")
        if self.speech_columns != column_names(self.speech_settings):
            raise ValueError("speech_columns are not those of speech_settings")
        num_columns = {"speech": len(self.speech_columns), "mocap": NUM_MOCAP_COLUMNS}
        num_columns["functionals"] = NUM_FUNCTIONALS * len(self.speech_columns)
        num_columns["text"] = 0 if self.text_features is None else self.text_features.num_columns
        for name, array in self._named_arrays().items():
            shape: tuple[int, ...] = (num_columns.get(name.partition("_")[0], 0),)
            if name == "embedding":
                shape = (0 if self.tokenizer is None else self.tokenizer.num_ids, *array.shape[1:2])
            if array.dtype != np.float32 or array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{name} is {array.dtype.str} {array.shape}; expected finite <f4 {shape}")
            if name.endswith("_std") and (array < np.finfo(np.float32).tiny).any():
                raise ValueError(f"{name} has {array.min()}; expected deviations above 0")

    def _named_arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        arrays = {} if self.embedding is None else {"embedding": self.embedding}
        arrays |= {} if self.functionals is None else {"functionals": self.functionals}
        scalings: dict[str, ColumnScaling | None] = {"speech": self.speech, "mocap": self.mocap, "text": self.text}
        for name, scaling in scalings.items():
            if scaling is not None:
                arrays |= {f"{name}_mean": scaling.mean, f"{name}_std": scaling.std}
        return arrays


@dataclass(frozen=True)
class Inputs:
    """The features of some utterances, ready to be cut into batches.

    Attributes:
        words: None where the model takes no text
    """

    fitted: FittedFeatures
    features: Features
    words: EncodedWords | None

    @property
    def lengths(self) -> Mapping[str, npt.NDArray[Any]]:
        """Steps of each utterance by modality, to make batches of like length: ``speech`` and ``text``.

        Under ``Lengths.PADDED`` all have the full length.
        """
        lengths: dict[str, npt.NDArray[Any]] = {}
        if self.fitted.speech is not None:
            lengths["speech"] = self._padded(self.features.speech_lengths, self.features.speech_shape[0])
        if self.words is not None:
            lengths["text"] = self._padded(self.words.lengths, self.words.full_length)
        if self.fitted.text_features is not None:
            lengths["text"] = self._padded(self.features.text_lengths, self.fitted.text_features.max_frames)
        return lengths

    def batch(self, rows: Rows) -> Batch:
        """Return a model's inputs for some utterances, by modality.

        Returns:
            ``speech`` float32 (num_rows, num_frames, num_columns) and ``speech_lengths`` int32 (num_rows,):
            scaled, 0 beyond an utterance's length, cut to the longest of the batch.
            ``text`` int32 (num_rows, num_words): ids, padded with 0 on the right, cut to the longest of the batch.
            Of a user's file in place of words, ``text`` float32 and ``text_lengths`` as speech has them.
            ``speaker_functionals`` float32 (num_rows, 7 * num_columns), where the model centres functionals.
            ``mocap`` float32 (num_rows, 200, 189) and ``mocap_lengths`` int32 (num_rows,): scaled, without NaN,
            with the windows up to the last one that has a value.
            A missing recording or transcript has the length 0; there is always at least one step.
            Under ``Lengths.PADDED`` all utterances have the full length, as ``..._lengths`` have too, and
            words are padded on the left.
        """
        asked = np.asarray(rows, dtype=np.int64)
        batch: Batch = {}
        if self.fitted.speech is not None:
            batch["speech"], batch["speech_lengths"] = self._speech(asked)
        if self.fitted.functionals is not None:
            batch["speaker_functionals"] = self.features.speaker_functionals(asked, self.fitted.functionals)
        if self.words is not None:
            batch["text"] = self._text(asked, self.words)
        if self.fitted.text is not None:
            batch["text"], batch["text_lengths"] = self._text_frames(asked, self.fitted.text)
        if self.fitted.mocap is not None:
            batch["mocap"], batch["mocap_lengths"] = self._mocap(asked)
        return batch

    @property
    def _is_padded(self) -> bool:
        return self.fitted.protocol.lengths is Lengths.PADDED

    def _padded(self, lengths: npt.NDArray[Any], full_length: int) -> npt.NDArray[Any]:
        return np.full_like(lengths, full_length) if self._is_padded else lengths

    def _speech(self, rows: npt.NDArray[np.int64]) -> tuple[Floats, Counts]:
        assert self.fitted.speech is not None
        protocol = self.fitted.protocol
        lengths = self.features.speech_lengths[rows].astype(np.int32)
        width = self.features.speech_shape[0] if self._is_padded else _longest(lengths)
        frames = self.features.speech(rows, num_frames=width)
        is_scaled = protocol.scaling is Scaling.STANDARDISED or protocol.scales_by_speaker
        if is_scaled and not self.features.is_scaled_by_speaker:
            self.fitted.speech.scale(frames)
            frames[np.arange(width) >= lengths[:, None]] = 0.0
        if protocol.chroma is Chroma.ZEROS:
            frames[:, :, self.fitted.chroma_columns] = 0.0
        return frames, self._padded(lengths, width)

    def _text(self, rows: npt.NDArray[np.int64], words: EncodedWords) -> Counts:
        width = words.full_length if self._is_padded else _longest(words.lengths[rows])
        return words.pad(rows, width, on_the_left=self._is_padded)

    def _text_frames(self, rows: npt.NDArray[np.int64], scaling: ColumnScaling) -> tuple[Floats, Counts]:
        """The frames in place of words, padded on the same side as words are."""
        assert self.fitted.text_features is not None
        lengths = self.features.text_lengths[rows].astype(np.int32)
        width = _longest(self._padded(lengths, self.fitted.text_features.max_frames))
        frames = self.features.text_frames(rows, width)
        if self.fitted.protocol.scaling is Scaling.STANDARDISED:
            scaling.scale(frames)
            frames[np.arange(width) >= lengths[:, None]] = 0.0
        if self._is_padded:
            for place, length in enumerate(lengths):
                frames[place] = np.roll(frames[place], width - length, axis=0)
        return frames, self._padded(lengths, width)

    def _mocap(self, rows: npt.NDArray[np.int64]) -> tuple[Floats, Counts]:
        assert self.fitted.mocap is not None
        protocol = self.fitted.protocol
        windows = self.features.mocap(rows)
        is_lost = np.isnan(windows)
        lengths = np.full(len(rows), windows.shape[1], dtype=np.int32)
        if not self._is_padded:
            lengths = _last_seen(is_lost)
        if protocol.mocap_gaps is MocapGaps.ZEROS:
            np.copyto(windows, 0.0, where=is_lost)
        elif protocol.mocap_gaps is MocapGaps.NEIGHBOURS:
            fill_from_neighbours(windows, _last_seen(is_lost))
            is_lost = np.isnan(windows)
        is_filled_by_mean = protocol.mocap_gaps is not MocapGaps.ZEROS
        if protocol.scaling is Scaling.STANDARDISED or protocol.scales_by_speaker:
            self.features.scale_mocap(rows, windows, self.fitted.mocap)
            if is_filled_by_mean:
                np.copyto(windows, 0.0, where=is_lost)
            if protocol.mocap_gaps is MocapGaps.NEIGHBOURS:
                np.clip(windows, -MOST_DEVIATIONS, MOST_DEVIATIONS, out=windows)
        elif is_filled_by_mean:
            np.copyto(windows, self.fitted.mocap.mean, where=is_lost)
        if protocol.head_and_hand is HeadAndHand.ZEROS:
            for stream in (MocapStream.HEAD, MocapStream.HAND):
                windows[:, :, MOCAP_COLUMNS[stream]] = 0.0
        if protocol.listener_mocap is ListenerMocap.MASKED:
            windows[~self.features.is_marked[rows]] = 0.0
        return windows, lengths


def _last_seen(is_lost: npt.NDArray[np.bool_]) -> Counts:
    """Return the windows of each utterance up to the last one that has a value, int32 (num_rows,)."""
    is_seen = ~is_lost.all(axis=2)
    return np.asarray((np.arange(1, is_seen.shape[1] + 1) * is_seen).max(axis=1), dtype=np.int32)


def _longest(lengths: Counts) -> int:
    return max(1, int(lengths.max(initial=0)))


@dataclass(frozen=True)
class EncodedWords:
    """The word ids of some utterances, one after the other.

    Attributes:
        ids: int32, the words of all utterances
        offsets: int64 (num_utterances,), where an utterance's words begin
        lengths: int32 (num_utterances,)
        full_length: ids of an utterance of the most words
    """

    ids: Counts
    offsets: npt.NDArray[np.int64]
    lengths: Counts
    full_length: int

    @classmethod
    def encode(cls, tokenizer: Tokenizer, transcripts: tuple[str | None, ...], max_words: int) -> EncodedWords:
        """Encode transcripts; of too many words the last ones are kept, as Keras's pad_sequences does."""
        encoded = [tokenizer.encode(transcript, max_words) for transcript in transcripts]
        lengths = np.array([len(ids) for ids in encoded], dtype=np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])[:-1]
        flat = [number for ids in encoded for number in ids]
        ids = np.array([*flat, PADDING_ID], dtype=np.int32)
        return cls(ids, offsets.astype(np.int64), lengths, tokenizer.most_ids(max_words))

    def pad(self, rows: Rows, width: int, on_the_left: bool) -> Counts:
        """Lay out some utterances' ids, padded with 0.

        Returns:
            int32 (num_rows, width)
        """
        lengths = self.lengths[rows][:, None]
        position = np.arange(width) - (width - lengths if on_the_left else 0)
        is_word = (position >= 0) & (position < lengths)
        place = np.where(is_word, self.offsets[rows][:, None] + position, len(self.ids) - 1)
        return self.ids[place]


def fit_speech(train: Features) -> ColumnScaling:
    """Measure each column of the frames that are there, whatever scales their speakers.

    ``frames.UNSCALED`` stay as they are: mean 0, deviation 1.
    """
    columns = train.speech_columns
    row_size = train.speech_settings.max_frames * len(columns)
    return _measure_frames(train.unscaled_speech, train.speech_lengths, row_size, len(columns)).finish(columns)


def fit_functionals(train: Features) -> npt.NDArray[np.float32]:
    """Return the mean functionals of the utterances that have speech, as their speakers scale it; 0 where none has."""
    rows = np.flatnonzero(train.speech_lengths)
    if not len(rows):
        return np.zeros(NUM_FUNCTIONALS * len(train.speech_columns), dtype=np.float32)
    return np.asarray(compute_functionals(train, rows).mean(axis=0), dtype=np.float32)


def fit_text(train: Features) -> ColumnScaling:
    """Measure each column of the frames of a user's file that stand for the words."""
    assert train.text_features is not None
    num_columns = train.text_features.num_columns
    row_size = max(1, int(train.text_lengths.max(initial=0))) * num_columns
    return _measure_frames(train.text_frames, train.text_lengths, row_size, num_columns).finish()


def _measure_frames(
    read: Callable[[Rows, int], Floats], lengths: npt.NDArray[np.int64], row_size: int, num_columns: int
) -> Moments:
    """Read frames in chunks of utterances and measure them, without the padding."""
    moments = Moments(num_columns)
    for rows in chunks(len(lengths), row_size):
        longest = int(lengths[rows].max(initial=0))
        moments.add(read(rows, longest)[np.arange(longest) < lengths[rows][:, None]])
    return moments


def fit_mocap(train: Features) -> ColumnScaling:
    """Measure each column of the windows in which its marker was seen: NaN is left out."""
    num_windows, num_columns = train.mocap_shape
    moments = Moments(num_columns)
    for rows in chunks(len(train), num_windows * num_columns):
        moments.add(train.mocap(rows).reshape(-1, num_columns))
    return moments.finish()


def measure_background(train: Features) -> ColumnScaling | None:
    """Fit what ``Features.against`` takes, on training utterances; None where no feature needs it."""
    return fit_speech(train) if train.needs_background else None
