"""What the latest opening of the test set tells of the experiment's model, part by part, as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.corpus.utterances import CLASSES
from harness.report.findings import Findings
from harness.report.numbers import (
    TOO_NARROW,
    UNDEFINED,
    write_interval,
    write_p_value,
    write_share,
    write_spread,
)
from harness.report.sentences import CLASS_NAMES, percent, plural
from harness.report.tables import Table
from harness.scoring.assessment import Assessment, name_baseline
from harness.scoring.breakdown import Division, Group
from harness.scoring.calibration import NUM_BINS, Calibration
from harness.scoring.scored_opening import ScoredOpening
from harness.scoring.statistics import Interval

#: Stands for a mean that an infinite value makes infinite.
INFINITE = "infinite"


def tabulate_test_session(findings: Findings) -> list[Table]:
    """Take the scores of the opening apart that speaks for the experiment's model; no table before there is one."""
    return [] if findings.scored_opening is None else tabulate_opening(findings.scored_opening)


def tabulate_opening(scored: ScoredOpening) -> list[Table]:
    """Take one opening's scores apart: each table says in its note whose numbers it holds."""
    label, assessment = name_opening(scored), scored.assessment
    return [
        _tabulate_scores(assessment, label),
        _tabulate_classes(assessment, label),
        _tabulate_groups(assessment, label),
        _tabulate_confusion(assessment, label),
        _tabulate_comparisons(assessment, label),
        _tabulate_calibration(assessment, label),
        _tabulate_reliability(assessment, label),
    ]


def name_opening(scored: ScoredOpening) -> str:
    """Say in one sentence whose numbers these are.

    Without it no row of them may stand.
    """
    opening, assessment = scored.opening, scored.assessment
    corpus = "synthetic corpus" if opening.is_synthetic else f"corpus {opening.corpus_hash[:8]}"
    return (
        f"Opening {opening.opening_id}, {assessment.kind}, protocol '{opening.protocol}', "
        f"{plural(assessment.num_seeds, 'seed')}, {corpus}."
    )


def _explain(label: str, *sentences: str, intervals: Sequence[Interval] = ()) -> str:
    too_narrow = [TOO_NARROW] if any(interval.is_too_narrow for interval in intervals) else []
    return " ".join([label, *sentences, *too_narrow])


def _tabulate_scores(assessment: Assessment, label: str) -> Table:
    rows = []
    for score in assessment.scores:
        row = (
            score.name,
            write_share(score.spread.mean),
            write_share(score.spread.deviation),
            f"{write_share(min(score.values))} to {write_share(max(score.values))}",
            write_interval(score.interval),
            write_share(score.averaged),
        )
        rows.append(row)
    columns = ("score, %", "mean", "deviation", "lowest to highest seed", "95 % interval", "seeds averaged")
    note = _explain(
        label,
        "Mean and sample standard deviation over the seeds; the interval is of the mean, by bootstrap over "
        f"{assessment.drawn}.",
        "Seeds averaged: one answer from the mean of their probabilities, as `harness predict` gives it.",
        intervals=[score.interval for score in assessment.scores],
    )
    return Table("Test set: scores", columns, tuple(rows), frozenset(columns[1:]), note)


def _tabulate_classes(assessment: Assessment, label: str) -> Table:
    seeds = assessment.num_seeds
    rows = [
        (
            CLASS_NAMES[found.emotion],
            str(found.num_utterances),
            write_spread(found.precision, seeds),
            write_spread(found.recall, seeds),
            write_interval(found.recall_interval),
            write_spread(found.f1, seeds),
        )
        for found in assessment.classes
    ]
    columns = ("class", "utterances", "precision, %", "recall, %", "95 % interval", "F1, %")
    note = _explain(
        label,
        "The interval is of the recall.",
        f"{UNDEFINED} where the class is never predicted, or does not occur.",
        intervals=[found.recall_interval for found in assessment.classes],
    )
    return Table("Test set: by class", columns, tuple(rows), frozenset(columns[1:]), note)


def _tabulate_groups(assessment: Assessment, label: str) -> Table:
    seeds = assessment.num_seeds
    rows = [
        (
            _name_group(score.group),
            str(score.num_utterances),
            write_spread(score.weighted_accuracy, seeds),
            write_interval(interval),
            write_spread(score.unweighted_accuracy, seeds),
        )
        for score, interval in assessment.groups
    ]
    columns = ("group", "utterances", "weighted, %", "95 % interval", "unweighted, %")
    sentences = [
        "Weighted and unweighted accuracy; the interval is of the weighted one. Transcripts are compared word for "
        "word with those of training and validation."
    ]
    if assessment.num_without_words is None:
        sentences.append("This opening did not record which transcripts training had seen.")
    elif assessment.num_without_words:
        sentences.append(
            f"{plural(assessment.num_without_words, 'utterance')} without a word: neither seen nor not seen."
        )
    note = _explain(label, *sentences, intervals=[interval for _, interval in assessment.groups])
    return Table("Test set: by group", columns, tuple(rows), frozenset(columns[1:]), note)


def _name_group(group: Group) -> str:
    return f"speaker {group.name}" if group.division is Division.SPEAKER else group.name


