"""A comparison of experiments as tables of text, and as plain values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harness.corpus.disclaimer import SYNTHETIC_SENTENCE
from harness.quantities import write_bytes, write_duration
from harness.report.comparison import Comparison, Contender, Difference, describe_corpus
from harness.report.sentences import describe_progress, plural
from harness.report.tables import Table, write_score, write_value
from harness.scoring.statistics import MIN_DIALOGUES, mean_and_spread
from harness.store.records import TrialRow

_PAIRED_NOTE = (
    "Paired: both are drawn on the same dialogues. Each best trial was chosen on these utterances: the interval says "
    "how far the difference depends on who validates, not how lucky a search was. The expected best takes the "
    "same number of trials of each; its difference has no interval, and chance alone makes one."
)
_TOO_NARROW = (
    f"* Fewer than {MIN_DIALOGUES} dialogues: utterances were drawn instead, so this interval is too narrow."
)


def describe_comparability(comparison: Comparison) -> list[str]:
    """Say in the first line whether the scores can be set against each other, and in the others why not."""
    differing = comparison.traits_that_differ
    if not differing:
        if not comparison.of_unknown_corpus:
            return ["Comparable: searches on the same corpus, with the same protocol and target."]
        unknown = _join(comparison.of_unknown_corpus)
        return [f"NOT KNOWN WHETHER COMPARABLE: the corpus of {unknown} is not known; nothing is ranked across that."]
    verb = "differs" if len(differing) == 1 else "differ"
    return [
        f"NOT COMPARABLE: {_join(list(differing))} {verb}; nothing is ranked across that.",
        *(
            f"{trait}: {'; '.join(f'{value} ({_join(labels)})' for value, labels in having.items())}"
            for trait, having in differing.items()
        ),
    ]


def _join(labels: Sequence[str]) -> str:
    return " and ".join([", ".join(labels[:-1]), labels[-1]] if len(labels) > 1 else labels)


def tabulate_experiments(comparison: Comparison) -> Table:
    """Set the experiments side by side: what each is, and what each found."""
    rows = [
        (name, *(write(contender) for contender in comparison.contenders))
        for name, write in _ROWS.items()
    ]
    expected = (_write_expected_best(comparison, contender) for contender in comparison.contenders)
    rows.insert(list(_ROWS).index("median of trials") + 1, ("expected best of equally many", *expected))
    rows += _points(comparison)
    rows += _test_scores(comparison)
    columns = ("", *(contender.label for contender in comparison.contenders))
    note = "Scores are validation accuracies of each trial's best epoch."
    if not all(contender.findings.scores_are_accuracies for contender in comparison.contenders):
        note = "Scores are what each script says they are."
    return Table("Side by side", columns, tuple(row for row in rows if any(row[1:])), note=note)


def _write_statistic(statistic: Callable[[np.ndarray], Any]) -> Callable[[Contender], str]:
    def write(contender: Contender) -> str:
        scores = contender.scores
        return write_score(contender.findings, float(statistic(scores)) if len(scores) else None)

    return write


def _write_expected_best(comparison: Comparison, contender: Contender) -> str:
    num_trials = comparison.equal_number(contender)
    score = write_score(contender.findings, contender.expected_best(num_trials))
    return f"{score} (of {num_trials})" if score else ""


def _write_memory(contender: Contender) -> str:
    peaks = [trial.peak_memory_bytes for trial in contender.findings.finished if trial.peak_memory_bytes]
    return write_bytes(max(peaks, default=None))


def _write_best(write: Callable[[TrialRow], str]) -> Callable[[Contender], str]:
    return lambda contender: "" if contender.findings.best is None else write(contender.findings.best)


_ROWS: dict[str, Callable[[Contender], str]] = {
    "name": lambda contender: contender.findings.experiment.name,
    "system": lambda contender: contender.findings.experiment.system,
    "protocol": lambda contender: contender.findings.experiment.protocol_name or "of its own script",
    "corpus": lambda contender: describe_corpus(contender.findings),
    "progress": lambda contender: describe_progress(contender.findings),
    "best score": _write_statistic(lambda scores: scores[0]),
    "mean of trials": _write_statistic(np.mean),
    "median of trials": _write_statistic(np.median),
    "from begin to end": lambda contender: write_duration(contender.seconds_in_all),
    "time of all trials": lambda contender: write_duration(sum(contender.seconds_of_trials) or None),
    "median time of a trial": lambda contender: (
        write_duration(float(np.median(contender.seconds_of_trials))) if contender.seconds_of_trials else ""
    ),
    "peak memory": _write_memory,
    "best trial": _write_best(lambda trial: str(trial.trial_index)),
    "its epoch": _write_best(
        lambda trial: "" if trial.best_epoch is None else f"{trial.best_epoch} of {trial.num_epochs}"
    ),
}


def _points(comparison: Comparison) -> list[tuple[str, ...]]:
    points = [
        {} if contender.findings.best is None else contender.findings.best.hyperparameters
        for contender in comparison.contenders
    ]
    names = dict.fromkeys(name for point in points for name in point)
    return [
        (f"its {name}", *(write_value(point[name]) if name in point else "" for point in points)) for name in names
    ]


def _test_scores(comparison: Comparison) -> list[tuple[str, ...]]:
    """Write one line an opening for each experiment, a row for each way in which the epoch was chosen."""
    rows: dict[str, list[list[str]]] = {}
    for number, contender in enumerate(comparison.contenders):
        for opening, kind, scores in contender.test_scores:
            spread = mean_and_spread([score.weighted_accuracy for score in scores])
            text = f"{100 * spread.mean:.1f} %"
            if spread.num_values > 1:
                text = f"{100 * spread.mean:.1f} ± {100 * spread.deviation:.1f} %"
            text += f" ({plural(len(scores), 'seed')}, opening {opening.opening_id}"
            text += ", synthetic)" if opening.is_synthetic else ")"
            cells = rows.setdefault(f"test weighted accuracy, {kind}", [[] for _ in comparison.contenders])
            cells[number].append(text)
    return [(name, *("\n".join(cell) for cell in cells)) for name, cells in rows.items()]


def tabulate_differences(comparison: Comparison) -> Table:
    """List the difference of each two comparable experiments, with its paired interval over dialogues."""
    rows = [
        (
            f"{each.first.label} minus {each.second.label}",
            _write_paired(each),
            f"{_write_difference(each, each.expected_best)} (of {each.num_trials})",
        )
        for each in comparison.differences
    ]
    note = _PAIRED_NOTE + (f" {_TOO_NARROW}" if any("*" in row[1] for row in rows) else "")
    columns = ("experiments", "best trials, points [95 % interval]", "expected best, how much better")
    return Table("Differences", columns, tuple(rows), frozenset(columns[1:]), note=note)


def _write_paired(difference: Difference) -> str:
    if difference.best is None:
        predicted = [contender.findings.predictions for contender in (difference.first, difference.second)]
        return "not the same utterances" if all(predicted) else "no predictions"
    found, interval = difference.best, difference.best.interval
    bounds = f"[{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
    return f"{100 * found.difference:+.1f} {bounds}" + ("*" if interval.is_too_narrow else "")


def _write_difference(difference: Difference, value: float) -> str:
    are_accuracies = all(each.findings.scores_are_accuracies for each in (difference.first, difference.second))
    return f"{100 * value:+.1f} points" if are_accuracies else f"{value:+.4g}"


def tabulate_settings(comparison: Comparison) -> Table:
    """List what was set differently."""
    rows = [(name, *values) for name, values in comparison.settings_that_differ.items()]
    columns = ("what", *(contender.label for contender in comparison.contenders))
    return Table("What differs between their settings", columns, tuple(rows))


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return everything that the tables show; scores and accuracies from 0 to 1, null where there is none."""
    return {
        "is_comparable": comparison.is_comparable,
        "notes": [*describe_comparability(comparison), *([SYNTHETIC_SENTENCE] if comparison.has_synthetic else [])],
        "experiments": [_experiment_to_json(comparison, contender) for contender in comparison.contenders],
        "differences": [_difference_to_json(difference) for difference in comparison.differences],
        "settings_that_differ": {
            name: dict(zip([contender.label for contender in comparison.contenders], values, strict=True))
            for name, values in comparison.settings_that_differ.items()
        },
    }


