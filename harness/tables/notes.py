"""What must be read beside the numbers of each table."""

from __future__ import annotations

from collections.abc import Sequence

from harness.corpus.disclaimer import SYNTHETIC_SENTENCE
from harness.published import COMBINED_SENTENCE, COMBINED_SYSTEM, SINGLE_MODALITY_SENTENCE
from harness.report.numbers import TOO_NARROW
from harness.splits import Recordings, read_protocol
from harness.tables.experiments import CorpusFacts, TablesSettings
from harness.tables.plan import COMBINED_TABLE, Row, split_of
from harness.tables.rows import RowResult
from harness.tables.splits import SPLIT_SENTENCES, TableSplit


def describe_run(settings: TablesSettings, corpus: CorpusFacts) -> list[str]:
    """Say of all tables what was trained on what."""
    protocol = read_protocol(settings.protocol)
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
    if not corpus.is_published_one:
        sentences.append(
            "The published column speaks of other data: the complete IEMOCAP, where this corpus "
            + ("is synthetic." if corpus.is_synthetic else f"differs from it in {len(corpus.differences)} counts.")
        )
    return sentences


def describe_table(settings: TablesSettings, table: int, results: Sequence[RowResult]) -> list[str]:
    """Say of one table how its columns came about, and what is missing in it."""
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
