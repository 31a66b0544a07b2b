"""The tables of a search, as text for the terminal, the page and the model card, and how numbers are written."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.corpus.utterances import CLASSES
from harness.errors import visible_lines
from harness.models.systems import has_recogniser
from harness.report.findings import Findings, SearchedHyperparameter, trial_seconds
from harness.report.statements import name_class, percent, write_score
from harness.scoring.metrics import confusion_matrix, predicted_classes, recalls_of, unweighted_accuracy_of
from harness.scoring.search import list_halvings, rank_correlation
from harness.scoring.statistics import Interval, Spread
from harness.store.records import ExperimentRecord, Hyperparameter, TrialRow, TrialStatus
from harness.wording import plural, write_bytes, write_duration, write_time

#: Finished trials below which a quarter of them, or a correlation, is noise.
MIN_TRIALS_TO_COMPARE = 8


@dataclass(frozen=True)
class Table:
    """Rows of text under headings.

    Texts may hold what people and scripts have named: what is invisible in them, or would turn the direction of the
    text or move a terminal's cursor, is spelt out.

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

    def __post_init__(self) -> None:
        shown = {
            "title": visible_lines(self.title),
            "columns": tuple(map(visible_lines, self.columns)),
            "rows": tuple(tuple(map(visible_lines, row)) for row in self.rows),
            "numbers": frozenset(map(visible_lines, self.numbers)),
            "note": visible_lines(self.note),
            "wide": frozenset(map(visible_lines, self.wide)),
        }
        for name, value in shown.items():
            object.__setattr__(self, name, value)


def write_value(value: Hyperparameter, num_digits: int = 4) -> str:
    """Write a hyperparameter's value, a float with so many digits that say something.

    Example:
        >>> write_value(0.000576005427777614), write_value(238), write_value(1e-7)
        ('0.000576', '238', '1e-07')
    """
    return f"{value:.{num_digits}g}" if isinstance(value, float) else str(value)


def tabulate_best_trials(findings: Findings, num_trials: int, is_brief: bool = False) -> Table:
    """List the best trials with their points: the finished ones, and the pruned ones where they count.

    Args:
        is_brief: leave out what a terminal of 80 columns has no room for, and hyperparameters with one choice
    """
    score = "accuracy" if findings.scores_are_accuracies else "score"
    rows = []
    shown = findings.ranked[:num_trials]
    for place, trial in enumerate(shown, start=1):
        row = {
            "place": str(place),
            "trial": str(trial.trial_index),
            score: write_score(findings, trial.score),
            **_write_spread(findings, trial),
            "epoch": _write_epoch(trial),
            **_write_point(findings, trial, 3 if is_brief else 4),
            "time": write_duration(trial_seconds(trial)),
            "peak memory": write_bytes(trial.peak_memory_bytes),
        }
        if is_brief:
            single = {searched.name for searched in findings.search_space if len(searched.choices) == 1}
            row = {column: text for column, text in row.items() if column not in {"place", "peak memory", *single}}
        rows.append(row)
    columns = tuple(rows[0]) if rows else ()
    return Table(
        "Best trials, by validation accuracy" if findings.scores_are_accuracies else "Best trials",
        columns,
        tuple(tuple(row.values()) for row in rows),
        frozenset(columns) - {"epoch"},
        # A pruned trial is never the best one.
        highlighted_row=next((n for n, trial in enumerate(shown) if trial.status is not TrialStatus.PRUNED), None),
    )


def _write_epoch(trial: TrialRow) -> str:
    if trial.status is TrialStatus.PRUNED:
        return f"pruned at {trial.num_epochs}"
    return "" if trial.best_epoch is None else f"{trial.best_epoch} of {trial.num_epochs}"


def _write_point(findings: Findings, trial: TrialRow, num_digits: int = 4) -> dict[str, str]:
    """Return the value of each searched hyperparameter as text, empty where the trial has none."""
    names = [searched.name for searched in findings.search_space]
    return {name: write_value(trial.hyperparameters.get(name, ""), num_digits) for name in names}


