"""From the path of an experiment file to one frozen, checked record, in one pass."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from harness.errors import ExperimentFileError, HarnessError
from harness.features.auxiliary import AuxiliaryTraining
from harness.features.own import is_own
from harness.features.speech import SPEECH_VARIANTS
from harness.models.systems import (
    OF_WORDS,
    TEXT_FEATURE_READERS,
    System,
    modalities_of,
    names_own,
    read_hyperparameters,
    read_system,
)
from harness.models.turn_model import REPLACED, TurnModel, read_turn_model
from harness.search.dask.settings import ClusterSettings, read_cluster
from harness.search.jobs import JobLimits
from harness.search.keys import (
    ExperimentKeys,
    JobScript,
    check_keys,
    expand_home,
    find_script,
    read_json_object,
)
from harness.search.known_keys import (
    EARLY_STOPPING,
    EXPERIMENT,
    FEATURE_FILE,
    JOB_FAILURE,
    REPORTED_KEYS,
    RESOURCE_ARGS,
    SEARCH_SPACE,
    TRIAL_KEYS,
    Resource,
)
from harness.search.proposer import OWN_PROPOSERS, PROPOSERS, REFUSED, check_installed
from harness.search.space import (
    Point,
    SearchSpace,
    check_extremes,
    check_grid,
    read_points,
    read_search_space,
    require_entries,
)
from harness.splits.folds import FOLD_CHOICES, Folds
from harness.splits.protocol import (
    DEFAULT_SPEECH_VARIANT,
    Lengths,
    Protocol,
    default_speech,
    preset_of,
    read_protocol,
)
from harness.store.pruning import EarlyStopping, PruningRule

#: Auptimizer's, where ``job_failure`` does not say.
DEFAULT_JOB_RETRIES = 3


@dataclass(frozen=True)
class AuxiliarySettings:
    """The auxiliary corpora that the file names.

    Attributes:
        corpora: as they were given
        num_epochs: of ``AuxiliaryTraining.FIRST``
    """

    corpora: tuple[Path, ...]
    training: AuxiliaryTraining
    num_epochs: int


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of this package's own trials, besides their hyperparameters.

    Attributes:
        corpus: as it was given; None where the file names none
        patience: epochs without a better one before a trial stops; None for never
        word_vectors: a GloVe or word2vec file; None for vectors trained on the training text
        speech_features: a name of ``SPEECH_VARIANTS``, which counts where ``own_files`` has no file of speech
        folds: what is the test set once, each time of a search of its own; None for one search
        turn_model: the system below one that reads the dialogue; None where there is none
        auxiliary: None without auxiliary corpora
        early_stopping: None where no trial is pruned
        own_files: the user's files of features, by the modality that each stands for: ``speech`` or ``text``
        seeds_per_trial: trainings whose mean score is a trial's
    """

    system: System
    protocol: Protocol
    corpus: Path | None
    max_epochs: int
    patience: int | None
    word_vectors: Path | None
    speech_features: str = DEFAULT_SPEECH_VARIANT
    folds: Folds | None = None
    turn_model: TurnModel | None = None
    auxiliary: AuxiliarySettings | None = None
    early_stopping: EarlyStopping | None = None
    own_files: Mapping[str, Path] = field(default_factory=dict)
    seeds_per_trial: int = 1


@dataclass(frozen=True)
class ReportedEpochs:
    """The settings of a script that knows nothing of this package, and may print its epochs.

    Attributes:
        max_epochs: for which it trains; None where the file does not say
        early_stopping: None where no trial is pruned; never without ``max_epochs``
    """

    max_epochs: int | None = None
    early_stopping: EarlyStopping | None = None


@dataclass(frozen=True)
class FoldPlace:
    """The place of a search among the folds of an experiment.

    Attributes:
        folded_id: of the experiment in results.db
        fold: the name of the test set, e.g. ``"Session 3"``
    """

    folded_id: int
    fold: str


