"""Scores on the test set, each beside who chose its epoch and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.findings import Findings, find_baseline
from harness.report.sentences import CLASS_NAMES, percent
from harness.report.tables import Table
from harness.scoring.statistics import Interval, mean_and_spread
from harness.store.records import ScoreKind, TestOpeningRow, TestScores


def tabulate_test_scores(findings: Findings) -> Table:
    """List the mean scores of every opening of the test set that was scored, over all experiments."""
    rows = []
    notes = []
    for opening in findings.openings:
        for kind in ScoreKind:
            scores = [score for score in opening.scores if score.kind is kind]
            if scores:
                rows.append(_test_row(findings, opening, kind, scores))
        baseline = _describe_test_baseline(findings, opening)
        if baseline and baseline not in notes:
            notes.append(baseline)
    if any("*" in cell for row in rows for cell in row):
        notes.append(
            "* Fewer than 10 dialogues: utterances were drawn instead, so this interval is too narrow."
        )
    columns = (
        "opening",
        "corpus",
        "epoch chosen by",
        "seeds",
        "weighted accuracy, %",
        "unweighted accuracy, %",
        "macro F1, %",
    )
    method = (
        "Mean and sample standard deviation over seeds; in brackets a 95 % bootstrap interval over dialogues."
    )
    note = " ".join([method, *notes])
    return Table("Scores on the test set", columns, tuple(rows), frozenset({"opening", "seeds"}), note=note)


def _test_row(
    findings: Findings, opening: TestOpeningRow, kind: ScoreKind, scores: Sequence[TestScores]
) -> tuple[str, ...]:
    chosen_by = {
        ScoreKind.VALIDATION_CHOSEN: "validation",
        ScoreKind.TEST_MAXIMUM: "test set, optimistic",
        ScoreKind.FUSION_RETRAINED: "validation; without a modality, fusion layers retrained",
        ScoreKind.ALL_RETRAINED: "validation; without a modality, all retrained",
        ScoreKind.ZEROED: "validation; zeros in place of a modality",
        ScoreKind.BRANCH_REPLACED: "validation; a branch replaced, fusion layers retrained",
        **{baseline: f"nobody; {baseline}" for baseline in ScoreKind if baseline.is_baseline},
    }
    intervals = findings.test_intervals.get((opening.opening_id, kind), (None, None, None))
    return (
        str(opening.opening_id),
        "synthetic" if opening.is_synthetic else opening.corpus_hash[:8],
        chosen_by[kind],
        str(len(scores)),
        _write_spread([score.weighted_accuracy for score in scores], intervals[0]),
        _write_spread([score.unweighted_accuracy for score in scores], intervals[1]),
        _write_spread([score.macro_f1 for score in scores], intervals[2]),
    )


def _write_spread(shares: Sequence[float], interval: Interval | None) -> str:
    spread = mean_and_spread(shares)
    text = f"{100 * spread.mean:.1f}"
    if spread.num_values > 1:
        text += f" ± {100 * spread.deviation:.1f}"
    if interval is not None:
        text += f" [{100 * interval.low:.1f}, {100 * interval.high:.1f}]" + ("*" if interval.is_too_narrow else "")
    return text


def _describe_test_baseline(findings: Findings, opening: TestOpeningRow) -> str:
    for kind in ScoreKind:
        for predictions in findings.test_predictions.get((opening.opening_id, kind), []):
            baseline = find_baseline(predictions)
            if baseline is not None:
                name = CLASS_NAMES[baseline.emotion]
                return f"Always answering '{name}' scores {percent(baseline.share)} there."
    return ""