def _has_spread(findings: Findings) -> bool:
    """Some trial has the scores of several seeds."""
    return any(trial.score_spread is not None for trial in findings.trials)


def _write_spread(findings: Findings, trial: TrialRow) -> dict[str, str]:
    """Return the standard deviation of a trial's seeds' scores as text; nothing in a search of one seed a trial."""
    return {"standard deviation": write_score(findings, trial.score_spread)} if _has_spread(findings) else {}


def tabulate_all_trials(findings: Findings) -> Table:
    """List every trial's latest attempt with its point, its best and its last epoch, and what it cost."""
    names = [searched.name for searched in findings.search_space]
    score = "best accuracy" if findings.scores_are_accuracies else "score"
    spread = ("standard deviation",) if _has_spread(findings) else ()
    scores = (score, *spread, "best epoch", "last epoch", "its accuracy")
    columns = ("trial", "status", *scores, *names, "time", "peak memory")
    rows = []
    for trial in findings.counted:
        epochs = findings.epochs.get(trial.trial_id)
        last = epochs[-1] if epochs else None
        rows.append(
            (
                str(trial.trial_index),
                str(trial.status),
                write_score(findings, trial.score),
                *_write_spread(findings, trial).values(),
                "" if trial.best_epoch is None else str(trial.best_epoch),
                "" if last is None else str(last.epoch),
                "" if last is None or math.isnan(last.validation_accuracy) else percent(last.validation_accuracy),
                *_write_point(findings, trial).values(),
                write_duration(trial_seconds(trial)),
                write_bytes(trial.peak_memory_bytes),
            )
        )
    return Table("All trials", columns, tuple(rows), frozenset(columns) - {"status"})


def tabulate_notes(findings: Findings) -> Table:
    """List the notes on trials, each with the trial's status and score."""
    score = "accuracy" if findings.scores_are_accuracies else "score"
    trials = {trial.trial_index: trial for trial in findings.counted}
    rows = []
    for note in findings.notes:
        # Somebody may have deleted the trial's row, and not its notes.
        trial = trials.get(note.trial_index)
        known = ("not known", "") if trial is None else (str(trial.status), write_score(findings, trial.score))
        rows.append((str(note.trial_index), *known, note.text, write_time(note.written_at)))
    columns = ("trial", "status", score, "note", "written, UTC")
    return Table("Notes", columns, tuple(rows), frozenset({"trial", score}), wide=frozenset({"note"}))


def tabulate_search_space(findings: Findings) -> Table:
    """Say for each hyperparameter what was searched, where the best lie, and whether the score follows it."""
    rows = []
    for searched in findings.search_space:
        tried = findings.ranked_with(searched)
        finished = [trial for trial in tried if trial.status is TrialStatus.FINISHED]
        row = (
            searched.name,
            _write_range(searched),
            write_value(finished[0].hyperparameters[searched.name]) if finished else "",
            _describe_best_quarter(searched, tried),
            _describe_correlation(searched, tried),
        )
        rows.append(row)
    columns = ("hyperparameter", "searched", "best trial", "best quarter of trials", "rank correlation")
    note = "Spearman's correlation with the score and its 95 % interval; if it contains 0, no effect is shown."
    return Table("What was searched", columns, tuple(rows), note=note)


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
        return "none seen"
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
    columns = ("trial", "attempt", "cause", "message", "time")
    left_out = len(findings.failures) - len(rows)
    note = f"The latest {len(rows)}; {left_out} more are in results.db, view 'failures'." if left_out else ""
    numbers, wide = frozenset({"trial", "attempt"}), frozenset({"message"})
    return Table("Failed attempts", columns, tuple(rows), numbers, note, wide=wide)


