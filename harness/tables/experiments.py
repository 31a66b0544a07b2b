"""The experiments of the tables: each is one system on one split, found again by everything that decides its scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import __version__
from harness.corpus.layout import MocapStream
from harness.errors import HarnessError, unknown_name
from harness.features.speech import SpeechSettings, speech_settings
from harness.features.store import FeatureStore, require_modalities
from harness.files import hash_json
from harness.models.baselines import BASELINES
from harness.models.probes import PROBES
from harness.models.systems import PAPER_SYSTEMS, SYSTEMS
from harness.models.systems import modalities_of as modalities_read
from harness.models.systems import read_hyperparameters
from harness.provenance import hash_word_vectors
from harness.splits.protocol import DEFAULT_SPEECH_VARIANT, PROTOCOLS, Protocol, Recordings, Scenes
from harness.splits.scenes import NUM_GROUPS
from harness.store.records import ExperimentKind, ExperimentRecord
from harness.tables.compared import COMPARED
from harness.tables.parts import TableSplit
from harness.tables.settings import CorpusFacts, TablesSettings

#: Hyperparameters that are not the system's defaults, by name, in the order of the names.
Choices = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class TableExperiment:
    """All seeds of one system, baseline or probe on one split: one experiment in results.db.

    Attributes:
        choices: hyperparameters that are not the system's defaults
        purpose: of the experiment, for messages; it changes nothing
    """

    name: str
    protocol: Protocol
    split: TableSplit
    choices: Choices = ()
    purpose: str = field(default="", compare=False)

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
        return modalities_of(self.name, self.choices)

    @property
    def leaves_scenes_out(self) -> bool:
        """True where each utterance is scored by a model that has not read its scene: one model a group of scenes."""
        return self.protocol.scenes is Scenes.DISJOINT

    @property
    def num_models(self) -> int:
        """Models that one seed trains; at most, where it is one for each group of scenes after the first."""
        if self.leaves_scenes_out:
            return 1 + NUM_GROUPS
        return 1 if self.split in (TableSplit.PARTNER_VALIDATES, TableSplit.BY_POSITION) else 2

    @property
    def speech_variant(self) -> str:
        """The name of the speech features that it reads."""
        return SYSTEMS[self.name].speech_features if self.name in SYSTEMS else DEFAULT_SPEECH_VARIANT

    @property
    def speech_settings(self) -> SpeechSettings:
        """The settings of those features under its protocol."""
        return speech_settings(self.protocol, self.speech_variant)

    @property
    def title(self) -> str:
        """Its name in messages."""
        of = "" if self.protocol.recordings is Recordings.ALL else f", {self.protocol.recordings} only"
        is_one_part = self.split in (TableSplit.SESSIONS, TableSplit.PARTNER_VALIDATES)
        tests = f", {self.protocol.test_set}" if is_one_part else ""
        return f"{self.name}{of}{tests}" + (f" ({self.purpose})" if self.purpose else "")

    def open_features(self, corpus: CorpusFacts) -> FeatureStore:
        """Open the prepared features that it reads, as its protocol reads them.

        Raises:
            FeatureError: they are damaged
        """
        return corpus.open_features(self.speech_settings, self.protocol)


def known_names() -> tuple[str, ...]:
    """Return the names that a row of Tables 1 to 5 always has: the paper's systems, then the baselines."""
    return (*PAPER_SYSTEMS, *BASELINES)


def compared_names() -> tuple[str, ...]:
    """Return the names of the systems, and baselines of them, that the paper compares with; each once."""
    return tuple(dict.fromkeys(each.system for each in COMPARED if each.system in {*SYSTEMS, *BASELINES}))


def streams_of(name: str) -> tuple[MocapStream, ...]:
    """Return the motion streams that a system reads; none for a baseline."""
    return SYSTEMS[name].streams if name in SYSTEMS and "mocap" in SYSTEMS[name].modalities else ()


def modalities_of(name: str, choices: Choices = ()) -> tuple[str, ...]:
    """Return the modalities that a system with some hyperparameters, a baseline or a probe reads."""
    if name in PROBES:
        return (PROBES[name].modality,)
    if name in BASELINES:
        return BASELINES[name].modalities
    system = SYSTEMS[name]
    return modalities_read(system, read_hyperparameters(system, dict(choices), PROTOCOLS["paper"]))


def lacking_modalities(store: FeatureStore, experiment: TableExperiment) -> tuple[str, ...]:
    """Return the modalities and motion streams that an experiment reads and the corpus does not have."""
    lacking = [modality for modality in experiment.modalities if modality not in store.modalities]
    if "mocap" in experiment.modalities and "mocap" not in lacking:
        streams = streams_of(experiment.name)
        lacking += [f"{stream} motion" for stream in streams if stream not in store.manifest.mocap_streams]
    return tuple(lacking)


def require_features(experiments: Iterable[TableExperiment], names: Sequence[str], corpus: CorpusFacts) -> None:
    """Check that a corpus has every modality and motion stream that the experiments of some systems read.

    Args:
        names: of systems and baselines; the others are not trained where the corpus lacks something, as are probes

    Raises:
        FeatureError: it lacks one
    """
    for experiment in experiments:
        if experiment.name in names and not experiment.is_probe:
            store, streams = experiment.open_features(corpus), streams_of(experiment.name)
            require_modalities(store, experiment.name, experiment.modalities, streams)


def check_settings(settings: TablesSettings) -> None:
    """Refuse settings that contradict each other.

    Raises:
        UnknownNameError: no such system, baseline or protocol
        HarnessError: a split that the protocol, or leaving each session out, rules out
    """
    for name in settings.names:
        if name not in (known := {*known_names(), *compared_names()}):
            raise unknown_name("system or baseline", name, known)
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
    parts = describe_training(experiment, corpus_hash)
    if not experiment.is_baseline:
        parts |= {"max_epochs": settings.max_epochs, "patience": settings.patience}
        if "embedding_dimension" in parts["hyperparameters"] and settings.word_vectors is not None:
            parts["word_vectors"] = hash_word_vectors(settings.word_vectors)
    return parts


def describe_training(experiment: TableExperiment, corpus_hash: str) -> dict[str, Any]:
    """Return what is trained on what: ``identity_of`` without what the settings choose for all experiments alike."""
    parts: dict[str, Any] = {
        "kind": ExperimentKind.TABLES.value,
        "version": __version__,
        "system": experiment.name,
        "split": experiment.split.value,
        "corpus": corpus_hash,
    }
    parts |= {f"protocol {key}": choice for key, choice in experiment.protocol.choices.items()}
    if not experiment.is_baseline:
        parts["hyperparameters"] = hyperparameters_of(experiment)
    # Only where it is not the default, so that what was trained before is found again.
    if experiment.speech_variant != DEFAULT_SPEECH_VARIANT:
        parts["speech_features"] = experiment.speech_variant
    return parts


def hyperparameters_of(experiment: TableExperiment) -> dict[str, Any]:
    """Return the hyperparameters, the defaults but for the experiment's choices; a baseline has none."""
    if experiment.is_baseline:
        return {}
    return read_hyperparameters(SYSTEMS[experiment.name], dict(experiment.choices), experiment.protocol).chosen


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
        corpus_note=corpus.corpus_note,
        package_version=__version__,
        kind=ExperimentKind.TABLES,
    )
