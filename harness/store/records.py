"""The records of results.db, as frozen dataclasses, and the ranking of trials by their scores."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import ClassVar

from harness.corpus.utterances import CLASSES, Emotion, Seconds
from harness.models.systems import name_searched, name_system

Hyperparameter = int | float | str | bool | None


def utc_now() -> str:
    """The time as results.db writes it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class ExperimentStatus(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class ExperimentKind(StrEnum):
    """The purpose of an experiment's trials; only a search has a best trial that is trained again."""

    SEARCH = "search"
    TABLES = "tables"
    LEAKS = "leaks"
    REPLICATION = "replication"

    @property
    def command(self) -> str:
        """The command that carries out the trials, and resumes them."""
        commands = {ExperimentKind.SEARCH: "aup EXPERIMENT.json", ExperimentKind.REPLICATION: "harness replicate"}
        return commands.get(self, f"harness {self.value}")


class TrialStatus(StrEnum):
    """The status of a trial; all but ``RUNNING`` are final."""

    RUNNING = "running"
    FINISHED = "finished"
    PRUNED = "pruned"
    CRASHED = "crashed"
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    DIVERGED = "diverged"
    KILLED = "killed"
    STOPPED = "stopped"

    @property
    def is_failure(self) -> bool:
        """True where the trial ended without a score for a cause of its own.

        A pruned trial has not failed: others were better. Nor has a stopped one: the search was ended while it ran,
        and it is left to do.
        """
        return self not in (TrialStatus.RUNNING, TrialStatus.FINISHED, TrialStatus.PRUNED, TrialStatus.STOPPED)

    @property
    def counts_as_ended(self) -> bool:
        """True where the trial is no longer left to do: it finished, was pruned, or failed."""
        return self not in (TrialStatus.RUNNING, TrialStatus.STOPPED)

    @property
    def runs_again(self) -> bool:
        """True where the trial runs again when its search is resumed: the cause of its end lay outside it."""
        return self in (TrialStatus.KILLED, TrialStatus.STOPPED)


#: The folder of a saved model, which is named by its trial.
_MODEL_NAME = re.compile(r"experiment-[0-9]+-trial-([0-9]+)-")
#: What the kinds of baselines' scores begin with; the baseline's title follows.
BASELINE_PREFIX = "baseline: "
#: What the kinds of probes' scores begin with.
PROBE_PREFIX = "probe: "


class ScoreKind(StrEnum):
    """The model that was scored on the test set, and who chose its epoch; a baseline and a probe have none."""

    VALIDATION_CHOSEN = "validation-chosen epoch"
    TEST_MAXIMUM = "maximum over test epochs (optimistic)"
    FUSION_RETRAINED = "validation-chosen epoch, without a modality: fusion layers retrained"
    ALL_RETRAINED = "validation-chosen epoch, without a modality: all retrained"
    ZEROED = "validation-chosen epoch, zeros in place of a modality"
    BRANCH_REPLACED = "validation-chosen epoch, a branch replaced: fusion layers retrained"
    SCENES_LEFT_OUT = "validation-chosen epoch, scored scenes left out of training"
    MEAN_OF_SEEDS = "validation-chosen epoch, mean of the seeds' probabilities"
    ENSEMBLE = "validation-chosen epochs, mean of an ensemble's members"
    ENSEMBLE_MEMBER = "validation-chosen epoch, one member of an ensemble"
    BASELINE_MAJORITY = "baseline: majority class"
    BASELINE_TEXT_LOGISTIC = "baseline: TF-IDF, logistic regression"
    BASELINE_SPEECH_FOREST = "baseline: random forest on speech"
    BASELINE_SPEECH_SVM = "baseline: SVM on functionals of speech"
    BASELINE_AVERAGE = "baseline: average of TF-IDF and forest"
    PROBE_WORDS_SHARED = "probe: words, scenes shared"
    PROBE_WORDS_LEFT_OUT = "probe: words, scored scene left out"
    PROBE_SPEECH_SHARED = "probe: speech, scenes shared"
    PROBE_SPEECH_LEFT_OUT = "probe: speech, scored scene left out"
    BASELINE_OWN_TURN = "baseline: the same without context"
    BASELINE_CONTEXT = "baseline: logistic regression over the dialogue"

    @property
    def is_baseline(self) -> bool:
        """True for a baseline that the model is compared with."""
        return self.value.startswith(BASELINE_PREFIX)

    @property
    def is_probe(self) -> bool:
        """True for a cheap system that shows how much of a score is recognition of the scene."""
        return self.value.startswith(PROBE_PREFIX)

    @property
    def is_of_model(self) -> bool:
        """True for the model itself or a variant of it, false for what is fitted to stand beside it."""
        return not (self.is_baseline or self.is_probe)

    @property
    def is_mean_of_models(self) -> bool:
        """True where one score is of the mean of several models' probabilities; its seed is the first of theirs."""
        return self in (ScoreKind.MEAN_OF_SEEDS, ScoreKind.ENSEMBLE)

    @property
    def is_for_all(self) -> bool:
        """True for a baseline of every system; the others are of systems that read the dialogue."""
        return self.is_baseline and self not in (ScoreKind.BASELINE_OWN_TURN, ScoreKind.BASELINE_CONTEXT)


@dataclass(frozen=True)
class FoldedExperiment:
    """An experiment of several folds: each is a search of its own, with another part of the corpus as its test set.

    Attributes:
        identity: everything that changes the outcome of its searches, a JSON text
        folds: the names of the test sets, in order, e.g. ``"Session 1"``
    """

    name: str
    identity: str
    folds: tuple[str, ...]
    created_at: str = field(default_factory=utc_now)


@dataclass(frozen=True, kw_only=True)
class FoldedExperimentRow(FoldedExperiment):
    """An experiment of several folds as the database holds it."""

    folded_id: int


@dataclass(frozen=True)
class ExperimentRecord:
    """One experiment, as it is when it begins.

    Attributes:
        identity: hash of everything that changes its outcome
        protocol, search_space, settings: JSON texts; ``settings`` is the experiment file without
            ``runtime_args.env``
        corpus_path: as it was given
        target: ``"max"`` or ``"min"``
        shortened: a sentence that says how the search was cut short, or None
        created_at: ISO 8601 in UTC
        corpus_note: a sentence that says what a corpus of recordings is where it is not the complete IEMOCAP; None for
            the complete one, for a synthetic one, and for a script that knows none
        features_note: sentences on each file of a user's own features, and on the utterances that it lacks; None where
            it has none
        folded_id, fold: of a search that is one fold of several: the experiment, and the name of the fold's test set
    """

    name: str
    identity: str
    system: str
    protocol_name: str
    protocol_hash: str
    protocol: str
    corpus_hash: str
    corpus_path: str
    is_synthetic: bool
    seed: int
    num_samples: int
    max_epochs: int
    patience: int | None
    target: str
    script: str
    search_space: str
    settings: str
    shortened: str | None
    package_version: str
    created_at: str = field(default_factory=utc_now)
    status: ExperimentStatus = ExperimentStatus.RUNNING
    kind: ExperimentKind = ExperimentKind.SEARCH
    folded_id: int | None = None
    fold: str | None = None
    corpus_note: str | None = None
    features_note: str | None = None

    @property
    def is_on_iemocap(self) -> bool:
        """True where the trials read the complete IEMOCAP, of which the paper's figures speak."""
        return bool(self.corpus_hash) and not self.is_synthetic and self.corpus_note is None

    @property
    def is_search(self) -> bool:
        """True where a controller runs the trials as jobs; only then is there a best trial and a report."""
        return self.kind is ExperimentKind.SEARCH

    @property
    def named_system(self) -> str:
        """The system with its context, unless the search chooses that; empty for a script of the user's own."""
        return name_searched(self.system, json.loads(self.search_space))

    def name_model(self, model: str | None, trials: Iterable[TrialRow]) -> str:
        """Name the system of a saved model with the context that its trial chose.

        Args:
            model: as ``TestScores`` has it; None, or one of no known trial, for the system as it was searched
            trials: of the experiment
        """
        trial = find_trial(model, trials)
        return self.named_system if trial is None else name_system(self.system, trial.hyperparameters)


@dataclass(frozen=True, kw_only=True)
class ExperimentRow(ExperimentRecord):
    """An experiment as the database holds it."""

    eid: int
    ended_at: str | None


@dataclass(frozen=True)
class TrialEnvironment:
    """The environment of a trial, written by its own process before it trains.

    Attributes:
        versions: of each package and of Python, by name
        git_revision: of the code, with ``+`` after it where files were changed; None outside a repository
        scene_groups: of the split, by number from 1; empty where scenes are shared
        validated_scenes: the group that validates and that training has not read; empty where scenes are shared
    """

    threads: int
    versions: Mapping[str, str]
    git_revision: str | None
    corpus_hash: str
    protocol_hash: str
    host: str
    pid: int
    scene_groups: tuple[tuple[str, ...], ...] = ()
    validated_scenes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: losses in nats, accuracies from 0 to 1, NaN where not measured; ``epoch`` counts from 1."""

    epoch: int
    train_loss: float
    train_accuracy: float
    train_unweighted_accuracy: float
    validation_loss: float
    validation_accuracy: float
    validation_unweighted_accuracy: float
    seconds: Seconds


@dataclass(frozen=True)
class Prediction:
    """One utterance: what the raters said, what the model said, and its four probabilities.

    Attributes:
        emotion: the class of the raters' label under the protocol's ``happiness``
        probabilities: in the order of ``CLASSES``
    """

    utterance_id: str
    emotion: Emotion
    predicted: Emotion
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial that trained to its end.

    Attributes:
        score: finite; the best validation accuracy for the package's own trials
        best_epoch: the epoch, from 1, that validation chose
        predictions: of that epoch, on the validation utterances
        embedding_source: where the word vectors came from, or the recogniser whose layers were taken over; None where
            there is neither
        temperature: fitted on ``predictions``, which are those before it is applied; None where the protocol fits none
        seed_scores: of a trial that trains with several seeds, the score of each, its own seed's first; ``score`` is
            their mean, and everything else is of the first. Empty for one seed
    """

    score: float
    best_epoch: int
    num_epochs: int
    predictions: tuple[Prediction, ...]
    peak_memory_bytes: int | None
    duration_seconds: Seconds
    embedding_source: str | None = None
    temperature: float | None = None
    seed_scores: tuple[float, ...] = ()


@dataclass(frozen=True)
class TrialRecords:
    """Everything that a trial's own process recorded, where it ran.

    Attributes:
        environment: None where the trial ended before that
        epochs: from the first, in order
        result: None where it did not train to its end
        execution: distinguishes one execution of the trial from another; None where nothing was executed
    """

    environment: TrialEnvironment | None
    epochs: tuple[EpochRecord, ...]
    result: TrialResult | None
    execution: str | None = None


@dataclass(frozen=True)
class TrialRow:
    """One attempt at one trial, as the database holds it.

    Attributes:
        score: what the controller accepted; None unless finished
        result_score: what the trial's own process recorded; None until then
        num_epochs: epochs recorded so far
        best_validation_accuracy: highest of those epochs, from 0 to 1; None before the first
        exit_code, signal, last_output: of the job, where it was not killed with its controller
        process_started_at: seconds since the epoch of Unix, by the operating system; distinguishes
            the process from a later one with the same pid
        seed_scores: as ``TrialResult`` has them
    """

    trial_id: int
    eid: int
    trial_index: int
    attempt: int
    seed: int
    jid: int | None
    hyperparameters: Mapping[str, Hyperparameter]
    status: TrialStatus
    score: float | None
    result_score: float | None
    best_epoch: int | None
    num_epochs: int
    best_validation_accuracy: float | None
    message: str | None
    exit_code: int | None
    signal: int | None
    last_output: str | None
    pid: int | None
    host: str | None
    process_started_at: float | None
    job_path: str | None
    started_at: str
    ended_at: str | None
    duration_seconds: Seconds | None
    peak_memory_bytes: int | None
    embedding_source: str | None
    temperature: float | None = None
    seed_scores: tuple[float, ...] = ()

    @property
    def score_spread(self) -> float | None:
        """The sample standard deviation of the seeds' scores; None for one seed."""
        return statistics.stdev(self.seed_scores) if len(self.seed_scores) > 1 else None


@dataclass(frozen=True)
class FinalModel:
    """One model trained on train + validation with the best trial's point."""

    eid: int
    trial_id: int
    seed: int
    num_epochs: int
    path: str
    duration_seconds: Seconds | None = None
    created_at: str = field(default_factory=utc_now)


@dataclass(frozen=True)
class TestOpening:
    """A test evaluation that is about to begin: recorded before the files of the test session are touched."""

    __test__: ClassVar[bool] = False

    eid: int | None
    command: str
    protocol: str
    corpus_hash: str
    seeds: tuple[int, ...]
    host: str
    user: str
    opened_at: str = field(default_factory=utc_now)


@dataclass(frozen=True)
class TestScores:
    """One seed's scores on the test session, or on another corpus, from 0 to 1.

    Attributes:
        epoch: the epoch, from 1, whose weights were scored; None for a baseline or a probe
        model: folder of the saved model that was scored, from the results folder; None for what is not saved as
            it was scored, a baseline, a probe or a model trained for comparison alone
    """

    __test__: ClassVar[bool] = False

    seed: int
    kind: ScoreKind
    weighted_accuracy: float
    unweighted_accuracy: float
    macro_f1: float
    predictions: tuple[Prediction, ...] = ()
    epoch: int | None = None
    model: str | None = None


@dataclass(frozen=True, kw_only=True)
class TestOpeningRow(TestOpening):
    """A test evaluation as the database holds it.

    Attributes:
        completed_at: None where the command ended before every seed was scored
        is_synthetic: whether the experiment's corpus was made by this package; None without an experiment
        scores: without their predictions
    """

    opening_id: int
    completed_at: str | None
    is_synthetic: bool | None
    scores: tuple[TestScores, ...]


@dataclass(frozen=True)
class Evaluation:
    """One scoring of a saved model on another corpus than the one that it was trained on: no test evaluation.

    Attributes:
        eid: the experiment that the model comes from; None for a model of another results folder
        model: its folder, from the results folder; the bare name of one that lies elsewhere
        model_hash: SHA-256 of its record
        protocol_name: of its training
        trained_on_hash, corpus_hash: content hashes of the two corpora, which differ
        corpus_path: as it was given
        is_synthetic: whether the scored corpus was made by this package
        sessions: of the scored corpus; each of their four-class utterances is scored
        seeds: of the model, each scored once
        command: as the user typed it
    """

    eid: int | None
    model: str
    model_hash: str
    system: str
    protocol_name: str
    trained_on_hash: str
    is_trained_on_synthetic: bool
    corpus_hash: str
    corpus_path: str
    is_synthetic: bool
    sessions: tuple[int, ...]
    seeds: tuple[int, ...]
    command: str
    host: str
    user: str
    evaluated_at: str = field(default_factory=utc_now)


@dataclass(frozen=True, kw_only=True)
class EvaluationRow(Evaluation):
    """An evaluation as the database holds it, whole.

    Attributes:
        scores: with their predictions by utterance id; the model's, then the baselines'
        is_seen: of each utterance whether training had read its transcript, None where no word was said; empty where
            it is not known what was trained on
    """

    evaluation_id: int
    scores: tuple[TestScores, ...]
    is_seen: Mapping[str, bool | None]

    @property
    def of_model(self) -> tuple[TestScores, ...]:
        """The scores of the model, one for each seed."""
        return tuple(score for score in self.scores if score.kind.is_of_model)


#: The columns that hold ``Prediction.probabilities``.
PROBABILITY_COLUMNS = tuple(f"probability_{emotion}" for emotion in CLASSES)


def are_accuracies(experiment: ExperimentRecord) -> bool:
    """Return True where the scores are validation accuracies; a user's own script may score anything."""
    return bool(experiment.system) and experiment.target == "max"


def rank_trials(trials: Iterable[TrialRow], target: str) -> list[TrialRow]:
    """Return the trials that have a score, best first; of equals the lowest trial index first.

    Args:
        target: ``"max"`` or ``"min"``
    """
    sign = -1.0 if target == "max" else 1.0
    scored = [(trial.score, trial) for trial in trials if trial.score is not None]
    return [trial for _, trial in sorted(scored, key=lambda pair: (sign * pair[0], pair[1].trial_index))]


def find_trial(model: str | None, trials: Iterable[TrialRow]) -> TrialRow | None:
    """Return the trial whose hyperparameters a saved model has; None where it is not among them.

    Args:
        model: as ``TestScores`` has it
        trials: of one experiment; of the attempts at a trial the last one counts that has finished
    """
    of_trial = _MODEL_NAME.search(model or "")
    found = [trial for trial in trials if of_trial and trial.trial_index == int(of_trial[1])]
    finished = [trial for trial in found if trial.status is TrialStatus.FINISHED]
    return next(iter(reversed(finished or found)), None)


def last_attempts(trials: Iterable[TrialRow]) -> list[TrialRow]:
    """Keep the last attempt of each trial index, by index."""
    latest = {trial.trial_index: trial for trial in sorted(trials, key=lambda trial: trial.attempt)}
    return [latest[index] for index in sorted(latest)]


def best_of(trials: Iterable[TrialRow], target: str) -> TrialRow | None:
    """Return the first of them as ``rank_trials`` orders them; None where none has a score."""
    return next(iter(rank_trials(trials, target)), None)
