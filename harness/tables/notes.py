"""The notes beside the tables: how their columns came about, and what is missing; and the tables as plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.corpus.utterances import Happiness
from harness.scoring.scenes import ScenePair, SceneScore, explain_scenes
from harness.scoring.statistics import TOO_NARROW, Spread
from harness.splits.protocol import Recordings
from harness.tables.experiments import compared_names
from harness.tables.parts import SPLIT_SENTENCES, TableSplit
from harness.tables.plan import COMBINED_TABLE, Row, split_of
from harness.tables.published import COMBINED_SENTENCE, COMBINED_SYSTEM, SINGLE_MODALITY_SENTENCE, TITLES
from harness.tables.reproductions import ReproductionResult, write_reproduction
from harness.tables.results import Estimate, RowResult
from harness.tables.settings import CorpusFacts, TablesSettings
from harness.wording import SYNTHETIC_SENTENCE, plural

#: Must stand wherever the figure of others stands beside ours under the protocol of a table.
OTHERS_SENTENCE = (
    "In the rows of others, ours is the system here that stands for theirs, under this table's protocol; the figure's "
    "own classes, split and measure, and ours under them, stand in the table of compared systems."
)


def describe_test_evaluation(num_before: int) -> str:
    """Say before the first training that each model is scored on the test session.

    Args:
        num_before: test evaluations that the results folder has on record
    """
    return (
        "Each model is scored on the test session, which is recorded for good. This results folder has "
        f"{plural(num_before, 'test evaluation')} on record."
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
    if corpus.corpus_note is not None:
        sentences.append(corpus.corpus_note)
    if settings.happiness is Happiness.MERGED:
        sentences.append(
            "Happiness counts as excitement here, and does not in the published column: the two score other utterances."
        )
    if not corpus.is_published_one:
        differs = f"differs from it in {plural(len(corpus.differences), 'count')}"
        sentences.append(
            "The published column speaks of other data: the complete IEMOCAP, where this corpus "
            f"{'is synthetic' if corpus.is_synthetic else differs}."
        )
    return sentences


def describe_table(settings: TablesSettings, table: int, results: Sequence[RowResult]) -> list[str]:
    """Describe how the columns of one table came about, and what is missing in it."""
    split = split_of(settings, table)
    sentences = []
    if table != COMBINED_TABLE:
        sentences.append(SINGLE_MODALITY_SENTENCE)
    elif any(result.row.name == COMBINED_SYSTEM for result in results):
        sentences.append(COMBINED_SENTENCE)
    sentences += [
        f"{_name(result.row)}: {result.row.published.remark}."
        for result in results
        if result.row.published is not None and result.row.published.remark
    ]
    if any(result.row.published is not None and result.row.name in compared_names() for result in results):
        sentences.append(OTHERS_SENTENCE)
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


def _describe_missing_inputs(result: RowResult) -> list[str]:
    if result.num_without_input is None:
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
    settings: TablesSettings,
    corpus: CorpusFacts,
    results: Sequence[RowResult],
    scenes: Sequence[ScenePair],
    compared: Sequence[ReproductionResult] = (),
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
        "compared_systems": [write_reproduction(result) for result in compared],
        "scenes": {
            "note": explain_scenes(scenes, corpus.is_synthetic) if scenes else "",
            "probes": [_write_pair(pair) for pair in scenes],
        },
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
        "stands_for_it_here": None if row.published is None else row.published.system,
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
