"""The plan of the tables: their corpus, their rows, and the experiment and the split behind each row.

One system on one split is one experiment in results.db, found again by everything that decides its outcome. The
splits 'random' and 'by-position', which train on part of Session 5 as the paper and its code do for single
modalities, serve the tables alone. No TensorFlow here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from harness import __version__
from harness.corpus.layout import SESSIONS, MocapStream
from harness.corpus.utterances import Happiness
from harness.errors import FeatureError, HarnessError, unknown_name
from harness.features.speech import speech_settings
from harness.features.store import FeatureStore
from harness.files import hash_json
from harness.models.baselines import BASELINES
from harness.models.probes import PROBES
from harness.models.systems import PAPER_SYSTEMS, read_hyperparameters
from harness.provenance import hash_word_vectors
from harness.search.corpus import (
    CORPUS_VARIABLE,
    CorpusFeatures,
    Progress,
    prepare_features,
)
from harness.splits.parts import Parts
from harness.splits.protocol import (
    NUM_HOLDOUT_UTTERANCES,
    NUM_TRAIN_UTTERANCES,
    SEALED_SESSION,
    EpochChoice,
    Protocol,
    Recordings,
    make_split,
    read_protocol,
    search_sessions,
    select_recordings,
)
from harness.store.records import ExperimentKind, ExperimentRecord
from harness.tables.published import PUBLISHED, TITLES, PublishedRow

#: Share of the utterances that test. Source: paper, section 3 (random), and its code (by position).
TEST_SHARE = 0.2
#: One random split for all systems and seeds, so that their scores are of the same utterances.
RANDOM_SPLIT_SEED = 0


class TableSplit(StrEnum):
    """The rule for the test set of a row."""

    SESSIONS = "sessions"  # the protocol's: one whole session, of two speakers whom training never hears
    RANDOM = "random"  # a random 20 % of all utterances, as the paper's text says of single modalities
    BY_POSITION = "by-position"  # the last 20 % by id, as the published code does for single modalities


#: What a reader must know about a score on such a split.
SPLIT_SENTENCES = {
    TableSplit.RANDOM: (
        "Split 'random': a random 20 % of all five sessions' utterances test, as the paper's text says of single "
        "modalities. Every speaker of the test set is heard in training: these are no scores on new speakers."
    ),
    TableSplit.BY_POSITION: (
        "Split 'by-position': as in the published code, the first 80 % of all utterances by id train and the last "
        "20 % are validation and test set at once, all from Session 5, part of which is in training. No epoch is "
        "chosen without the test set: the score is that of the best test epoch, and stands in the last column."
    ),
}


def make_parts(split: TableSplit, protocol: Protocol, store: FeatureStore) -> Parts:
    """Split the corpus. Record a ``TestOpening`` before you call this: it lists the test utterances.

    Raises:
        FeatureError: a part is empty
    """
    if split is TableSplit.SESSIONS:
        outside = _ids(store, search_sessions(protocol))
        parted = make_split(protocol, outside)
        test = select_recordings(_ids(store, (protocol.test_session,)), protocol.recordings)
        parts = Parts(parted.train, parted.validation, tuple(test))
    else:
        names = select_recordings(_ids(store, SESSIONS), protocol.recordings)
        parts = part_at_random(names) if split is TableSplit.RANDOM else part_by_position(names)
    if not parts.train or not parts.test:
        raise FeatureError(
            f"split {split.value!r} under protocol {protocol.name!r}: {len(parts.train)} utterances train and "
            f"{len(parts.test)} test; expected at least one of each"
        )
    return parts


def part_by_position(utterance_ids: Sequence[str]) -> Parts:
    """Let the last 20 % by id test, and all before them train.

    Source: the published code of the single modalities: of 4936 rows the first 3948 train.

    Example:
        >>> parts = part_by_position(["e", "c", "a", "d", "b"])
        >>> parts.train, parts.validation, parts.test
        (('a', 'b', 'c', 'd'), (), ('e',))
    """
    names = sorted(utterance_ids)
    cut = int(len(names) * (1 - TEST_SHARE))
    return Parts(tuple(names[:cut]), (), tuple(names[cut:]))


def part_at_random(utterance_ids: Sequence[str]) -> Parts:
    """Let a random 20 % test; of the others the paper's share of its holdout validates, drawn at random too.

    Source: paper, section 3. Deviates: it names no validation set beside the 20 %, so its epoch was
    chosen on them; here the test set chooses nothing.
    """
    names = sorted(utterance_ids)
    order = np.random.default_rng(RANDOM_SPLIT_SEED).permutation(len(names))
    num_test = round(len(names) * TEST_SHARE)
    share = NUM_HOLDOUT_UTTERANCES / (NUM_TRAIN_UTTERANCES + NUM_HOLDOUT_UTTERANCES)
    num_validation = round((len(names) - num_test) * share)
    ends = (num_test, num_test + num_validation)
    test, validation, train = (sorted(names[place] for place in part) for part in np.split(order, ends))
    return Parts(tuple(train), tuple(validation), tuple(test))


def _ids(store: FeatureStore, sessions: Sequence[int]) -> list[str]:
    return [utterance.utterance_id for utterance in store.utterances(sessions)]


#: The limits of tables without a corpus, so that a first look at them takes minutes.
QUICK_START_MAX_EPOCHS = 8
QUICK_START_PATIENCE = 3


@dataclass(frozen=True)
class TablesSettings:
    """The settings of `harness tables`.

    Attributes:
        names: systems and baselines
        seeds: of the trainings that each row averages over
        protocol: a preset's name
        split: None for the protocol's own
        leaves_each_session_out: whether each of the five sessions tests once
        patience: epochs without a better one before validation stops waiting; None for never
        word_vectors: a GloVe or word2vec file; None for vectors trained on the training text
        happiness: decides the four classes of every row
    """

    names: tuple[str, ...]
    seeds: tuple[int, ...]
    protocol: str
    recordings: Recordings
    split: TableSplit | None
    leaves_each_session_out: bool
    max_epochs: int
    patience: int | None
    word_vectors: Path | None = None
    happiness: Happiness = Happiness.EXCITED

    @property
    def base(self) -> Protocol:
        """The protocol of all rows, whose recordings and test session a row may change."""
        return read_protocol({"base": self.protocol, "happiness": self.happiness.value})


@dataclass(frozen=True)
class CorpusFacts(CorpusFeatures):
    """The corpus of the tables.

    Attributes:
        shortened: a sentence that says what was cut for a quick start, or None
    """

    shortened: str | None

    @property
    def is_published_one(self) -> bool:
        """True where the published figures speak of this very data."""
        return not self.is_synthetic and not self.differences


@dataclass(frozen=True)
class TableExperiment:
    """All seeds of one system, baseline or probe on one split: one experiment in results.db."""

    name: str
    protocol: Protocol
    split: TableSplit

    @property
    def is_baseline(self) -> bool:
        """True where scikit-learn fits it, in one go and without epochs."""
        return self.name in BASELINES or self.is_probe

    @property
    def is_probe(self) -> bool:
        """True for a probe, which no table has a row for: a note has its scores. Its seed changes nothing."""
        return self.name in PROBES

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that it reads."""
        return modalities_of(self.name)

    @property
    def title(self) -> str:
        """Its name in messages."""
        of = "" if self.protocol.recordings is Recordings.ALL else f", {self.protocol.recordings} only"
        tests = f", Session {self.protocol.test_session}" if self.split is TableSplit.SESSIONS else ""
        return f"{self.name}{of}{tests}"