@dataclass(frozen=True)
class ExperimentSettings:
    """One experiment file, complete and checked.

    Attributes:
        space: the hyperparameters that are searched
        parameter_config: the same as the file has it, with what Auptimizer's own proposers read
        num_samples: trials to run; None for ``sequence``, which walks its whole grid
        max_failures: failed trials beyond which the search ends and counts as failed; None for the half
        training: None for a script that knows nothing of this package
        job_environment: ``runtime_args.env``, which is never stored
        file: the file as it was read, without what may hold secrets
        cluster: None unless the resource is Dask
        place: of one fold's settings, which are made of the file's; None for the file's own
        points: of the first trials, complete
        reported: of a script that knows nothing of this package
    """

    path: Path
    name: str
    script: JobScript
    resource: Resource
    target: str
    proposer: str
    space: SearchSpace
    parameter_config: tuple[Mapping[str, Any], ...]
    num_samples: int | None
    seed: int
    num_parallel: int
    limits: JobLimits
    max_failures: int | None
    training: TrainingSettings | None
    job_environment: Mapping[str, str]
    file: Mapping[str, Any]
    cluster: ClusterSettings | None = None
    place: FoldPlace | None = None
    points: tuple[Point, ...] = ()
    reported: ReportedEpochs = ReportedEpochs()

    @property
    def folds(self) -> Folds | None:
        """What is the test set once; None for an experiment of one search."""
        return None if self.training is None else self.training.folds

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that some point of the search reads; empty for a script that knows nothing of this package."""
        if self.training is None:
            return ()
        system, protocol = self.training.system, self.training.protocol
        if (below := self.training.turn_model) is not None:
            return modalities_of(below.system, below.hyperparameters)
        choices = [parameter.choices for parameter in self.space.parameters if parameter.name == "vectors"]
        points = [{"vectors": choice} for choice in choices[0]] if choices else [{}]
        read = {
            modality
            for point in points
            for modality in modalities_of(system, read_hyperparameters(system, point, protocol))
        }
        return tuple(modality for modality in system.modalities if modality in read)

    @property
    def results_dir(self) -> Path:
        """The folder of everything that the experiment leaves behind."""
        return self.path.parent / "results"

    @property
    def searched(self) -> list[dict[str, Any]]:
        """Everything that decides which points are proposed, as plain values."""
        searched = self.space.to_json()
        if self.proposer == "sequence":
            for entry, given in zip(searched, self.parameter_config, strict=True):
                entry |= {key: given[key] for key in ("interval", "n") if key in given}
        return searched


def read_experiment_file(path: Path) -> ExperimentSettings:
    """Read and check an experiment file; a relative path in it begins at its folder.

    Raises:
        ExperimentFileError: one sentence that names the key, the value found and the values allowed
    """
    path = path.absolute()
    keys = ExperimentKeys(path, read_json_object(path, f"experiment file '{path.name}'"), EXPERIMENT)
    _refuse_unread_keys(keys)
    name = keys.short_text("name")
    resource = Resource(keys.one_of("resource"))
    cluster = read_cluster(keys, is_wanted=resource is Resource.DASK)
    working_dir = keys.path_of("workingdir") or path.parent
    if not os.path.isdir(working_dir):
        raise keys.error("workingdir", f"is '{str(working_dir):.300}'", "a folder that exists")
    script = keys.read("script", lambda text: find_script(text, working_dir), names_key=False)
    training = _read_training(keys, script)
    space, entries = _read_space(keys, training)
    proposer = _read_proposer(keys, space, entries)
    if keys.values.get("engine") is not None and proposer != "hyperopt":
        raise keys.error("engine", f"is given, and proposer is {proposer!r}", "it for proposer 'hyperopt' alone")
    keys.one_of("engine")
    points = _read_points(keys, space, proposer, training)
    return ExperimentSettings(
        path=path,
        name=name,
        script=script,
        resource=resource,
        target=keys.one_of("target"),
        proposer=proposer,
        space=space,
        parameter_config=entries,
        points=points,
        num_samples=None if proposer == "sequence" else keys.whole_number("n_samples"),
        seed=keys.whole_number("random_seed"),
        num_parallel=keys.whole_number("n_parallel", 1 if cluster is None else cluster.num_workers),
        limits=JobLimits(keys.positive("timeout_seconds"), keys.memory("memory_limit"), _read_retries(keys)),
        max_failures=_read_max_failures(keys),
        training=training,
        job_environment=keys.environment(),
        file=keys.without_environment(),
        cluster=cluster,
        reported=ReportedEpochs() if training is not None else _read_reported(keys),
    )


def _refuse_unread_keys(keys: ExperimentKeys) -> None:
    """Refuse keys that nothing reads; comes first, as a misspelt key would else be reported as missing."""
    if "compression" in keys.values:
        raise keys.error("compression", "is given", "no such key: models are searched here, not compressed")
    for key in RESOURCE_ARGS.keys:
        if keys.section("resource_args").get(key):
            raise keys.error(f"resource_args.{key}", "is given", "no such key: jobs run until they end")
    check_keys(keys.values, EXPERIMENT.keys, keys.origin, allows_others="system" not in keys.values)


def _read_training(keys: ExperimentKeys, script: JobScript) -> TrainingSettings | None:
    """Read the settings of this package's own trials; None for a script that knows nothing of this package."""
    if "system" not in keys.values and not script.is_harness_trial:
        for key in TRIAL_KEYS:
            if key in keys.values and key not in REPORTED_KEYS:
                found = f"is given, but script '{script.path.name}' is not harness's own"
                raise keys.error(key, found, "a system as well")
        return None
    system = _read_system(keys)
    check_keys(keys.values, EXPERIMENT.keys, keys.origin)
    check_keys(keys.section("job_failure"), JOB_FAILURE.keys, f"{keys.origin}: job_failure")
    for key in keys.section("resource_args"):
        if key not in RESOURCE_ARGS.keys:
            raise keys.error(f"resource_args.{key}", "is given", "no such key: it would be ignored")
    if keys.values.get("target") == "min":
        raise keys.error("target", "is 'min'", "'max': the score of harness's own trials is an accuracy")
    vectors = keys.path_of("word_vectors")
    if vectors is not None and not os.path.isfile(vectors):
        raise keys.error("word_vectors", f"is '{vectors}'", "a GloVe or word2vec text file")
    try:
        protocol = read_protocol(keys.values.get("protocol", "paper"), system.modalities)
        if system.own is not None:
            # Those of this package are right; a user's may be out of their ranges.
            defaults = {each.name: each.default for each in fields(system.hyperparameters)}
            read_hyperparameters(system, defaults, protocol)
        below = read_turn_model(keys.values.get("turn_model"), system, protocol)
    except HarnessError as error:
        raise ExperimentFileError(f"{keys.origin}: {error}") from error
    sealed = Protocol(protocol.name)
    if any(getattr(protocol, choice) != getattr(sealed, choice) for choice in FOLD_CHOICES):
        raise keys.error(
            "protocol",
            f"tests {protocol.test_set}, so this search would train on {sealed.test_set}",
            f"{sealed.test_set}; to test the others, use the key folds: "
            f"{' or '.join(repr(folds.value) for folds in Folds)}",
        )
    max_epochs = keys.whole_number("max_epochs")
    reader = system if below is None else below.system
    own_files = _read_own_files(keys, reader)
    return TrainingSettings(
        system=system,
        protocol=protocol,
        corpus=keys.path_of("corpus"),
        max_epochs=max_epochs,
        patience=keys.whole_number("patience") if keys.values.get("patience") is not None else None,
        word_vectors=vectors,
        speech_features=_read_speech_features(keys, reader, is_file="speech" in own_files),
        folds=Folds(keys.one_of("folds")) if keys.values.get("folds") is not None else None,
        turn_model=below,
        auxiliary=_read_auxiliary(keys, system),
        early_stopping=_read_own_early_stopping(keys, script, max_epochs),
        own_files=own_files,
        seeds_per_trial=_read_seeds(keys, script),
    )


