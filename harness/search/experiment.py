"""An experiment's row in results.db and its folder: found again by name and identity, or made.

Two searches have the same identity where everything is the same that changes their outcome.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import __version__
from harness.errors import ExperimentFileError
from harness.features.lexica import Lexicon, hash_lexica, lexicon_of
from harness.files import hash_json, read_json, write_json
from harness.provenance import hash_word_vectors
from harness.search.corpus import PreparedCorpus
from harness.search.experiment_file import ExperimentSettings
from harness.search.jobs import MARK_NAME
from harness.store.records import ExperimentRecord, ExperimentRow
from harness.store.store import ResultsStore


def identity_of(settings: ExperimentSettings, prepared: PreparedCorpus | None) -> dict[str, Any]:
    """Return everything that changes an experiment's outcome, by the experiment file's keys.

    The number of trials, how many run at once and their limits are no part of it: ``n_samples`` may be raised,
    and the search is resumed. Reads the whole file of word vectors.

    Raises:
        FeatureError: as ``hash_searched_lexica``
    """
    parts: dict[str, Any] = {
        "script": settings.script.text,
        "target": settings.target,
        "proposer": settings.proposer,
        "random_seed": settings.seed,
    }
    if settings.proposer == "hyperopt":
        parts["engine"] = settings.file.get("engine", "tpe")
    parts |= {f"parameter_config {entry['name']!r}": entry for entry in settings.searched}
    # Drawn in the file's order.
    parts["parameter_config order"] = [entry["name"] for entry in settings.searched]
    if settings.points:
        parts["points"] = list(settings.points)
    if settings.folds is not None:
        parts["folds"] = settings.folds.value
    if settings.training is not None and prepared is not None:
        parts |= {
            "system": settings.training.system.name,
            "corpus": prepared.corpus_hash,
            "max_epochs": prepared.max_epochs,
            "patience": prepared.patience,
            "speech_features": prepared.own_hashes.get("speech", settings.training.speech_features),
            "word_vectors": hash_word_vectors(settings.training.word_vectors),
        }
        parts |= {f"protocol {key}": choice for key, choice in settings.training.protocol.choices.items()}
        if settings.training.system.own is not None:
            parts["system_source"] = settings.training.system.own.sha256
        if settings.training.turn_model is not None:
            parts["turn_model"] = settings.training.turn_model.to_json()
        if settings.training.early_stopping is not None:
            parts["early_stopping"] = settings.training.early_stopping.to_json()
        if "text" in prepared.own_hashes:
            parts["text_features"] = prepared.own_hashes["text"]
        if settings.training.seeds_per_trial > 1:
            parts["seeds_per_trial"] = settings.training.seeds_per_trial
        if prepared.auxiliary is not None:
            parts["auxiliary_corpora"] = prepared.auxiliary.identity()
        if lexica := hash_searched_lexica(settings):
            parts["lexica"] = lexica
    if settings.reported.early_stopping is not None:
        parts["early_stopping"] = settings.reported.early_stopping.to_json()
        parts["max_epochs"] = settings.reported.max_epochs
    return parts


def hash_searched_lexica(settings: ExperimentSettings) -> dict[str, str]:
    """Return the hash of each lexicon that some point of the search, or the turn model, chooses; by its name.

    Raises:
        FeatureError: the package of one is not installed, or has another file
    """
    if settings.training is None:
        return {}
    searched = [parameter.choices for parameter in settings.space.parameters if parameter.name == "lexicon"]
    below = settings.training.turn_model
    turns = [] if below is None else [lexicon_of(below.hyperparameters)]
    return hash_lexica([*(Lexicon(choice) for choices in searched for choice in choices), *turns])


def describe_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Name the differences between two identities in a phrase.

    Example:
        >>> describe_differences({"random_seed": 1, "target": "max"}, {"random_seed": 2, "target": "max"})
        'random_seed was 1 and is 2'
    """
    missing = "not there"
    return ", ".join(
        f"{key} was {_shown(before.get(key, missing))} and is {_shown(now.get(key, missing))}"
        for key in [*before, *(key for key in now if key not in before)]
        if before.get(key, missing) != now.get(key, missing)
    )


def _shown(value: object) -> str:
    return value if value == "not there" else f"{json.dumps(value):.120}"


