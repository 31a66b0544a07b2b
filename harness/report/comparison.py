"""Several searches side by side, as tables and as plain values, and whether their scores can be compared."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from harness.report.findings import Findings, trial_seconds
from harness.report.statements import describe_progress, write_score
from harness.report.tables import Table, write_value
from harness.scoring.scenes import PROBE_KINDS
from harness.scoring.search import weigh_order
from harness.scoring.significance import PairedBootstrap, paired_bootstrap
from harness.scoring.statistics import TOO_NARROW, mean_and_spread
from harness.splits.protocol import adapts_to_speakers
from harness.store.records import ScoreKind, TestOpeningRow, TestScores
from harness.wording import ADAPTED_SENTENCE, SYNTHETIC_SENTENCE, plural, write_bytes, write_duration

#: Keys of an experiment file that are no settings, or that are shown apart.
_NOT_SETTINGS = frozenset({"name", "description", "parameter_config", "protocol", "system", "workingdir", "cwd"})


@dataclass(frozen=True)
class Contender:
    """One of the experiments that are compared.

    Attributes:
        label: what it is called beside the others: its number, and its folder where there are several
    """

    label: str
    findings: Findings

    @cached_property
    def scores(self) -> np.ndarray:
        """The finished trials' scores, best first: float64 (num_finished,)."""
        return np.array([trial.score for trial in self.findings.finished], dtype=np.float64)

    @property
    def traits(self) -> dict[str, str]:
        """The traits that two experiments must share for their scores to be compared, by name."""
        experiment = self.findings.experiment
        # What a script of its own scores on is not known: the same script is all there is to go by.
        protocol = f"of its own script, {experiment.script}"
        if experiment.protocol_name:
            protocol = f"'{experiment.protocol_name}' ({experiment.protocol_hash[:8]})"
        return {"corpus": describe_corpus(self.findings), "protocol": protocol, "target": experiment.target}

    @property
    def has_known_corpus(self) -> bool:
        """True if its corpus is known, and so can be the same as another's."""
        return bool(self.findings.experiment.corpus_hash)

    def is_comparable_with(self, other: Contender) -> bool:
        """Return True if the scores of both are known to mean the same; an unknown corpus equals none."""
        return self.has_known_corpus and other.has_known_corpus and self.traits == other.traits

    @property
    def seconds_of_trials(self) -> list[float]:
        """Wall time of each finished trial."""
        taken = [trial_seconds(trial) for trial in self.findings.finished]
        return [seconds for seconds in taken if seconds is not None]

    @property
    def test_scores(self) -> list[tuple[TestOpeningRow, ScoreKind, list[TestScores]]]:
        """The scores of its final models on the test set, by test evaluation and by who chose the epoch."""
        return [
            (opening, kind, scores)
            for opening in self.findings.openings
            if opening.eid == self.findings.experiment.eid
            for kind in ScoreKind
            if (scores := [score for score in opening.scores if score.kind is kind])
        ]

    def expected_best(self, num_trials: int) -> float | None:
        """Return what the best of so many of the finished trials scores on average; None of fewer."""
        if not 0 < num_trials <= len(self.scores):
            return None
        # From the worst on, whatever the target.
        ordered = self.scores[::-1]
        return float((weigh_order(len(ordered), np.array([num_trials])) @ ordered)[0])


@dataclass(frozen=True)
class Difference:
    """The difference between two experiments that can be compared.

    Attributes:
        num_trials: of each, as many as both have, for ``expected_best``
        expected_best: of so many trials, by how much the first's is better than the second's, whatever the target
        best: of the best trials' validation accuracies, over the utterances that both predicted; None where
            they scored different utterances, or a script of its own predicted none
    """

    first: Contender
    second: Contender
    num_trials: int
    expected_best: float
    best: PairedBootstrap | None


