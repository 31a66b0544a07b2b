"""What a protocol promises to keep apart, and what its parts share in a corpus. No prepared test feature is opened.

What a trial fits before it trains, held against what training alone gives.

Scaling is computed anew in another way than trials do; word vectors are trained anew in the same, on the
transcripts of training alone.

What two parts of a split share: ids, speakers, dialogues, scripts and transcripts, counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.corpus.index import read_dialogue
from harness.corpus.layout import find_root
from harness.corpus.synthetic.settings import is_synthetic
from harness.corpus.utterances import CLASSES, TurnName, Utterance, script_of
from harness.features.fitted import ColumnScaling, FittedFeatures, fit_features
from harness.features.speech import SpeechSettings, column_names
from harness.features.store import Features, FeatureStore
from harness.features.text import split_words
from harness.splits.protocol import Protocol, Vocabulary, make_split, search_sessions, select_recordings

#: Largest distance of a fitted number from training's own that rounding to float32 explains, in deviations of the
#: column. A choice: an utterance that lies one deviation off moves the mean of 3000 by thirty times as much.
TOLERANCE = 1e-5

#: Numbers of a word vector in the check: whose words were read does not depend on how many there are.
_DIMENSION = 16

_CHUNK_ROWS = 64


class Statistics(StrEnum):
    """What is fitted besides the vocabulary."""

    SPEECH = "speech scaling"
    MOCAP = "mocap scaling and imputation"
    VECTORS = "word vectors"


@dataclass(frozen=True)
class FittedCheck:
    """Something fitted, beside what training alone gives. The means of motion are also what fills in lost markers.

    Attributes:
        distance: of what is fitted from training's own, at its worst: of scaling in deviations of the column
        distance_of_both: the same of what training and validation together give: what a leak would show, 0
            where validation has nothing of the modality
    """

    statistics: Statistics
    distance: float
    distance_of_both: float

    @property
    def is_leaking(self) -> bool:
        """Whether something other than training was fitted on."""
        return not self.distance <= TOLERANCE

    @property
    def can_tell(self) -> bool:
        """Whether a leak of validation would be larger than the tolerance."""
        return self.distance_of_both > TOLERANCE


@dataclass(frozen=True)
class VocabularyCheck:
    """Words that a fitted vocabulary knows although what was trained on lacks them.

    Attributes:
        stage: ``"search"`` or ``"final training"``
        num_words: of the vocabulary
        leaked: words that training lacks, sorted
        num_utterances: scored utterances that say one of them
        num_scored: utterances that the stage scores
    """

    stage: str
    num_words: int
    leaked: tuple[str, ...]
    num_utterances: int
    num_scored: int


def check_statistics(fitted: FittedFeatures, train: Features, validation: Features) -> tuple[FittedCheck, ...]:
    """Hold fitted scalings against the mean and deviation of training alone, in float64 and in two passes.

    Args:
        fitted: what `fit_features` gave, as a trial calls it
    """
    checks = []
    for statistics, scaling in ((Statistics.SPEECH, fitted.speech), (Statistics.MOCAP, fitted.mocap)):
        if scaling is not None:
            own = _measure(statistics, [train])
            both = _measure(statistics, [train, validation])
            checks.append(FittedCheck(statistics, _distance(scaling, own), _distance_of(both, own)))
    return tuple(checks)


_Moments = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def _measure(statistics: Statistics, parts: Sequence[Features]) -> _Moments:
    """Return mean and deviation of every column; 0 and 1 as ``ColumnScaling`` has them where there is none."""
    sums, counts = _add_up((rows, np.ones_like(rows)) for rows in _rows(statistics, parts))
    mean = sums / np.maximum(counts, 1)
    squares, _ = _add_up(((rows - mean) ** 2, np.ones_like(rows)) for rows in _rows(statistics, parts))
    deviation = np.sqrt(squares / np.maximum(counts, 1))
    deviation[deviation <= np.abs(mean) * np.finfo(np.float32).eps] = 1.0
    return mean, deviation


def _add_up(pairs: Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]) -> _Moments:
    total, counts = np.zeros(()), np.zeros(())
    for values, ones in pairs:
        total = total + np.nansum(values, axis=0)
        counts = counts + np.where(np.isnan(values), 0.0, ones).sum(axis=0)
    return np.asarray(total), np.asarray(counts)


def _rows(statistics: Statistics, parts: Sequence[Features]) -> Iterator[npt.NDArray[np.float64]]:
    """Yield frames or windows, float64 (num_rows, num_columns), NaN where a marker was lost."""
    for features in parts:
        for first in range(0, len(features), _CHUNK_ROWS):
            chosen = np.arange(first, min(first + _CHUNK_ROWS, len(features)))
            if statistics is Statistics.SPEECH:
                frames = features.speech(chosen)
                yield np.concatenate(
                    [one[:length] for one, length in zip(frames, features.speech_lengths[chosen], strict=True)]
                ).astype(np.float64)
            else:
                windows = features.mocap(chosen)
                yield windows.reshape(-1, windows.shape[2]).astype(np.float64)


def _distance(scaling: ColumnScaling, own: _Moments) -> float:
    return _distance_of((scaling.mean.astype(np.float64), scaling.std.astype(np.float64)), own)


def _distance_of(found: _Moments, own: _Moments) -> float:
    mean, deviation = own
    # A mean far from 0 beside its deviation is rounded to float32 as coarsely as it is far.
    rounding = np.abs(mean) * np.finfo(np.float32).eps
    of_means = np.maximum(np.abs(found[0] - mean) - rounding, 0.0) / deviation
    of_deviations = np.abs(found[1] - deviation) / deviation
    return float(max(of_means.max(), of_deviations.max()))


def check_word_vectors(train: Sequence[Utterance], validation: Sequence[Utterance], protocol: Protocol) -> FittedCheck:
    """Hold the vectors of training's words, fitted as a trial fits them, against vectors of its transcripts alone."""
    # Imported here: it imports gensim, which takes a second.
    from harness.features.text import train_word_vectors

    features, extra = _text_alone(train), _text_alone(validation)
    fitted = fit_features(features, ("text",), protocol, None, _DIMENSION, 0, vocabulary_extra=extra)
    assert fitted.tokenizer is not None and fitted.embedding is not None
    own = train_word_vectors(features.transcripts, _DIMENSION, 0)
    both = train_word_vectors(features.transcripts + extra.transcripts, _DIMENSION, 0)
    numbers = {word: fitted.tokenizer.encode_words([word])[0] for word in own.index_to_key}
    return FittedCheck(
        Statistics.VECTORS,
        distance=max((float(np.abs(fitted.embedding[numbers[word]] - own[word]).max()) for word in numbers), default=0),
        distance_of_both=max((float(np.abs(both[word] - own[word]).max()) for word in numbers), default=0),
    )


