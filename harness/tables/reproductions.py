"""The compared systems under their own protocols, under 'strict', and with the scored scene left out of training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np

from harness.corpus.layout import SESSIONS
from harness.files import hash_json
from harness.models.baselines import BASELINES
from harness.models.systems import SYSTEMS
from harness.scoring.assessment import METRICS
from harness.scoring.metrics import confusion_matrix, predicted_classes
from harness.scoring.statistics import Interval, Spread, bootstrap_intervals, mean_and_spread
from harness.splits.protocol import (
    PROTOCOLS,
    SEALED_SESSION,
    Protocol,
    SpeakerScaling,
    TestedSpeakers,
    leave_scenes_out,
    read_protocol,
)
from harness.store.records import ExperimentKind, ExperimentRow, ScoreKind
from harness.store.store import ResultsStore
from harness.tables.compared import COMPARED, ComparedSystem, OwnFolds, OwnProtocol
from harness.tables.experiments import Choices, TableExperiment, compared_names, describe_training
from harness.tables.parts import TableSplit
from harness.tables.stored import Pooled, StoredTrials, pool, pool_folds


class Column(StrEnum):
    """Our scores of a compared system."""

    OWN = "its own protocol"
    STRICT = "strict"
    TEST_MAXIMUM = "strict, best test epoch (optimistic)"
    LEFT_OUT = "strict, scored scene left out"


@dataclass(frozen=True)
class Reproduction:
    """A compared system and the experiments of its columns.

    Attributes:
        own: one experiment for each test set of its own protocol; empty where that is not followed
        strict: one; its best test epoch is another column
        left_out: one
    """

    compared: ComparedSystem
    own: tuple[TableExperiment, ...]
    strict: tuple[TableExperiment, ...]
    left_out: tuple[TableExperiment, ...]

    @property
    def experiments(self) -> tuple[TableExperiment, ...]:
        """All of them."""
        return (*self.own, *self.strict, *self.left_out)

    @property
    def has_test_maximum(self) -> bool:
        """True where the column of the best test epoch has a score: public code does so, and there are epochs."""
        return self.compared.test_chose_epoch and not self.strict[0].is_baseline


def plan_reproductions(names: Iterable[str]) -> tuple[Reproduction, ...]:
    """Return the compared systems of some names, in their order, each with its experiments.

    Args:
        names: of systems and baselines; those that are no compared system are left out
    """
    chosen = set(names) & {*SYSTEMS, *BASELINES}
    return tuple(_plan(each) for each in COMPARED if each.system in chosen)


def _plan(compared: ComparedSystem) -> Reproduction:
    choices = _order(compared.choices)
    strict = PROTOCOLS["strict"]
    return Reproduction(
        compared,
        _plan_own(compared) if isinstance(compared.own, OwnProtocol) else (),
        (TableExperiment(compared.system, strict, TableSplit.SESSIONS, choices, "strict"),),
        (
            TableExperiment(
                compared.system, leave_scenes_out(strict), TableSplit.SESSIONS, choices, "scored scene left out"
            ),
        ),
    )


def _order(choices: Mapping[str, Any]) -> Choices:
    return tuple(sorted(choices.items()))


def _plan_own(compared: ComparedSystem) -> tuple[TableExperiment, ...]:
    own = compared.own
    assert isinstance(own, OwnProtocol)
    validates = own.folds is OwnFolds.PARTNER_VALIDATES
    split = TableSplit.PARTNER_VALIDATES if validates else TableSplit.SESSIONS
    choices = _order({**compared.choices, **own.choices})
    return tuple(
        TableExperiment(compared.system, protocol, split, choices, "its own protocol")
        for protocol in _own_protocols(own)
    )


def _own_protocols(own: OwnProtocol) -> list[Protocol]:
    """Return the protocol of each test set; but for it that is 'paper', whose validation hears training speakers."""
    by_speaker = own.folds in (OwnFolds.SPEAKERS, OwnFolds.PARTNER_VALIDATES)
    sessions = (SEALED_SESSION,) if own.folds is OwnFolds.SESSION_FIVE else SESSIONS
    speakers = (TestedSpeakers.FEMALE, TestedSpeakers.MALE) if by_speaker else (TestedSpeakers.BOTH,)
    choices = {
        "base": "paper",
        "happiness": own.happiness.value,
        "recordings": own.recordings.value,
        "speaker_scaling": own.speaker_scaling.value,
    }
    return [
        read_protocol({**choices, "test_session": session, "test_speaker": speaker.value})
        for session in sessions
        for speaker in speakers
    ]


def describe_plan(reproductions: Sequence[Reproduction], num_seeds: int) -> str:
    """Say how many trainings the compared systems take."""
    columns = {
        "under their own protocols": [each.own for each in reproductions],
        "under 'strict'": [each.strict for each in reproductions],
        "with the scored scene left out": [each.left_out for each in reproductions],
    }
    # A system that stands in two rows is trained once under the same protocol.
    found = {name: dict.fromkeys(one for of_row in rows for one in of_row) for name, rows in columns.items()}
    num_trainings = num_seeds * sum(map(len, found.values()))
    num_models = num_seeds * sum(one.num_models for experiments in found.values() for one in experiments)
    counts = ", ".join(f"{num_seeds * len(experiments)} {name}" for name, experiments in found.items())
    rows = "one row" if len(reproductions) == 1 else f"{len(reproductions)} rows"
    return (
        f"Compared systems: {rows}, {num_trainings} trainings ({counts}) of at most {num_models} models; "
        "what is finished is not trained again."
    )


@dataclass(frozen=True)
class Measured:
    """One measure of one cell, from 0 to 1.

    Attributes:
        spread: over the seeds, of all test sets pooled
        interval: of its mean, over the dialogues scored
        fold_mean: mean over the test sets and the seeds; None for one test set
    """

    spread: Spread
    interval: Interval
    fold_mean: float | None


@dataclass(frozen=True)
class Cell:
    """One column of a compared system.

    Attributes:
        missing: why there is no score, or not all; empty where nothing is missing
    """

    pooled: Pooled = ()
    missing: str = ""

    @property
    def num_utterances(self) -> int:
        """Utterances of all test sets; 0 before there is a score."""
        return sum(map(len, self.pooled[0])) if self.pooled else 0

    @cached_property
    def measures(self) -> Mapping[str, Measured]:
        """Each of ``METRICS``; empty before there is a score."""
        if not self.pooled:
            return {}
        seeds = pool_folds(self.pooled)
        intervals = bootstrap_intervals(seeds, list(METRICS.values()))
        confusions = [confusion_matrix(*predicted_classes(of_seed)) for of_seed in seeds]
        of_folds = [confusion_matrix(*predicted_classes(fold)) for folds in self.pooled for fold in folds]
        is_folded = len(self.pooled[0]) > 1
        return {
            name: Measured(
                mean_and_spread([float(metric(confusion)) for confusion in confusions]),
                interval,
                float(np.mean([metric(confusion) for confusion in of_folds])) if is_folded else None,
            )
            for (name, metric), interval in zip(METRICS.items(), intervals, strict=True)
        }


@dataclass(frozen=True)
class ReproductionResult:
    """The results of a compared system.

    Attributes:
        failures: one sentence for each training that failed
    """

    planned: Reproduction
    cells: Mapping[Column, Cell]
    failures: tuple[str, ...] = ()

    @property
    def compared(self) -> ComparedSystem:
        """What was published of it."""
        return self.planned.compared


def read_reproduction(
    trials: StoredTrials, planned: Reproduction, lacking: Sequence[str] = ()
) -> ReproductionResult:
    """Return the results of a compared system's trials.

    Args:
        lacking: modalities that it reads and the corpus has nothing of
    """
    if lacking:
        nothing = Cell(missing=f"no {' and no '.join(lacking)} in the corpus")
        return ReproductionResult(planned, dict.fromkeys(Column, nothing))
    own = planned.compared.own
    strict = _read_cells(trials, planned.strict, (ScoreKind.VALIDATION_CHOSEN, ScoreKind.TEST_MAXIMUM))
    cells = {
        Column.OWN: Cell(missing=own) if isinstance(own, str) else _read_cells(trials, planned.own)[0],
        Column.STRICT: strict[0],
        Column.TEST_MAXIMUM: strict[1] if planned.has_test_maximum else Cell(),
        Column.LEFT_OUT: _read_cells(trials, planned.left_out)[0],
    }
    return ReproductionResult(planned, cells, trials.failures(planned.experiments))


def _read_cells(
    trials: StoredTrials,
    folds: Sequence[TableExperiment],
    kinds: Sequence[ScoreKind] = (ScoreKind.VALIDATION_CHOSEN,),
) -> list[Cell]:
    by_fold, num_failed = trials.scores(folds), len(trials.failures(folds))
    pooled = [pool(by_fold, kind) for kind in kinds]
    num_begun = sum(bool(fold) for fold in by_fold)
    missing = "" if pooled[0] else "not trained"
    if not pooled[0] and num_begun:
        missing = f"{num_begun} of {len(folds)} test sets scored"
    if num_failed:
        missing = "one training failed" if num_failed == 1 else f"{num_failed} trainings failed"
    return [Cell(of_kind, missing) for of_kind in pooled]


@dataclass(frozen=True)
class StoredReproductions:
    """The compared systems that a results folder has scores of.

    Attributes:
        max_epochs: of their trainings; None where none has epochs
        shortened: a sentence that says what was cut for a quick start, or None
    """

    results: tuple[ReproductionResult, ...]
    is_synthetic: bool
    max_epochs: int | None
    shortened: str | None


def read_stored(results: ResultsStore) -> StoredReproductions | None:
    """Read the compared systems of the latest corpus and settings that any of them was trained with.

    Returns:
        None where none has a score
    """
    known = compared_names()
    rows = [
        (row, json.loads(row.settings))
        for row in results.experiments()
        if row.kind is ExperimentKind.TABLES and row.system in known
    ]
    if not rows:
        return None
    latest, settings = max(rows, key=lambda found: ("max_epochs" in found[1], found[0].eid))
    of_run = {
        _describe_row(parts): row
        for row, parts in rows
        if all(parts.get(key, settings.get(key)) == settings.get(key) for key in ("corpus", "max_epochs", "patience"))
    }

    def find(experiment: TableExperiment) -> ExperimentRow | None:
        return of_run.get(hash_json(describe_training(experiment, latest.corpus_hash)))

    trials = StoredTrials(results, find)
    found = [read_reproduction(trials, planned) for planned in plan_reproductions(known)]
    scored = tuple(each for each in found if any(cell.pooled for cell in each.cells.values()))
    if not scored:
        return None
    return StoredReproductions(scored, latest.is_synthetic, settings.get("max_epochs"), latest.shortened)


def _describe_row(parts: Mapping[str, Any]) -> str:
    chosen_for_all = ("max_epochs", "patience", "word_vectors")
    return hash_json({name: value for name, value in parts.items() if name not in chosen_for_all})


def describe_own(result: ReproductionResult) -> str:
    """Describe the protocol of the column ``OWN`` in words; empty where it is not followed."""
    own = result.compared.own
    if isinstance(own, str):
        return ""
    classes = "happiness merged" if own.happiness.value == "merged" else "excitement alone"
    recordings = "" if own.recordings.value == "all" else f", {own.recordings} only"
    scaled = "" if own.speaker_scaling is SpeakerScaling.NONE else ", speech scaled by speaker"
    departs = f" ({own.departs})" if own.departs else ""
    return f"{own.folds}; {classes}{recordings}{scaled}{departs}"


def write_reproduction(result: ReproductionResult) -> dict[str, Any]:
    """Return a compared system as plain values; scores from 0 to 1, null where there is none."""
    compared = result.compared
    return {
        "title": compared.title,
        "system": compared.system,
        "hyperparameters": dict(compared.choices),
        "published": {
            "percent": compared.percent,
            "measure": compared.measure or None,
            "classes": compared.classes,
            "split": compared.split,
            "num_seeds": compared.num_seeds,
            "remark": compared.remark,
            "test_chose_epoch": compared.test_chose_epoch,
        },
        "own_protocol": describe_own(result) or None,
        "columns": {column.value: _write_cell(cell) for column, cell in result.cells.items()},
        "failures": list(result.failures),
    }


def _write_cell(cell: Cell) -> dict[str, Any]:
    return {
        "num_utterances": cell.num_utterances,
        "num_seeds": len(cell.pooled),
        "missing": cell.missing or None,
        "measures": {
            name: {
                "mean": found.spread.mean,
                "deviation": found.spread.deviation if found.spread.num_values > 1 else None,
                "interval": asdict(found.interval),
                "mean_over_test_sets": found.fold_mean,
            }
            for name, found in cell.measures.items()
        },
    }
