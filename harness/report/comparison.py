"""Several searches beside each other: what differs between them, and whether their scores say anything of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from harness.report.findings import Findings
from harness.report.tables import trial_seconds, write_value
from harness.scoring.expected_best import weigh_order
from harness.scoring.significance import PairedBootstrap, paired_bootstrap
from harness.store.records import ScoreKind, TestOpeningRow, TestScores

#: What an experiment file says only of where and how, or what is shown apart.
_NOT_SETTINGS = frozenset({"name", "description", "parameter_config", "protocol", "system", "workingdir", "cwd"})


@dataclass(frozen=True)
class Contender:
    """One of the experiments that are compared.

    Attributes:
        label: what it is called beside the others: its number, and its folder where there are several
    """

    label: str
    findings: Findings

    @property
    def scores(self) -> np.ndarray:
        """The finished trials' scores, best first: float64 (num_finished,)."""
        return np.array([trial.score for trial in self.findings.finished], dtype=np.float64)

    @property
    def traits(self) -> dict[str, str]:
        """What must be the same for two experiments' scores to be set against each other, by name."""
        experiment = self.findings.experiment
        if not self.findings.experiment.protocol_name:
            # What a script of its own scores on is not known: the same script is all there is to go by.
            protocol = f"of its own script, {experiment.script}"
        else:
            protocol = f"'{experiment.protocol_name}' ({experiment.protocol_hash[:8]})"
        return {"corpus": describe_corpus(self.findings), "protocol": protocol, "target": experiment.target}

    @property
    def has_known_corpus(self) -> bool:
        """Whether its corpus is known, and so can be the same as another's."""
        return bool(self.findings.experiment.corpus_hash)

    def is_comparable_with(self, other: Contender) -> bool:
        """Whether the scores of both are known to mean the same; what is not known is equal to nothing."""
        return self.has_known_corpus and other.has_known_corpus and self.traits == other.traits

    @property
    def seconds_of_trials(self) -> list[float]:
        """Wall time of each finished trial."""
        taken = [trial_seconds(trial) for trial in self.findings.finished]
        return [seconds for seconds in taken if seconds is not None]

    @property
    def seconds_in_all(self) -> float | None:
        """Wall time from the experiment's beginning to its end; None while it runs."""
        experiment = self.findings.experiment
        if experiment.ended_at is None:
            return None
        began, ended = (datetime.fromisoformat(time) for time in (experiment.created_at, experiment.ended_at))
        return (ended - began).total_seconds()

    @property
    def test_scores(self) -> list[tuple[TestOpeningRow, ScoreKind, list[TestScores]]]:
        """What its final models scored on the test set, by opening and by who chose the epoch."""
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
    """How much better one experiment is than another that it can be compared with.

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
        """What makes scores incomparable: trait -> what it is -> labels of the experiments that have it."""
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
        """Whether all scores can be set against each other; None where nothing differs and a corpus is not known."""
        if self.traits_that_differ:
            return False
        return None if self.of_unknown_corpus else True

    @property
    def has_synthetic(self) -> bool:
        """Whether any of the experiments is on the synthetic corpus."""
        return any(contender.findings.experiment.is_synthetic for contender in self.contenders)

    def equal_number(self, contender: Contender) -> int:
        """Return how many finished trials this one and all comparable with it have; 0 where one has none."""
        comparable = [other for other in self.contenders if contender.is_comparable_with(other)]
        return min(len(other.scores) for other in [contender, *comparable])

    @cached_property
    def differences(self) -> list[Difference]:
        """The difference of each two experiments that are comparable and have a finished trial."""
        pairs = combinations(self.contenders, 2)
        return [
            _difference(first, second)
            for first, second in pairs
            if first.is_comparable_with(second) and len(first.scores) and len(second.scores)
        ]

    @cached_property
    def settings_that_differ(self) -> dict[str, list[str]]:
        """What was set differently, a value for each experiment, empty where it was not set."""
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
    expected = [contender.expected_best(num_trials) or 0.0 for contender in (first, second)]
    sign = 1.0 if first.findings.experiment.target == "max" else -1.0
    better_by = sign * (expected[0] - expected[1])
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
        "system": experiment.system,
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