def check_vocabulary(
    stage: str, train: Sequence[Utterance], scored: Sequence[Utterance], protocol: Protocol
) -> VocabularyCheck:
    """Fit the vocabulary as a training does, and find the words that only what is scored can have given it."""
    fitted = fit_features(_text_alone(train), ("text",), protocol, None, None, 0, vocabulary_extra=_text_alone(scored))
    assert fitted.tokenizer is not None
    vocabulary = fitted.tokenizer.vocabulary
    known = {word for utterance in train for word in split_words(utterance.transcript or "")}
    leaked = set(vocabulary) - known
    says_one = [utterance for utterance in scored if leaked & set(split_words(utterance.transcript or ""))]
    return VocabularyCheck(stage, len(vocabulary), tuple(sorted(leaked)), len(says_one), len(scored))


def _text_alone(utterances: Sequence[Utterance]) -> Features:
    """Hold utterances as features of their words, without sound and motion."""
    settings = SpeechSettings()
    return Features.from_arrays(utterances, settings, column_names(settings), {})


#: Two transcripts are near-duplicates where their sets of words overlap (intersection over union) at least so
#: much. A choice: a line of five words may gain one (5 of 6) but not have one replaced (4 of 6).
NEAR_DUPLICATE_SHARE = 0.8
#: Different words below which a transcript is too short to be called anything's near-duplicate: "Oh my God."
#: stands everywhere. A choice.
FEWEST_WORDS = 5


