"""The folds of one experiment, in words and tables: each fold's search and score, and the pooled score."""

from __future__ import annotations

import json
from collections.abc import Sequence

from harness.report.statements import (
    Statement,
    describe_adaptation,
    describe_partner,
    mark_synthetic,
    percent,
)
from harness.report.tables import Table, write_interval, write_share, write_spread
from harness.report.test_set import describe_probes, order_scores, tabulate_assessment
from harness.scoring.assessment import METRICS
from harness.scoring.folds import FoldedScores, FoldScore
from harness.scoring.statistics import TOO_NARROW, Interval, Spread, mean_and_spread
from harness.store.records import are_accuracies
from harness.wording import plural


def describe_folds(scores: FoldedScores) -> list[Statement]:
    """Say what the folds are, and how many have been tested."""
    num_folds, name = len(scores.folds), scores.folded.name
    text = (
        f"Experiment {name!r} is {num_folds} searches. Each has its own test set, which it does not read. All try the "
        "same hyperparameters, and each chooses its best trial by its own validation utterances."
    )
    statements = [Statement("Folds", mark_synthetic(text, scores.is_synthetic), is_warning=scores.is_synthetic)]
    protocol = json.loads(scores.searches[0].protocol) if scores.searches else {}
    speakers = [*describe_partner(protocol), *describe_adaptation(protocol)]
    scenes = [] if scores.pooled is None else [describe_probes(scores.pooled, scores.is_synthetic)]
    return [*statements, *speakers, _describe_tested(scores), *scenes]


def _describe_tested(scores: FoldedScores) -> Statement:
    pooled, num_folds = scores.pooled, len(scores.folds)
    if pooled is None:
        text = f"{scores.num_scored} of {plural(num_folds, 'fold')} tested; the pooled score needs all of them."
        return Statement("Test sets", text)
    leading = pooled.leading_first[0]
    text = (
        f"{percent(leading.spread.mean)} {leading.name} over all {plural(pooled.num_utterances, 'utterance')} of "
        f"{plural(pooled.num_dialogues, 'dialogue')} (95 % interval {write_interval(leading.interval)} %), each "
        f"scored by {_name_scored(scores.folds[0])} of the fold that never read it."
    )
    return Statement("Pooled", mark_synthetic(text, scores.is_synthetic), is_warning=scores.is_synthetic)


def tabulate_folds(scores: FoldedScores) -> Table:
    """List every fold with its best trial and its test scores, then their mean and the pooled scores."""
    ordered = [list(METRICS).index(name) for name in order_scores(scores.leading)]
    rows = [_row(fold, ordered) for fold in scores.folds]
    intervals = [interval for fold in scores.folds for interval in fold.intervals]
    if scores.pooled is not None:
        means = [
            mean_and_spread([fold.spreads[place].mean for fold in scores.folds]) for place in ordered
        ]
        num_utterances = str(scores.pooled.num_utterances)
        rows.append(("mean of the folds", "", "", "", "", "", "", *(write_spread(mean, len(rows)) for mean in means)))
        found = [_write_score(score.spread, score.interval) for score in scores.pooled.leading_first]
        num_seeds = "" if scores.folds[0].scored.ensemble else str(scores.pooled.num_seeds)
        rows.append(("pooled", "", "", "", "", num_utterances, num_seeds, *found))
        intervals += [score.interval for score in scores.pooled.scores]
    names = [f"{name.removesuffix(' accuracy')}, %" for name in order_scores(scores.leading)]
    columns = ("fold", "experiment", "trials", "best trial", "validation, %", "utterances", "seeds", *names)
    note = (
        "Validation accuracy of each search's best trial, which is optimistic; then scores on the fold's test set of "
        f"{_name_corpus(scores)}: mean over the seeds and 95 % bootstrap interval over dialogues."
    )
    if scores.pooled is not None:
        note += " After the mean of the folds comes their sample standard deviation, which is not an interval."
    repeated = [fold for fold in scores.folds if fold.num_openings > 1 and fold.opening is not None]
    note += "".join(_describe_repeated(fold) for fold in repeated)
    if any(interval.is_too_narrow for interval in intervals):
        note += f" {TOO_NARROW}"
    highlighted = len(rows) - 1 if scores.pooled is not None else None
    return Table("Folds", columns, tuple(rows), frozenset(columns[1:]), note, highlighted_row=highlighted)


def _name_corpus(scores: FoldedScores) -> str:
    if scores.is_synthetic:
        return "the synthetic corpus, no score on IEMOCAP"
    return f"corpus {scores.searches[0].corpus_hash[:8]}"


def _describe_repeated(fold: FoldScore) -> str:
    of_it = f"the latest complete one of {_name_scored(fold)}"
    return f" {fold.fold} has {fold.num_openings} test evaluations; {of_it} counts here."


def _name_scored(fold: FoldScore) -> str:
    return f"the ensemble {fold.scored.ensemble}" if fold.scored.ensemble else "the best trial's models"


def _row(fold: FoldScore, ordered: Sequence[int]) -> tuple[str, ...]:
    """Write a fold's row.

    Args:
        ordered: places of the scores in ``METRICS``, as they are printed
    """
    if fold.search is None:
        return (fold.fold, "not begun", *[""] * (5 + len(METRICS)))
    accuracy = ""
    if fold.best is not None and fold.best.score is not None:
        accuracy = write_share(fold.best.score) if are_accuracies(fold.search) else f"{fold.best.score:.4g}"
    cells = [_write_score(fold.spreads[place], fold.intervals[place]) for place in ordered if fold.intervals]
    return (
        fold.fold,
        str(fold.search.eid),
        f"{fold.num_finished} of {fold.search.num_samples}",
        "" if fold.best is None else str(fold.best.trial_index),
        accuracy,
        str(fold.num_utterances or ""),
        _count_seeds(fold),
        *(cells or [""] * len(METRICS)),
    )


def _count_seeds(fold: FoldScore) -> str:
    """Write the models of an ensemble, each with a seed of its own, or the seeds that the scores are a mean over."""
    if fold.opening is None:
        return ""
    return str(len(fold.opening.seeds) if fold.scored.ensemble else fold.spreads[0].num_values)


def _write_score(spread: Spread, interval: Interval) -> str:
    return f"{write_share(spread.mean)} [{write_interval(interval)}]"


def tabulate_pooled(scores: FoldedScores) -> list[Table]:
    """List the pooled scores part by part; empty before every fold is tested."""
    if scores.pooled is None:
        return []
    first = scores.folds[0]
    made_of = _name_scored(first) if first.scored.ensemble else plural(scores.pooled.num_seeds, "seed")
    numbers = ", ".join(str(fold.opening.opening_id) for fold in scores.folds if fold.opening is not None)
    label = (
        f"All {len(scores.folds)} folds pooled, test evaluations {numbers}, {scores.pooled.kind}, "
        f"{made_of}, {_name_corpus(scores)}."
    )
    return tabulate_assessment(scores.pooled, "All folds", label)
