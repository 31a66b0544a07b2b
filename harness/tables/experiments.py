"""One system on one split is one experiment in results.db, found again by what decides its outcome."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import __version__
from harness.corpus.layout import MocapStream
from harness.errors import HarnessError, unknown_name
from harness.models.baselines import BASELINES
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.provenance import hash_word_vectors
from harness.search.identity import hash_identity
from harness.splits import Protocol, Recordings, read_protocol
from harness.store.records import ExperimentKind, ExperimentRecord, TrialRow
from harness.store.results import ResultsStore
from harness.tables.splits import TableSplit


@dataclass(frozen=True)
class TablesSettings:
    """What `harness tables` was asked for.

    Attributes:
        names: systems and baselines
        seeds: of the trainings that each row averages over
        protocol: a preset's name
        split: None for the protocol's own
        leaves_each_session_out: whether each of the five sessions tests once
        patience: epochs without a better one before validation stops waiting; None for never
        word_vectors: a GloVe or word2vec file; None for vectors trained on the training text
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


@dataclass(frozen=True)
class CorpusFacts:
    """What the tables say of the corpus.

    Attributes:
        corpus_path: as it was given; empty for the synthetic one that is made
        shortened: a sentence that says what was cut for a quick start, or None
        differences: one sentence for each count that differs from the complete release's
    """

    prepared_dir: Path
    corpus_hash: str
    corpus_path: str
    is_synthetic: bool
    shortened: str | None
    differences: Sequence[str] = ()

    @property
    def is_published_one(self) -> bool:
        """Whether the published figures speak of this very data."""
        return not self.is_synthetic and not self.differences


@dataclass(frozen=True)
class TableExperiment:
    """All seeds of one system or baseline on one split: one experiment in results.db."""

    name: str
    protocol: Protocol
    split: TableSplit

    @property
    def is_baseline(self) -> bool:
        """Whether scikit-learn fits it, in one go and without epochs."""
        return self.name in BASELINES

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it reads."""
        return modalities_of(self.name)

    @property
    def title(self) -> str:
        """How messages call it."""
        of = "" if self.protocol.recordings is Recordings.ALL else f", {self.protocol.recordings} only"
        tests = f", Session {self.protocol.test_session}" if self.split is TableSplit.SESSIONS else ""
        return f"{self.name}{of}{tests}"


def known_names() -> tuple[str, ...]:
    """Return all that a row can be of: the systems, then the baselines."""
    return (*SYSTEMS, *BASELINES)


def streams_of(name: str) -> tuple[MocapStream, ...]:
    """Return the motion streams that a system reads; none for a baseline."""
    return SYSTEMS[name].streams if name in SYSTEMS and "mocap" in SYSTEMS[name].modalities else ()


def modalities_of(name: str) -> tuple[str, ...]:
    """Return what a system or a baseline reads."""
    return BASELINES[name].modalities if name in BASELINES else SYSTEMS[name].modalities


def check_settings(settings: TablesSettings) -> None:
    """Refuse what contradicts itself.

    Raises:
        UnknownNameError: no such system, baseline or protocol
        HarnessError: a split that the protocol, or leaving each session out, rules out
    """
    for name in settings.names:
        if name not in known_names():
            raise unknown_name("system or baseline", name, known_names())
    protocol = read_protocol(settings.protocol)
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
    """Return everything that changes what an experiment's trials score, but for their seed."""
    parts: dict[str, Any] = {
        "kind": ExperimentKind.TABLES.value,
        "version": __version__,
        "system": experiment.name,
        "split": experiment.split.value,
        "corpus": corpus_hash,
    }
    choices = experiment.protocol.to_json().items()
    parts |= {f"protocol {key}": choice for key, choice in choices if key != "name"}
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
    """Return the point that is trained, the paper's own; a baseline has none."""
    if experiment.is_baseline:
        return {}
    return asdict(read_hyperparameters(SYSTEMS[experiment.name], {}, experiment.protocol))


def describe_experiment(
    experiment: TableExperiment, settings: TablesSettings, corpus: CorpusFacts
) -> ExperimentRecord:
    """Return an experiment's row as it is when its first trial begins."""
    parts = identity_of(experiment, settings, corpus.corpus_hash)
    return ExperimentRecord(
        name=f"tables: {experiment.title}",
        identity=hash_identity(parts),
        system=experiment.name,
        protocol_name=experiment.protocol.name,
        protocol_hash=experiment.protocol.protocol_hash,
        protocol=json.dumps(experiment.protocol.to_json(), sort_keys=True),
        corpus_hash=corpus.corpus_hash,
        corpus_path=corpus.corpus_path,
        is_synthetic=corpus.is_synthetic,
        seed=0,
        num_samples=len(settings.seeds),
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


def find_trials(
    results: ResultsStore, experiment: TableExperiment, settings: TablesSettings, corpus_hash: str
) -> dict[int, TrialRow]:
    """Return the latest attempt of each seed that was tried, by seed."""
    found = results.find_experiment(hash_identity(identity_of(experiment, settings, corpus_hash)))
    if found is None:
        return {}
    # Attempts come in order, so that the last of a seed stays.
    return {trial.seed: trial for trial in results.trials(found.eid)}
