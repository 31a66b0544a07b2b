"""The results of each row of the tables, from its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.corpus.layout import SESSIONS
from harness.features.text import split_words
from harness.scoring.breakdown import TEXT_DIVISIONS, GroupScore, find_seen, score_groups
from harness.scoring.scenes import ScenePair, pair_scenes
from harness.scoring.statistics import Interval, Spread
from harness.store.records import Prediction, ScoreKind
from harness.store.store import ResultsStore
from harness.tables.experiments import lacking_modalities
from harness.tables.parts import make_parts
from harness.tables.plan import Row, probe_experiments
from harness.tables.reproductions import Cell, Reproduction, ReproductionResult, read_reproduction
from harness.tables.settings import CorpusFacts, TablesSettings
from harness.tables.stored import Pooled, StoredTrials, find_trials, pool, pool_folds


@dataclass(frozen=True)
class Estimate:
    """One score of a row over its seeds, from 0 to 1.

    Attributes:
        interval: of the weighted accuracy, over the dialogues scored
        fold_mean: mean weighted accuracy over the sessions left out and the seeds; None for one split
        num_utterances: scored, over all sessions left out
    """

    weighted_accuracy: Spread
    interval: Interval
    unweighted_accuracy: Spread
    fold_mean: float | None
    num_utterances: int


@dataclass(frozen=True)
class RowResult:
    """The results in one row.

    Attributes:
        chosen: validation chose the epoch; None where nothing finished, or no validation set is apart
        maximum: the best test epoch, optimistic; None where nothing finished, or there are no epochs
        text: scores of the groups of utterances, of ``chosen`` or else of ``maximum``; none without text
        failures: one sentence for each training that failed
        num_without_input: scored utterances that lack a modality that a baseline reads, by modality: it answers with
            the prior there. None for a network, which reads a missing input as one of no length, and without scores
        lacking: modalities that the corpus has nothing of, so that nothing was trained
    """

    row: Row
    chosen: Estimate | None = None
    maximum: Estimate | None = None
    text: tuple[GroupScore, ...] = ()
    failures: tuple[str, ...] = ()
    num_without_input: Mapping[str, int] | None = None
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True)
class TablesReader:
    """Reads rows from stored trials. Record a ``TestOpening`` before you make one."""

    settings: TablesSettings
    corpus: CorpusFacts
    results: ResultsStore

    @property
    def trials(self) -> StoredTrials:
        """The stored trials of all rows."""
        return find_trials(self.results, self.settings, self.corpus.corpus_hash)

    def read(self, row: Row) -> RowResult:
        """Return the results of a row's trials."""
        if row.name is None:
            return RowResult(row)
        lacking = lacking_modalities(row.experiments[0].open_features(self.corpus), row.experiments[0])
        if lacking:
            return RowResult(row, lacking=lacking)
        trials = self.trials
        by_fold = trials.scores(row.experiments)
        chosen, maximum = pool(by_fold, ScoreKind.VALIDATION_CHOSEN), pool(by_fold, ScoreKind.TEST_MAXIMUM)
        of_text = chosen or maximum
        reads_text = "text" in row.experiments[0].modalities and of_text
        return RowResult(
            row=row,
            chosen=_estimate(chosen),
            maximum=_estimate(maximum),
            text=score_groups(pool_folds(of_text), self._is_seen(row), TEXT_DIVISIONS) if reads_text else (),
            failures=trials.failures(row.experiments),
            num_without_input=self._count_without_input(row) if of_text and row.published is None else None,
        )

    def read_compared(self, planned: Reproduction) -> ReproductionResult:
        """Return the results of a compared system's trials."""
        strict = planned.strict[0]
        return read_reproduction(self.trials, planned, lacking_modalities(strict.open_features(self.corpus), strict))

    def read_scenes(self) -> tuple[ScenePair, ...]:
        """Return the scores of the probes that have finished, with scenes shared and with the scored scene left out."""
        predictions: dict[ScoreKind, list[list[Prediction]]] = {}
        for experiments in probe_experiments(self.settings).values():
            by_fold = self.trials.scores(experiments)
            pooled = {kind: pool_folds(pool(by_fold, kind)) for kind in ScoreKind if kind.is_probe}
            predictions |= {kind: of_kind for kind, of_kind in pooled.items() if of_kind}
        return pair_scenes(None, predictions)

    def _is_seen(self, row: Row) -> dict[str, bool]:
        is_seen: dict[str, bool] = {}
        for experiment in row.experiments:
            store = experiment.open_features(self.corpus)
            transcripts = {found.utterance_id: found.transcript for found in store.utterances(SESSIONS)}
            parts = make_parts(experiment.split, experiment.protocol, store)
            is_seen |= find_seen(
                {name: transcripts[name] for name in parts.test},
                [transcripts[name] for name in parts.trained_on],
            )
        return is_seen

    def _count_without_input(self, row: Row) -> dict[str, int]:
        counts = dict.fromkeys(row.experiments[0].modalities, 0)
        for experiment in row.experiments:
            store = experiment.open_features(self.corpus)
            test = store.load(make_parts(experiment.split, experiment.protocol, store).test)
            has: Mapping[str, np.ndarray] = {
                "text": np.array([bool(split_words(transcript or "")) for transcript in test.transcripts]),
                "speech": test.speech_lengths > 0,
                "mocap": test.mocap_rows > 0,
            }
            for modality in counts:
                counts[modality] += int((~has[modality]).sum())
        return counts


def _estimate(pooled: Pooled) -> Estimate | None:
    if not pooled:
        return None
    cell = Cell(pooled)
    weighted, unweighted = cell.measures["weighted accuracy"], cell.measures["unweighted accuracy"]
    return Estimate(weighted.spread, weighted.interval, unweighted.spread, weighted.fold_mean, cell.num_utterances)