def _tabulate_confusion(assessment: Assessment, label: str) -> Table:
    rows = []
    for emotion, counts in zip(CLASSES, assessment.confusion, strict=True):
        total = counts.sum()
        shares = [f" ({percent(count / total)})" if total else "" for count in counts]
        cells = [f"{count:.1f}{share}" for count, share in zip(counts, shares, strict=True)]
        rows.append((CLASS_NAMES[emotion], *cells))
    columns = ("raters said", *(CLASS_NAMES[emotion] for emotion in CLASSES))
    note = _explain(label, "Utterances, mean over the seeds, and their share of the row; columns: the model said.")
    return Table("Test set: confusion", columns, tuple(rows), frozenset(columns[1:]), note)


def _tabulate_comparisons(assessment: Assessment, label: str) -> Table:
    rows = []
    for found in assessment.comparisons:
        row = (
            name_baseline(found.kind),
            write_spread(found.weighted_accuracy, found.weighted_accuracy.num_values),
            f"{100 * found.paired.difference:+.1f}",
            _write_difference(found.paired.interval),
            percent(found.paired.share_above),
            f"{found.mcnemar.num_first_only} : {found.mcnemar.num_second_only}",
            write_p_value(found.mcnemar.p_value),
        )
        rows.append(row)
    columns = (
        "baseline",
        "weighted, %",
        "model better by",
        "95 % interval",
        "above 0",
        "alone right",
        "McNemar p",
    )
    note = _explain(
        label,
        "Weighted accuracy of baselines that are fitted on the same utterances and scored in the same opening.",
        "Better by: points of it, each model a mean over its seeds, with the interval of a paired bootstrap over "
        f"{assessment.drawn} and the share of its draws above 0.",
        "Alone right: utterances that the model, and that the baseline alone has right, each by its seeds' averaged "
        "probabilities. McNemar's test on them is the exact binomial one, two-sided; it takes utterances for "
        "independent, which those of a dialogue are not, so its p is too small. Not corrected for several comparisons.",
        intervals=[found.paired.interval for found in assessment.comparisons],
    )
    return Table("Test set: against baselines", columns, tuple(rows), frozenset(columns[1:]), note)


def _write_difference(interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{low:+.1f} to {high:+.1f}" + ("*" if interval.is_too_narrow else "")


def _tabulate_calibration(assessment: Assessment, label: str) -> Table:
    rows = []
    of_seeds = assessment.seed_calibrations
    if len(of_seeds) > 1:
        rows.append(_calibration_row(f"one seed, mean of {len(of_seeds)}", of_seeds))
    for found in assessment.calibrations:
        name = found.name if len(of_seeds) == 1 or found.kind.is_baseline else f"{found.name}, seeds averaged"
        rows.append(_calibration_row(name, [found.calibration]))
    columns = ("probabilities of", "calibration error, %", "Brier score", "negative log likelihood")
    sentences = [
        f"Expected calibration error over {NUM_BINS} bins of equal width (Guo et al. 2017); Brier score as a sum over "
        "the classes, from 0 to 2; mean negative log likelihood in nats. Lower is better in all three."
    ]
    if len(of_seeds) > 1 and (impossible_seeds := sum(found.num_impossible > 0 for found in of_seeds)):
        count = plural(sum(found.num_impossible for found in of_seeds), "answer")
        sentences.append(
            f"Infinite: {impossible_seeds} of {len(of_seeds)} single seeds gave the probability 0 to what was true, in "
            f"{count}."
        )
    impossible = [found for found in assessment.calibrations if found.calibration.num_impossible]
    for found in impossible:
        count = plural(found.calibration.num_impossible, "utterance")
        sentences.append(f"Infinite: {found.name} gave the probability 0 to what was true of {count}.")
    return Table("Test set: calibration", columns, tuple(rows), frozenset(columns[1:]), _explain(label, *sentences))


def _calibration_row(name: str, calibrations: Sequence[Calibration]) -> tuple[str, ...]:
    def mean_of(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    error = mean_of([found.expected_calibration_error for found in calibrations])
    brier = mean_of([found.brier_score for found in calibrations])
    likelihood = mean_of([found.mean_negative_log_likelihood for found in calibrations])
    return name, write_share(error), f"{brier:.3f}", INFINITE if math.isinf(likelihood) else f"{likelihood:.3f}"


def _tabulate_reliability(assessment: Assessment, label: str) -> Table:
    rows = [
        (
            f"{100 * found.low:.0f} to {100 * found.high:.0f}",
            str(found.num_utterances),
            write_share(found.mean_confidence),
            write_share(found.accuracy),
        )
        for found in assessment.calibrations[0].calibration.bins
        if found.num_utterances
    ]
    columns = ("confidence, %", "utterances", "mean confidence, %", "right, %")
    which = "The confidence is the largest probability of an answer"
    which += ", the seeds' probabilities averaged." if assessment.num_seeds > 1 else "."
    note = _explain(label, which, "Bins without an utterance are left out.")
    return Table("Test set: reliability", columns, tuple(rows), frozenset(columns), note)
