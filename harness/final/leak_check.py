"""Counts of what the parts of a split share in a corpus, and whether the protocol promises to keep it apart.

Ids, speakers, dialogues, scenes, transcripts and vocabulary are compared. No prepared feature of the test session
is opened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from harness.corpus.index import read_dialogue
from harness.corpus.layout import find_root
from harness.corpus.synthetic.settings import is_synthetic
from harness.corpus.utterances import Utterance, class_of
from harness.features.fitted import fit_features
from harness.features.speech import SpeechSettings, column_names, speech_settings
from harness.features.store import Features, FeatureStore
from harness.features.text import split_words
from harness.search.corpus import Progress, prepare_features
from harness.splits.parts import Parts, part_search
from harness.splits.protocol import (
    Protocol,
    Scenes,
    Vocabulary,
    is_tested,
    read_protocol,
    search_sessions,
    select_recordings,
)
from harness.splits.scenes import name_groups
from harness.store.store import DATABASE, ResultsStore
from harness.store.trial_spec import TrialSpec, trial_spec_path

#: Two transcripts are near-duplicates where their sets of words overlap (intersection over union) at least so
#: much. A choice: a line of five words may gain one (5 of 6) but not have one replaced (4 of 6).
NEAR_DUPLICATE_SHARE = 0.8
#: Different words below which a transcript is too short to be a near-duplicate: "Oh my God." stands everywhere.
#: A choice.
FEWEST_WORDS = 5


class Part(StrEnum):
    """A part of a split."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Shared(StrEnum):
    """A property that utterances of two parts can share."""

    UTTERANCES = "utterances"
    SPEAKERS = "speakers"
    DIALOGUES = "dialogues"
    SCENES = "scenes"
    TRANSCRIPTS = "verbatim transcripts"
    NEAR_DUPLICATES = "near-duplicate transcripts"


@dataclass(frozen=True)
class Overlap:
    """Everything of one kind that the second of two parts shares with the first.

    Attributes:
        names: shared by both, sorted; of near-duplicates the ids of the second part's utterances
        num_utterances: affected utterances of the second part
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


_KEYS: Mapping[Shared, Callable[[Utterance], str]] = {
    Shared.UTTERANCES: lambda utterance: utterance.utterance_id,
    Shared.SPEAKERS: lambda utterance: utterance.name.speaker,
    Shared.DIALOGUES: lambda utterance: utterance.name.dialogue_id,
    Shared.SCENES: lambda utterance: utterance.name.scene,
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


@dataclass(frozen=True)
class VocabularyCheck:
    """Words that a fitted vocabulary knows although the training utterances lack them.

    Attributes:
        stage: ``"search"``, ``"final training"``, or a final training without a group of scenes
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


def check_vocabulary(
    stage: str, train: Sequence[Utterance], scored: Sequence[Utterance], protocol: Protocol
) -> VocabularyCheck:
    """Fit the vocabulary as a training does, and find the words that it has from the scored utterances alone."""
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


#: Counted, and never a broken promise: other scenes, and other sessions in the same scene, have the same words.
_COUNTED = frozenset({Shared.TRANSCRIPTS, Shared.NEAR_DUPLICATES})


@dataclass(frozen=True)
class LeakReport:
    """Everything that train, validation and test share under a protocol.

    Attributes:
        sizes: utterances of each part
        overlaps: of every two parts
        vocabularies: of the search, and of the models of the final training that the test session scores
        groups: of scenes; empty where they are shared. Then each test utterance is compared with what its own model
            was trained on, the one that has not read its scene
    """

    protocol: Protocol
    corpus_path: str
    is_synthetic: bool
    sizes: Mapping[Part, int]
    overlaps: tuple[Overlap, ...]
    vocabularies: tuple[VocabularyCheck, ...]
    groups: tuple[tuple[str, ...], ...] = ()

    @property
    def broken(self) -> tuple[str, ...]:
        """One sentence for each thing that the protocol promises to keep apart and that is shared."""
        name = f"protocol {self.protocol.name!r}"
        sentences = [
            f"{overlap.shared} shared by {overlap.first} and {overlap.second}, although {name} keeps them apart: "
            f"{_name_some(overlap.names)}; {overlap.num_utterances} of {overlap.num_of_second} utterances"
            for overlap in self.overlaps
            if overlap.names and promises(self.protocol, overlap)
        ]
        sentences += [
            f"the vocabulary of the {check.stage} has words that training lacks ({len(check.leaked)}), although {name} "
            f"promises that it has none: {_name_some(check.leaked)}"
            for check in self.vocabularies
            if check.leaked and not declares_vocabulary(self.protocol)
        ]
        return tuple(sentences)


def promises(protocol: Protocol, overlap: Overlap) -> bool:
    """Return whether a protocol promises that two parts do not share something."""
    if overlap.shared in _COUNTED:
        return False
    if overlap.shared is Shared.SCENES:
        return protocol.scenes is Scenes.DISJOINT
    if overlap.shared is Shared.DIALOGUES and overlap.second is Part.TEST:
        return not protocol.tests_one_speaker
    if overlap.shared is Shared.UTTERANCES or overlap.second is Part.TEST:
        return True
    return not protocol.shares_speakers


def declares_vocabulary(protocol: Protocol) -> bool:
    """Return whether a protocol says itself that its vocabulary knows what is scored, as the published code's does."""
    return protocol.vocabulary is Vocabulary.EVERYTHING_OPENED


