"""Every key of an experiment file and of a search space: type, bounds, allowed names, description; and their schema."""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from typing import Any

from harness.features.auxiliary import AuxiliaryTraining
from harness.features.own import SUFFIXES
from harness.features.speech import SPEECH_VARIANTS
from harness.models.own import FUNCTION_PATTERN
from harness.models.systems import SYSTEMS
from harness.models.turn_model import DEFAULT_NUM_EPOCHS, NetworkVectors
from harness.search.auptimizer import MAX_PARALLEL
from harness.search.dask.settings import CLUSTER
from harness.search.key_types import (
    MAX_NAME,
    MAX_TRIALS,
    Anything,
    Either,
    FileName,
    FunctionName,
    Key,
    ListOf,
    Names,
    Off,
    Positive,
    Section,
    Size,
    Text,
    TrueOrFalse,
    ValueType,
    WholeNumber,
)
from harness.search.proposer import PROPOSERS
from harness.search.space import MAX_HYPERPARAMETERS, PARAMETER
from harness.splits.folds import FOLD_CHOICES, Folds
from harness.splits.protocol import MOST_WORDS, PROTOCOLS, Protocol
from harness.store.pruning import EarlyStopping, PruningRule

#: Our default, beyond which a trial is a search of its own.
MAX_SEEDS = 100
#: Features of the user's own.
FEATURE_FILE = FileName(SUFFIXES)
_SYSTEM = Either((Names(SYSTEMS), FunctionName(FUNCTION_PATTERN)))
#: The dialect that editors know.
_DIALECT = "http://json-schema.org/draft-07/schema#"


class Resource(StrEnum):
    """The hardware of a job: this machine's processors or graphics cards, or a Dask cluster."""

    CPU = "cpu"
    GPU = "gpu"
    DASK = "dask"


def _list_choices() -> dict[str, Key]:
    """Return the choices of a protocol as keys; a search tests nothing but the sealed set, so those have one value."""
    sealed = Protocol("")
    choices = {}
    for name, default in ((field.name, getattr(sealed, field.name)) for field in fields(Protocol)):
        allowed: ValueType
        if isinstance(default, StrEnum):
            allowed = Names([each.value for each in ([default] if name in FOLD_CHOICES else type(default))])
        elif isinstance(default, bool):
            allowed = TrueOrFalse()
        elif isinstance(default, int):
            allowed = WholeNumber(default, default) if name in FOLD_CHOICES else WholeNumber(1, MOST_WORDS)
        else:
            continue
        choices[name] = Key(allowed, f"The protocol's choice {name}; the chapter on protocols says what it changes.")
    return choices


_PROTOCOL = Section(
    {
        "base": Key(Names(list(PROTOCOLS)), "The protocol whose choices are changed.", "paper"),
        "name": Key(Text(), "A name for the changed protocol; by default it names the changes."),
        **_list_choices(),
    }
)
_TURN_MODEL = Section(
    {
        "system": Key(
            Names([name for name, system in SYSTEMS.items() if not system.contexts]),
            "The network that answers each turn on its own.",
        ),
        "hyperparameters": Key(Section({}, Anything()), "Its hyperparameters by name; others keep their defaults."),
        "num_epochs": Key(WholeNumber(1), "The epochs of its training.", DEFAULT_NUM_EPOCHS),
        "seed": Key(WholeNumber(0), "The seed of its training in the search.", 0),
        "turn_vectors": Key(
            Names([each.value for each in NetworkVectors]), "The vector of a turn that the system above reads."
        ),
    }
)
_WITH_TURN_MODEL = [name for name, system in SYSTEMS.items() if system.turn_model is not None]
_RULES = [rule.value for rule in PruningRule]
EARLY_STOPPING = Section(
    {
        "rule": Key(Names(_RULES), "The rule that ends a trial."),
        "min_epochs": Key(
            WholeNumber(1), "The first epoch after which a trial may be ended.", EarlyStopping.min_epochs
        ),
        "reduction_factor": Key(
            WholeNumber(2), "Rule asha: one trial in so many goes on at each rung.", EarlyStopping.reduction_factor
        ),
    },
    required=("rule",),
    rules={
        "if": {"required": ["rule"], "properties": {"rule": {"const": PruningRule.MEDIAN.value}}},
        "then": {"properties": {"reduction_factor": False}},
    },
)
JOB_FAILURE = Section(
    {
        "ignore_fail": Key(TrueOrFalse(), "Whether the search goes on after a failed trial.", False),
        "job_retries": Key(WholeNumber(0), "How often a trial that was killed from outside starts again."),
    },
    others=Anything(),
)
#: Auptimizer's, allowed where they are switched off.
RESOURCE_ARGS = Section(
    {
        name: Key(Off(), "Auptimizer's own, never switched on here.")
        for name in ("early_stop", "save_model", "one_shot")
    },
    others=Anything(),
)
_PARAMETER_CONFIG = Key(
    ListOf(PARAMETER, max_values=MAX_HYPERPARAMETERS),
    "The hyperparameters that are searched, in place of search_space.",
)
SEARCH_SPACE = Section(
    {
        "system": Key(_SYSTEM, "The system whose hyperparameters these are.", takes_null=True),
        "description": Key(Anything(), "A note for people."),
        "parameter_config": _PARAMETER_CONFIG,
    },
    others=Anything(),
    required=("parameter_config",),
)