@dataclass(frozen=True)
class ExperimentFolder:
    """The folder in which one experiment keeps its job files."""

    path: Path

    @property
    def mark(self) -> str:
        """``NAME=value`` by which the experiment's jobs are known on this machine, whoever started them."""
        digest = hashlib.sha256(str(self.path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
        return f"{MARK_NAME}={digest[:24]}"

    @property
    def job_dir(self) -> Path:
        """The folder of job files, trial files and the jobs' output."""
        return self.path / "jobs"

    @property
    def identity_path(self) -> Path:
        """The file with the identity that the experiment was begun with, for messages on differences."""
        return self.path / "identity.json"


def experiment_folder(results_dir: Path, eid: int) -> ExperimentFolder:
    """Return the folder of an experiment."""
    return ExperimentFolder(results_dir / "experiments" / str(eid))


def find_experiment(
    store: ResultsStore, settings: ExperimentSettings, parts: Mapping[str, Any]
) -> ExperimentRow | None:
    """Return the experiment to resume, None where none has that name.

    Args:
        parts: the identity that the experiment file has now

    Raises:
        ExperimentFileError: the experiments of that name were started with other settings
    """
    folded_id = None if settings.place is None else settings.place.folded_id
    named = [each for each in store.experiments() if (each.name, each.folded_id) == (settings.name, folded_id)]
    same = [experiment for experiment in named if experiment.identity == hash_json(parts)]
    if same:
        return same[-1]
    if named:
        latest = named[-1]
        before = read_identity(experiment_folder(settings.results_dir, latest.eid))
        differences = describe_differences(before, parts) if before else "its identity.json is missing"
        raise other_settings(f"{settings.name!r} was started as experiment {latest.eid}", differences)
    folded = [each for each in store.folded_experiments() if each.name == settings.name]
    if folded:
        differences = describe_differences({"folds": json.loads(folded[-1].identity)["folds"]}, {})
        raise other_settings(f"{settings.name!r} was started", differences)
    return None


def other_settings(started: str, differences: str) -> ExperimentFileError:
    """Return the error for an experiment file that its experiment cannot be resumed with.

    Args:
        started: the experiment's name, and as what it was started
        differences: as ``describe_differences`` returns them
    """
    return ExperimentFileError(
        f"experiment {started} with other settings: {differences}; to resume it, change the settings back; otherwise "
        "choose another name, or start a new experiment with --fresh"
    )


def create_experiment(
    store: ResultsStore,
    settings: ExperimentSettings,
    prepared: PreparedCorpus | None,
    num_samples: int,
    parts: Mapping[str, Any],
) -> ExperimentRow:
    """Record a new experiment of identity ``parts``, and make its folder."""
    eid = store.create_experiment(_describe(settings, prepared, num_samples, hash_json(parts)))
    _write_identity(settings, eid, parts)
    return store.experiment(eid)


def resume_experiment(
    store: ResultsStore,
    settings: ExperimentSettings,
    eid: int,
    num_samples: int,
    parts: Mapping[str, Any],
) -> ExperimentRow:
    """Record that an experiment of identity ``parts`` is resumed, as the experiment file has it now.

    Args:
        num_samples: trials to run in all; those that were begun before count even where it is fewer
    """
    begun = {trial.trial_index for trial in store.trials(eid)}
    store.resume_experiment(eid, max(num_samples, len(begun)), _settings_text(settings))
    # Whoever began it may have come no further than its row.
    if not experiment_folder(settings.results_dir, eid).identity_path.exists():
        _write_identity(settings, eid, parts)
    return store.experiment(eid)


def _write_identity(settings: ExperimentSettings, eid: int, parts: Mapping[str, Any]) -> None:
    folder = experiment_folder(settings.results_dir, eid)
    folder.path.mkdir(parents=True, exist_ok=True)
    write_json(folder.identity_path, parts)


def _settings_text(settings: ExperimentSettings) -> str:
    return json.dumps(settings.file, sort_keys=True)


def read_identity(folder: ExperimentFolder) -> dict[str, Any]:
    """Return the identity that an experiment was begun with; empty where its file is missing or damaged."""
    try:
        value = read_json(folder.identity_path)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _describe(
    settings: ExperimentSettings, prepared: PreparedCorpus | None, num_samples: int, identity: str
) -> ExperimentRecord:
    protocol = None if settings.training is None else settings.training.protocol
    return ExperimentRecord(
        name=settings.name,
        identity=identity,
        system="" if settings.training is None else settings.training.system.name,
        protocol_name="" if protocol is None else protocol.name,
        protocol_hash="" if protocol is None else protocol.protocol_hash,
        protocol="{}" if protocol is None else json.dumps(protocol.to_json(), sort_keys=True),
        corpus_hash="" if prepared is None else prepared.corpus_hash,
        corpus_path="" if prepared is None else prepared.corpus_path,
        is_synthetic=prepared is not None and prepared.is_synthetic,
        seed=settings.seed,
        num_samples=num_samples,
        max_epochs=(settings.reported.max_epochs or 0) if prepared is None else prepared.max_epochs,
        patience=None if prepared is None else prepared.patience,
        target=settings.target,
        script=settings.script.text,
        search_space=json.dumps(settings.searched),
        settings=_settings_text(settings),
        shortened=None if prepared is None else prepared.shortened,
        package_version=__version__,
        corpus_note=None if prepared is None else prepared.corpus_note,
        features_note=None if prepared is None else prepared.features_note,
        folded_id=None if settings.place is None else settings.place.folded_id,
        fold=None if settings.place is None else settings.place.fold,
    )