def _read_system(keys: ExperimentKeys) -> System:
    """Read the system; a function of the user's is run once, with inputs as the other keys choose them."""

    is_own = names_own(keys.text("system", "fusion"))

    def read(text: str) -> System:
        has_masks = not is_own or read_protocol(keys.values.get("protocol", "paper")).lengths is Lengths.REAL
        has_words = keys.values.get("text_features") is None
        return read_system(text, keys.path.parent, has_masks=has_masks, has_words=has_words)

    return keys.read("system", read, default="fusion", names_key=not is_own)


def _read_own_files(keys: ExperimentKeys, reader: System) -> dict[str, Path]:
    """Read the user's files of features, and refuse one that the system would not read."""
    files: dict[str, Path] = {}
    for modality in ("speech", "text"):
        key = f"{modality}_features"
        given = keys.values.get(key)
        if given is None or (modality == "speech" and not is_own(given)):
            continue
        if not is_own(given):
            raise keys.error(key, f"is {given!r:.80}", FEATURE_FILE.expected)
        path = keys.file_of(key, FEATURE_FILE.expected)
        if modality not in reader.modalities:
            found = f"is a file, and system {reader.name!r} reads {', '.join(reader.modalities)}"
            raise keys.error(key, found, f"a system that reads {modality}")
        files[modality] = path
    if "speech" in files and reader.speech_features != DEFAULT_SPEECH_VARIANT:
        found = f"is a file, and system {reader.name!r} reads {reader.speech_features!r} and no other"
        raise keys.error("speech_features", found, "another system, such as 'speech4' or 'speech_vector'")
    if "text" in files:
        if reader.own is None and reader.name not in TEXT_FEATURE_READERS:
            found = f"is given, and system {reader.name!r} reads words"
            raise keys.error("text_features", found, f"one of the systems {list(TEXT_FEATURE_READERS)}")
        if keys.values.get("word_vectors") is not None or keys.values.get("auxiliary_corpora") is not None:
            other = "word_vectors" if keys.values.get("word_vectors") is not None else "auxiliary_corpora"
            raise keys.error("text_features", f"stands for the words, and {other} is given", "one of the two")
    return files