@dataclass(frozen=True)
class Comparison:
    """Experiments in the order in which they were named."""

    contenders: tuple[Contender, ...]

    @cached_property
    def traits_that_differ(self) -> dict[str, dict[str, list[str]]]:
        """The traits that make scores incomparable: trait -> value -> labels of the experiments that have it."""
        found: dict[str, dict[str, list[str]]] = {}
        for contender in self.contenders:
            for trait, value in contender.traits.items():
                if trait != "corpus" or contender.has_known_corpus:
                    found.setdefault(trait, {}).setdefault(value, []).append(contender.label)
        return {trait: labels for trait, labels in found.items() if len(labels) > 1}

    @property
    def of_unknown_corpus(self) -> list[str]:
        """The labels of the experiments whose corpus is not known, as that of a script of its own."""
        return [contender.label for contender in self.contenders if not contender.has_known_corpus]

    @property
    def is_comparable(self) -> bool | None:
        """True if all scores can be compared; None where no trait differs and a corpus is not known."""
        if self.traits_that_differ:
            return False
        return None if self.of_unknown_corpus else True

    @property
    def has_synthetic(self) -> bool:
        """True if any of the experiments is on the synthetic corpus."""
        return any(contender.findings.experiment.is_synthetic for contender in self.contenders)

    def equal_number(self, contender: Contender) -> int:
        """Return how many finished trials this one and all comparable with it have; 0 where one has none."""
        comparable = [other for other in self.contenders if contender.is_comparable_with(other)]
        return min(len(other.scores) for other in [contender, *comparable])

    @cached_property
    def differences(self) -> list[Difference]:
        """The difference of each two experiments that are comparable and have a finished trial."""
        return [
            _difference(first, second)
            for first, second in combinations(self.contenders, 2)
            if first.is_comparable_with(second) and len(first.scores) and len(second.scores)
        ]

    @cached_property
    def settings_that_differ(self) -> dict[str, list[str]]:
        """The settings that differ, with a value for each experiment, empty where it was not set."""
        settings = [_settings_of(contender.findings) for contender in self.contenders]
        names = dict.fromkeys(name for known in settings for name in known)
        rows = {name: [known.get(name, "") for known in settings] for name in names}
        return {name: values for name, values in rows.items() if len(set(values)) > 1}


def describe_corpus(findings: Findings) -> str:
    """Say which corpus an experiment is on: that it is synthetic, and its content hash.

    Two synthetic corpora are two corpora.
    """
    experiment = findings.experiment
    if not experiment.corpus_hash:
        return "not known"
    return ("synthetic " if experiment.is_synthetic else "") + experiment.corpus_hash[:8]


def _difference(first: Contender, second: Contender) -> Difference:
    num_trials = min(len(first.scores), len(second.scores))
    better_by = (first.expected_best(num_trials) or 0.0) - (second.expected_best(num_trials) or 0.0)
    if first.findings.experiment.target != "max":
        better_by = -better_by
    return Difference(first, second, num_trials, better_by, _differ_on_validation(first, second))


def _differ_on_validation(first: Contender, second: Contender) -> PairedBootstrap | None:
    scored = [contender.findings.predictions for contender in (first, second)]
    utterances = [{prediction.utterance_id for prediction in predictions} for predictions in scored]
    if not utterances[0] or utterances[0] != utterances[1]:
        return None
    return paired_bootstrap([scored[0]], [scored[1]])


def _settings_of(findings: Findings) -> dict[str, str]:
    """Return all that was set, one text by name: file, protocol, search space, and what the trials ran in."""
    experiment, environment = findings.experiment, findings.environment
    settings = {
        "system": experiment.named_system,
        "script": experiment.script,
        "random_seed": str(experiment.seed),
        "max_epochs": str(experiment.max_epochs),
        "patience": "none" if experiment.patience is None else str(experiment.patience),
        "shortened": experiment.shortened or "",
        **_flatten(json.loads(experiment.settings), "", _NOT_SETTINGS),
        **_flatten(findings.protocol, "protocol: ", frozenset()),
        "harness version": experiment.package_version,
    }
    for entry in json.loads(experiment.search_space):
        if isinstance(entry, dict) and "name" in entry:
            settings[f"searched: {entry['name']}"] = _describe_entry(entry)
    if environment is not None:
        settings["threads of a trial"] = str(environment.threads)
        settings["git revision"] = environment.git_revision or "none"
        settings |= {f"version of {name}": version for name, version in environment.versions.items()}
    return settings


def _flatten(values: Any, prefix: str, left_out: frozenset[str]) -> dict[str, str]:
    """Name every value of nested objects.

    Example:
        >>> _flatten({"job_failure": {"job_retries": 2}, "name": "a"}, "", frozenset({"name"}))
        {'job_failure.job_retries': '2'}
    """
    if not isinstance(values, dict):
        return {}
    found: dict[str, str] = {}
    for key, value in values.items():
        if key in left_out:
            continue
        if isinstance(value, dict):
            found |= _flatten(value, f"{prefix}{key}.", frozenset())
        else:
            found[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value)
    return found


