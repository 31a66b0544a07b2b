"""experiment.json: what it means, and a sentence for everything that is wrong with it."""

import json
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ExperimentFileError
from harness.features.auxiliary import AuxiliaryTraining
from harness.models.systems import SYSTEMS
from harness.search.corpus import PreparedCorpus, shorten_search
from harness.search.experiment import identity_of
from harness.search.experiment_file import AuxiliarySettings, read_experiment_file
from harness.search.jobs import JobLimits
from harness.search.keys import read_json_object
from harness.search.known_keys import Resource
from harness.search.proposer import REFUSED

OUR_SCRIPT = "#!/usr/bin/env python\nfrom harness.training.trial import main\n"
FOREIGN_SCRIPT = "print('#Auptimizer:0.5')\n"
ORIGIN = "experiment file 'experiment.json'"
CONTEXTS = [{"name": "context", "range": ["past", "dialogue"], "type": "choice"}]
VECTORS = [{"name": "vectors", "range": ["tfidf"], "type": "choice"}]
SPACE = [{"name": "dropout", "range": [0.0, 0.4], "type": "float"}]

#: The random search of Auptimizer's own examples, unchanged.
STOCK = {
    "name": "random example",
    "script": "rosenbrock.py",
    "parameter_config": [
        {"name": "x", "range": [-5, 10], "type": "float"},
        {"name": "y", "range": [-5, 10], "type": "float"},
    ],
    "proposer": "random",
    "n_samples": 100,
    "n_parallel": 2,
    "target": "min",
    "resource": "cpu",
    "workingdir": "./",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / 'it\'s; a "folder" 100%'
    (folder / "jobs").mkdir(parents=True)
    (folder / "jobs" / "trial.py").write_text(OUR_SCRIPT)
    (folder / "rosenbrock.py").write_text(FOREIGN_SCRIPT)
    return folder


def write(folder: Path, values: dict[str, Any] | str) -> Path:
    path = folder / "experiment.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


def ours(**changes: Any) -> dict[str, Any]:
    values = {
        "name": "fusion",
        "script": "jobs/trial.py",
        "resource": "cpu",
        "target": "max",
        "proposer": "random",
        "parameter_config": SPACE,
        "n_samples": 30,
    }
    return {key: value for key, value in {**values, **changes}.items() if value is not ...}


def test_what_is_not_said_has_its_default(folder: Path) -> None:
    settings = read_experiment_file(write(folder, ours()))
    assert settings.training is not None
    assert settings.training.system.name == "fusion"
    assert settings.training.protocol.name == "paper"
    assert (settings.training.max_epochs, settings.training.patience, settings.training.corpus) == (
        30,
        None,
        None,
    )
    assert (settings.seed, settings.num_parallel, settings.resource) == (0, 1, Resource.CPU)
    assert (settings.limits, settings.max_failures) == (JobLimits(None, None, 0), None)
    assert settings.results_dir == folder / "results"


def test_a_turn_model_is_read_decides_what_is_read_and_is_part_of_the_identity_where_it_is_given(folder: Path) -> None:
    plain = read_experiment_file(write(folder, ours(system="chain", parameter_config=CONTEXTS)))
    below = {"system": "head2", "num_epochs": 3}
    settings = read_experiment_file(write(folder, ours(system="chain", parameter_config=CONTEXTS, turn_model=below)))
    assert settings.training is not None and settings.training.turn_model is not None
    assert settings.modalities == ("mocap",) and plain.modalities == ("text",)
    prepared = PreparedCorpus(folder, "hash", "", False, (), max_epochs=30, patience=None, shortened=None)
    assert "turn_model" not in identity_of(plain, prepared)
    assert identity_of(settings, prepared)["turn_model"]["num_epochs"] == 3
    shortened, _ = shorten_search(settings, replace(prepared, corpus_path=""))
    assert shortened.training is not None and shortened.training.turn_model is not None
    assert shortened.training.turn_model.num_epochs == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"turn_model": {"system": "chain"}}, "turn_model.system is 'chain', which reads the dialogue itself"),
        ({"turn_model": {"system": "text2"}, "system": "fusion"}, "turn_model is given, and system 'fusion' reads"),
        (
            {"turn_model": {"system": "text2"}, "parameter_config": VECTORS},
            "parameter 'vectors' is given, and so is turn_model, which takes the place of what it describes; expected "
            "one of the two",
        ),
    ],
    ids=["reads dialogues", "single utterances", "both"],
)
def test_a_turn_model_that_cannot_be_is_refused(folder: Path, values: dict[str, Any], message: str) -> None:
    given = {"system": "bc_lstm", "parameter_config": SPACE, **values}
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(write(folder, ours(**given)))
    assert str(caught.value).startswith(f"{ORIGIN}: {message}")