def tabulate_confusion(findings: Findings) -> Table:
    """Say what the best trial took each class of the validation utterances for."""
    title = "Validation confusion of the best trial"
    columns = ("raters said", *map(name_class, CLASSES), "recall")
    if not findings.predictions:
        return Table(title, columns, ())
    counts = confusion_matrix(*predicted_classes(findings.predictions))
    shares = recalls_of(counts)
    rows = [
        (
            name_class(emotion),
            *(str(count) for count in counts[number]),
            "" if np.isnan(shares[number]) else percent(shares[number]),
        )
        for number, emotion in enumerate(CLASSES)
    ]
    note = f"Mean recall (unweighted accuracy): {percent(float(unweighted_accuracy_of(counts)))}."
    return Table(title, columns, tuple(rows), frozenset(columns[1:]), note)


def tabulate_expected_best(findings: Findings) -> Table:
    """List the expected best of all finished trials, of half of them, and so on, with its confidence band."""
    found, rows = findings.expected_best, []
    if found is not None:
        for count in list_halvings(int(found.num_trials[-1])):
            at = int(np.searchsorted(found.num_trials, count))
            low, high, expected = (
                write_score(findings, float(values[at])) for values in (found.low, found.high, found.expected)
            )
            rows.append((str(count), expected, "not known" if np.isnan(found.low[at]) else f"{low} to {high}"))
    columns = ("trials", "expected best", "95 % band")
    return Table("Expected best score", columns, tuple(rows), frozenset(columns))


def tabulate_costs(findings: Findings) -> Table:
    """Say how long trials and epochs took, how much memory they had, and what all of it adds up to."""
    attempts = findings.attempts
    seconds = [took for trial in attempts if (took := trial_seconds(trial)) is not None]
    epochs = [epoch.seconds for recorded in findings.epochs.values() for epoch in recorded]
    epochs = [took for took in epochs if np.isfinite(took)]
    memory = [trial.peak_memory_bytes for trial in attempts if trial.peak_memory_bytes]
    rows = []
    if seconds:
        rows.append(("time of a trial", *_write_extent(seconds, write_duration), write_duration(sum(seconds))))
    if epochs:
        rows.append(("time of an epoch", *_write_extent(epochs, _write_short), write_duration(sum(epochs))))
    if memory:
        rows.append(("peak memory of a trial", *_write_extent(memory, write_bytes), ""))
    columns = ("what", "least", "median", "most", "all together")
    note = _describe_total(findings, seconds)
    return Table("Time and memory", columns, tuple(rows), frozenset(columns[1:]), note)


def _write_extent(values: Sequence[float], write: Callable[[float], str]) -> tuple[str, str, str]:
    return write(float(min(values))), write(float(np.median(values))), write(float(max(values)))


