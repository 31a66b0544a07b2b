"""Scores on the test set, in tables and words: those of one test evaluation part by part, and those of all."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

from harness.corpus.utterances import CLASSES
from harness.features.context import ContextTurns
from harness.models.systems import is_in_context
from harness.report.findings import Findings, find_baseline
from harness.report.statements import Statement, mark_synthetic, name_class, note_adaptation, percent
from harness.report.tables import (
    UNDEFINED,
    Table,
    write_interval,
    write_p_value,
    write_share,
    write_spread,
)
from harness.scoring.assessment import ACCURACIES, METRICS, Assessment, ScoredOpening, name_baseline
from harness.scoring.breakdown import Division
from harness.scoring.calibration import NUM_BINS, Calibration
from harness.scoring.scenes import SceneEffect, SceneScore, explain_scenes
from harness.scoring.statistics import MIN_DIALOGUES, TOO_NARROW, Interval, mean_and_spread
from harness.splits.protocol import TestedSpeakers
from harness.store.records import ExperimentRow, ScoreKind, TestOpeningRow, TestScores
from harness.store.store import ResultsStore
from harness.wording import plural, write_time

BASELINES_LEFT_OUT = "Baselines left out"
#: Who or what chose the epoch that was scored; a baseline and a probe have no epoch.
_CHOSEN_BY = {
    ScoreKind.VALIDATION_CHOSEN: "validation",
    ScoreKind.TEST_MAXIMUM: "test set, optimistic",
    ScoreKind.FUSION_RETRAINED: "validation; without a modality, fusion layers retrained",
    ScoreKind.ALL_RETRAINED: "validation; without a modality, all retrained",
    ScoreKind.ZEROED: "validation; zeros in place of a modality",
    ScoreKind.BRANCH_REPLACED: "validation; a branch replaced, fusion layers retrained",
    ScoreKind.SCENES_LEFT_OUT: "validation; scored scenes left out of training",
    ScoreKind.MEAN_OF_SEEDS: "validation; mean of the seeds' probabilities",
    ScoreKind.ENSEMBLE: "validation; mean of an ensemble's members",
    ScoreKind.ENSEMBLE_MEMBER: "validation; members of an ensemble, each alone",
    **{kind: f"nobody; {kind}" for kind in ScoreKind if not kind.is_of_model},
}


def tabulate_opening(scored: ScoredOpening) -> list[Table]:
    """List the scores of a test evaluation part by part; each table says in its note whose numbers it holds."""
    return tabulate_assessment(scored.assessment, "Test set", name_opening(scored))


def tabulate_assessment(assessment: Assessment, scored: str, label: str) -> list[Table]:
    """List the scores of a model part by part.

    Args:
        scored: what was scored, at the beginning of each title
        label: a sentence at the beginning of each note that says whose numbers these are
    """
    tables = [
        _tabulate_scores(assessment, label),
        _tabulate_classes(assessment, label),
        _tabulate_groups(assessment, label),
        _tabulate_confusion(assessment, label),
        _tabulate_comparisons(assessment, label),
        _tabulate_other_accuracy(assessment, label),
        _tabulate_scenes(assessment, label),
        _tabulate_calibration(assessment, label),
        _tabulate_reliability(assessment, label),
    ]
    return [replace(table, title=f"{scored}: {table.title}") for table in tables]


def order_scores(leading: str) -> dict[str, str]:
    """Return the names of the scores of ``METRICS`` with their fields of ``TestScores``, the leading one first.

    Example:
        >>> list(order_scores("unweighted accuracy").values())
        ['unweighted_accuracy', 'weighted_accuracy', 'macro_f1']
    """
    names = sorted(METRICS, key=lambda name: name != leading)
    return {name: name.replace(" ", "_").lower() for name in names}


def name_opening(scored: ScoredOpening) -> str:
    """Say in one sentence whose numbers these are: no row of them may stand without it."""
    opening, assessment = scored.opening, scored.assessment
    corpus = "synthetic corpus" if opening.is_synthetic else f"corpus {_name_corpus(opening)}"
    is_mean = assessment.kind.is_mean_of_models
    models = plural(len(opening.seeds), "model") if is_mean else plural(assessment.num_seeds, "seed")
    named = f", system {scored.system}" if is_in_context(scored.system) else ""
    return (
        f"Test evaluation {opening.opening_id}{named}, {assessment.kind}, protocol '{opening.protocol}', "
        f"{models}, {corpus}.{note_adaptation(opening.protocol)}"
    )


def _explain(label: str, *sentences: str, intervals: Sequence[Interval] = ()) -> str:
    too_narrow = [TOO_NARROW] if any(interval.is_too_narrow for interval in intervals) else []
    return " ".join([label, *sentences, *too_narrow])


def _tabulate_scores(assessment: Assessment, label: str) -> Table:
    rows = tuple(
        (
            score.name,
            write_share(score.spread.mean),
            write_share(score.spread.deviation),
            f"{write_share(min(score.values))} to {write_share(max(score.values))}",
            write_interval(score.interval),
            write_share(score.averaged),
        )
        for score in assessment.leading_first
    )
    columns = ("score, %", "mean", "deviation", "lowest to highest seed", "95 % interval", "seeds averaged")
    note = _explain(
        label,
        "Mean and sample standard deviation over the seeds; the interval is of the mean, by bootstrap over "
        f"{assessment.drawn}.",
        "Seeds averaged: one answer from the mean of their probabilities, as in `harness predict`.",
        intervals=[score.interval for score in assessment.scores],
    )
    return Table("scores", columns, rows, frozenset(columns[1:]), note)


def _tabulate_classes(assessment: Assessment, label: str) -> Table:
    seeds = assessment.num_seeds
    rows = [
        (
            name_class(found.emotion),
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
    return Table("by class", columns, tuple(rows), frozenset(columns[1:]), note)


def _tabulate_groups(assessment: Assessment, label: str) -> Table:
    seeds, ordered = assessment.num_seeds, list(order_scores(assessment.leading).values())[:2]
    rows = [
        (
            f"speaker {score.group}" if score.group.division is Division.SPEAKER else score.group.name,
            str(score.num_utterances),
            write_spread(accuracies[0], seeds),
            write_interval(interval),
            write_spread(accuracies[1], seeds),
        )
        for score, interval in assessment.groups
        for accuracies in [[getattr(score, name) for name in ordered]]
    ]
    first, second = (name.removesuffix("_accuracy") for name in ordered)
    columns = ("group", "utterances", f"{first}, %", "95 % interval", f"{second}, %")
    sentences = [
        f"{first.capitalize()} and {second} accuracy; the interval is of the {first} one. Transcripts are compared "
        "word for word with those of training and validation."
    ]
    if assessment.num_without_words:
        sentences.append(
            f"{plural(assessment.num_without_words, 'utterance')} without words: in neither group."
        )
    note = _explain(label, *sentences, intervals=[interval for _, interval in assessment.groups])
    return Table("by group", columns, tuple(rows), frozenset(columns[1:]), note)


def _tabulate_confusion(assessment: Assessment, label: str) -> Table:
    rows = []
    for emotion, counts in zip(CLASSES, assessment.confusion, strict=True):
        total = counts.sum()
        shares = [f" ({percent(count / total)})" if total else "" for count in counts]
        cells = [f"{count:.1f}{share}" for count, share in zip(counts, shares, strict=True)]
        rows.append((name_class(emotion), *cells))
    columns = ("raters said", *map(name_class, CLASSES))
    note = _explain(
        label, "Utterances, mean over the seeds, and their share of the row; the columns are the model's answers."
    )
    return Table("confusion", columns, tuple(rows), frozenset(columns[1:]), note)


def _tabulate_comparisons(assessment: Assessment, label: str) -> Table:
    """Compare in the leading accuracy."""
    table = _tabulate_accuracy(assessment, label, assessment.leading)
    tests = [(found.mcnemar.num_first_only, found.mcnemar.num_second_only) for found in assessment.comparisons]
    rows = tuple(
        (*row, f"{first_only} : {second_only}", write_p_value(found.mcnemar.p_value))
        for row, found, (first_only, second_only) in zip(table.rows, assessment.comparisons, tests, strict=True)
    )
    columns = (*table.columns, "alone right", "McNemar p")
    note = (
        f"{table.note} Alone right: utterances that only the model, and that only the baseline answers correctly, each "
        "by its seeds' averaged probabilities. McNemar's test on them is exact (binomial) and two-sided. It assumes "
        "independent utterances, but those of a dialogue are not, so its p is too small. It is not corrected for "
        "several comparisons."
    )
    return Table("against baselines", columns, rows, frozenset(columns[1:]), note)


def _tabulate_other_accuracy(assessment: Assessment, label: str) -> Table:
    """Compare in the accuracy that does not lead."""
    (other,) = set(ACCURACIES) - {assessment.leading}
    table = _tabulate_accuracy(assessment, label, other)
    return replace(table, title=f"against baselines, {other}")


def _tabulate_accuracy(assessment: Assessment, label: str, accuracy: str) -> Table:
    paired = [found.paired[accuracy] for found in assessment.comparisons]
    spreads = [getattr(found, accuracy.replace(" ", "_")) for found in assessment.comparisons]
    rows = tuple(
        (
            name_baseline(found.kind),
            write_spread(spread, spread.num_values),
            f"{100 * better.difference:+.1f}",
            _write_points(better.interval),
            percent(better.share_above),
        )
        for found, spread, better in zip(assessment.comparisons, spreads, paired, strict=True)
    )
    first = accuracy.removesuffix(" accuracy")
    columns = ("baseline", f"{first}, %", "model better by", "95 % interval", "above 0")
    note = _explain(
        label,
        f"{first.capitalize()} accuracy of baselines that are fitted on the model's training utterances and scored "
        "beside it.",
        "Better by: difference in points, each model a mean over its seeds, with the interval of a paired bootstrap "
        f"over {assessment.drawn} and the share of its draws above 0.",
        intervals=[better.interval for better in paired],
    )
    return Table("", columns, rows, frozenset(columns[1:]), note)


def _tabulate_scenes(assessment: Assessment, label: str) -> Table:
    def write(score: SceneScore | None) -> str:
        if score is None:
            return ""
        return f"{write_spread(score.spread, score.spread.num_values)} [{write_interval(score.interval)}]"

    rows = tuple(
        (
            pair.reader,
            write(pair.shared),
            write(pair.left_out),
            ""
            if pair.recognised is None
            else f"{100 * pair.recognised.difference:+.1f} [{_write_points(pair.recognised.interval)}]",
        )
        for pair in assessment.scenes
    )
    columns = ("unweighted, %", "scenes shared", "scored scene left out", "difference")
    found = [pair.recognised.interval for pair in assessment.scenes if pair.recognised is not None]
    note = _explain(
        label,
        "Unweighted accuracy, in brackets 95 % intervals by bootstrap over "
        f"{assessment.drawn}, paired for the difference. Words: TF-IDF with logistic regression; speech: logistic "
        "regression on means and deviations; both with a loss balanced over the classes.",
        "Left out: one training for each scene of the test set, on the utterances of other scenes. It also has fewer "
        "utterances, above all of the emotions that the scene brings out.",
        intervals=found,
    )
    return Table("scenes", columns, rows, frozenset(columns[1:]), note)


def _write_points(interval: Interval) -> str:
    return f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}" + ("*" if interval.is_too_narrow else "")


_BEFORE = "before temperature scaling"


def _tabulate_calibration(assessment: Assessment, label: str) -> Table:
    rows = []
    of_seeds = assessment.seed_calibrations
    if len(of_seeds) > 1:
        rows.append(_calibration_row(f"one seed, mean of {len(of_seeds)}", of_seeds))
    if assessment.uncalibrated:
        whole, *single = assessment.uncalibrated
        if len(single) > 1:
            rows.append(_calibration_row(f"one seed, mean of {len(single)}, {_BEFORE}", single))
        rows.append(_calibration_row(f"the model{', seeds averaged' * (len(single) > 1)}, {_BEFORE}", [whole]))
    for found in assessment.calibrations:
        name = found.name if len(of_seeds) == 1 or found.kind.is_baseline else f"{found.name}, seeds averaged"
        rows.append(_calibration_row(name, [found.calibration]))
    columns = ("probabilities of", "calibration error, %", "Brier score", "negative log likelihood")
    sentences = [
        f"Expected calibration error over {NUM_BINS} bins of equal width (Guo et al. 2017); Brier score as a sum over "
        "the classes, from 0 to 2; mean negative log likelihood in nats. Lower is better in all three."
    ]
    if assessment.temperature is not None:
        sentences.append(
            f"The model's log probabilities are divided by the temperature {assessment.temperature:.3f}, which was "
            "fitted on validation; no answer of a seed changes by it."
        )
    if len(of_seeds) > 1 and (impossible_seeds := sum(found.num_impossible > 0 for found in of_seeds)):
        count = plural(sum(found.num_impossible for found in of_seeds), "answer")
        sentences.append(
            f"Infinite: {impossible_seeds} of {len(of_seeds)} single seeds gave the probability 0 to the true class, "
            f"in {count}."
        )
    impossible = [found for found in assessment.calibrations if found.calibration.num_impossible]
    for found in impossible:
        count = plural(found.calibration.num_impossible, "utterance")
        sentences.append(f"Infinite: {found.name} gave the probability 0 to the true class of {count}.")
    return Table("calibration", columns, tuple(rows), frozenset(columns[1:]), _explain(label, *sentences))


def _calibration_row(name: str, calibrations: Sequence[Calibration]) -> tuple[str, ...]:
    """Write the mean of each number over the calibrations."""
    error, brier, likelihood = (
        sum(values) / len(calibrations)
        for values in (
            [found.expected_calibration_error for found in calibrations],
            [found.brier_score for found in calibrations],
            [found.mean_negative_log_likelihood for found in calibrations],
        )
    )
    return name, write_share(error), f"{brier:.3f}", "infinite" if math.isinf(likelihood) else f"{likelihood:.3f}"


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
    which += "; the seeds' probabilities are averaged." if assessment.num_seeds > 1 else "."
    note = _explain(label, which, "Bins without an utterance are left out.")
    return Table("reliability", columns, tuple(rows), frozenset(columns), note)


def tabulate_openings(openings: Sequence[TestOpeningRow]) -> Table:
    """List test evaluations: when, by what, of which corpus, and whether everything was scored."""
    rows = [
        (
            str(opening.opening_id),
            write_time(opening.opened_at),
            opening.command,
            opening.protocol,
            _name_corpus(opening),
            "several" if opening.eid is None else str(opening.eid),
            str(len(opening.seeds)),
            "" if opening.completed_at is not None else "ended before every seed was scored; still counts",
        )
        for opening in openings
    ]
    columns = ("no.", "when (UTC)", "by", "protocol", "corpus", "experiment", "seeds", "remark")
    numbers = frozenset({"no.", "seeds"})
    return Table("Every test evaluation", columns, tuple(rows), numbers, wide=frozenset({"by", "remark"}))


def _name_corpus(opening: TestOpeningRow) -> str:
    return "synthetic" if opening.is_synthetic else opening.corpus_hash[:8]


def tabulate_test_scores(findings: Findings) -> Table:
    """List the mean scores of every test evaluation that was scored, over all experiments."""
    rows, notes = [], []
    for opening in findings.openings:
        for kind in ScoreKind:
            scores = [score for score in opening.scores if score.kind is kind]
            if scores:
                rows.append(_test_row(findings, opening, kind, scores))
        notes += _describe_constant_answer(findings, opening)
    if any("*" in cell for row in rows for cell in row):
        notes.append(TOO_NARROW)
    accuracies = [f"{name}, %" for name in order_scores(findings.leading_score)]
    columns = ("no.", "corpus", "epoch chosen by", "seeds", *accuracies)
    method = (
        "One row for each test evaluation, by its number: mean and sample standard deviation over seeds; in brackets, "
        "a 95 % bootstrap interval over dialogues."
    )
    note = " ".join([method, *notes])
    numbers, wide = frozenset({"no.", "seeds"}), frozenset({"epoch chosen by"})
    return Table("Scores on the test set", columns, tuple(rows), numbers, note, wide=wide)


def _test_row(
    findings: Findings, opening: TestOpeningRow, kind: ScoreKind, scores: Sequence[TestScores]
) -> tuple[str, ...]:
    """Write the mean over the seeds of each of ``METRICS``, with its interval where predictions are on record."""
    intervals = dict(zip(METRICS, findings.test_intervals.get((opening.opening_id, kind), ()), strict=False))
    cells = []
    for name, field in order_scores(findings.leading_score).items():
        spread = mean_and_spread([getattr(score, field) for score in scores])
        interval = f" [{write_interval(intervals[name])}]" if name in intervals else ""
        cells.append(write_spread(spread, len(scores)) + interval)
    chosen_by = _CHOSEN_BY[kind]
    if kind.is_of_model and opening.eid == findings.experiment.eid:
        named = findings.experiment.name_model(scores[0].model, findings.trials)
        chosen_by += f"; {named}" if is_in_context(named) else ""
    return str(opening.opening_id), _name_corpus(opening), chosen_by, str(len(scores)), *cells


def _describe_constant_answer(findings: Findings, opening: TestOpeningRow) -> list[str]:
    """Say what the constant answer scores, where no row does: the majority baseline is fitted before it is scored."""
    if any(score.kind is ScoreKind.BASELINE_MAJORITY for score in opening.scores):
        return []
    of_opening = (findings.test_predictions.get((opening.opening_id, kind), []) for kind in ScoreKind)
    baselines = (find_baseline(predictions) for seeds in of_opening for predictions in seeds)
    return [
        f"Always answering '{name_class(baseline.emotion)}', the largest class in test evaluation "
        f"{opening.opening_id}, scores {percent(baseline.share)}."
        for baseline in baselines
        if baseline is not None
    ][:1]


def describe_scores(scored: ScoredOpening) -> list[Statement]:
    """Say what a test evaluation scored, how its numbers came about, and what they leave out."""
    opening, assessment = scored.opening, scored.assessment
    text = (
        f"{mark_synthetic(name_opening(scored), bool(opening.is_synthetic))} Scored {write_time(opening.opened_at)} "
        f"UTC with `{opening.command}`: {plural(assessment.num_utterances, 'utterance')} of "
        f"{plural(assessment.num_dialogues, 'dialogue')}."
    )
    return [
        Statement("What was scored", text, is_warning=bool(opening.is_synthetic)),
        describe_probes(assessment, bool(opening.is_synthetic)),
        _describe_epoch_choice(scored),
        describe_intervals(assessment),
        *_describe_missing_baselines(assessment),
        *_describe_chosen_turns(scored),
    ]


def _describe_chosen_turns(scored: ScoredOpening) -> list[Statement]:
    """Say that the test set's labels choose the turns, where they do."""
    if ContextTurns.LABELLED_ONLY not in scored.system:
        return []
    text = (
        f"{scored.system} uses the test set's labels to choose the turns. {ContextTurns.LABELLED_ONLY.note} No score "
        "of it is to be set beside one that reads all turns."
    )
    return [Statement("Turns chosen by labels", text, is_warning=True)]