def test_points_come_first_are_part_of_the_identity_and_follow_a_quick_start(folder: Path) -> None:
    points = [{"dropout": 0.1}, {"dropout": 0.4}]
    for proposer in ("random", "sobol"):
        settings = read_experiment_file(write(folder, ours(points=points, proposer=proposer)))
        assert settings.points == tuple(points)
    prepared = PreparedCorpus(folder, "hash", "", False, (), max_epochs=30, patience=None, shortened=None)
    assert identity_of(settings, prepared)["points"] == points
    assert "points" not in identity_of(read_experiment_file(write(folder, ours())), prepared)
    shortened, _ = shorten_search(settings, prepared)
    assert shortened.points == ({"dropout": 0.1, "batch_size": 8}, {"dropout": 0.4, "batch_size": 8})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"points": []}, "points is []; expected a list of points"),
        ({"points": [{}]}, "points: point 1 has []; expected exactly the searched ['dropout']"),
        ({"points": [{"dropout": 0.1, "finalfc": 3}]}, "points: point 1 has ['dropout', 'finalfc']; expected exactly"),
        ({"points": [{"dropout": 0.1}, 3]}, "points: point 2 has 3; expected exactly the searched ['dropout']"),
        ({"points": [{"dropout": 0.5}]}, "points: point 1: dropout is 0.5; expected a value of its range in the"),
        ({"points": [{"dropout": True}]}, "points: point 1: dropout is true; expected a value of its range"),
        ({"points": [{"dropout": 0.1}] * 2}, "points: point 2 is point 1 again; expected each point once"),
        (
            {"points": [{"dropout": 0.1}, {"dropout": 0.2}], "n_samples": 1},
            "points has 2 points, and n_samples is 1; expected no more than trials",
        ),
        ({"points": [{"dropout": 0.1}], "proposer": "sequence"}, "points is given with proposer 'sequence'; expected"),
    ],
    ids=["empty", "too few", "too many", "no point", "bounds", "no number", "twice", "too long", "another proposer"],
)
def test_points_that_cannot_come_first_are_refused(folder: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(write(folder, ours(**values)))
    assert str(caught.value).startswith(f"{ORIGIN}: {message}")


def test_auxiliary_corpora_are_read(folder: Path) -> None:
    (folder / "meld").mkdir()
    words = {"system": "text2", "auxiliary_corpora": ["meld"]}
    settings = read_experiment_file(write(folder, ours(**words)))
    assert settings.training is not None
    assert settings.training.auxiliary == AuxiliarySettings((folder / "meld",), AuxiliaryTraining.TOGETHER, 5)
    settings = read_experiment_file(write(folder, ours(**words, auxiliary_training="first", auxiliary_epochs=3)))
    assert settings.training is not None
    assert settings.training.auxiliary == AuxiliarySettings((folder / "meld",), AuxiliaryTraining.FIRST, 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"auxiliary_corpora": "meld"}, "auxiliary_corpora is 'meld'; expected a list of folders"),
        ({"auxiliary_corpora": []}, "auxiliary_corpora is []; expected a list of folders"),
        ({"auxiliary_corpora": ["nowhere"]}, "auxiliary_corpora names '"),
        (
            {"auxiliary_corpora": ["jobs"], "system": "fusion"},
            "auxiliary_corpora is given, and system 'fusion' reads text, speech, mocap; expected a system of single "
            "utterances that reads words alone",
        ),
        (
            {"auxiliary_corpora": ["jobs"], "auxiliary_training": "later"},
            "auxiliary_training is 'later'; expected one of ['together', 'first']",
        ),
        (
            {"auxiliary_corpora": ["jobs"], "auxiliary_epochs": 3},
            "auxiliary_epochs is given, and auxiliary_training is 'together'; expected 'first' there",
        ),
        (
            {"auxiliary_training": "first"},
            "auxiliary_training is given without auxiliary_corpora; expected a list of corpora there",
        ),
        (
            {
                "auxiliary_corpora": ["jobs"],
                "parameter_config": [{"name": "scene_robustness", "range": [0.0, 0.5], "type": "float"}],
            },
            "parameter 'scene_robustness' is given, and so is auxiliary_corpora, whose scenes have the names of other "
            "scenes; expected one of the two",
        ),
        (
            {
                "auxiliary_corpora": ["jobs"],
                "auxiliary_training": "first",
                "system": "text_terms",
                "parameter_config": [{"name": "classifier", "range": ["network", "logistic"], "type": "choice"}],
            },
            "parameter 'classifier' can be 'logistic', which is fitted at once, and auxiliary_training is 'first'; "
            "expected 'together'",
        ),
    ],
    ids=[
        *("no list", "empty", "no folder", "sound too", "unknown", "epochs of nothing", "without corpora", "scenes"),
        "fitted at once",
    ],
)
def test_auxiliary_corpora_that_cannot_be_are_refused(folder: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(write(folder, ours(**{"system": "text2", **values})))
    assert str(caught.value).startswith(f"{ORIGIN}: {message}")


def test_uni_svm_reads_the_modalities_of_the_vectors_that_are_searched_also_as_a_turn_model(folder: Path) -> None:
    def modalities(**changes: Any) -> tuple[str, ...]:
        return read_experiment_file(write(folder, ours(**changes))).modalities

    entry = {"name": "vectors", "type": "choice"}
    cost = {"name": "svm_cost", "range": [0.01, 0.1], "type": "float"}
    assert modalities(system="uni_svm", parameter_config=[cost]) == ("text", "speech")
    assert modalities(system="uni_svm", parameter_config=[{**entry, "range": ["speech"]}]) == ("speech",)
    both = [{**entry, "range": ["mocap", "text"]}]
    assert modalities(system="uni_svm", parameter_config=both) == ("text", "mocap")
    below = {"system": "uni_svm", "hyperparameters": {"vectors": "text"}}
    dense = [{"name": "dense", "range": [8, 16], "type": "int"}]
    assert modalities(system="bc_lstm", turn_model=below, parameter_config=dense) == ("text",)


@pytest.fixture
def framed(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a system that reads short frames."""
    monkeypatch.setitem(SYSTEMS, "framed", replace(SYSTEMS["speech4"], name="framed", speech_features="frames"))
    return "framed"


@pytest.mark.parametrize(
    ("values", "variant"),
    [
        ({"system": "speech4"}, "short-term"),
        ({"system": "speech4", "speech_features": "frames"}, "frames"),
        ({"system": "framed"}, "frames"),
        ({"system": "framed", "speech_features": "frames"}, "frames"),
        ({"system": "chain", "parameter_config": CONTEXTS}, "short-term"),
        ({"system": "chain", "parameter_config": CONTEXTS, "turn_model": {"system": "framed"}}, "frames"),
    ],
)
def test_the_speech_features_are_by_default_those_that_the_system_reads(
    folder: Path, framed: str, values: dict[str, Any], variant: str
) -> None:
    settings = read_experiment_file(write(folder, ours(**values)))
    assert settings.training is not None and settings.training.speech_features == variant


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"system": "framed", "speech_features": "short-term"},
            "speech_features is 'short-term'; expected 'frames', which system 'framed' reads",
        ),
        (
            {"system": "chain", "parameter_config": CONTEXTS, "turn_model": {"system": "framed"}}
            | {"speech_features": "mel"},
            "speech_features is 'mel'; expected 'frames', which system 'framed' reads",
        ),
        (
            {"system": "fusion", "speech_features": "frames"},
            "speech_features is 'frames', beside which no motion is prepared; expected 'short-term' or 'deltas' or "
            "'loud' or 'detailed' or 'mel' or 'short-windows': 'fusion' reads motion",
        ),
    ],
    ids=["another", "another for a turn model", "motion"],
)
def test_speech_features_that_a_system_cannot_read_are_refused(
    folder: Path, framed: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(write(folder, ours(**values)))
    assert str(caught.value) == f"{ORIGIN}: {message}"


def test_every_key_is_read(folder: Path) -> None:
    (folder / "vectors.txt").write_text("a 1\n")
    values = ours(
        resource="gpu",
        random_seed=7,
        n_parallel=4,
        corpus="my corpus",
        protocol={"base": "strict", "chroma": "zeros"},
        system="mocap1",
        max_epochs=5,
        patience=2,
        timeout_seconds=60,
        memory_limit="1.5 GB",
        max_failures=3,
        word_vectors="vectors.txt",
        job_failure={"ignore_fail": True, "job_retries": 2},
        runtime_args={"env": {"TOKEN": "secret"}},
        description="kept",
    )
    settings = read_experiment_file(write(folder, values))
    assert settings.training is not None
    assert settings.training.protocol.name == "strict+chroma=zeros"
    assert settings.training.corpus == folder / "my corpus"
    assert settings.training.word_vectors == folder / "vectors.txt"
    assert (settings.training.max_epochs, settings.training.patience) == (5, 2)
    assert settings.limits == JobLimits(60.0, 1_500_000_000, 2)
    assert (settings.seed, settings.num_parallel, settings.max_failures) == (7, 4, 3)
    assert settings.job_environment == {"TOKEN": "secret"}
    assert "secret" not in json.dumps(settings.file)
    assert settings.file["description"] == "kept"


def test_an_unchanged_file_of_auptimizers_works(folder: Path) -> None:
    settings = read_experiment_file(write(folder, STOCK))
    assert settings.training is None
    assert (settings.num_samples, settings.num_parallel, settings.target) == (100, 2, "min")
    assert settings.script.working_dir == folder


def test_a_sequence_has_no_number_of_samples_and_keeps_its_grid(folder: Path) -> None:
    grid = [{"name": "x", "range": [0, 1], "type": "float", "n": 3}]
    settings = read_experiment_file(
        write(folder, {**STOCK, "proposer": "sequence", "parameter_config": grid})
    )
    assert settings.num_samples is None
    assert settings.searched == [{"name": "x", "range": [0.0, 1.0], "type": "float", "n": 3}]


@pytest.mark.parametrize(
    "parameters",
    [
        [{"name": name, "range": [1, 1000], "type": "int"} for name in "abcdef"],
        [{"name": name, "range": list(range(1001)), "type": "choice"} for name in "ab"],
        [{"name": "a", "range": [0, 1], "type": "float", "interval": 1e-320}],
        [{"name": name, "range": [0, 2**53], "type": "int", "interval": 1e-320} for name in string.ascii_lowercase],
        [{"name": name, "range": [0, 1], "type": "float", "n": 1001} for name in "ab"],
        # Auptimizer rounds the interval down, to 18 values each.
        [{"name": name, "range": [0, 17], "type": "int", "n": 10} for name in "abcdef"],
    ],
    ids=["numbers", "choices", "interval", "intervals", "n", "n of whole numbers"],
)
def test_a_grid_that_no_search_ends_is_refused(folder: Path, parameters: list[Any]) -> None:
    path = write(folder, {**STOCK, "proposer": "sequence", "parameter_config": parameters})
    with pytest.raises(ExperimentFileError) as refused:
        read_experiment_file(path)
    assert str(refused.value).endswith(
        "proposer is 'sequence', whose grid has more than 1000000 points; expected no more, by a larger interval or a "
        "smaller n"
    )


def test_a_search_space_may_lie_in_a_file_of_its_own(folder: Path) -> None:
    (folder / "spaces").mkdir()
    (folder / "spaces" / "fusion.json").write_text(
        json.dumps({"system": "fusion", "parameter_config": SPACE})
    )
    values = ours(parameter_config=..., search_space="spaces/fusion.json")
    assert read_experiment_file(write(folder, values)).space.parameters[0].name == "dropout"


def test_auptimizers_ignore_fail_false_means_that_no_trial_may_fail(folder: Path) -> None:
    settings = read_experiment_file(write(folder, ours(job_failure={"ignore_fail": False, "job_retries": 1})))
    assert (settings.max_failures, settings.limits.retries) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ...}, "name is missing; expected a text"),
        ({"name": None}, "name is null; expected a text"),
        ({"name": " "}, "name is ' '; expected a text that is more than spaces, without a NUL character"),
        ({"script": "a\0b"}, r"script is 'a\x00b'; expected a text that is more than spaces, without a NUL character"),
        ({"name": "n" * 100_000}, f"name has 100000 characters, {'n' * 40!r} and so on; expected at most 200"),
        ({"engine": "tpe"}, "engine is given, and proposer is 'random'; expected it for proposer 'hyperopt' alone"),
        ({"resource": ...}, "resource is missing; expected one of ['cpu', 'gpu', 'dask']"),
        ({"resource": "aws"}, "resource is 'aws'; expected one of ['cpu', 'gpu', 'dask']"),
        ({"target": "MAX"}, "target is 'MAX'; expected one of ['max', 'min']"),
        ({"target": ...}, "target is missing; expected one of ['max', 'min']"),
        ({"n_samples": ...}, "n_samples is missing; expected a whole number from 1 to 1000000"),
        ({"n_samples": 0}, "n_samples is 0; expected a whole number from 1 to 1000000"),
        ({"n_parallel": 0}, "n_parallel is 0; expected a whole number from 1 to 1024"),
        ({"n_parallel": True}, "n_parallel is true; expected a whole number from 1 to 1024"),
        ({"random_seed": -1}, "random_seed is -1; expected a whole number from 0 on"),
        ({"max_epochs": 2.5}, "max_epochs is 2.5; expected a whole number from 1 on"),
        ({"timeout_seconds": 0}, "timeout_seconds is 0; expected a number above 0"),
        ({"memory_limit": "4 GG"}, "memory_limit is '4 GG'; expected bytes, or a text such as \"4 GB\""),
        ({"max_failures": -1}, "max_failures is -1; expected a whole number from 0 on"),
        ({"job_failure": []}, "job_failure is []; expected an object {...}"),
        (
            {"job_failure": {"job_retries": "3"}},
            "job_failure.job_retries is '3'; expected a whole number from 0 on",
        ),
        ({"job_failure": {"ignore_fail": 1}}, "job_failure.ignore_fail is 1; expected true or false"),
        ({"runtime_args": {"shell": True}}, "runtime_args.shell is given; expected no key but 'env'"),
        (
            {"runtime_args": {"env": {"A": 1}}},
            "runtime_args.env.A has a value of another type, which is not shown, for it may be a secret; expected a "
            "text",
        ),
        (
            {"resource_args": {"early_stop": {"aup_policy": "median"}}},
            "resource_args.early_stop is given; expected no such key: jobs run until they end",
        ),
        (
            {"compression": {}},
            "compression is given; expected no such key: models are searched here, not compressed",
        ),
        ({"script": "jobs/trail.py"}, "script 'jobs/trail.py': not found in '{folder}'; expected a file"),
        ({"workingdir": "nowhere"}, "workingdir is '{folder}/nowhere'; expected a folder that exists"),
        (
            {"system": "fussion"},
            f"system: unknown system 'fussion'; expected one of {sorted(SYSTEMS)}",
        ),
        (
            {"protocol": "papr"},
            "unknown protocol 'papr'; expected one of ['careful', 'paper', 'published-code', 'strict']",
        ),
        (
            {"word_vectors": "glove.txt"},
            "word_vectors is '{folder}/glove.txt'; expected a GloVe or word2vec text file",
        ),
        ({"target": "min"}, "target is 'min'; expected 'max': the score of harness's own trials is an accuracy"),
        (
            {"job_failure": {"retries": 3}},
            "job_failure: unknown key 'retries'; expected 'job_retries', or another of ['ignore_fail', 'job_retries']",
        ),
        (
            {"resource_args": {"n_gpus": 1}},
            "resource_args.n_gpus is given; expected no such key: it would be ignored",
        ),
        ({"max_epoch": 3}, "unknown key 'max_epoch'; expected 'max_epochs', or a name that is less like it"),
        (
            {"parameter_config": ...},
            "parameter_config is missing; expected a list of hyperparameters, or a search_space instead",
        ),
        (
            {"search_space": "x.json"},
            "search_space is given together with parameter_config; expected only one of the two",
        ),
        (
            {"system": "mocap1", "parameter_config": [{"name": "droput", "range": [0, 1], "type": "float"}]},
            (
                "unknown hyperparameter 'droput' of system 'mocap1'; expected one of ['batch_size',"
                " 'class_weight_power', 'clip_norm', 'dense', 'dropout', 'gates', 'input_dropout', 'label_smoothing',"
                " 'learning_rate', 'noise', 'optimizer', 'recurrent_dropout', 'scene_robustness', 'soft_labels',"
                " 'time_masks', 'weight_decay', 'word_dropout']"
            ),
        ),
        (
            {"parameter_config": [{"name": "dropout", "range": [0.4, 0.0], "type": "float"}]},
            "parameter 'dropout': low 0.4 is above high 0.0; expected [low, high]",
        ),
        (
            {"script": "rosenbrock.py", "corpus": "c"},
            "corpus is given, but script 'rosenbrock.py' is not harness's own; expected a system as well",
        ),
        (
            {"proposer": "hyperopt", "parameter_config": [{**SPACE[0], "range": [0.1, 0.5], "log": True}]},
            (
                "parameter 'dropout': log is given, which proposer 'hyperopt' does not support; expected it with "
                "'random' or 'sobol' or 'optuna' only"
            ),
        ),
        (
            {"proposer": "sequence", "parameter_config": [{**SPACE[0], "n": 1}]},
            "parameter 'dropout': n is 1; expected a whole number from 2 to 1000000",
        ),
        (
            {"proposer": "sequence", "parameter_config": [{"name": "textlstm", "range": [1, 3], "n": 5}]},
            "parameter 'textlstm': n is 5, but there are only 3 values between its bounds; expected no more",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else ",".join(value),
)
def test_a_wrong_value_gets_one_sentence(
    folder: Path, changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.search.experiment_file.check_installed", lambda proposer: None)
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(write(folder, ours(**changes)))
    assert str(caught.value) == f"{ORIGIN}: {message.replace('{folder}', str(folder))}"


@pytest.mark.parametrize(
    ("proposer", "reason"),
    [
        (
            "hyperband",
            "it ends after 143 of the 206 jobs of its default schedule, breaks off at the first failed trial, and "
            "cannot be resumed",
        ),
        ("bohb", "it needs the package hpbandster, which Auptimizer does not declare, and cannot be resumed"),
        ("spearmint", "it needs the package protobuf before version 4, and TensorFlow a later one"),
        ("eas", "it needs tensorflow.contrib, which TensorFlow 2 does not have"),
    ],
)
@pytest.mark.parametrize("script", ["jobs/trial.py", "rosenbrock.py"])
def test_a_proposer_of_auptimizer_that_cannot_be_used_is_refused_with_the_reason(
    folder: Path, proposer: str, reason: str, script: str
) -> None:
    assert sorted(REFUSED) == ["bohb", "eas", "hyperband", "spearmint"]
    values = {**(ours() if script == "jobs/trial.py" else STOCK), "script": script}
    for name in (proposer, proposer.upper()):
        with pytest.raises(ExperimentFileError) as caught:
            read_experiment_file(write(folder, {**values, "proposer": name}))
        assert str(caught.value) == (
            f"{ORIGIN}: proposer is {name!r}, which cannot be used: {reason}; expected one of ['random', 'sobol', "
            "'sequence', 'hyperopt', 'optuna']"
        )


@pytest.mark.timeout(20)
def test_a_file_of_very_many_keys_is_read_at_once(folder: Path) -> None:
    """Each was compared with all others: 10,000 took ten seconds, and 100,000 a quarter of an hour."""
    (folder / "many.json").write_text(json.dumps({f"key {number}": number for number in range(30_000)}))
    assert len(read_json_object(folder / "many.json", "file 'many.json'")) == 30_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "a",\n "script" 3}', "line 2, column 11: found '3}'; expected a colon after the key"),
        ("[]", "holds []; expected one object {...}"),
        ("null", "holds null; expected one object {...}"),
        ("[" * 100_000, "is nested too deeply; expected a few levels"),
        ('{"x": ' + "9" * 5000 + "}", "holds an integer with too many digits; expected at most 4300"),
        ('{"name": 1, "name": 2}', "key 'name' is given twice; expected it once"),
        ('{"max_epochs": NaN}', "found NaN; expected only finite numbers"),
    ],
    ids=["syntax", "a list", "null", "nested", "digits", "a key twice", "NaN"],
)
def test_what_is_no_json_object_is_refused_with_its_place(folder: Path, text: str, message: str) -> None:
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(write(folder, text))
    assert str(caught.value) == f"{ORIGIN}: {message}"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(tmp_path / "missing.json")
    assert (
        str(caught.value)
        == f"experiment file 'missing.json': cannot be read in '{tmp_path}' (No such file or directory); "
        "expected a JSON file"
    )


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.json"
    path.write_bytes('{"name": "Müller"}'.encode("latin-1"))
    with pytest.raises(ExperimentFileError, match="holds the byte 0xfc, which is not UTF-8; expected JSON in UTF-8$"):
        read_json_object(path, "experiment file 'latin.json'")


def test_a_search_space_of_another_system_is_refused(folder: Path) -> None:
    (folder / "speech4.json").write_text(json.dumps({"system": "speech4", "parameter_config": SPACE}))
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(write(folder, ours(parameter_config=..., search_space="speech4.json")))
    assert (
        str(caught.value)
        == "search space 'speech4.json': system is 'speech4', and the experiment is for system 'fusion'; expected the "
           "same in both"
    )


def test_careful_chooses_detailed_frames_where_the_system_reads_more_than_one_kind(folder: Path) -> None:
    def read(**changes: Any) -> tuple[str, str]:
        training = read_experiment_file(write(folder, ours(protocol="careful", **changes))).training
        assert training is not None
        return training.speech_features, training.protocol.scenes

    pooled = [{"name": "attention", "range": ["pooling"], "type": "choice"}]
    assert read(system="speech4", parameter_config=pooled) == ("detailed", "shared")
    assert read(system="speech4", parameter_config=pooled, speech_features="short-term") == ("short-term", "shared")
    assert read(system="ctc", parameter_config=SPACE) == ("detailed", "shared")
    assert read(system="acnn", parameter_config=SPACE) == ("frames", "shared")
    assert read() == ("detailed", "disjoint")


def own_file(folder: Path, name: str) -> str:
    (folder / name).write_bytes(b"")
    return name


def test_files_of_features_are_read_by_modality_and_their_content_is_part_of_the_identity(folder: Path) -> None:
    names = {"speech_features": own_file(folder, "wavlm.npz"), "text_features": own_file(folder, "BERT.CSV")}
    plain = read_experiment_file(write(folder, ours()))
    settings = read_experiment_file(write(folder, ours(system="speech_text", **names)))
    assert settings.training is not None
    assert settings.training.own_files == {"speech": folder / "wavlm.npz", "text": folder / "BERT.CSV"}
    prepared = PreparedCorpus(folder, "hash", "", False, (), max_epochs=30, patience=None, shortened=None)
    without = identity_of(plain, prepared)
    assert without["speech_features"] == "short-term" and "text_features" not in without
    parts = identity_of(settings, replace(prepared, own_hashes={"speech": "0a", "text": "1b"}))
    assert (parts["speech_features"], parts["text_features"]) == ("0a", "1b")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"speech_features": "wavml"},
            "speech_features is 'wavml'; expected one of ['deltas', 'detailed', 'frames', 'loud', 'mel', 'short-term', "
            "'short-windows'], or a file that ends in .npz, .csv or .parquet",
        ),
        (
            {"speech_features": "none.npz"},
            "speech_features is '{folder}/none.npz', which is not there; expected a file that ends in .npz, .csv or "
            ".parquet",
        ),
        ({"text_features": "bert"}, "text_features is 'bert'; expected a file that ends in .npz, .csv or .parquet"),
        (
            {"system": "text2", "speech_features": "own.npz"},
            "speech_features is a file, and system 'text2' reads text; expected a system that reads speech",
        ),
        (
            {"system": "acnn", "speech_features": "own.npz"},
            "speech_features is a file, and system 'acnn' reads 'frames' and no other; expected another system, such "
            "as 'speech4' or 'speech_vector'",
        ),
        (
            {"system": "text_terms", "text_features": "own.npz"},
            "text_features is given, and system 'text_terms' reads words; expected one of the systems ['text1', "
            "'text2', 'text_vector', 'speech_text', 'fusion']",
        ),
        (
            {"system": "text2", "text_features": "own.npz", "word_vectors": "own.npz"},
            "text_features stands for the words, and word_vectors is given; expected one of the two",
        ),
        (
            {
                "system": "text_vector",
                "text_features": "own.npz",
                "parameter_config": [{"name": "word_dropout", "range": [0.0, 0.4], "type": "float"}],
            },
            "parameter 'word_dropout' is of words, and text_features stands for them; expected one of the two",
        ),
    ],
    ids=["no name", "no file", "no ending", "no speech", "other frames", "terms", "two", "of words"],
)
def test_a_file_of_features_that_cannot_be_read_is_refused(folder: Path, values: dict[str, Any], message: str) -> None:
    own_file(folder, "own.npz")
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(write(folder, ours(**values)))
    assert str(caught.value) == f"{ORIGIN}: {message.format(folder=folder)}"


def test_a_folder_in_place_of_a_file_of_features_is_called_a_folder(folder: Path) -> None:
    (folder / "own.npz").mkdir()
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(write(folder, ours(speech_features="own.npz")))
    assert str(caught.value) == (
        f"{ORIGIN}: speech_features is '{folder}/own.npz', which is a folder, not a file; expected a file that ends in "
        ".npz, .csv or .parquet"
    )


def test_seeds_per_trial_are_the_packages_own_trials_alone(tmp_path: Path) -> None:
    def read(**changes: Any) -> int:
        (tmp_path / "ours.py").write_text(OUR_SCRIPT)
        (tmp_path / "own.py").write_text("")
        values = {
            "name": "seeds", "script": "ours.py", "resource": "cpu", "target": "max", "proposer": "random",
            "system": "fusion", "n_samples": 2, "parameter_config": SPACE,
        }  # fmt: skip
        (tmp_path / "experiment.json").write_text(json.dumps({**values, **changes}))
        training = read_experiment_file(tmp_path / "experiment.json").training
        assert training is not None
        return training.seeds_per_trial

    assert (read(), read(seeds_per_trial=3)) == (1, 3)
    for changes, message in (
        ({"seeds_per_trial": 0}, "seeds_per_trial is 0; expected a whole number from 1 to 100"),
        (
            {"seeds_per_trial": 2, "script": "own.py"},
            "seeds_per_trial is 2, and script 'own.py' is not harness's own; expected a script that runs "
            "harness.training.trial",
        ),
    ):
        with pytest.raises(ExperimentFileError) as caught:
            read(**changes)
        assert str(caught.value) == f"experiment file 'experiment.json': {message}"