class Part(StrEnum):
    """A part of a split."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Shared(StrEnum):
    """What two parts can share."""

    UTTERANCES = "utterances"
    SPEAKERS = "speakers"
    DIALOGUES = "dialogues"
    SCRIPTS = "scripts"
    TRANSCRIPTS = "verbatim transcripts"
    NEAR_DUPLICATES = "near-duplicate transcripts"


@dataclass(frozen=True)
class Overlap:
    """What the second of two parts shares with the first.

    Attributes:
        names: of what is shared, sorted; of near-duplicates the ids of the second part's utterances
        num_utterances: utterances of the second part that it concerns
        num_of_second: utterances of the second part
    """

    shared: Shared
    first: Part
    second: Part
    names: tuple[str, ...]
    num_utterances: int
    num_of_second: int


def find_overlaps(parts: Mapping[Part, Sequence[Utterance]]) -> tuple[Overlap, ...]:
    """Compare every two parts, the earlier one first."""
    order = [part for part in Part if part in parts]
    pairs = [(first, second) for place, first in enumerate(order) for second in order[place + 1 :]]
    return tuple(
        _compare(shared, first, second, parts[first], parts[second]) for shared in Shared for first, second in pairs
    )


def _compare(
    shared: Shared, first: Part, second: Part, of_first: Sequence[Utterance], of_second: Sequence[Utterance]
) -> Overlap:
    if shared is Shared.NEAR_DUPLICATES:
        names = find_near_duplicates(of_second, of_first)
        return Overlap(shared, first, second, names, len(names), len(of_second))
    key = _KEYS[shared]
    known = {key(utterance) for utterance in of_first} - {""}
    found = [key(utterance) for utterance in of_second if key(utterance) in known]
    return Overlap(shared, first, second, tuple(sorted(set(found))), len(found), len(of_second))


def _of_name(take: Callable[[TurnName], str]) -> Callable[[Utterance], str]:
    return lambda utterance: take(utterance.name)


_KEYS: Mapping[Shared, Callable[[Utterance], str]] = {
    Shared.UTTERANCES: lambda utterance: utterance.utterance_id,
    Shared.SPEAKERS: _of_name(lambda name: name.speaker),
    Shared.DIALOGUES: _of_name(lambda name: name.dialogue_id),
    Shared.SCRIPTS: _of_name(lambda name: script_of(name.dialogue_id)),
    # As the models read it, without case and punctuation; an utterance without a word shares nothing.
    Shared.TRANSCRIPTS: lambda utterance: " ".join(split_words(utterance.transcript or "")),
}


def find_near_duplicates(utterances: Iterable[Utterance], known: Iterable[Utterance]) -> tuple[str, ...]:
    """Return the utterances whose transcript nearly stands among ``known``, those that do so verbatim left out.

    Only transcripts of at least ``FEWEST_WORDS`` different words are compared.

    Returns:
        ids, sorted
    """
    verbatim = {" ".join(split_words(utterance.transcript or "")) for utterance in known}
    sets = sorted({frozenset(text.split()) for text in verbatim}, key=sorted)
    sets = [words for words in sets if len(words) >= FEWEST_WORDS]
    sizes = np.array([len(words) for words in sets], dtype=np.int64)
    places: dict[str, list[int]] = defaultdict(list)
    for place, known_words in enumerate(sets):
        for word in known_words:
            places[word].append(place)
    lists = {word: np.array(found, dtype=np.int64) for word, found in places.items()}
    found = []
    for utterance in utterances:
        spoken = split_words(utterance.transcript or "")
        words = set(spoken)
        hits = [lists[word] for word in words if word in lists]
        if len(words) < FEWEST_WORDS or not hits or " ".join(spoken) in verbatim:
            continue
        num_common = np.bincount(np.concatenate(hits), minlength=len(sets))
        if (num_common >= NEAR_DUPLICATE_SHARE * (sizes + len(words) - num_common)).any():
            found.append(utterance.utterance_id)
    return tuple(sorted(found))


#: What is counted and never failed: the corpus's speakers play the same scripts.
_COUNTED = frozenset({Shared.SCRIPTS, Shared.TRANSCRIPTS, Shared.NEAR_DUPLICATES})


@dataclass(frozen=True)
class LeakReport:
    """What train, validation and test share under a protocol.

    Attributes:
        sizes: utterances of each part
        overlaps: of every two parts
        fitted: what a trial fits, held against training alone
        vocabularies: of the search, and of the final training that the test session scores
    """

    protocol: Protocol
    corpus_path: str
    is_synthetic: bool
    sizes: Mapping[Part, int]
    overlaps: tuple[Overlap, ...]
    fitted: tuple[FittedCheck, ...]
    vocabularies: tuple[VocabularyCheck, ...]

    @property
    def broken(self) -> tuple[str, ...]:
        """One sentence for each thing that the protocol promises to keep apart and that is shared."""
        name = f"protocol {self.protocol.name!r}"
        sentences = [
            f"{overlap.shared} shared by {overlap.first} and {overlap.second}, which {name} keeps apart: "
            f"{_name_some(overlap.names)}; {overlap.num_utterances} of {overlap.num_of_second} utterances"
            for overlap in self.overlaps
            if overlap.names and promises(self.protocol, overlap)
        ]
        sentences += [
            f"{check.statistics} are not those of training alone, as {name} promises: {check.distance:.2g} off, "
            f"where training and validation together would be {check.distance_of_both:.2g} off"
            for check in self.fitted
            if check.is_leaking
        ]
        sentences += [
            f"the vocabulary of the {check.stage} knows words that training lacks ({len(check.leaked)}), which {name} "
            f"promises not to: {_name_some(check.leaked)}"
            for check in self.vocabularies
            if check.leaked and not declares_vocabulary(self.protocol)
        ]
        return tuple(sentences)


def promises(protocol: Protocol, overlap: Overlap) -> bool:
    """Whether a protocol promises that two parts do not share something."""
    if overlap.shared in _COUNTED:
        return False
    if overlap.shared is Shared.UTTERANCES or overlap.second is Part.TEST:
        return True
    return not protocol.shares_speakers


def declares_vocabulary(protocol: Protocol) -> bool:
    """Whether a protocol says itself that its vocabulary knows what is scored, as the published code's does."""
    return protocol.vocabulary is Vocabulary.EVERYTHING_OPENED