def known_names() -> tuple[str, ...]:
    """Return the names that a row can have: the paper's systems, then the baselines."""
    return (*PAPER_SYSTEMS, *BASELINES)


def streams_of(name: str) -> tuple[MocapStream, ...]:
    """Return the motion streams that a system reads; none for a baseline."""
    return PAPER_SYSTEMS[name].streams if name in PAPER_SYSTEMS and "mocap" in PAPER_SYSTEMS[name].modalities else ()


def modalities_of(name: str) -> tuple[str, ...]:
    """Return the modalities that a system, a baseline or a probe reads."""
    if name in PROBES:
        return (PROBES[name].modality,)
    return BASELINES[name].modalities if name in BASELINES else PAPER_SYSTEMS[name].modalities


def check_settings(settings: TablesSettings) -> None:
    """Refuse settings that contradict each other.

    Raises:
        UnknownNameError: no such system, baseline or protocol
        HarnessError: a split that the protocol, or leaving each session out, rules out
    """
    for name in settings.names:
        if name not in known_names():
            raise unknown_name("system or baseline", name, known_names())
    protocol = settings.base
    if settings.split in (None, TableSplit.SESSIONS):
        return
    if settings.leaves_each_session_out:
        raise HarnessError(
            f"split {settings.split.value!r}: its test set is no whole session, as leaving each session out asks for; "
            "expected one of the two"
        )
    if not protocol.shares_speakers:
        raise HarnessError(
            f"split {settings.split.value!r}: trains on speakers of its test set, which protocol {protocol.name!r} "
            "rules out; expected the split 'sessions', or another protocol"
        )


