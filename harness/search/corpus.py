"""The corpus that a search reads, with its features on disk before the first trial."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.corpus.layout import find_root
from harness.errors import ExperimentFileError
from harness.features.speech import speech_settings
from harness.search.experiment_file import TrainingSettings
from harness.search.keys import expand_home

#: Names the corpus where the experiment file does not.
CORPUS_VARIABLE = "HARNESS_CORPUS"

#: The limits of a search without a corpus, so that a first run on two cores ends within a quarter of an
#: hour. A choice: on the synthetic corpus a model learns what it can within a few epochs.
QUICK_START_SCALE = 0.1
QUICK_START_MAX_EPOCHS = 8
QUICK_START_PATIENCE = 3

#: Called with the name of a piece of work, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PreparedCorpus:
    """A corpus whose features are on disk, and how long trials may train on it.

    Attributes:
        corpus_path: as it was given; empty where none was
        shortened: a sentence on the cuts of a quick start, or None
    """

    prepared_dir: Path
    corpus_hash: str
    corpus_path: str
    is_synthetic: bool
    max_epochs: int
    patience: int | None
    shortened: str | None


def choose_corpus(training: TrainingSettings, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the corpus that the experiment file names, or else the environment; None for neither.

    Raises:
        ExperimentFileError: it is no folder
    """
    if training.corpus is not None:
        corpus, source = training.corpus, "corpus"
    elif environment.get(CORPUS_VARIABLE):
        corpus, source = expand_home(environment[CORPUS_VARIABLE]).absolute(), CORPUS_VARIABLE
    else:
        return None
    if not os.path.isdir(corpus):
        raise ExperimentFileError(
            f"{source} is '{corpus}', no folder; expected the folder IEMOCAP_full_release, or its parent"
        )
    return corpus


def prepare_chosen(
    training: TrainingSettings,
    results_dir: Path,
    progress: Progress = lambda doing, done, total: None,
    environment: Mapping[str, str] = os.environ,
) -> PreparedCorpus:
    """Prepare the chosen corpus's features; without one, make the synthetic corpus and shorten the trials.

    Raises:
        ExperimentFileError: the named corpus does not exist
        CorpusError: it is no corpus
        FeatureError: it lacks a modality that the system needs
    """
    # Slow to import, and not needed for a foreign script.
    from harness.corpus.synthetic import is_synthetic
    from harness.features.prepare import prepare_corpus, prepared_dir_for
    from harness.features.store import FeatureStore, require_modalities

    corpus = choose_corpus(training, environment)
    root = _write_synthetic(results_dir, progress) if corpus is None else corpus
    settings = speech_settings(training.protocol, training.speech_features)
    prepared_dir = prepared_dir_for(results_dir, root, settings)
    report = prepare_corpus(
        root, prepared_dir, settings, progress=lambda done, total: progress("preparing features", done, total)
    )
    system = training.system
    require_modalities(FeatureStore.open(prepared_dir), system.name, system.modalities, system.streams)
    prepared = PreparedCorpus(
        prepared_dir=prepared_dir,
        corpus_hash=report.corpus_hash,
        corpus_path="" if corpus is None else str(corpus),
        is_synthetic=is_synthetic(find_root(root).root),
        max_epochs=training.max_epochs,
        patience=training.patience,
        shortened=None,
    )
    return prepared if corpus is not None else _shorten(prepared)


def _shorten(prepared: PreparedCorpus) -> PreparedCorpus:
    """Cut the trials to what a quick start may take, with a sentence on the cuts."""
    max_epochs = min(prepared.max_epochs, QUICK_START_MAX_EPOCHS)
    patience = min(prepared.patience or QUICK_START_PATIENCE, QUICK_START_PATIENCE)
    cuts = []
    if max_epochs < prepared.max_epochs:
        cuts.append(f"max_epochs from {prepared.max_epochs} to {max_epochs}")
    if patience != prepared.patience:
        cuts.append(f"patience from {prepared.patience or 'none'} to {patience}")
    shortened = (
        "No corpus is named, so this is a quick start on a synthetic one"
        + (f", cut short: {', '.join(cuts)}" if cuts else "")
        + f"; name a corpus in the experiment file or in {CORPUS_VARIABLE} for the whole search."
    )
    return replace(prepared, max_epochs=max_epochs, patience=patience, shortened=shortened)


def _write_synthetic(results_dir: Path, progress: Progress) -> Path:
    from harness.corpus.synthetic import SyntheticSettings, write_synthetic

    settings = SyntheticSettings(scale=QUICK_START_SCALE)
    path = results_dir / "synthetic" / f"scale-{settings.scale:g}-seed-{settings.seed}"
    write_synthetic(path, settings, lambda done, total: progress("writing the synthetic corpus", done, total))
    return path