def find_leaks(corpus: Path, store: FeatureStore, protocol: Protocol) -> LeakReport:
    """Part a corpus as a protocol does, and find what the parts share.

    The ids and transcripts of the test session are read in the corpus itself, and of its labels only which
    utterances are of the four classes. Of the prepared features those of training and validation are opened.

    Args:
        corpus: the folder that was prepared
        store: its features, prepared for the protocol

    Raises:
        CorpusError: there is no corpus
        FeatureError: the features are missing or damaged, or a part would be empty
    """
    outside = {utterance.utterance_id: utterance for utterance in store.utterances(search_sessions(protocol))}
    split = make_split(protocol, list(outside))
    parts = {
        Part.TRAIN: [outside[name] for name in split.train],
        Part.VALIDATION: [outside[name] for name in split.validation],
        Part.TEST: read_test_utterances(corpus, protocol),
    }
    train, validation = store.load(split.train), store.load(split.validation)
    # As a trial calls it; its words are checked apart.
    numbers = [modality for modality in ("speech", "mocap") if modality in store.modalities]
    fitted = fit_features(train, numbers, protocol, None, None, 0, vocabulary_extra=validation)
    checks = check_statistics(fitted, train, validation)
    vocabularies: tuple[VocabularyCheck, ...] = ()
    if "text" in store.modalities:
        checks += (check_word_vectors(parts[Part.TRAIN], parts[Part.VALIDATION], protocol),)
        trained_on = parts[Part.TRAIN] + parts[Part.VALIDATION]
        vocabularies = (
            check_vocabulary("search", parts[Part.TRAIN], parts[Part.VALIDATION], protocol),
            check_vocabulary("final training", trained_on, parts[Part.TEST], protocol),
        )
    return LeakReport(
        protocol=protocol,
        corpus_path=str(corpus),
        is_synthetic=is_synthetic(find_root(corpus).root),
        sizes={part: len(utterances) for part, utterances in parts.items()},
        overlaps=find_overlaps(parts),
        fitted=checks,
        vocabularies=vocabularies,
    )


def read_test_utterances(corpus: Path, protocol: Protocol) -> list[Utterance]:
    """Read the test session's four-class utterances from the corpus's own label files and transcripts, by id.

    Raises:
        CorpusError: there is no corpus
    """
    layout = find_root(corpus)
    found = {
        utterance.utterance_id: utterance
        for dialogue_id in layout.dialogue_ids(protocol.test_session)
        for utterance in read_dialogue(layout, dialogue_id).utterances
        if utterance.emotion in CLASSES
    }
    return [found[name] for name in select_recordings(list(found), protocol.recordings)]


def _name_some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