def describe_probes(assessment: Assessment, is_synthetic: bool) -> Statement:
    """Say how much of what is scored here is recognition of the scenes, which training has read too."""
    pairs = assessment.scenes
    if not pairs:
        text = (
            "This test evaluation has no probes. All sessions play the same scenes; how much of its scores is "
            "recognition of the scene is not known."
        )
        return Statement("Scenes", text, is_warning=True)
    is_warning = any(pair.effect in (SceneEffect.SHOWN, SceneEffect.NOTHING_LEFT) for pair in pairs)
    text = explain_scenes(pairs, is_synthetic)
    if assessment.has_disjoint_scenes:
        whose = "the model and of the baselines" if assessment.comparisons else "the model"
        text += f" The scores of {whose} here are with the scored scenes left out."
    return Statement("Scenes", text, is_warning)


def _describe_epoch_choice(scored: ScoredOpening) -> Statement:
    if scored.assessment.kind is ScoreKind.TEST_MAXIMUM:
        sentences = ["The test set itself chose the epoch that it scores, so the score is optimistic."]
    else:
        sentences = ["Validation chose the number of epochs; the test set had no part in that choice."]
    if scored.was_open_in_training:
        sentences.append(
            "The test session was open while these models trained: every epoch was scored on it, for the maximum over "
            "epochs, and anything fitted before training, such as a vocabulary, may have used its utterances."
        )
    if scored.other_ids:
        numbers = ", ".join(map(str, scored.other_ids))
        others = f"test evaluation {numbers}" if len(scored.other_ids) == 1 else f"test evaluations {numbers}"
        sentences.append(f"Models of these seeds were also scored on the test set in {others}.")
    elif not scored.was_open_in_training:
        sentences.append("Each of these models was scored on it once.")
    is_warning = scored.was_open_in_training or bool(scored.other_ids)
    return Statement("Who chose the epoch", " ".join(sentences), is_warning)