def _read_speech_features(keys: ExperimentKeys, reader: System, *, is_file: bool) -> str:
    """Read the speech variant, by default that of the system that reads the sound, or of the protocol's preset.

    One that the system cannot read is refused.

    Args:
        is_file: whether a file of features is named in place of a variant
    """
    if is_file:
        return DEFAULT_SPEECH_VARIANT
    default = reader.speech_features
    if default == DEFAULT_SPEECH_VARIANT:
        default = default_speech(preset_of(keys.values.get("protocol", "paper")))
    variant = keys.values.get("speech_features", default)
    found = f"is {variant!r:.80}"
    if not isinstance(variant, str) or variant not in SPEECH_VARIANTS:
        raise keys.error("speech_features", found, f"one of {sorted(SPEECH_VARIANTS)}, or {FEATURE_FILE.expected}")
    if reader.speech_features not in (DEFAULT_SPEECH_VARIANT, variant):
        raise keys.error("speech_features", found, f"{reader.speech_features!r}, which system {reader.name!r} reads")
    if "mocap" in reader.modalities and not SPEECH_VARIANTS[variant].holds_motion:
        others = " or ".join(repr(name) for name, settings in SPEECH_VARIANTS.items() if settings.holds_motion)
        raise keys.error(
            "speech_features", f"{found}, beside which no motion is prepared", f"{others}: {reader.name!r} reads motion"
        )
    return variant


def _read_auxiliary(keys: ExperimentKeys, system: System) -> AuxiliarySettings | None:
    """Read the auxiliary corpora, whose words a system that reads words alone is trained on too."""
    given = keys.values.get("auxiliary_corpora")
    for key in ("auxiliary_training", "auxiliary_epochs"):
        if given is None and keys.values.get(key) is not None:
            raise keys.error(key, "is given without auxiliary_corpora", "a list of corpora there")
    if given is None:
        return None
    if not isinstance(given, list) or not given or not all(isinstance(each, str) and each.strip() for each in given):
        raise keys.error("auxiliary_corpora", f"is {given!r:.80}", 'a list of folders, e.g. ["/data/MELD"]')
    corpora = tuple(keys.path.parent / expand_home(each) for each in given)
    for corpus in corpora:
        if not os.path.isdir(corpus):
            raise keys.error("auxiliary_corpora", f"names '{corpus}'", "a folder in the corpus's layout")
    if system.modalities != ("text",):
        found = f"is given, and system {system.name!r} reads {', '.join(system.modalities)}"
        raise keys.error("auxiliary_corpora", found, "a system of single utterances that reads words alone")
    if keys.values.get("resource") == Resource.DASK:
        raise keys.error("auxiliary_corpora", "is given, and a Dask worker reads one corpus", "resource 'cpu' or 'gpu'")
    training = keys.one_of("auxiliary_training")
    if training != AuxiliaryTraining.FIRST and keys.values.get("auxiliary_epochs") is not None:
        raise keys.error("auxiliary_epochs", f"is given, and auxiliary_training is {training!r}", "'first' there")
    num_epochs = keys.whole_number("auxiliary_epochs")
    return AuxiliarySettings(corpora, AuxiliaryTraining(training), num_epochs)


