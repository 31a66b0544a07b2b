"""Scores on the test set, each beside who chose its epoch and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.findings import Findings, find_baseline
from harness.report.numbers import TOO_NARROW, write_interval, write_spread
from harness.report.sentences import CLASS_NAMES, percent
from harness.report.tables import Table
from harness.scoring.statistics import Interval, mean_and_spread
from harness.store.records import ScoreKind, TestOpeningRow, TestScores


def tabulate_openings(openings: Sequence[TestOpeningRow]) -> Table:
    """List openings of the test set: when, by what, of which corpus, and whether everything was scored."""
    rows = [
        (
            str(opening.opening_id),
            opening.opened_at[:19].replace("T", " "),
            opening.command,
            opening.protocol,
            _name_corpus(opening),
            "several" if opening.eid is None else str(opening.eid),
            str(len(opening.seeds)),
            "" if opening.completed_at is not None else "ended before every seed was scored; counts all the same",
        )
        for opening in openings
    ]
    columns = ("opening", "when (UTC)", "by", "protocol", "corpus", "experiment", "seeds", "remark")
    numbers = frozenset({"opening", "seeds"})
    return Table("Every opening of the test session", columns, tuple(rows), numbers, wide=frozenset({"by", "remark"}))


def _name_corpus(opening: TestOpeningRow) -> str:
    return "synthetic" if opening.is_synthetic else opening.corpus_hash[:8]


def tabulate_test_scores(findings: Findings) -> Table:
    """List the mean scores of every opening of the test set that was scored, over all experiments."""
    rows = []
    notes = []
    for opening in findings.openings:
        for kind in ScoreKind:
            scores = [score for score in opening.scores if score.kind is kind]
            if scores:
                rows.append(_test_row(findings, opening, kind, scores))
        constant = _describe_constant_answer(findings, opening)
        if constant:
            notes.append(constant)
    if any("*" in cell for row in rows for cell in row):
        notes.append(TOO_NARROW)
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
        _name_corpus(opening),
        chosen_by[kind],
        str(len(scores)),
        _write_spread([score.weighted_accuracy for score in scores], intervals[0]),
        _write_spread([score.unweighted_accuracy for score in scores], intervals[1]),
        _write_spread([score.macro_f1 for score in scores], intervals[2]),
    )


def _write_spread(shares: Sequence[float], interval: Interval | None) -> str:
    text = write_spread(mean_and_spread(shares), len(shares))
    return text if interval is None else f"{text} [{write_interval(interval)}]"


def _describe_constant_answer(findings: Findings, opening: TestOpeningRow) -> str:
    """Say what the constant answer scores, where no row does: the majority baseline is fitted before it is scored."""
    if any(score.kind is ScoreKind.BASELINE_MAJORITY for score in opening.scores):
        return ""
    for kind in ScoreKind:
        for predictions in findings.test_predictions.get((opening.opening_id, kind), []):
            baseline = find_baseline(predictions)
            if baseline is not None:
                name = CLASS_NAMES[baseline.emotion]
                return (
                    f"Always answering '{name}', the largest class of what opening {opening.opening_id} scored, scores "
                    f"{percent(baseline.share)}."
                )
    return ""
