"""The corpus that a search reads, with its features on disk before the first trial."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.corpus.layout import find_root
from harness.corpus.utterances import Utterance
from harness.errors import ExperimentFileError
from harness.features.auxiliary import AUXILIARY_SESSIONS, AuxiliaryCorpora
from harness.features.speech import SpeechSettings, speech_settings
from harness.search.experiment_file import ExperimentSettings, TrainingSettings
from harness.search.keys import expand_home
from harness.search.space import Parameter, ParameterType, SearchSpace
from harness.splits.protocol import search_sessions

if TYPE_CHECKING:
    from harness.features.prepare import OwnFiles

#: Names the corpus where the experiment file does not.
CORPUS_VARIABLE = "HARNESS_CORPUS"

#: What a search without a corpus is cut to, so that a first run on two cores ends within a quarter of an
#: hour and its trials learn. In batches of 64, an epoch of the small corpus is 5 training steps, and a model at
#: the lower learning rates of ``search_spaces/fusion.json`` needs some 70 to leave the largest class.
QUICK_START_SCALE = 0.1
QUICK_START_MAX_EPOCHS = 4
QUICK_START_BATCH_SIZE = 8

#: Share of an auxiliary corpus's turns that may have the id and the words of a turn of the corpus. Ids are alike
#: wherever the layout is IEMOCAP's, and so are a few short turns: "Yeah." stands in every corpus.
_MOST_SHARED = 0.1

#: Called with the name of a piece of work, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class CorpusFeatures:
    """A corpus whose features are on disk.

    Attributes:
        corpus_path: as it was given; empty for the synthetic corpus that is made where none is named
        differences: one sentence for each count that differs from the complete release's
        corpus_note: a sentence that says what a corpus of recordings is where it is not the complete release; None for
            the complete one, and for a synthetic one
        notes: one sentence for each thing in which a user's own features and the corpus differ
    """

    prepared_dir: Path
    corpus_hash: str
    corpus_path: str
    is_synthetic: bool
    differences: tuple[str, ...]
    corpus_note: str | None = field(default=None, kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True)
class PreparedCorpus(CorpusFeatures):
    """A corpus whose features are on disk, and how long trials may train on it.

    Attributes:
        shortened: a sentence that says what was cut for a quick start, or None
        auxiliary: None without auxiliary corpora
        features_note: sentences on each of the user's files of features, and on what it lacks; None without a file
        own_hashes: SHA-256 of each of the user's files of features, by the modality that it stands for
    """

    max_epochs: int
    patience: int | None
    shortened: str | None
    auxiliary: AuxiliaryCorpora | None = None
    features_note: str | None = None
    own_hashes: Mapping[str, str] = field(default_factory=dict)


def choose_corpus(named: Path | None) -> Path | None:
    """Return the corpus that the experiment file or an option names, or else the environment; None for neither.

    Raises:
        ExperimentFileError: it is no folder
    """
    if named is not None:
        corpus, source = named, "corpus"
    elif in_environment := os.environ.get(CORPUS_VARIABLE):
        corpus, source = expand_home(in_environment).absolute(), CORPUS_VARIABLE
    else:
        return None
    if not os.path.isdir(corpus):
        raise ExperimentFileError(
            f"{source} is '{corpus}', which is not a folder; expected IEMOCAP_full_release, or its parent"
        )
    return corpus


def prepare_chosen(
    training: TrainingSettings,
    results_dir: Path,
    progress: Progress = lambda doing, done, total: None,
    modalities: Iterable[str] | None = None,
) -> PreparedCorpus:
    """Prepare the chosen corpus's features; without one, make the synthetic corpus.

    Args:
        modalities: those that some point of the search reads; None for all that the system can read

    Raises:
        ExperimentFileError: the named corpus does not exist
        CorpusError: it is no corpus
        FeatureError: it lacks a modality that the system needs, or a file of features does not fit it
    """
    # Slow to import, and not needed for a foreign script.
    from harness.features.prepare import open_files
    from harness.features.store import FeatureStore, require_modalities

    variant = speech_settings(training.protocol, training.speech_features)
    own, settings = open_files(training.own_files, variant)
    features = prepare_features(training.corpus, settings, results_dir, progress, own)
    system = training.system
    needed = system.modalities if modalities is None else modalities
    streams = (system if training.turn_model is None else training.turn_model.system).streams
    store = FeatureStore.open(features.prepared_dir)
    require_modalities(store, system.name, needed, streams)
    return PreparedCorpus(
        **vars(features),
        max_epochs=training.max_epochs,
        patience=training.patience,
        shortened=None,
        auxiliary=_prepare_auxiliary(training, settings, features, results_dir, progress),
        features_note=" ".join([*store.manifest.describe_files(), *features.notes]) or None,
        own_hashes={modality: given.described.sha256 for modality, given in own.items()},
    )


def _prepare_auxiliary(
    training: TrainingSettings,
    settings: SpeechSettings,
    own: CorpusFeatures,
    results_dir: Path,
    progress: Progress,
) -> AuxiliaryCorpora | None:
    """Prepare the auxiliary corpora, and refuse the corpus itself among them, whose test set would be trained on."""
    from harness.features.store import FeatureStore, require_modalities

    asked = training.auxiliary
    if asked is None:
        return None
    happiness, sessions = training.protocol.happiness, search_sessions(training.protocol)
    own_turns = _spoken_turns(FeatureStore.open(own.prepared_dir, happiness).turns(sessions))
    known: dict[str, Path] = {}
    dirs = []
    for corpus in asked.corpora:
        each = prepare_features(corpus, settings, results_dir, progress)
        store = FeatureStore.open(each.prepared_dir, happiness)
        require_modalities(store, training.system.name, training.system.modalities)
        if each.corpus_hash in known:
            raise ExperimentFileError(
                f"auxiliary_corpora: '{corpus}' is the corpus at '{known[each.corpus_hash]}' again; expected each once"
            )
        turns = _spoken_turns(store.turns(AUXILIARY_SESSIONS))
        if len(turns & own_turns) > _MOST_SHARED * len(turns):
            raise ExperimentFileError(
                f"auxiliary_corpora: '{corpus}' is the corpus itself, or a part of it: {len(turns & own_turns)} of its "
                f"{len(turns)} turns have the same id and words; expected another one, for validation and test "
                "utterances must not be trained on"
            )
        known[each.corpus_hash] = corpus
        dirs.append(each.prepared_dir)
    auxiliary = AuxiliaryCorpora.open(dirs, asked.training, asked.num_epochs)
    # Refuses one without a turn to train on before the first trial.
    auxiliary.load(happiness)
    return auxiliary


def _spoken_turns(turns: Iterable[Utterance]) -> set[tuple[str, str | None]]:
    return {(turn.utterance_id, turn.transcript) for turn in turns}


def prepare_features(
    named: Path | None,
    settings: SpeechSettings,
    results_dir: Path,
    progress: Progress = lambda doing, done, total: None,
    own: OwnFiles = MappingProxyType({}),
) -> CorpusFeatures:
    """Prepare the features of the corpus that is named, or else of the synthetic one, whatever will read them.

    Args:
        own: the user's files of features, by the modality that each stands for

    Raises:
        ExperimentFileError: the corpus that is named does not exist
        CorpusError: it is no corpus
    """
    from harness.corpus.synthetic import is_synthetic
    from harness.features.manifest import is_outdated
    from harness.features.prepare import prepare_corpus, prepared_dir_for

    corpus = choose_corpus(named)
    root = _write_synthetic(results_dir, progress) if corpus is None else corpus
    prepared_dir = prepared_dir_for(results_dir, root, settings, own)
    again = " again, because another version of harness wrote them" if is_outdated(prepared_dir) else ""
    report = prepare_corpus(
        root,
        prepared_dir,
        settings,
        progress=lambda done, total: progress(f"preparing features{again}", done, total),
        own=own,
    )
    is_made = is_synthetic(find_root(root).root)
    return CorpusFeatures(
        prepared_dir=prepared_dir,
        corpus_hash=report.corpus_hash,
        corpus_path="" if corpus is None else str(corpus),
        is_synthetic=is_made,
        differences=tuple(report.differences),
        corpus_note=None if is_made else report.corpus_note,
        notes=tuple(report.notes),
    )


def shorten_search(
    settings: ExperimentSettings, prepared: PreparedCorpus
) -> tuple[ExperimentSettings, PreparedCorpus]:
    """Cut a search without a corpus to a quick start, and say what was cut; one with a corpus stays as it is.

    The batch size becomes a hyperparameter with one value, so that it stands in every trial's record and
    whatever is trained of a trial's hyperparameters later has it too.
    """
    training = settings.training
    if prepared.corpus_path or training is None:
        return settings, prepared
    cuts = []
    max_epochs = min(prepared.max_epochs, QUICK_START_MAX_EPOCHS)
    if max_epochs < prepared.max_epochs:
        cuts.append(f"max_epochs from {prepared.max_epochs} to {max_epochs}")
    known = {field.name: field.default for field in fields(training.system.hyperparameters)}
    searched = {parameter.name for parameter in settings.space.parameters}
    for name, value in (("batch_size", QUICK_START_BATCH_SIZE), ("asr_epochs", QUICK_START_MAX_EPOCHS)):
        if name not in known or name in searched:
            continue
        shorter = Parameter(name, ParameterType.CHOICE, choices=(value,))
        settings = replace(
            settings,
            space=SearchSpace((*settings.space.parameters, shorter)),
            parameter_config=(*settings.parameter_config, shorter.to_json()),
            points=tuple({**point, name: value} for point in settings.points),
        )
        cuts.append(f"{name} from {known[name]} to {value}")
    if training.turn_model is not None:
        below = training.turn_model.shorten(QUICK_START_MAX_EPOCHS, QUICK_START_BATCH_SIZE)
        settings = replace(settings, training=replace(training, turn_model=below))
        cuts.append(f"the turn model to {below.num_epochs} epochs")
    shortened = (
        "No corpus is named, so this is a quick start on a synthetic one"
        + (f", cut short: {', '.join(cuts)}" if cuts else "")
        + f"; name a corpus in the experiment file or in {CORPUS_VARIABLE} for the full search."
    )
    stopping = training.early_stopping
    if stopping is not None and stopping.min_epochs >= max_epochs:
        shortened += (
            f" So early_stopping prunes no trial: it compares trials after epoch {stopping.min_epochs} at the "
            "earliest, and never after the last."
        )
    return settings, replace(prepared, max_epochs=max_epochs, shortened=shortened)


def _write_synthetic(results_dir: Path, progress: Progress) -> Path:
    from harness.corpus.synthetic import GENERATOR_VERSION, SyntheticSettings, write_synthetic

    settings = SyntheticSettings(scale=QUICK_START_SCALE)
    # A newer version's corpus lies beside an older one's, which it must not overwrite.
    name = f"scale-{settings.scale:g}-seed-{settings.seed}-version-{GENERATOR_VERSION}"
    path = results_dir / "synthetic" / name
    write_synthetic(path, settings, lambda done, total: progress("writing the synthetic corpus", done, total))
    return path