def _describe_entry(entry: Mapping[str, Any]) -> str:
    """Say what was searched of one hyperparameter.

    Example:
        >>> _describe_entry({"name": "lr", "range": [0.0001, 0.01], "type": "float", "log": True})
        'float 0.0001 to 0.01, log scale'
    """
    bounds: Sequence[Any] = entry.get("range", [])
    values = [write_value(bound) if not isinstance(bound, list) else json.dumps(bound) for bound in bounds]
    if entry.get("type") == "choice" or len(values) != 2:
        return ", ".join(values)
    known = {"name", "range", "type", "log"}
    more = [f"{key} {json.dumps(value)}" for key, value in entry.items() if key not in known]
    scale = ["log scale"] if entry.get("log") else []
    return ", ".join([f"{entry.get('type', '')} {values[0]} to {values[1]}".strip(), *scale, *more])


_PAIRED_NOTE = (
    "Paired: both searches use the same bootstrap draws of dialogues. Each best trial was chosen on these utterances: "
    "the interval shows how much the difference depends on the validation utterances, not how lucky a search was. The "
    "expected best takes the same number of trials of each search; its difference has no interval, and chance alone "
    "can cause one."
)


def describe_comparability(comparison: Comparison) -> list[str]:
    """Say in the first line whether the scores can be compared, and in the others why not."""
    differing = comparison.traits_that_differ
    if comparison.is_comparable:
        return ["Comparable: searches on the same corpus, with the same protocol and target."]
    if not differing:
        unknown = _join(comparison.of_unknown_corpus)
        return [f"NOT KNOWN WHETHER COMPARABLE: the corpus of {unknown} is not known, so nothing is ranked."]
    verb = "differs" if len(differing) == 1 else "differ"
    return [
        f"NOT COMPARABLE: {_join(list(differing))} {verb}, so nothing is ranked.",
        *(
            f"{trait}: {'; '.join(f'{value} ({_join(labels)})' for value, labels in having.items())}"
            for trait, having in differing.items()
        ),
    ]


def _join(labels: Sequence[str]) -> str:
    return " and ".join([", ".join(labels[:-1]), labels[-1]] if len(labels) > 1 else labels)


def tabulate_experiments(comparison: Comparison) -> Table:
    """Set the experiments side by side: what each is, and what each found."""
    described = [_describe_contender(comparison, contender) for contender in comparison.contenders]
    points = [
        {} if contender.findings.best is None else contender.findings.best.hyperparameters
        for contender in comparison.contenders
    ]
    rows = [(name, *(of_one[name] for of_one in described)) for name in described[0]]
    rows += [
        (f"its {name}", *(write_value(point[name]) if name in point else "" for point in points))
        for name in dict.fromkeys(name for point in points for name in point)
    ]
    rows += _test_scores(comparison)
    columns = ("", *(contender.label for contender in comparison.contenders))
    note = "Scores are validation accuracies of each trial's best epoch."
    if not all(contender.findings.scores_are_accuracies for contender in comparison.contenders):
        note = "Scores are defined by each script."
    return Table("Side by side", columns, tuple(row for row in rows if any(row[1:])), note=note)


def _describe_contender(comparison: Comparison, contender: Contender) -> dict[str, str]:
    """Return one experiment's cells by the name of their row, empty where there is nothing to say."""
    findings, scores, seconds = contender.findings, contender.scores, contender.seconds_of_trials
    experiment, best = findings.experiment, findings.best

    def write_statistic(statistic: Callable[[np.ndarray], Any]) -> str:
        return write_score(findings, float(statistic(scores)) if len(scores) else None)

    num_trials = comparison.equal_number(contender)
    expected = write_score(findings, contender.expected_best(num_trials))
    peaks = [trial.peak_memory_bytes for trial in findings.finished if trial.peak_memory_bytes]
    return {
        "name": experiment.name,
        "system": experiment.named_system,
        "protocol": experiment.protocol_name or "of its own script",
        "speakers": ADAPTED_SENTENCE if adapts_to_speakers(experiment.protocol_name) else "",
        "corpus": describe_corpus(findings),
        "progress": describe_progress(findings),
        "best score": write_statistic(lambda ordered: ordered[0]),
        "mean of trials": write_statistic(np.mean),
        "median of trials": write_statistic(np.median),
        "expected best, equal trials": f"{expected} (of {num_trials})" if expected else "",
        "from start to end": write_duration(findings.seconds_in_all),
        "time of all trials": write_duration(sum(seconds) or None),
        "median time of a trial": write_duration(float(np.median(seconds)) if seconds else None),
        "peak memory": write_bytes(max(peaks, default=None)),
        "best trial": "" if best is None else str(best.trial_index),
        "its epoch": "" if best is None or best.best_epoch is None else f"{best.best_epoch} of {best.num_epochs}",
    }


