"""The results of each row from its trials, the notes beside each table, and the tables as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harness.corpus.layout import SESSIONS
from harness.corpus.utterances import Happiness
from harness.features.store import FeatureStore
from harness.features.text import split_words
from harness.files import hash_json
from harness.scoring.breakdown import TEXT_DIVISIONS, GroupScore, find_seen, score_groups
from harness.scoring.metrics import predicted_classes, unweighted_accuracy, weighted_accuracy
from harness.scoring.scenes import ScenePair, SceneScore, explain_scenes, pair_scenes
from harness.scoring.statistics import TOO_NARROW, Interval, Spread, bootstrap_interval, mean_and_spread
from harness.splits.protocol import Recordings
from harness.store.records import Prediction, ScoreKind, TestScores, TrialRow, TrialStatus, last_attempts
from harness.store.store import ResultsStore
from harness.tables.plan import (
    COMBINED_TABLE,
    SPLIT_SENTENCES,
    CorpusFacts,
    Row,
    TableExperiment,
    TableSplit,
    TablesSettings,
    identity_of,
    make_parts,
    modalities_of,
    probe_experiments,
    split_of,
    streams_of,
)
from harness.tables.published import COMBINED_SENTENCE, COMBINED_SYSTEM, SINGLE_MODALITY_SENTENCE, TITLES
from harness.wording import SYNTHETIC_SENTENCE


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
        num_without_input: scored utterances that lack a modality that the row reads, by modality
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
    store: FeatureStore
    results: ResultsStore

    def read(self, row: Row) -> RowResult:
        """Return the results of a row's trials."""
        if row.name is None:
            return RowResult(row)
        lacking = lacking_modalities(self.store, row.name)
        if lacking:
            return RowResult(row, lacking=lacking)
        by_fold = [self._scores(experiment) for experiment in row.experiments]
        failures = tuple(sentence for experiment in row.experiments for sentence in self._failures(experiment))
        chosen = _pool(by_fold, ScoreKind.VALIDATION_CHOSEN)
        maximum = _pool(by_fold, ScoreKind.TEST_MAXIMUM)
        of_text = chosen or maximum
        reads_text = "text" in modalities_of(row.name) and of_text
        return RowResult(
            row=row,
            chosen=_estimate(chosen),
            maximum=_estimate(maximum),
            text=score_groups(_all_folds(of_text), self._is_seen(row), TEXT_DIVISIONS) if reads_text else (),
            failures=failures,
            num_without_input=self._count_without_input(row) if of_text else None,
        )

    def read_scenes(self) -> tuple[ScenePair, ...]:
        """Return the scores of the probes that have finished, with scenes shared and with the scored scene left out."""
        predictions: dict[ScoreKind, list[list[Prediction]]] = {}
        for experiments in probe_experiments(self.settings).values():
            by_fold = [self._scores(experiment) for experiment in experiments]
            pooled = {kind: _all_folds(_pool(by_fold, kind)) for kind in ScoreKind if kind.is_probe}
            predictions |= {kind: of_kind for kind, of_kind in pooled.items() if of_kind}
        return pair_scenes(None, predictions)

    def _trials(self, experiment: TableExperiment) -> list[TrialRow]:
        """The latest attempt of each seed that was tried."""
        identity = identity_of(experiment, self.settings, self.corpus.corpus_hash)
        found = self.results.find_experiment(hash_json(identity))
        attempts = [] if found is None else self.results.trials(found.eid)
        trials = {trial.seed: trial for trial in last_attempts(attempts)}
        return [trials[seed] for seed in self.settings.seeds if seed in trials]

    def _scores(self, experiment: TableExperiment) -> dict[int, dict[ScoreKind, TestScores]]:
        return {
            trial.seed: self.results.trial_test_scores(trial.trial_id)
            for trial in self._trials(experiment)
            if trial.status is TrialStatus.FINISHED
        }

    def _failures(self, experiment: TableExperiment) -> list[str]:
        return [
            f"{experiment.title}, seed {trial.seed}: {trial.status}: {trial.message}"
            for trial in self._trials(experiment)
            if trial.status not in (TrialStatus.RUNNING, TrialStatus.FINISHED)
        ]

    def _is_seen(self, row: Row) -> dict[str, bool]:
        transcripts = {found.utterance_id: found.transcript for found in self.store.utterances(SESSIONS)}
        is_seen: dict[str, bool] = {}
        for experiment in row.experiments:
            parts = make_parts(experiment.split, experiment.protocol, self.store)
            is_seen |= find_seen(
                {name: transcripts[name] for name in parts.test},
                [transcripts[name] for name in parts.trained_on],
            )
        return is_seen

    def _count_without_input(self, row: Row) -> dict[str, int]:
        counts = dict.fromkeys(modalities_of(row.name or ""), 0)
        for experiment in row.experiments:
            test = self.store.load(make_parts(experiment.split, experiment.protocol, self.store).test)
            has: Mapping[str, np.ndarray] = {
                "text": np.array([bool(split_words(transcript or "")) for transcript in test.transcripts]),
                "speech": test.speech_lengths > 0,
                "mocap": test.mocap_rows > 0,
            }
            for modality in counts:
                counts[modality] += int((~has[modality]).sum())
        return counts


