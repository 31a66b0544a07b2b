"""The parsers of experiment, search-space, job and trial files, with the repository's own as seeds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from benchmarks.fuzz_parsers import Check, Parser, promise

REPOSITORY = Path(__file__).parents[1]


def _repository_seeds(*names: str) -> list[bytes]:
    return [(REPOSITORY / name).read_bytes() for name in names]


def _experiment_seeds(folder: Path) -> list[bytes]:
    shutil.copytree(REPOSITORY / "search_spaces", folder / "search_spaces")
    (folder / "jobs").mkdir()
    shutil.copy(REPOSITORY / "jobs" / "trial.py", folder / "jobs")
    (folder / "vectors.txt").write_bytes(b"so 1 2 3\n")
    experiment = json.loads(*_repository_seeds("experiment.json"))
    space = json.loads(*_repository_seeds("search_spaces/fusion.json"))
    inline = {**experiment, "parameter_config": space["parameter_config"], "proposer": "sequence"}
    del inline["search_space"]
    protocol = {"base": "strict", "max_words": 50, "recordings": "improvised"}
    full = {**experiment, "protocol": protocol, "timeout_seconds": 60, "memory_limit": "4 GB"}
    full |= {"word_vectors": "vectors.txt", "runtime_args": {"env": {"A": "b"}}, "corpus": "x", "workingdir": "."}
    return [json.dumps(value).encode() for value in (experiment, inline, full)]


def _load_experiment() -> Check:
    from harness.search.experiment_file import read_experiment_file
    from harness.search.space import space_from_json

    def check(path: Path) -> None:
        settings = read_experiment_file(path)
        promise(space_from_json(json.loads(json.dumps(settings.space.to_json()))) == settings.space, "another space")
        json.dumps(settings.searched)
        json.dumps(dict(settings.file), allow_nan=False)

    return check


def _space_seeds(folder: Path) -> list[bytes]:
    choice = {"name": "word_vectors", "type": "choice", "range": ["trained", "frozen"]}
    stepped = {"name": "textlstm", "type": "int", "range": [64, 512], "step": 64}
    logged = {"name": "adamlr", "type": "float", "range": [1e-5, 1e-2], "log": True}
    made = {"system": "fusion", "parameter_config": [choice, stepped, logged]}
    return [*_repository_seeds("search_spaces/fusion.json", "search_spaces/text1.json"), json.dumps(made).encode()]


def _load_space() -> Check:
    import numpy as np

    from harness.models.systems import SYSTEMS, read_hyperparameters
    from harness.search.keys import read_json_object
    from harness.search.space import check_extremes, read_search_space
    from harness.splits.protocol import PROTOCOLS

    def check(path: Path) -> None:
        held = read_json_object(path, "search space")
        space = read_search_space(held.get("parameter_config"), "search space", SYSTEMS["fusion"])
        check_extremes(space, "search space", SYSTEMS["fusion"], PROTOCOLS["paper"])
        for seed in range(3):
            point = space.draw(np.random.default_rng(seed))
            # A space that was accepted proposes only points that a model can be built of.
            read_hyperparameters(SYSTEMS["fusion"], point, PROTOCOLS["paper"])
        promise(space.num_points is None or space.num_points >= 1, "a space without a point")

    return check


def _job_seeds(folder: Path) -> list[bytes]:
    point = {"adamlr": 0.001, "dropout": 0.25, "textlstm": 200, "gates": "sigmoid", "job_id": 7}
    return [json.dumps(point).encode(), json.dumps({**point, "n_iterations": 3, "tid": 1}).encode()]


def _load_job() -> Check:
    from harness.models.systems import SYSTEMS, read_hyperparameters
    from harness.splits.protocol import PROTOCOLS
    from harness.training.trial import read_job

    def check(path: Path) -> None:
        read_hyperparameters(SYSTEMS["fusion"], read_job(path), PROTOCOLS["paper"])

    return check


def _spec_seeds(folder: Path) -> list[bytes]:
    from harness.splits.protocol import PROTOCOLS
    from harness.store.trial_spec import TrialSpec

    path = folder / "1.trial.json"
    places = {"prepared_dir": folder / "prepared", "results_db": folder / "results.db"}
    spec = TrialSpec(
        **{"trial_id": 1, "eid": 2, "trial_index": 3, "seed": 4, "system": "fusion", "max_epochs": 5},
        **{"protocol": PROTOCOLS["published-code"], "patience": None, "threads": 1, **places},
    )
    spec.write(path)
    return [path.read_bytes()]


def _load_spec() -> Check:
    from harness.store.trial_spec import TrialSpec

    def check(path: Path) -> None:
        spec = TrialSpec.read(path)
        numbers = (spec.trial_id, spec.eid, spec.trial_index, spec.seed, spec.max_epochs, spec.threads)
        promise(all(type(number) is int for number in numbers), "a number that is none")
        promise(spec.protocol.protocol_hash != "", "a protocol without a hash")

    return check


SEARCH_PARSERS: Mapping[str, Parser] = {
    "experiment": Parser("experiment.json", _experiment_seeds, _load_experiment, is_json=True),
    "search-space": Parser("space.json", _space_seeds, _load_space, is_json=True),
    "job": Parser("1.json", _job_seeds, _load_job, is_json=True),
    "trial-spec": Parser("1.trial.json", _spec_seeds, _load_spec, is_json=True),
}