def _write_short(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else write_duration(seconds)


def _describe_total(findings: Findings, seconds: Sequence[float]) -> str:
    if not seconds:
        return ""
    text = f"{plural(len(seconds), 'attempt')} took {write_duration(sum(seconds))} together"
    if findings.failures:
        failed = sum(trial_seconds(trial) or 0.0 for trial in findings.failures)
        text += f", {write_duration(failed)} of it in failed attempts"
    if findings.environment is not None:
        threads = findings.environment.threads
        at_most = write_duration(threads * sum(seconds))
        text += f"; with {plural(threads, 'thread')} each, at most {at_most} of processor time"
    whole = findings.seconds_in_all
    # A clock that was set back would make it negative.
    if whole is None or whole < 0:
        return f"{text}."
    return f"{text}. From the start of the search to its end: {write_duration(whole)}."


def _write_early_stopping(experiment: ExperimentRecord) -> str:
    given = json.loads(experiment.settings).get("early_stopping") or "none"
    return ", ".join(f"{key} {value}" for key, value in given.items()) if isinstance(given, dict) else str(given)


def tabulate_settings(findings: Findings) -> Table:
    """Say what the search was, so that it can be made again."""
    experiment, environment = findings.experiment, findings.environment
    protocol, corpus = "of its own script", "not known"
    if experiment.protocol_name:
        protocol = f"{experiment.protocol_name}, hash {experiment.protocol_hash}"
    if experiment.corpus_hash:
        place = experiment.corpus_path or "the synthetic one of a quick start"
        corpus = f"{place}, content hash {experiment.corpus_hash[:16]}"
    rows = [
        ("experiment", f"{experiment.eid}, {experiment.name}"),
        *([("system", experiment.named_system)] if experiment.system else []),
        ("protocol", protocol),
        *((f"protocol: {key}", str(value)) for key, value in findings.protocol.items() if key != "name"),
        ("corpus", corpus),
        ("target", experiment.target),
        ("seed", str(experiment.seed)),
        ("trials planned", str(experiment.num_samples)),
        ("most epochs", str(experiment.max_epochs)),
        ("patience", "none" if experiment.patience is None else f"{experiment.patience} epochs"),
        ("early stopping", _write_early_stopping(experiment)),
        ("script", experiment.script),
        ("begun", experiment.created_at),
        ("ended", experiment.ended_at or "not yet"),
        ("harness", experiment.package_version),
    ]
    if findings.best is not None and findings.best.embedding_source is not None:
        what = "speech recogniser" if has_recogniser(experiment.system) else "word vectors"
        rows.append((what, findings.best.embedding_source))
    if environment is not None:
        rows += [
            ("threads of a trial", str(environment.threads)),
            ("host", environment.host),
            ("git revision", environment.git_revision or "none"),
            ("versions", ", ".join(f"{name} {version}" for name, version in environment.versions.items())),
        ]
    return Table("How it was made", ("what", "value"), tuple(rows))


#: Stands for a number that is not defined.
UNDEFINED = "-"


def write_share(share: float) -> str:
    """Write a share in per cent, without the sign.

    Example:
        >>> write_share(0.7104), write_share(float("nan"))
        ('71.0', '-')
    """
    return UNDEFINED if math.isnan(share) else f"{100 * share:.1f}"


def write_spread(spread: Spread, num_seeds: int) -> str:
    """Write a score over seeds in per cent; of how many seeds, where it is not defined for all.

    Example:
        >>> write_spread(Spread(0.5, 0.0123, 0.4, 0.6, 2), 2), write_spread(Spread(0.5, math.nan, 0, 0, 1), 2)
        ('50.0 ± 1.2', '50.0 (1/2 seeds)')
    """
    text = write_share(spread.mean)
    if spread.num_values > 1:
        text += f" ± {100 * spread.deviation:.1f}"
    return text if spread.num_values in (0, num_seeds) else f"{text} ({spread.num_values}/{num_seeds} seeds)"


def write_precisely(spread: Spread) -> str:
    """Write a score over seeds in per cent, with two decimals as the paper has them.

    Example:
        >>> write_precisely(Spread(0.5, 0.0123, 0.4, 0.6, 3)), write_precisely(Spread(0.5, math.nan, 0, 0, 1))
        ('50.00 ± 1.23', '50.00')
    """
    return f"{100 * spread.mean:.2f}" + (f" ± {100 * spread.deviation:.2f}" if spread.num_values > 1 else "")


def write_interval(interval: Interval) -> str:
    """Write an interval in per cent, with a star where it is too narrow.

    Example:
        >>> write_interval(Interval(0.683, 0.736, 0.95, "utterances", True))
        '68.3 to 73.6*'
    """
    if math.isnan(interval.low):
        return UNDEFINED
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}" + ("*" if interval.is_too_narrow else "")


def write_p_value(p_value: float) -> str:
    """Write a p-value, a tiny one as below what anyone would read.

    Example:
        >>> write_p_value(0.0421), write_p_value(3e-9), write_p_value(1.0)
        ('0.042', '< 0.0001', '1.000')
    """
    return "< 0.0001" if p_value < 0.0001 else f"{p_value:.4f}" if p_value < 0.001 else f"{p_value:.3f}"