def _read_own_early_stopping(keys: ExperimentKeys, script: JobScript, max_epochs: int) -> EarlyStopping | None:
    stopping = _read_early_stopping(keys, max_epochs)
    if stopping is not None and not script.is_harness_trial:
        found = f"is given with a system, and script '{script.path.name}' is not harness's own"
        expected = "a script that runs harness.training.trial, or one that prints its epochs and no system"
        raise keys.error("early_stopping", found, expected)
    return stopping


def _read_reported(keys: ExperimentKeys) -> ReportedEpochs:
    """Read what belongs to the epochs that a script prints which knows nothing of this package."""
    max_epochs = keys.whole_number("max_epochs") if keys.values.get("max_epochs") is not None else None
    stopping = _read_early_stopping(keys, max_epochs)
    if stopping is not None and max_epochs is None:
        found = "is given without max_epochs"
        raise keys.error("early_stopping", found, "max_epochs too, the number of epochs for which the script trains")
    if stopping is not None and keys.values.get("resource") == Resource.DASK:
        found = "is given, and the epochs that a script prints are not read on a Dask cluster"
        raise keys.error("early_stopping", found, "resource 'cpu' or 'gpu', or a system")
    if stopping is not None and keys.values.get("target") == "min":
        found = "compares validation accuracies, and target is 'min'"
        raise keys.error("early_stopping", found, "target 'max'")
    return ReportedEpochs(max_epochs, stopping)


def _read_early_stopping(keys: ExperimentKeys, max_epochs: int | None) -> EarlyStopping | None:
    """Read the rule that prunes trials: its name alone, or an object with its numbers."""
    given = keys.values.get("early_stopping")
    if isinstance(given, dict):
        check_keys(given, EARLY_STOPPING.keys, f"{keys.origin}: early_stopping")
        rule = keys.one_of("early_stopping.rule")
        if rule != PruningRule.ASHA and "reduction_factor" in given:
            raise keys.error("early_stopping.reduction_factor", f"is given with rule {rule!r}", "rule 'asha' there")
        numbers = {name: keys.whole_number(f"early_stopping.{name}") for name in given if name != "rule"}
        stopping = EarlyStopping(PruningRule(rule), **numbers)
    elif given is None or keys.one_of("early_stopping") == "none":
        return None
    else:
        stopping = EarlyStopping(PruningRule(given))
    if max_epochs is not None and stopping.min_epochs >= max_epochs:
        found = f"prunes no trial before epoch {stopping.min_epochs}, and max_epochs is {max_epochs}"
        raise keys.error("early_stopping", found, "min_epochs below max_epochs")
    return stopping


def _read_seeds(keys: ExperimentKeys, script: JobScript) -> int:
    num_seeds = keys.whole_number("seeds_per_trial")
    if num_seeds > 1 and not script.is_harness_trial:
        found = f"is {num_seeds}, and script '{script.path.name}' is not harness's own"
        raise keys.error("seeds_per_trial", found, "a script that runs harness.training.trial")
    return num_seeds


def _read_space(
    keys: ExperimentKeys, training: TrainingSettings | None
) -> tuple[SearchSpace, tuple[Mapping[str, Any], ...]]:
    """Read the search space, from this file or the one it names; also return its entries as they stand there."""
    system = None if training is None else training.system
    path = keys.path_of("search_space")
    if path is None:
        origin = keys.origin
        entries = keys.required("parameter_config", "a list of hyperparameters, or a search_space instead")
    elif "parameter_config" in keys.values:
        raise keys.error("search_space", "is given together with parameter_config", "only one of the two")
    else:
        if path.parent == keys.path.parent and not os.path.exists(path):
            path = path.parent / "search_spaces" / path.name
        origin = f"search space '{keys.values['search_space']}'"
        held = read_json_object(path, origin)
        check_keys(held, SEARCH_SPACE.keys, origin, allows_others=system is None)
        named = held.get("system")
        # A function's file may have another folder in its text than in its name.
        if named is not None and (system is None or named not in (system.name, keys.values.get("system"))):
            found = "has none" if system is None else f"is for system {system.name!r}"
            raise ExperimentFileError(
                f"{origin}: system is {named!r}, and the experiment {found}; expected the same in both"
            )
        entries = require_entries(held, origin)
    space = read_search_space(entries, origin, system)
    if training is not None:
        check_extremes(space, origin, training.system, training.protocol)
        _refuse_unread(space, origin, training)
    return space, tuple(dict(entry) for entry in entries)