def identity_of(experiment: TableExperiment, settings: TablesSettings, corpus_hash: str) -> dict[str, Any]:
    """Return everything that changes the scores of an experiment's trials, except their seed."""
    parts: dict[str, Any] = {
        "kind": ExperimentKind.TABLES.value,
        "version": __version__,
        "system": experiment.name,
        "split": experiment.split.value,
        "corpus": corpus_hash,
    }
    parts |= {f"protocol {key}": choice for key, choice in experiment.protocol.choices.items()}
    if not experiment.is_baseline:
        point = hyperparameters_of(experiment)
        parts |= {
            "hyperparameters": point,
            "max_epochs": settings.max_epochs,
            "patience": settings.patience,
        }
        if "embedding_dimension" in point and settings.word_vectors is not None:
            parts["word_vectors"] = hash_word_vectors(settings.word_vectors)
    return parts


def hyperparameters_of(experiment: TableExperiment) -> dict[str, Any]:
    """Return the hyperparameters, the paper's own; a baseline has none."""
    if experiment.is_baseline:
        return {}
    return asdict(read_hyperparameters(PAPER_SYSTEMS[experiment.name], {}, experiment.protocol))


def describe_experiment(
    experiment: TableExperiment, settings: TablesSettings, corpus: CorpusFacts
) -> ExperimentRecord:
    """Return an experiment's row as it is when its first trial begins."""
    parts = identity_of(experiment, settings, corpus.corpus_hash)
    return ExperimentRecord(
        name=f"tables: {experiment.title}",
        identity=hash_json(parts),
        system=experiment.name,
        protocol_name=experiment.protocol.name,
        protocol_hash=experiment.protocol.protocol_hash,
        protocol=json.dumps(experiment.protocol.to_json(), sort_keys=True),
        corpus_hash=corpus.corpus_hash,
        corpus_path=corpus.corpus_path,
        is_synthetic=corpus.is_synthetic,
        seed=0,
        num_samples=1 if experiment.is_probe else len(settings.seeds),
        max_epochs=1 if experiment.is_baseline else settings.max_epochs,
        patience=None if experiment.is_baseline else settings.patience,
        target="max",
        script="harness tables",
        search_space="[]",
        settings=json.dumps(parts, sort_keys=True),
        shortened=corpus.shortened,
        package_version=__version__,
        kind=ExperimentKind.TABLES,
    )


#: Baselines below the paper's rows of each table; those of Table 2 are of improvised recordings only.
BASELINES_OF_TABLES: Mapping[int, tuple[str, ...]] = {
    1: ("majority", "speech_forest", "speech_framewise"),
    2: ("majority", "speech_forest"),
    3: ("majority", "text_logistic"),
    4: ("majority",),
    5: ("majority", "text_speech_average"),
}
#: The table of the combined systems, whose published split is by session.
COMBINED_TABLE = 5
#: Words of an utterance in the published code of the text systems; that of the combined one has 50.
NOTEBOOK_MAX_WORDS = 500


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        published: what the paper prints; None for a baseline
        experiments: one, or one for each session left out; none for the work of others
    """

    table: int
    title: str
    name: str | None
    published: PublishedRow | None
    experiments: tuple[TableExperiment, ...]


def plan_rows(settings: TablesSettings) -> tuple[Row, ...]:
    """Return the rows in the paper's order, without tables none of whose systems is chosen."""
    rows: list[Row] = []
    for table in TITLES:
        of_table = [_published_row(settings, row) for row in PUBLISHED if row.table == table]
        of_table += [_baseline_row(settings, table, name) for name in BASELINES_OF_TABLES[table]]
        chosen = [row for row in of_table if row.name is None or row.name in settings.names]
        if any(row.experiments for row in chosen):
            rows += chosen
    return tuple(rows)


