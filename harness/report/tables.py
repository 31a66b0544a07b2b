"""The report's tables, as text that a terminal and a page show alike."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from harness.corpus.utterances import CLASSES
from harness.quantities import write_bytes, write_duration
from harness.report.findings import Findings, SearchedHyperparameter
from harness.report.sentences import CLASS_NAMES, percent
from harness.scoring.metrics import (
    confusion_matrix,
    predicted_classes,
    recalls,
    unweighted_accuracy,
)
from harness.scoring.ranks import rank_correlation
from harness.store.records import Hyperparameter, TrialRow, TrialStatus

#: Finished trials below which a quarter of them, or a correlation, is noise.
MIN_TRIALS_TO_COMPARE = 8


@dataclass(frozen=True)
class Table:
    """Rows of text under headings.

    Attributes:
        numbers: columns that are set to the right
        wide: columns of running text
        note: what to know before reading it, or empty
        highlighted_row: index of the row that stands out, or None
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[str] = frozenset()
    note: str = ""
    highlighted_row: int | None = None
    wide: frozenset[str] = frozenset()


def write_value(value: Hyperparameter, num_digits: int = 4) -> str:
    """Write a hyperparameter's value, a float with so many digits that say something.

    Example:
        >>> write_value(0.000576005427777614), write_value(238), write_value(1e-7)
        ('0.000576', '238', '1e-07')
    """
    return f"{value:.{num_digits}g}" if isinstance(value, float) else str(value)


def write_score(findings: Findings, score: float | None) -> str:
    """Write a trial's score: per cent where it is an accuracy, empty where there is none."""
    if score is None:
        return ""
    return percent(score) if findings.scores_are_accuracies else f"{score:.4g}"


def trial_seconds(trial: TrialRow) -> float | None:
    """Return how long a trial took: as it says itself, or from its start to its end; None while it runs."""
    if trial.duration_seconds is not None or trial.ended_at is None:
        return trial.duration_seconds
    began, ended = (datetime.fromisoformat(time) for time in (trial.started_at, trial.ended_at))
    return (ended - began).total_seconds()


def tabulate_best_trials(findings: Findings, num_trials: int, is_brief: bool = False) -> Table:
    """List the best finished trials with their points.

    Args:
        is_brief: leave out what a terminal of 80 columns has no room for, the only choice of a hyperparameter too
    """
    names = [one.name for one in findings.search_space if not (is_brief and len(one.choices) == 1)]
    score = "accuracy" if findings.scores_are_accuracies else "score"
    rows = []
    for place, trial in enumerate(findings.finished[:num_trials], start=1):
        point = [trial.hyperparameters.get(name, "") for name in names]
        row = {
            "place": str(place),
            "trial": str(trial.trial_index),
            score: write_score(findings, trial.score),
            "epoch": "" if trial.best_epoch is None else f"{trial.best_epoch} of {trial.num_epochs}",
            **{
                name: write_value(value, 3 if is_brief else 4)
                for name, value in zip(names, point, strict=True)
            },
            "time": write_duration(trial_seconds(trial)),
            "peak memory": write_bytes(trial.peak_memory_bytes),
        }
        if is_brief:
            del row["place"], row["peak memory"]
        rows.append(row)
    columns = tuple(rows[0]) if rows else ()
    return Table(
        "Best trials, by validation accuracy" if findings.scores_are_accuracies else "Best trials",
        columns,
        tuple(tuple(row.values()) for row in rows),
        frozenset(columns) - {"epoch"},
        highlighted_row=0,
    )


def tabulate_all_trials(findings: Findings) -> Table:
    """List every trial's latest attempt with its point, its best and its last epoch, and what it cost."""
    names = [searched.name for searched in findings.search_space]
    score = "best accuracy" if findings.scores_are_accuracies else "score"
    columns = ("trial", "status", score, "best epoch", "last epoch", "its accuracy", *names, "time", "peak memory")
    rows = []
    for trial in findings.trials:
        epochs = findings.epochs.get(trial.trial_id)
        last = epochs[-1] if epochs else None
        rows.append(
            (
                str(trial.trial_index),
                str(trial.status),
                write_score(findings, trial.score),
                "" if trial.best_epoch is None else str(trial.best_epoch),
                "" if last is None else str(last.epoch),
                "" if last is None or math.isnan(last.validation_accuracy) else percent(last.validation_accuracy),
                *(write_value(trial.hyperparameters.get(name, "")) for name in names),
                write_duration(trial_seconds(trial)),
                write_bytes(trial.peak_memory_bytes),
            )
        )
    return Table("All trials", columns, tuple(rows), frozenset(columns) - {"status"})


def tabulate_search_space(findings: Findings) -> Table:
    """Say for each hyperparameter what was searched, where the best lie, and whether the score follows it."""
    finished = findings.finished
    rows = []
    for searched in findings.search_space:
        tried = [trial for trial in finished if searched.name in trial.hyperparameters]
        best = [write_value(trial.hyperparameters[searched.name]) for trial in tried[:1]]
        rows.append(
            (
                searched.name,
                _write_range(searched),
                *(best or [""]),
                _describe_best_quarter(searched, tried),
                _describe_correlation(searched, tried),
            )
        )
    return Table(
        "What was searched",
        (
            "hyperparameter",
            "searched",
            "best trial",
            "best quarter of trials",
            "rank correlation",
        ),
        tuple(rows),
        note="Spearman's correlation with the score and its 95 % interval; one that holds 0 says nothing.",
    )