def _refuse_unread(space: SearchSpace, origin: str, training: TrainingSettings) -> None:
    """Refuse hyperparameters that nothing reads: of what a turn model or a file replaces, or scenes without names."""
    for parameter in space.parameters:
        if training.auxiliary is not None and parameter.name == "scene_robustness":
            raise ExperimentFileError(
                f"{origin}: parameter 'scene_robustness' is given, and so is auxiliary_corpora, whose scenes have the "
                "names of other scenes; expected one of the two"
            )
        if training.auxiliary is not None and training.auxiliary.training is AuxiliaryTraining.FIRST:
            for choice in parameter.choices:
                point = read_hyperparameters(training.system, {parameter.name: choice}, training.protocol)
                if point.is_fitted_at_once:
                    raise ExperimentFileError(
                        f"{origin}: parameter {parameter.name!r} can be {choice!r}, which is fitted at once, and "
                        "auxiliary_training is 'first'; expected 'together'"
                    )
        if "text" in training.own_files and training.turn_model is None and parameter.name in OF_WORDS:
            raise ExperimentFileError(
                f"{origin}: parameter {parameter.name!r} is of words, and text_features stands for them; expected one "
                "of the two"
            )
        if training.turn_model is not None and parameter.name in REPLACED:
            raise ExperimentFileError(
                f"{origin}: parameter {parameter.name!r} is given, and so is turn_model, which takes the place of what "
                "it describes; expected one of the two"
            )


def _read_proposer(keys: ExperimentKeys, space: SearchSpace, entries: Sequence[Mapping[str, Any]]) -> str:
    named = keys.values.get("proposer")
    if isinstance(named, str) and (reason := REFUSED.get(named.lower())):
        raise keys.error("proposer", f"is {named!r}, which cannot be used: {reason}", f"one of {list(PROPOSERS)}")
    proposer = keys.one_of("proposer")
    keys.read("proposer", lambda text: check_installed(proposer))
    for parameter in space.parameters:
        if proposer not in OWN_PROPOSERS and (parameter.is_log or parameter.step is not None):
            key = "log" if parameter.is_log else "step"
            instead = "; for a grid use interval or n" if proposer == "sequence" else ""
            raise ExperimentFileError(
                f"{keys.origin}: parameter {parameter.name!r}: {key} is given, which proposer {proposer!r} does not "
                f"support; expected it with {' or '.join(map(repr, OWN_PROPOSERS))} only{instead}"
            )
    if proposer == "sequence":
        check_grid(space, entries, keys.origin)
    return proposer


def _read_points(
    keys: ExperimentKeys, space: SearchSpace, proposer: str, training: TrainingSettings | None
) -> tuple[Point, ...]:
    """Read the points of the first trials; a point that no model can be built from is refused here."""
    if keys.values.get("points") is None:
        return ()
    if proposer not in OWN_PROPOSERS:
        raise keys.error("points", f"is given with proposer {proposer!r}", " or ".join(map(repr, OWN_PROPOSERS)))
    points = read_points(keys.values["points"], space, f"{keys.origin}: points")
    num_samples = keys.whole_number("n_samples")
    if len(points) > num_samples:
        raise keys.error("points", f"has {len(points)} points, and n_samples is {num_samples}", "no more than trials")
    for number, point in enumerate(points, start=1):
        if training is not None:
            try:
                read_hyperparameters(training.system, point, training.protocol)
            except HarnessError as error:
                raise ExperimentFileError(f"{keys.origin}: points: point {number}: {error}") from error
    return points


def _read_retries(keys: ExperimentKeys) -> int:
    default = DEFAULT_JOB_RETRIES if keys.section("job_failure") else 0
    return keys.whole_number("job_failure.job_retries", default)


def _read_max_failures(keys: ExperimentKeys) -> int | None:
    if "max_failures" in keys.values:
        return keys.whole_number("max_failures")
    # Auptimizer's meaning: the first failed job ends the experiment.
    is_strict = keys.section("job_failure") and not keys.true_or_false("job_failure.ignore_fail", default=False)
    return 0 if is_strict else None
