"""The tables as plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.published import TITLES
from harness.scoring.statistics import Spread
from harness.splits import read_protocol
from harness.tables.experiments import CorpusFacts, TablesSettings
from harness.tables.notes import describe_run, describe_table
from harness.tables.plan import split_of
from harness.tables.rows import Estimate, RowResult


def to_json(settings: TablesSettings, corpus: CorpusFacts, results: Sequence[RowResult]) -> dict[str, Any]:
    """Return everything that the tables show; scores from 0 to 1, null where there is none."""
    tables: dict[int, list[RowResult]] = {}
    for result in results:
        tables.setdefault(result.row.table, []).append(result)
    return {
        "protocol": read_protocol(settings.protocol).to_json() | {"recordings": settings.recordings.value},
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
    }


def _row(result: RowResult) -> dict[str, Any]:
    row = result.row
    return {
        "title": row.title,
        "system": row.name,
        "published_percent": None if row.published is None else row.published.percent,
        "epoch_chosen_on_validation": _estimate(result.chosen),
        "maximum_over_test_epochs_optimistic": _estimate(result.maximum),
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


def _estimate(estimate: Estimate | None) -> dict[str, Any] | None:
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