def _write_range(searched: SearchedHyperparameter) -> str:
    if searched.choices:
        return ", ".join(searched.choices)
    scale = ", log scale" if searched.is_log else ""
    return f"{searched.low:.4g} to {searched.high:.4g}{scale}"


def _describe_best_quarter(searched: SearchedHyperparameter, tried: Sequence[TrialRow]) -> str:
    if len(tried) < MIN_TRIALS_TO_COMPARE:
        return "too few trials"
    values = [trial.hyperparameters[searched.name] for trial in tried[: len(tried) // 4]]
    if searched.choices:
        counts = Counter(str(value) for value in values)
        return ", ".join(f"{choice} {count}x" for choice, count in counts.most_common())
    numbers = [float(value) for value in values if value is not None]
    return f"{min(numbers):.4g} to {max(numbers):.4g}"


def _describe_correlation(searched: SearchedHyperparameter, tried: Sequence[TrialRow]) -> str:
    if searched.choices:
        return ""
    if len(tried) < MIN_TRIALS_TO_COMPARE:
        return "too few trials"
    values = [float(trial.hyperparameters[searched.name] or 0) for trial in tried]
    found = rank_correlation(values, [trial.score or 0.0 for trial in tried])
    if math.isnan(found.rho):
        return "none to see"
    if math.isnan(found.low):
        return f"{found.rho:+.2f}"
    return f"{found.rho:+.2f} ({found.low:+.2f} to {found.high:+.2f})"


def tabulate_causes(findings: Findings) -> Table:
    """Count how the attempts ended."""
    counts = Counter(trial.status for trial in findings.failures)
    rows = [(str(status), str(counts[status])) for status in TrialStatus if counts[status]]
    return Table("Failures by cause", ("cause", "attempts"), tuple(rows), frozenset({"attempts"}))


def tabulate_failures(findings: Findings, num_failures: int) -> Table:
    """List the latest failed attempts with what each said."""
    rows = [
        (
            str(trial.trial_index),
            str(trial.attempt),
            str(trial.status),
            trial.message or "",
            write_duration(trial_seconds(trial)),
        )
        for trial in findings.failures[:num_failures]
    ]
    columns = ("trial", "attempt", "cause", "what it said", "time")
    left_out = len(findings.failures) - len(rows)
    note = f"The latest {len(rows)}; {left_out} more are in results.db, view 'failures'." if left_out else ""
    numbers, wide = frozenset({"trial", "attempt"}), frozenset({"what it said"})
    return Table("Failed attempts", columns, tuple(rows), numbers, note, wide=wide)


def tabulate_confusion(findings: Findings) -> Table:
    """Say what the best trial took each class of the validation utterances for."""
    columns = ("raters said", *(CLASS_NAMES[emotion] for emotion in CLASSES), "recall")
    if not findings.predictions:
        return Table("Validation confusion of the best trial", columns, ())
    emotions, predicted = predicted_classes(findings.predictions)
    counts, shares = confusion_matrix(emotions, predicted), recalls(emotions, predicted)
    rows = [
        (
            CLASS_NAMES[emotion],
            *(str(count) for count in counts[number]),
            "" if np.isnan(shares[number]) else percent(shares[number]),
        )
        for number, emotion in enumerate(CLASSES)
    ]
    note = f"Mean recall (unweighted accuracy): {percent(unweighted_accuracy(emotions, predicted))}."
    return Table(
        "Validation confusion of the best trial", columns, tuple(rows), frozenset(columns[1:]), note=note
    )


def tabulate_settings(findings: Findings) -> Table:
    """Say what the search was, so that it can be made again."""
    experiment, environment = findings.experiment, findings.environment
    rows = [
        ("experiment", f"{experiment.eid}, {experiment.name}"),
        ("system", experiment.system),
        ("protocol", f"{experiment.protocol_name}, hash {experiment.protocol_hash}"),
        *((f"protocol: {key}", str(value)) for key, value in findings.protocol.items() if key != "name"),
        ("corpus", f"{experiment.corpus_path}, content hash {experiment.corpus_hash[:16]}"),
        ("target", experiment.target),
        ("seed", str(experiment.seed)),
        ("trials planned", str(experiment.num_samples)),
        ("most epochs", str(experiment.max_epochs)),
        ("patience", "none" if experiment.patience is None else f"{experiment.patience} epochs"),
        ("script", experiment.script),
        ("begun", experiment.created_at),
        ("ended", experiment.ended_at or "not yet"),
        ("harness", experiment.package_version),
    ]
    if findings.best is not None and findings.best.embedding_source is not None:
        rows.append(("word vectors", findings.best.embedding_source))
    if environment is not None:
        rows += [
            ("threads of a trial", str(environment.threads)),
            ("host", environment.host),
            ("git revision", environment.git_revision or "none"),
            ("versions", ", ".join(f"{name} {version}" for name, version in environment.versions.items())),
        ]
    return Table("How it was made", ("what", "value"), tuple(rows))
