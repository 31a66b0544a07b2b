"""The scores of saved models on other corpora, as text, tables and JSON; none is a score of a test session."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.report.findings import Baseline, find_baseline
from harness.report.statements import Statement, mark_synthetic, name_class, note_adaptation, percent
from harness.report.tables import Table, write_interval, write_spread
from harness.report.test_set import BASELINES_LEFT_OUT, describe_intervals, tabulate_assessment
from harness.scoring.assessment import METRICS, ScoredEvaluation, name_baseline
from harness.scoring.metrics import confusion_matrix, predicted_classes
from harness.scoring.significance import PairedBootstrap
from harness.scoring.statistics import TOO_NARROW, Interval, Spread, mean_and_spread
from harness.store.records import EvaluationRow, ScoreKind
from harness.wording import plural, write_time

NO_TEST = "This is not a test score."


def name_corpus(evaluation: EvaluationRow) -> str:
    """Name the scored corpus by its folder and the beginning of its content hash, and say if it is synthetic."""
    name = Path(evaluation.corpus_path).name or evaluation.corpus_path
    return f"{name!r} ({evaluation.corpus_hash[:8]}{', synthetic' if evaluation.is_synthetic else ''})"


def name_evaluation(evaluation: EvaluationRow) -> str:
    """Say in a sentence or two whose numbers these are: no row of them may stand without it."""
    trained_on = " trained on a synthetic corpus," if evaluation.is_trained_on_synthetic else ""
    return (
        f"Evaluation {evaluation.evaluation_id} on another corpus, {name_corpus(evaluation)}: {evaluation.model},"
        f"{trained_on} protocol '{evaluation.protocol_name}', {plural(len(evaluation.seeds), 'seed')}. {NO_TEST}"
        f"{note_adaptation(evaluation.protocol_name)}"
    )


def tabulate_evaluation(scored: ScoredEvaluation) -> list[Table]:
    """List the scores of one evaluation part by part, as those of a test evaluation."""
    return tabulate_assessment(scored.assessment, "Another corpus", name_evaluation(scored.evaluation))


def describe_evaluation(scored: ScoredEvaluation) -> list[Statement]:
    """Say what was scored, what the model had read of it, and what its scores are not."""
    evaluation, assessment = scored.evaluation, scored.assessment
    sessions = ", ".join(map(str, evaluation.sessions))
    name = mark_synthetic(name_evaluation(evaluation), evaluation.is_synthetic)
    counts = f"{plural(assessment.num_utterances, 'utterance')} of {plural(assessment.num_dialogues, 'dialogue')}"
    what = (
        f"{name} Scored {write_time(evaluation.evaluated_at)} UTC with `{evaluation.command}`: every utterance of the "
        f"four classes in Session {sessions}, {counts}."
    )
    return [
        Statement("What was scored", what, is_warning=evaluation.is_synthetic),
        _describe_transcripts(evaluation),
        _describe_largest_class(evaluation),
        Statement(
            "What it is not",
            "This corpus had no part in the search, the training or the choice of the epoch. So this is not a test "
            "evaluation and does not count as one, and its scores cannot be compared with those of a test session. If "
            "you choose between models by these scores, this corpus becomes validation data.",
        ),
        describe_intervals(assessment),
        *_describe_missing_baselines(evaluation),
    ]


def _describe_transcripts(evaluation: EvaluationRow) -> Statement:
    known = _known_transcripts(evaluation)
    if not evaluation.is_seen:
        text = (
            "Whether training had the same transcripts is not known: the model's training corpus is not in the folder."
        )
        return Statement("Transcripts", text, is_warning=True)
    if not known:
        return Statement("Transcripts", "No scored utterance has any words.")
    text = (
        f"{percent(sum(known) / len(known))} of the utterances with words ({sum(known)} of {len(known)}) have a "
        "transcript that training had word for word."
    )
    return Statement("Transcripts", text)


def _known_transcripts(evaluation: EvaluationRow) -> list[bool]:
    return [seen for seen in evaluation.is_seen.values() if seen is not None]


def _find_largest_class(evaluation: EvaluationRow) -> Baseline:
    largest = find_baseline(evaluation.of_model[0].predictions)
    assert largest is not None, "an evaluation scores at least one utterance"
    return largest


def _describe_largest_class(evaluation: EvaluationRow) -> Statement:
    largest = _find_largest_class(evaluation)
    text = (
        f"Always answering '{name_class(largest.emotion)}', the largest class of the scored utterances, would score "
        f"{percent(largest.share)}; the baseline 'majority class' answers the largest class of training."
    )
    return Statement("Largest class", mark_synthetic(text, evaluation.is_synthetic))


def _describe_missing_baselines(evaluation: EvaluationRow) -> list[Statement]:
    known = {score.kind for score in evaluation.scores}
    missing = [name_baseline(kind) for kind in ScoreKind if kind.is_for_all and kind not in known]
    if not missing:
        return []
    text = (
        f"Not scored: {', '.join(missing)}. They need the prepared features of the model's training corpus, and the "
        "modalities that they read in both corpora."
    )
    return [Statement(BASELINES_LEFT_OUT, text, is_warning=True)]


def tabulate_evaluations(
    evaluations: Sequence[EvaluationRow], intervals: Mapping[int, Sequence[Interval]]
) -> Table:
    """List evaluations on other corpora, one row each.

    Args:
        intervals: of each of ``METRICS``, in its order, by evaluation
    """
    rows = tuple(_write_row(evaluation, intervals[evaluation.evaluation_id]) for evaluation in evaluations)
    columns = ("no.", "corpus", "model", "seeds", "utterances", *(f"{name}, %" for name in METRICS))
    columns += ("largest class, %", "transcripts seen, %")
    sentences = [
        "One row for each evaluation, by its number: a saved model on every four-class utterance of a corpus that it "
        "was not trained on. Mean and sample standard deviation over seeds; in brackets, a 95 % bootstrap interval "
        "over dialogues.",
        "Largest class: the score of always answering it. Transcripts seen: utterances whose words training had word "
        "for word.",
        "These are not test scores: `harness evaluate` made them, and they do not count as test evaluations.",
    ]
    if any("*" in cell for row in rows for cell in row):
        sentences.append(TOO_NARROW)
    numbers = frozenset(columns) - {"corpus", "model"}
    return Table("On other corpora", columns, rows, numbers, " ".join(sentences))


def _write_row(evaluation: EvaluationRow, intervals: Sequence[Interval]) -> tuple[str, ...]:
    known = _known_transcripts(evaluation)
    accuracies = [
        f"{write_spread(spread, len(evaluation.seeds))} [{write_interval(interval)}]"
        for spread, interval in zip(_spreads(evaluation), intervals, strict=True)
    ]
    return (
        str(evaluation.evaluation_id),
        name_corpus(evaluation),
        Path(evaluation.model).name,
        str(len(evaluation.seeds)),
        str(len(evaluation.of_model[0].predictions)),
        *accuracies,
        f"{100 * _find_largest_class(evaluation).share:.1f}",
        f"{100 * sum(known) / len(known):.1f}" if known else "",
    )


def _spreads(evaluation: EvaluationRow) -> Iterable[Spread]:
    """Return the spread of each of ``METRICS`` over the seeds."""
    confusions = [confusion_matrix(*predicted_classes(score.predictions)) for score in evaluation.of_model]
    return [mean_and_spread([float(metric(one)) for one in confusions]) for metric in METRICS.values()]


def evaluation_to_json(scored: ScoredEvaluation, left_out: Sequence[str]) -> dict[str, Any]:
    """Return an evaluation and its scores, shares from 0 to 1, as plain values; None where a number is undefined.

    Args:
        left_out: a sentence for each thing that could not stand beside the model's scores
    """
    evaluation, assessment = scored.evaluation, scored.assessment
    largest = _find_largest_class(evaluation)
    known = _known_transcripts(evaluation)
    named = (
        *("evaluation_id", "evaluated_at", "model", "system", "protocol_name", "trained_on_hash"),
        *("is_trained_on_synthetic", "corpus_path", "corpus_hash", "is_synthetic"),
    )
    return {
        "note": mark_synthetic(NO_TEST, evaluation.is_synthetic),
        **{name: getattr(evaluation, name) for name in named},
        "sessions": list(evaluation.sessions),
        "seeds": list(evaluation.seeds),
        "num_utterances": assessment.num_utterances,
        "num_dialogues": assessment.num_dialogues,
        "drawn_for_intervals": assessment.drawn,
        "scores": {
            score.name: {
                "mean": score.spread.mean,
                "deviation": _number(score.spread.deviation),
                "interval": _pair(score.interval),
                "of_seeds": list(score.values),
                "seeds_averaged": score.averaged,
            }
            for score in assessment.scores
        },
        "classes": {
            found.emotion.value: {
                "num_utterances": found.num_utterances,
                "precision": _number(found.precision.mean),
                "recall": _number(found.recall.mean),
                "recall_interval": _pair(found.recall_interval),
                "f1": _number(found.f1.mean),
            }
            for found in assessment.classes
        },
        "confusion": assessment.confusion.tolist(),
        "baselines": {
            name_baseline(found.kind): {
                "weighted_accuracy": found.weighted_accuracy.mean,
                **_compare(found.paired["weighted accuracy"]),
                "unweighted": {
                    "unweighted_accuracy": found.unweighted_accuracy.mean,
                    **_compare(found.paired["unweighted accuracy"]),
                },
            }
            for found in assessment.comparisons
        },
        "largest_class": {"emotion": largest.emotion.value, "share": largest.share},
        "share_of_transcripts_seen": sum(known) / len(known) if known else None,
        "left_out": list(left_out),
    }


def _compare(better: PairedBootstrap) -> dict[str, Any]:
    return {"model_better_by": better.difference, "interval": _pair(better.interval)}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _pair(interval: Interval) -> list[float | None]:
    return [_number(interval.low), _number(interval.high)]
