"""What makes two trainings of a best point the same, and what is recorded of them."""

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.final.best_point import BestPoint, describe_follow_up
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.splits.protocol import PROTOCOLS
from harness.store.records import ExperimentKind
from harness.store.trial_spec import TrialSpec
from tests.store.experiments import an_experiment


@pytest.fixture
def best():
    system, protocol = SYSTEMS["text2"], PROTOCOLS["paper"]
    spec = TrialSpec(1, 1, 4, 1, "text2", protocol, Path("unused"), Path("unused"), 12, None, 1)
    experiment = SimpleNamespace(**asdict(an_experiment()), eid=1)
    trial = SimpleNamespace(trial_index=4, hyperparameters={})
    return BestPoint(experiment, trial, spec, system, read_hyperparameters(system, {}, protocol), 1)


def describe(best, seed=0, **decides):
    return describe_follow_up(best, ExperimentKind.REPLICATION, "replication", 3, decides, seed)


def with_vectors(best, path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return replace(best, spec=replace(best.spec, word_vectors=path))


def test_word_vectors_are_known_by_what_they_hold_and_not_by_name_and_size(best, tmp_path):
    first = describe(with_vectors(best, tmp_path / "a" / "glove.txt", "no 0.1 0.2\n"))
    moved = describe(with_vectors(best, tmp_path / "b" / "other.txt", "no 0.1 0.2\n"))
    changed = describe(with_vectors(best, tmp_path / "c" / "glove.txt", "no 0.1 0.3\n"))
    assert first.identity == moved.identity
    assert len({first.identity, changed.identity, describe(best).identity}) == 3


def test_the_seed_that_the_trainings_seeds_follow_from_is_recorded_and_is_no_part_of_the_identity(best):
    assert describe(best, seed=7).seed == 7
    assert describe(best, seed=7).identity == describe(best).identity != describe(best, split="random").identity