def choose_corpus(
    corpus: Path | None, results_dir: Path, protocol: str | None, progress: Progress
) -> tuple[Path, FeatureStore, Protocol]:
    """Return a corpus, its features and a protocol: those of the latest search where nothing else is named.

    Args:
        corpus: None for that of the latest search in ``results_dir``, or else as for `harness tables`
        results_dir: of the latest search; the features are prepared there
        protocol: a preset's name; None for the search's, or else ``paper``
        progress: called while features are prepared
    """
    searched = None if corpus is not None else _find_searched(results_dir)
    if searched is not None:
        store = FeatureStore.open_for(searched.protocol, searched.prepared_dir)
        if protocol in (None, searched.protocol.name):
            return Path(store.manifest.corpus_path), store, searched.protocol
        corpus = Path(store.manifest.corpus_path)
    chosen = read_protocol(protocol or "paper")
    prepared = prepare_features(corpus, speech_settings(chosen), results_dir, progress)
    store = FeatureStore.open_for(chosen, prepared.prepared_dir)
    return Path(store.manifest.corpus_path), store, chosen


def _find_searched(results_dir: Path) -> TrialSpec | None:
    """Return the first trial of the latest search; None where there is no search of this package's."""
    if not ResultsStore.exists(results_dir / DATABASE):
        return None
    with ResultsStore.open_readonly(results_dir / DATABASE) as results:
        experiment = results.latest_experiment()
        trials = [] if experiment is None or not experiment.system else results.trials(experiment.eid)
    paths = [trial.job_path for trial in trials if trial.job_path is not None]
    return TrialSpec.read(trial_spec_path(Path(paths[0]))) if paths else None


def find_leaks(corpus: Path, store: FeatureStore, protocol: Protocol) -> LeakReport:
    """Split a corpus as a protocol does, and find everything that the parts share.

    The ids and transcripts of the test session are read in the corpus itself, and of its labels only which
    utterances are of the four classes.

    Args:
        corpus: the folder that was prepared
        store: its features, prepared for the protocol

    Raises:
        CorpusError: there is no corpus
        FeatureError: the features are missing or damaged, or a part would be empty
    """
    opened = store.utterances(search_sessions(protocol))
    outside = {found.utterance_id: found for found in opened if not is_tested(protocol, found.utterance_id)}
    split = part_search(protocol, store.searchable_classes(protocol))
    parts = {
        Part.TRAIN: [outside[name] for name in split.train],
        Part.VALIDATION: [outside[name] for name in split.validation],
        Part.TEST: read_test_utterances(corpus, protocol),
    }
    final = part_final_models(split, outside, parts[Part.TEST])
    vocabularies: list[VocabularyCheck] = []
    if "text" in store.modalities:
        vocabularies = [check_vocabulary("search", parts[Part.TRAIN], parts[Part.VALIDATION], protocol)]
        for number, of_model in enumerate(final, start=1):
            stage = "final training" if len(final) == 1 else f"final training without group {number}"
            trained_on = of_model[Part.TRAIN] + of_model[Part.VALIDATION]
            vocabularies.append(check_vocabulary(stage, trained_on, of_model[Part.TEST], protocol))
    of_search = find_overlaps({part: parts[part] for part in (Part.TRAIN, Part.VALIDATION)})
    of_final = [[found for found in find_overlaps(of_model) if found.second is Part.TEST] for of_model in final]
    overlaps = [*of_search, *map(join_overlaps, zip(*of_final, strict=True))]
    return LeakReport(
        protocol=protocol,
        corpus_path=str(corpus),
        is_synthetic=is_synthetic(find_root(corpus).root),
        sizes={part: len(utterances) for part, utterances in parts.items()},
        overlaps=tuple(sorted(overlaps, key=lambda found: list(Shared).index(found.shared))),
        vocabularies=tuple(vocabularies),
        groups=name_groups(split.groups),
    )


def part_final_models(
    split: Parts, outside: Mapping[str, Utterance], test: Sequence[Utterance]
) -> list[dict[Part, list[Utterance]]]:
    """Return what each model of a final training is trained on, in two parts as the search has them, and scores.

    Args:
        outside: the utterances outside the test session by id

    Returns:
        one model a group of scenes where they are disjoint, or one alone
    """
    tested = {utterance.utterance_id: utterance for utterance in test}
    validated = set(split.validation)
    return [
        {
            Part.TRAIN: [outside[name] for name in fold.train if name not in validated],
            Part.VALIDATION: [outside[name] for name in fold.train if name in validated],
            Part.TEST: [tested[name] for name in fold.scored],
        }
        for fold in split.final_folds(list(tested))
    ]


def join_overlaps(of_models: Sequence[Overlap]) -> Overlap:
    """Add up what each model's parts share, all of the same property and parts."""
    return replace(
        of_models[0],
        names=tuple(sorted({name for found in of_models for name in found.names})),
        num_utterances=sum(found.num_utterances for found in of_models),
        num_of_second=sum(found.num_of_second for found in of_models),
    )


def read_test_utterances(corpus: Path, protocol: Protocol) -> list[Utterance]:
    """Read the test set's four-class utterances from the corpus's own label files and transcripts, by id.

    Raises:
        CorpusError: there is no corpus
    """
    layout = find_root(corpus)
    found = {
        utterance.utterance_id: utterance
        for dialogue_id in layout.dialogue_ids(protocol.test_session)
        for utterance in read_dialogue(layout, dialogue_id).utterances
        if class_of(utterance.emotion, protocol.happiness) is not None
        and is_tested(protocol, utterance.utterance_id)
    }
    return [found[name] for name in select_recordings(list(found), protocol.recordings)]


def _name_some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