def lacking_modalities(store: FeatureStore, name: str) -> tuple[str, ...]:
    """Return the modalities and motion streams that a system or baseline reads and the corpus does not have."""
    lacking = [modality for modality in modalities_of(name) if modality not in store.modalities]
    if "mocap" not in lacking:
        lacking += [f"{stream} motion" for stream in streams_of(name) if stream not in store.manifest.mocap_streams]
    return tuple(lacking)


#: Predictions by seed and then by fold; of seeds that finished all folds.
_Pooled = Sequence[Sequence[Sequence[Prediction]]]


def _pool(by_fold: Sequence[Mapping[int, Mapping[ScoreKind, TestScores]]], kind: ScoreKind) -> _Pooled:
    seeds = [seed for seed in by_fold[0] if all(kind in fold.get(seed, {}) for fold in by_fold)]
    return [[fold[seed][kind].predictions for fold in by_fold] for seed in seeds]


def _all_folds(pooled: _Pooled) -> list[list[Prediction]]:
    return [[prediction for fold in folds for prediction in fold] for folds in pooled]


def _estimate(pooled: _Pooled) -> Estimate | None:
    if not pooled:
        return None
    predictions = _all_folds(pooled)
    outcomes = [predicted_classes(of_seed) for of_seed in predictions]
    num_folds = len(pooled[0])
    of_folds = [weighted_accuracy(*predicted_classes(fold)) for folds in pooled for fold in folds]
    return Estimate(
        weighted_accuracy=mean_and_spread([weighted_accuracy(*outcome) for outcome in outcomes]),
        interval=bootstrap_interval(predictions),
        unweighted_accuracy=mean_and_spread([unweighted_accuracy(*outcome) for outcome in outcomes]),
        fold_mean=float(np.mean(of_folds)) if num_folds > 1 else None,
        num_utterances=len(predictions[0]),
    )


def describe_run(settings: TablesSettings, corpus: CorpusFacts) -> list[str]:
    """Describe the protocol, the trainings and the corpus of all tables."""
    protocol = settings.base
    seeds = "one seed" if len(settings.seeds) == 1 else f"{len(settings.seeds)} seeds"
    recordings = "" if settings.recordings is Recordings.ALL else f", {settings.recordings} recordings only"
    sessions = (
        "each session tests once, and the five are scored together"
        if settings.leaves_each_session_out
        else f"Session {protocol.test_session} tests where a split is by session"
    )
    epochs = "one epoch" if settings.max_epochs == 1 else f"at most {settings.max_epochs} epochs"
    patience = "" if settings.patience is None else f", patience {settings.patience}"
    sentences = [f"Protocol {protocol.name!r}{recordings}, {seeds}, {epochs}{patience}; {sessions}."]
    if corpus.shortened is not None:
        sentences.append(corpus.shortened)
    if corpus.is_synthetic:
        sentences.append(SYNTHETIC_SENTENCE)
    if settings.happiness is Happiness.MERGED:
        sentences.append(
            "Happiness counts as excitement here, and does not in the published column: the two score other utterances."
        )
    if not corpus.is_published_one:
        sentences.append(
            "The published column speaks of other data: the complete IEMOCAP, where this corpus "
            + ("is synthetic." if corpus.is_synthetic else f"differs from it in {len(corpus.differences)} counts.")
        )
    return sentences


def describe_probes(corpus: CorpusFacts, scenes: Sequence[ScenePair]) -> str:
    """Say how much of the scores by session is recognition of the scene; empty where no probe was scored."""
    return explain_scenes(scenes, corpus.is_synthetic) if scenes else ""