def _experiment_to_json(comparison: Comparison, contender: Contender) -> dict[str, Any]:
    findings, scores = contender.findings, contender.scores
    experiment, best = findings.experiment, findings.best
    num_trials = comparison.equal_number(contender)
    return {
        "label": contender.label,
        "eid": experiment.eid,
        "name": experiment.name,
        "kind": str(experiment.kind),
        "system": experiment.system,
        "protocol": experiment.protocol_name,
        "protocol_hash": experiment.protocol_hash,
        "corpus_hash": experiment.corpus_hash,
        "is_synthetic": experiment.is_synthetic,
        "target": experiment.target,
        "status": str(experiment.status),
        "num_planned": experiment.num_samples,
        "num_finished": len(scores),
        "num_failures": len(findings.failures),
        "best_score": float(scores[0]) if len(scores) else None,
        "mean_score": float(scores.mean()) if len(scores) else None,
        "median_score": float(np.median(scores)) if len(scores) else None,
        "expected_best": {"num_trials": num_trials, "score": contender.expected_best(num_trials)},
        "best_trial": None if best is None else best.trial_index,
        "best_point": None if best is None else dict(best.hyperparameters),
        "seconds_in_all": contender.seconds_in_all,
        "seconds_of_trials": sum(contender.seconds_of_trials),
        "test_scores": [
            {
                "opening_id": opening.opening_id,
                "epoch_chosen_by": str(kind),
                "is_synthetic": opening.is_synthetic,
                "num_seeds": len(found),
                "weighted_accuracy": _spread([score.weighted_accuracy for score in found]),
                "unweighted_accuracy": _spread([score.unweighted_accuracy for score in found]),
                "macro_f1": _spread([score.macro_f1 for score in found]),
            }
            for opening, kind, found in contender.test_scores
        ],
    }


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    spread = mean_and_spread(values)
    return {"mean": spread.mean, "deviation": spread.deviation if math.isfinite(spread.deviation) else None}


def _difference_to_json(difference: Difference) -> dict[str, Any]:
    found = difference.best
    return {
        "first": difference.first.label,
        "second": difference.second.label,
        "expected_best": difference.expected_best,
        "num_trials": difference.num_trials,
        "best": None
        if found is None
        else {
            "difference": found.difference,
            "low": found.interval.low,
            "high": found.interval.high,
            "confidence": found.interval.confidence,
            "drawn": found.interval.drawn,
            "is_too_narrow": found.interval.is_too_narrow,
        },
    }