def _test_scores(comparison: Comparison) -> list[tuple[str, ...]]:
    """Write one line a test evaluation for each experiment: a row for each kind of score, and each pair of probes."""
    rows: dict[str, list[list[str]]] = {}
    for number, contender in enumerate(comparison.contenders):
        for opening, kind, scores in contender.test_scores:
            if kind.is_probe:
                continue
            spread = mean_and_spread([score.weighted_accuracy for score in scores])
            deviation = f" ± {100 * spread.deviation:.1f}" if spread.num_values > 1 else ""
            origin = f"{plural(len(scores), 'seed')}, evaluation {opening.opening_id}"
            origin += ", synthetic" if opening.is_synthetic else ""
            cells = rows.setdefault(f"test weighted accuracy, {kind}", [[] for _ in comparison.contenders])
            cells[number].append(f"{100 * spread.mean:.1f}{deviation} % ({origin})")
    for reader, kinds in PROBE_KINDS.items():
        name = f"test unweighted accuracy of {reader}, scenes shared / left out"
        cells = [_write_probes(contender, kinds) for contender in comparison.contenders]
        rows |= {name: cells} if any(cells) else {}
    return [(name, *("\n".join(cell) for cell in cells)) for name, cells in rows.items()]


def _write_probes(contender: Contender, kinds: tuple[ScoreKind, ScoreKind]) -> list[str]:
    """Write one line a test evaluation that has a probe: both of its scores, or the first."""
    found: dict[str, dict[ScoreKind, float]] = {}
    for opening, kind, scores in contender.test_scores:
        if kind in kinds:
            origin = f"evaluation {opening.opening_id}" + (", synthetic" if opening.is_synthetic else "")
            found.setdefault(origin, {})[kind] = scores[0].unweighted_accuracy
    return [
        " / ".join(f"{100 * of_kind[kind]:.1f} %" if kind in of_kind else "none" for kind in kinds) + f" ({origin})"
        for origin, of_kind in found.items()
    ]


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
    note = _PAIRED_NOTE + (f" {TOO_NARROW}" if any("*" in row[1] for row in rows) else "")
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


def tabulate_settings_that_differ(comparison: Comparison) -> Table:
    """List what was set differently."""
    rows = [(name, *values) for name, values in comparison.settings_that_differ.items()]
    columns = ("what", *(contender.label for contender in comparison.contenders))
    return Table("What differs between their settings", columns, tuple(rows))


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return all that the tables show; scores and accuracies from 0 to 1, null where there is none."""
    labels = [contender.label for contender in comparison.contenders]
    return {
        "is_comparable": comparison.is_comparable,
        "notes": [*describe_comparability(comparison), *([SYNTHETIC_SENTENCE] if comparison.has_synthetic else [])],
        "experiments": [_experiment_to_json(comparison, contender) for contender in comparison.contenders],
        "differences": [_difference_to_json(difference) for difference in comparison.differences],
        "settings_that_differ": {
            name: dict(zip(labels, values, strict=True)) for name, values in comparison.settings_that_differ.items()
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
        "is_adapted_to_speakers": adapts_to_speakers(experiment.protocol_name),
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
        "seconds_in_all": contender.findings.seconds_in_all,
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
    best = difference.best
    return {
        "first": difference.first.label,
        "second": difference.second.label,
        "expected_best": difference.expected_best,
        "num_trials": difference.num_trials,
        "best": None if best is None else {"difference": best.difference, **asdict(best.interval)},
    }