def describe_table(settings: TablesSettings, table: int, results: Sequence[RowResult]) -> list[str]:
    """Describe how the columns of one table came about, and what is missing in it."""
    split = split_of(settings, table)
    sentences = []
    if table != COMBINED_TABLE:
        sentences.append(SINGLE_MODALITY_SENTENCE)
    elif any(result.row.name == COMBINED_SYSTEM for result in results):
        sentences.append(COMBINED_SENTENCE)
    sentences += [f"{_name(result.row)}: {remark}." for result in results if (remark := _remark(result.row))]
    if split is not TableSplit.SESSIONS:
        sentences.append(SPLIT_SENTENCES[split])
    estimates = [found for result in results for found in (result.chosen, result.maximum) if found]
    if any(found.interval.is_too_narrow for found in estimates):
        sentences.append(TOO_NARROW)
    for result in results:
        sentences += _describe_missing_inputs(result)
        sentences += result.failures
        if result.lacking:
            lacking = " and no ".join(result.lacking)
            sentences.append(f"{_name(result.row)}: not trained, for the corpus has no {lacking}.")
    return sentences


def _name(row: Row) -> str:
    return row.title if row.name is None else f"{row.title} ({row.name})"


def _remark(row: Row) -> str:
    return "" if row.published is None else row.published.remark


def _describe_missing_inputs(result: RowResult) -> list[str]:
    """Only a baseline answers with the prior; a network reads a missing input as one of no length."""
    if result.row.published is not None or result.num_without_input is None:
        return []
    estimate = result.chosen or result.maximum
    num_utterances = 0 if estimate is None else estimate.num_utterances
    counts = " and ".join(f"{count} no {name}" for name, count in result.num_without_input.items() if count)
    if not counts:
        return []
    return [
        f"{_name(result.row)}: of {num_utterances} utterances {counts.replace(' no ', ' have no ', 1)}; the classes' "
        "shares of the training utterances stand in for the answer."
    ]


def to_json(
    settings: TablesSettings, corpus: CorpusFacts, results: Sequence[RowResult], scenes: Sequence[ScenePair]
) -> dict[str, Any]:
    """Return everything that the tables show; scores from 0 to 1, null where there is none."""
    tables: dict[int, list[RowResult]] = {}
    for result in results:
        tables.setdefault(result.row.table, []).append(result)
    return {
        "protocol": settings.base.to_json() | {"recordings": settings.recordings.value},
        "seeds": list(settings.seeds),
        "max_epochs": settings.max_epochs,
        "patience": settings.patience,
        "leaves_each_session_out": settings.leaves_each_session_out,
        "corpus_hash": corpus.corpus_hash,
        "is_synthetic": corpus.is_synthetic,
        "notes": describe_run(settings, corpus),
        "tables": [
            {
                "table": table,
                "title": TITLES[table],
                "split": split_of(settings, table).value,
                "rows": [_row(result) for result in of_table],
                "notes": describe_table(settings, table, of_table),
            }
            for table, of_table in tables.items()
        ],
        "scenes": {"note": describe_probes(corpus, scenes), "probes": [_write_pair(pair) for pair in scenes]},
    }


def _write_pair(pair: ScenePair) -> dict[str, Any]:
    """Unweighted accuracies with their intervals; null where without some scene nothing is left to train on."""
    return {
        "reads": pair.reader,
        "scenes_shared": _write_scene_score(pair.shared),
        "scored_scene_left_out": None if pair.left_out is None else _write_scene_score(pair.left_out),
        "difference": None if pair.recognised is None else asdict(pair.recognised),
    }


def _write_scene_score(score: SceneScore) -> dict[str, Any]:
    return {"unweighted_accuracy": score.spread.mean, "interval": asdict(score.interval)}


def _row(result: RowResult) -> dict[str, Any]:
    row = result.row
    return {
        "title": row.title,
        "system": row.name,
        "published_percent": None if row.published is None else row.published.percent,
        "epoch_chosen_on_validation": _write_estimate(result.chosen),
        "maximum_over_test_epochs_optimistic": _write_estimate(result.maximum),
        "text": [
            {
                "group": score.group.name,
                "num_utterances": score.num_utterances,
                "weighted_accuracy": _spread(score.weighted_accuracy),
                "unweighted_accuracy": _spread(score.unweighted_accuracy),
            }
            for score in result.text
        ],
        "failures": list(result.failures),
        "not_in_the_corpus": list(result.lacking),
    }


def _write_estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {
        "weighted_accuracy": _spread(estimate.weighted_accuracy),
        "interval": asdict(estimate.interval),
        "unweighted_accuracy": _spread(estimate.unweighted_accuracy),
        "mean_over_sessions_left_out": estimate.fold_mean,
        "num_utterances": estimate.num_utterances,
    }


def _spread(spread: Spread) -> dict[str, float | int | None]:
    values = {"mean": spread.mean, "deviation": spread.deviation}
    known = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return {**known, "num_seeds": spread.num_values}