def describe_intervals(assessment: Assessment) -> Statement:
    """Say what was drawn for the intervals, and what they leave out."""
    if assessment.num_dialogues < MIN_DIALOGUES:
        return Statement(
            "What the intervals mean",
            f"With {plural(assessment.num_dialogues, 'dialogue')}, fewer than {MIN_DIALOGUES}, a bootstrap over "
            "dialogues says little, so utterances are drawn instead. Utterances of a dialogue resemble each other, so "
            "every interval is too narrow.",
            is_warning=True,
        )
    speakers = [score for score, _ in assessment.groups if score.group.division is Division.SPEAKER]
    return Statement(
        "What the intervals mean",
        f"95 % percentile bootstrap, 10 000 draws of {assessment.num_dialogues} dialogues with replacement. The "
        "interval shows how far the mean over the seeds would move with other dialogues of these "
        f"{plural(len(speakers), 'speaker')}. It cannot show how far it would move with other speakers. Where a group "
        f"has fewer than {MIN_DIALOGUES} dialogues, its utterances are drawn, and a star says so.",
    )


def _describe_missing_baselines(assessment: Assessment) -> list[Statement]:
    known = {found.kind for found in assessment.comparisons}
    missing = [name_baseline(kind) for kind in ScoreKind if kind.is_for_all and kind not in known]
    if not known:
        text = "This test evaluation scored no baselines to compare the model with."
        if assessment.kind is ScoreKind.SCENES_LEFT_OUT:
            text = "The baselines of this test evaluation have read the scored scenes, so they are not compared."
        return [Statement("Baselines", text, is_warning=True)]
    if not missing:
        return []
    text = (
        f"Not scored in this test evaluation: {', '.join(missing)} (the corpus lacks their modality, or the command "
        "ended first)."
    )
    return [Statement(BASELINES_LEFT_OUT, text, is_warning=True)]