def distinct_experiments(rows: Iterable[Row]) -> tuple[TableExperiment, ...]:
    """Return the experiments of some rows, each once, in the rows' order."""
    return tuple(dict.fromkeys(experiment for row in rows for experiment in row.experiments))


def probe_experiments(settings: TablesSettings) -> dict[str, tuple[TableExperiment, ...]]:
    """Return the experiments of each probe by its name: one by session, or one for each session left out."""
    return {name: _experiments(settings, COMBINED_TABLE, name, settings.recordings) for name in PROBES}


def _published_row(settings: TablesSettings, published: PublishedRow) -> Row:
    if published.system is None:
        return Row(published.table, published.name, None, published, ())
    recordings = settings.recordings if published.recordings is Recordings.ALL else published.recordings
    experiments = _experiments(settings, published.table, published.system, recordings)
    return Row(published.table, published.name, published.system, published, experiments)


def _baseline_row(settings: TablesSettings, table: int, name: str) -> Row:
    only_improvised = table == 2
    recordings = Recordings.IMPROVISED if only_improvised else settings.recordings
    title = BASELINES[name].title + (" (improv only)" if only_improvised else "")
    return Row(table, title, name, None, _experiments(settings, table, name, recordings))


def _experiments(
    settings: TablesSettings, table: int, name: str, recordings: Recordings
) -> tuple[TableExperiment, ...]:
    sessions = SESSIONS if settings.leaves_each_session_out else (SEALED_SESSION,)
    split = split_of(settings, table)
    choices: dict[str, Any] = {
        "base": settings.protocol,
        "recordings": recordings.value,
        "happiness": settings.happiness.value,
    }
    if split is TableSplit.BY_POSITION and modalities_of(name) == ("text",) and name not in BASELINES:
        choices["max_words"] = NOTEBOOK_MAX_WORDS
    return tuple(
        TableExperiment(name, read_protocol({**choices, "test_session": session}), split)
        for session in sessions
    )


def split_of(settings: TablesSettings, table: int) -> TableSplit:
    """Return the split of a table's rows: the chosen one, but always by session for the combined systems."""
    if table == COMBINED_TABLE or settings.leaves_each_session_out:
        return TableSplit.SESSIONS
    if settings.split is not None:
        return settings.split
    test_chooses = settings.base.epoch_choice is EpochChoice.TEST_MAXIMUM
    return TableSplit.BY_POSITION if test_chooses else TableSplit.SESSIONS


def prepare_tables(
    settings: TablesSettings, named: Path | None, results_dir: Path, progress: Progress
) -> tuple[TablesSettings, CorpusFacts]:
    """Prepare the features of the corpus as `aup` does, and return what will be trained on them.

    Args:
        named: the corpus; None for the one that the environment names, or else the synthetic corpus

    Returns:
        the settings, with fewer epochs where no corpus is named, and the corpus

    Raises:
        ExperimentFileError: the corpus that is named does not exist
        CorpusError: it is no corpus
    """
    features = prepare_features(named, speech_settings(settings.base), results_dir, progress)
    facts = CorpusFacts(**vars(features), shortened=None)
    if features.corpus_path:
        return settings, facts
    max_epochs = min(settings.max_epochs, QUICK_START_MAX_EPOCHS)
    patience = min(settings.patience or QUICK_START_PATIENCE, QUICK_START_PATIENCE)
    shortened = (
        "No corpus is named, so this is a quick start on a synthetic one, with at most "
        f"{max_epochs} epochs instead of {settings.max_epochs} and patience {patience}; name a "
        f"corpus with --corpus or in {CORPUS_VARIABLE} for the tables themselves. "
        "The systems that the paper trains with Adadelta hardly leave the largest class in so few epochs."
    )
    return replace(settings, max_epochs=max_epochs, patience=patience), replace(facts, shortened=shortened)
