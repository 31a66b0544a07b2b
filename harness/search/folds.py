"""An experiment of several folds: a search for each, one after the other, with a test set of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from harness.corpus.utterances import parse_utterance_id
from harness.errors import FeatureError
from harness.features.store import FeatureStore
from harness.search.controller import OpenedSearch, carry_out, open_search
from harness.search.corpus import PreparedCorpus
from harness.search.experiment import describe_differences, identity_of, other_settings
from harness.search.experiment_file import ExperimentSettings, FoldPlace
from harness.search.lock import held, lock_path
from harness.search.repair import account_for_earlier
from harness.search.view import Ending, FoldOutcome, SearchReport, SearchView
from harness.splits.folds import FOLD_CHOICES, fold_protocols
from harness.splits.parts import part_search
from harness.splits.protocol import Protocol, is_tested, select_recordings
from harness.store.records import (
    ExperimentRow,
    ExperimentStatus,
    FoldedExperiment,
    FoldedExperimentRow,
    TrialStatus,
)
from harness.store.store import ResultsStore


def run_folds(settings: ExperimentSettings, view: SearchView, fresh: bool = False) -> SearchReport | None:
    """Run the search of every fold, or resume them where an earlier controller left them; main thread only.

    A fold that does not end well is the last one.

    Args:
        fresh: begin anew even where there is an experiment of the same name

    Returns:
        the report of the last search that was run; None where all of them had finished before

    Raises:
        ExperimentFileError: the experiment of that name was started with other settings
        FeatureError: the corpus has utterances of one session alone, or a fold would have nothing to train on, to
            validate on or to test
        WorkFailedError: no trial can be started
        HarnessError: as ``open_search``
    """
    with open_search(settings, view) as opened, ExitStack() as locks:
        settings, store = opened.settings, opened.store
        protocols = _protocols(settings, opened.prepared)
        for fold in protocols:
            # All from the beginning: an experiment of the same name as a fold's may be any search.
            name = name_search(settings.name, fold)
            locks.enter_context(held(lock_path(settings.results_dir, name), f"experiment {name!r}"))
        folded = _begin_or_resume(opened, tuple(protocols), fresh)
        for fold in protocols:
            account_for_earlier(store, settings.results_dir, name_search(settings.name, fold))
        view.note(_describe_cost(opened, folded))
        report = None
        for number, (fold, protocol) in enumerate(protocols.items(), start=1):
            search = store.searches_of(folded.folded_id).get(fold)
            view.note(f"Fold {number} of {len(protocols)}: {_describe_fold(protocol, search, settings)}")
            if search is None or not _is_done(search, settings):
                of_fold = _settings_of_fold(settings, FoldPlace(folded.folded_id, fold), protocol)
                report = carry_out(replace(opened, settings=of_fold))
                if report.ending is not Ending.DONE:
                    return report
        view.end_folds(_read_outcomes(store, folded))
        return report


def name_search(name: str, fold: str) -> str:
    """Return the name of one fold's search.

    Example:
        >>> name_search("fusion", "Session 3")
        'fusion, Session 3'
    """
    return f"{name}, {fold}"


def _protocols(settings: ExperimentSettings, prepared: PreparedCorpus | None) -> Mapping[str, Protocol]:
    """Return the protocol of each fold, after every fold without a whole split has been refused."""
    assert settings.training is not None and settings.training.folds is not None and prepared is not None
    shared = settings.training.protocol
    store = FeatureStore.open(prepared.prepared_dir, shared.happiness)
    names = [utterance.utterance_id for utterance in store.utterances(store.sessions)]
    used = select_recordings(names, shared.recordings)
    there = sorted({parse_utterance_id(name).session for name in used})
    protocols = fold_protocols(settings.training.folds, shared, there)
    for fold, protocol in protocols.items():
        if not any(is_tested(protocol, name) for name in used):
            raise FeatureError(
                f"fold {fold!r}: the corpus has no utterance of it to test under protocol {shared.name!r}; expected at "
                "least one in every fold"
            )
        # Refused here, before the trials of the folds that come first.
        part_search(protocol, store.searchable_classes(protocol))
    return protocols


def _settings_of_fold(settings: ExperimentSettings, place: FoldPlace, protocol: Protocol) -> ExperimentSettings:
    assert settings.training is not None
    training = replace(settings.training, protocol=protocol)
    return replace(settings, name=name_search(settings.name, place.fold), training=training, place=place)


def _begin_or_resume(opened: OpenedSearch, folds: tuple[str, ...], fresh: bool) -> FoldedExperimentRow:
    """Find or make the row that the searches of all folds name."""
    settings, store = opened.settings, opened.store
    differing = {f"protocol {choice}" for choice in FOLD_CHOICES}
    parts = {key: part for key, part in identity_of(settings, opened.prepared).items() if key not in differing}
    folded = FoldedExperiment(settings.name, json.dumps(parts, sort_keys=True), folds)
    named = [] if fresh else [each for each in store.folded_experiments() if each.name == settings.name]
    same = [each for each in named if each.identity == folded.identity]
    if same:
        return same[-1]
    if not fresh:
        _refuse_other_settings(store, named, folded, parts)
    folded_id = store.create_folded(folded)
    return next(each for each in store.folded_experiments() if each.folded_id == folded_id)


def _refuse_other_settings(
    store: ResultsStore, named: list[FoldedExperimentRow], folded: FoldedExperiment, parts: Mapping[str, Any]
) -> None:
    if named:
        before = json.loads(named[-1].identity)
        now = json.loads(folded.identity)
        raise other_settings(f"{folded.name!r} was started", describe_differences(before, now))
    whole = [each for each in store.experiments() if each.name == folded.name]
    if whole:
        differences = describe_differences({}, {"folds": parts["folds"]})
        raise other_settings(f"{folded.name!r} was started as experiment {whole[-1].eid}", differences)


def _describe_cost(opened: OpenedSearch, folded: FoldedExperimentRow) -> str:
    settings, num_folds = opened.settings, len(folded.folds)
    num_each = settings.num_samples
    counts = "" if num_each is None else f", {num_folds * num_each} for {num_each}"
    sentence = (
        f"Experiment {settings.name!r} has {num_folds} folds, each a search with its own test set: {num_folds} times "
        f"as many trials as without folds{counts}. All try the same hyperparameters, and each chooses its own best "
        "trial."
    )
    shortened = None if opened.prepared is None else opened.prepared.shortened
    return sentence if shortened is None else f"{sentence} {shortened}"


def _describe_fold(protocol: Protocol, search: ExperimentRow | None, settings: ExperimentSettings) -> str:
    if search is not None and _is_done(search, settings):
        return f"{protocol.test_set} is the test set; experiment {search.eid} has finished."
    sealed = f"{protocol.test_set} is the test set, and this search does not read it."
    return f"{sealed} The partner's turns of the same dialogues are read." if protocol.tests_one_speaker else sealed


def _is_done(search: ExperimentRow, settings: ExperimentSettings) -> bool:
    """Return True where a fold's search has finished, and the experiment file asks for no further trial."""
    return search.status is ExperimentStatus.FINISHED and search.num_samples >= (settings.num_samples or 0)


def _read_outcomes(store: ResultsStore, folded: FoldedExperimentRow) -> list[FoldOutcome]:
    outcomes = []
    for search in store.searches_of(folded.folded_id).values():
        num_finished = sum(trial.status is TrialStatus.FINISHED for trial in store.trials(search.eid))
        outcomes.append(FoldOutcome(search, num_finished, store.best_trial(search.eid)))
    return outcomes
