"""The corpus of the tables: the one that is named, or the synthetic one with a quick start's epochs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.features.ingest_report import IngestReport
from harness.models.hyperparameters import Hyperparameters
from harness.models.systems import System
from harness.search.corpus_choice import CORPUS_VARIABLE, Progress, prepare_chosen
from harness.search.experiment_file import TrainingSettings
from harness.splits import read_protocol
from harness.tables.experiments import CorpusFacts, TablesSettings

#: What the tables without a corpus are cut to, so that a first look at them takes minutes.
QUICK_START_MAX_EPOCHS = 8
QUICK_START_PATIENCE = 3

#: The rows are of many systems: what each of them reads is asked row by row.
ANY_SYSTEM = System("tables", "Tables 1 to 5", (), Hyperparameters, "every row", "4 and 5")


def prepare_tables(
    settings: TablesSettings, corpus: Path | None, results_dir: Path, progress: Progress
) -> tuple[TablesSettings, CorpusFacts]:
    """Prepare the features of the corpus as `aup` does, and return what will be trained on them.

    Args:
        corpus: None for what the environment names, or else the synthetic corpus

    Returns:
        the settings, with fewer epochs where no corpus is named, and the corpus

    Raises:
        ExperimentFileError: the corpus that is named does not exist
        CorpusError: it is no corpus
    """
    training = TrainingSettings(
        system=ANY_SYSTEM,
        protocol=read_protocol(settings.protocol),
        corpus=corpus,
        max_epochs=settings.max_epochs,
        patience=settings.patience,
        word_vectors=settings.word_vectors,
    )
    prepared = prepare_chosen(training, results_dir, progress)
    shortened = None
    if not prepared.corpus_path:
        max_epochs = min(settings.max_epochs, QUICK_START_MAX_EPOCHS)
        patience = min(settings.patience or QUICK_START_PATIENCE, QUICK_START_PATIENCE)
        shortened = (
            "No corpus is named, so this is a quick start on a synthetic one, with at most "
            f"{max_epochs} epochs instead of {settings.max_epochs} and patience {patience}; name a "
            f"corpus with --corpus or in {CORPUS_VARIABLE} for the tables themselves. "
            "The systems that the paper trains with Adadelta hardly leave the largest class in so few epochs."
        )
        settings = replace(settings, max_epochs=max_epochs, patience=patience)
    facts = CorpusFacts(
        prepared_dir=prepared.prepared_dir,
        corpus_hash=prepared.corpus_hash,
        corpus_path=prepared.corpus_path,
        is_synthetic=prepared.is_synthetic,
        shortened=shortened,
        differences=IngestReport.read(prepared.prepared_dir).differences,
    )
    return settings, facts