def describe_before(store: ResultsStore, experiments: Sequence[ExperimentRow]) -> str:
    """Say how often the test sets of some experiments were evaluated before, as far as that is on record."""
    corpora = {each.corpus_hash for each in experiments}
    wanted = {_test_set(each) for each in experiments}
    num_known = num_unknown = 0
    for opening in store.openings():
        if opening.corpus_hash not in corpora:
            continue
        if opening.eid is None:
            num_unknown += 1
            continue
        session, speaker = _test_set(store.experiment(opening.eid))
        # A session holds both of its speakers, so that the one is a part of the other.
        num_known += any(
            session == other and (speaker == other_speaker or TestedSpeakers.BOTH in (speaker, other_speaker))
            for other, other_speaker in wanted
        )
    subject = "The test session was" if len(wanted) == 1 else f"The {len(wanted)} test sets were"
    of_corpus = f"test set of this corpus was {_count_before(num_unknown)}"
    record = "by this results folder's record"
    if not num_unknown:
        return f"{subject} {_count_before(num_known)}, {record}."
    if not num_known:
        return f"A {of_corpus}, {record}, which does not say which."
    return f"{subject} {_count_before(num_known)}, {record}; besides, a {of_corpus}, and it does not say which."


def _test_set(experiment: ExperimentRow) -> tuple[int, str]:
    """Return the session and the speaker that an experiment tests, as its record has them."""
    protocol = json.loads(experiment.protocol)
    return protocol["test_session"], protocol["test_speaker"]


def _count_before(num_before: int) -> str:
    if num_before < 2:
        return "evaluated once before" if num_before else "never evaluated before"
    return f"evaluated {num_before} times before"