def _list_open() -> dict[str, Any]:
    """Return the sections in which a script that is not this package's own may have keys of its own, as schemas."""
    names = {"job_failure": JOB_FAILURE, "resource_args": RESOURCE_ARGS}
    closed = {name: {"propertyNames": {"enum": list(section.keys)}} for name, section in names.items()}
    return closed | {"parameter_config": {"items": {"propertyNames": {"enum": list(PARAMETER.keys)}}}}


def _trial_key(allowed: ValueType, description: str, default: Any = None, takes_null: bool = False) -> Key:
    return Key(allowed, description, default, takes_null, is_of_trials=True)


_KEYS = {
    "name": Key(Text(max_characters=MAX_NAME), "The experiment's name, under which it resumes."),
    "description": Key(Anything(), "A note for people; nothing reads it."),
    "script": Key(Text(), "The script that a job runs, with arguments if need be; harness's own is jobs/trial.py."),
    "resource": Key(Names([each.value for each in Resource]), "Where trials run: this machine, or a Dask cluster."),
    "target": Key(Names(["max", "min"]), "Whether the highest or the lowest score is best; accuracies have max."),
    "proposer": Key(Names(list(PROPOSERS), folds_case=True), "How the hyperparameters of the trials are chosen."),
    "parameter_config": _PARAMETER_CONFIG,
    "search_space": Key(Text(), "The file with the hyperparameters that are searched.", takes_null=True),
    "points": Key(
        ListOf(Section({}, Anything())),
        "The hyperparameters of the first trials, each with a value for every one that is searched.",
        takes_null=True,
    ),
    "n_samples": Key(WholeNumber(1, MAX_TRIALS), "The number of trials; proposer sequence runs its whole grid."),
    "random_seed": Key(WholeNumber(0), "Decides the hyperparameters and the training seed of every trial.", 0),
    "n_parallel": Key(WholeNumber(1, MAX_PARALLEL), "The number of trials that run at the same time."),
    "workingdir": Key(Text(), "The folder in which the script is found and runs.", takes_null=True),
    "cwd": Key(Anything(), "Auptimizer's own; the folder in which a script runs is workingdir."),
    "job_failure": Key(JOB_FAILURE, "What happens after a failed trial."),
    "max_failures": Key(WholeNumber(0), "The failed trials beyond which the search ends; by default half of them."),
    "resource_args": Key(RESOURCE_ARGS, "Auptimizer's own; nothing in it is switched on here."),
    "runtime_args": Key(
        Section({"env": Key(Section({}, Text(can_be_empty=True)), "Variables by name.")}),
        "Added to a job's environment, and never stored.",
    ),
    "engine": Key(Names(["tpe", "rand", "anneal"]), "Proposer hyperopt: how it chooses.", "tpe"),
    "timeout_seconds": Key(Positive(), "The seconds that one trial may take.", takes_null=True),
    "memory_limit": Key(Size(), 'The memory that one trial may use: bytes, or a text such as "4 GB".', takes_null=True),
    "cluster": Key(CLUSTER, "The Dask cluster on which trials run."),
    "system": Key(
        _SYSTEM, "The model that is trained: a name that harness systems lists, or FILE.py:FUNCTION of yours.", "fusion"
    ),
    "corpus": _trial_key(Text(), "The folder of the corpus; without it a synthetic one is made.", takes_null=True),
    "protocol": _trial_key(
        Either((Names(list(PROTOCOLS)), _PROTOCOL)), "How utterances are split, scaled and scored.", "paper"
    ),
    "folds": _trial_key(
        Names([each.value for each in Folds]), "One search for each session or speaker.", takes_null=True
    ),
    # The default is the authors'. A script that knows nothing of this package may have null.
    "max_epochs": _trial_key(WholeNumber(1), "The most epochs of a training.", 30, takes_null=True),
    "patience": _trial_key(WholeNumber(1), "Epochs without improvement that end a training.", takes_null=True),
    "early_stopping": _trial_key(
        Either((Names(["none", *_RULES]), EARLY_STOPPING)), "The rule that ends trials early.", "none", takes_null=True
    ),
    "seeds_per_trial": _trial_key(
        WholeNumber(1, MAX_SEEDS), "Trainings with different seeds, whose mean score is a trial's.", 1
    ),
    "speech_features": _trial_key(
        Either((Names(sorted(SPEECH_VARIANTS)), FEATURE_FILE)),
        "The features of speech, by name or a file of your own; by default those that the system reads.",
    ),
    "text_features": _trial_key(
        FEATURE_FILE, "A file with features of your own, which stand for the words.", takes_null=True
    ),
    "turn_model": _trial_key(
        _TURN_MODEL, "The network that answers single turns for a system that reads the dialogue.", takes_null=True
    ),
    "word_vectors": _trial_key(
        Text(), "A GloVe or word2vec text file; without it vectors are trained on the training text.", takes_null=True
    ),
    "auxiliary_corpora": _trial_key(
        ListOf(Text()), "Folders of other corpora whose words a system is trained on too.", takes_null=True
    ),
    "auxiliary_training": _trial_key(
        Names([each.value for each in AuxiliaryTraining]),
        "When the words of auxiliary corpora are trained on.",
        AuxiliaryTraining.TOGETHER.value,
    ),
    # Ours: about where a small network over words has read another corpus without knowing it by heart.
    "auxiliary_epochs": _trial_key(WholeNumber(1), "The epochs of auxiliary training that comes first.", 5),
}
EXPERIMENT = Section(
    _KEYS,
    others=Anything(),
    required=("name", "script", "resource", "target", "proposer"),
    rules={
        "allOf": [
            # A file without a system may be one of Auptimizer's own, with keys of its script's.
            {
                "if": {"required": ["system"]},
                "then": {
                    "propertyNames": {"enum": list(_KEYS)},
                    "properties": {"target": {"const": "max"}, "max_epochs": {"type": "integer"}, **_list_open()},
                },
            },
            {
                "if": {"required": ["resource"], "properties": {"resource": {"const": Resource.DASK.value}}},
                "then": {"required": ["cluster"]},
                "else": {"properties": {"cluster": False}},
            },
            {
                "if": {"required": ["proposer"], "properties": {"proposer": {"pattern": "^[Ss][Ee][Qq]"}}},
                "else": {"required": ["n_samples"]},
            },
            {
                "if": {"required": ["proposer"], "properties": {"proposer": {"pattern": "^[Hh]"}}},
                "else": {"properties": {"engine": False}},
            },
            {
                "if": {"required": ["search_space"], "properties": {"search_space": {"type": "string"}}},
                "then": {"properties": {"parameter_config": False}},
                "else": {"required": ["parameter_config"]},
            },
            {
                # A system that has a turn model of its own needs no name of another.
                "if": {"not": {"properties": {"system": {"enum": _WITH_TURN_MODEL}}, "required": ["system"]}},
                "then": {"properties": {"turn_model": {"required": ["system"]}}},
            },
        ]
    },
)
#: Those that only this package's own trials read.
TRIAL_KEYS = tuple(name for name, key in _KEYS.items() if key.is_of_trials)
#: Those of them that a script which prints its epochs has too.
REPORTED_KEYS = ("max_epochs", "early_stopping")


def schema_of(section: Section, title: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 7) of a file: whatever it refuses, the reader of the file refuses too.

    Args:
        section: ``EXPERIMENT`` or ``SEARCH_SPACE``

    The reader refuses more: files that do not exist, and values that do not go together.
    """
    return {"$schema": _DIALECT, "title": title, **section.to_schema()}
