"""What a protocol promises to keep apart, and what its parts share in a corpus. No prepared test feature is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.corpus.index import read_dialogue
from harness.corpus.layout import find_root
from harness.corpus.synthetic.marker import is_synthetic
from harness.corpus.utterances import CLASSES, Utterance
from harness.features.fitted import fit_features
from harness.features.store import FeatureStore
from harness.leaks.fitted import (
    FittedCheck,
    VocabularyCheck,
    check_statistics,
    check_vocabulary,
    check_word_vectors,
)
from harness.leaks.overlaps import Overlap, Part, Shared, find_overlaps
from harness.splits import Protocol, Vocabulary, make_split, search_sessions, select_recordings

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
