"""A turn's own network: trained out of fold, in the space of one network, saved, and kept for other trials."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import ShapeError
from harness.features.context import Context
from harness.features.store import FeatureStore
from harness.files import wait_for_lock
from harness.final.baselines import fit_context_baselines
from harness.final.saved_model import load_seed, save_seed
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.models.turn_model import NetworkVectors, read_turn_model
from harness.splits.protocol import PROTOCOLS
from harness.store.records import ScoreKind
from harness.training import turn_network
from harness.training.dialogues import fit_dialogues
from harness.training.recipe import Recipe, open_parts, plan_turns, train_for_epochs
from harness.training.turn_network import TurnTraining, fit_turn_network
from tests.searched import prepare_small
from tests.training.test_context import OTHERS, hold, invent_turns

PAPER = PROTOCOLS["paper"]
SMALL = {"dense1": 3, "dense2": 3, "dense": 4, "batch_size": 8, "optimizer": "adam", "learning_rate": 0.01}
NETWORK = {"contextlstm": 3, "dense": 4, "batch_size": 2}


def recipe(name="bc_lstm", **below):
    system = SYSTEMS[name]
    given = {"system": "speech1", "num_epochs": 1, "hyperparameters": SMALL, **below}
    point = read_hyperparameters(system, NETWORK if name == "bc_lstm" else {}, PAPER)
    return Recipe(system, point, PAPER, 1, 1, None, None, read_turn_model(given, system, PAPER))


class Answers:
    """A network whose activations are a turn's number turned in some way, and which knows what it trained on."""

    def __init__(self, train, seed):
        self.known = train.utterance_ids
        self.turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]

    def answer(self, turns):
        numbers = np.array([int(name[-3:]) + 100 * int(name[4]) for name in turns.utterance_ids])
        latent = np.stack([np.sin(numbers), np.cos(numbers), np.sin(2 * numbers)], axis=1)
        return np.full((len(turns), 4), 0.25), latent @ self.turn


def test_each_fold_is_answered_by_a_network_that_has_not_trained_on_it_in_the_space_of_the_whole_one():
    train = hold(*invent_turns(sessions=(1, 2, 3)))
    turns, trained = train.all_turns, []

    def train_one(utterances):
        trained.append(Answers(utterances, len(trained)))
        return trained[-1]

    sessions = np.array([utterance.name.session for utterance in turns.utterances])
    is_trained_on = np.isin(turns.utterance_ids, train.utterance_ids)
    training = TurnTraining(train_one, {}, NetworkVectors.HIDDEN)
    whole, _, hidden = fit_turn_network(training, train, turns, is_trained_on, {"session": sessions})
    assert set(whole.known) == set(train.utterance_ids) and whole is trained[0]
    for number, of_fold in enumerate(trained[1:], start=1):
        assert {int(name[4]) for name in of_fold.known} == {1, 2, 3} - {number}
    assert np.allclose(hidden, whole.answer(turns)[1])


def test_folds_that_part_nothing_are_refused_before_anything_is_trained():
    train = hold(*invent_turns(sessions=(1,)))
    is_trained_on = np.isin(train.all_turns.utterance_ids, train.utterance_ids)
    training = TurnTraining(lambda utterances: pytest.fail("trained"), {}, NetworkVectors.HIDDEN)
    with pytest.raises(ShapeError, match="found training turns of 1 session; expected at least 2"):
        fit_turn_network(training, train, train.all_turns, is_trained_on, {"session": np.ones(12, int)})


@pytest.fixture(scope="module")
def trained():
    train = hold(*invent_turns())
    below = {"chain": {}, "bc_lstm": {"turn_vectors": "hidden"}}
    return {name: train_for_epochs(recipe(name, **of), train, 1)[0] for name, of in below.items()}


@pytest.mark.parametrize("name", ["chain", "bc_lstm"])
def test_it_reads_no_label_of_another_turn_and_a_saved_model_gives_the_same_bits(name, trained, tmp_path):
    turns, frames = invent_turns(sessions=(3,), seed=5)
    relabelled = [replace(turn, emotion="sur") if str(turn.emotion) in OTHERS else turn for turn in turns]
    expected = trained[name].predict(hold(turns, frames))
    assert expected.shape[1] == 4 and np.allclose(expected.sum(axis=1), 1.0, atol=1e-5)
    assert np.array_equal(trained[name].predict(hold(relabelled, frames)), expected)
    louder = np.where(np.arange(len(frames))[:, None, None] == 5, 9.0, frames)
    assert not np.array_equal(trained[name].predict(hold(turns, louder)), expected)
    save_seed(tmp_path, 7, trained[name])
    assert (tmp_path / "seed-7" / "fitted" / "turn_model" / "model.keras").is_file()
    assert np.array_equal(load_seed(tmp_path, 7).predict(hold(turns, frames)), expected)


def test_without_context_a_chain_answers_as_the_baseline_of_its_own_turn():
    train, scored = hold(*invent_turns()), hold(*invent_turns(sessions=(3,), seed=5))
    model, _ = train_for_epochs(recipe("chain"), train, 1)
    alone = replace(model, fitted=replace(model.fitted, context=Context.NONE))
    own = fit_context_baselines(recipe("chain"), train)[ScoreKind.BASELINE_OWN_TURN]
    assert np.array_equal(alone.predict(scored), own.probabilities(scored).astype(np.float32))


def test_a_final_training_trains_its_own():
    assert recipe(seed=3).turn_model.seed == 3
    assert recipe(seed=3).with_seed(9).turn_model.seed == 9


@pytest.mark.long
@pytest.mark.timeout(300)
def test_it_is_trained_once_for_all_trials_and_again_for_another_seed_or_a_damaged_file(tmp_path, monkeypatch):
    store = FeatureStore.open(prepare_small(tmp_path))
    train = store.load(open_parts(PAPER, store).train)
    fits = []
    fit = turn_network._fit
    monkeypatch.setattr(turn_network, "_fit", lambda *given: fits.append(1) or fit(*given))

    def read(**below):
        found = recipe(turn_vectors="hidden", **below)
        fitted, inputs = fit_dialogues(found.hyperparameters, train, PAPER, 1, plan_turns(found))
        return fitted.prepare(train).vectors, inputs.vectors

    first = read()
    assert all(np.array_equal(*pair) for pair in zip(read(), first, strict=True)) and len(fits) == 1
    read(seed=5)
    assert len(fits) == 2
    folders = [path for path in (store.prepared_dir / "turn_models").iterdir() if path.is_dir()]
    assert len(folders) == 2
    for folder in folders:
        (folder / "answers.npy").write_bytes(b"no array")
    assert all(np.array_equal(*pair) for pair in zip(read(), first, strict=True)) and len(fits) == 3
    assert not list(store.prepared_dir.rglob("*.unfinished"))


class Kept:
    """In place of training, keeping and loading: the answers are there once they are kept."""

    def __init__(self, monkeypatch):
        self.num_fits, self.is_kept = 0, False
        monkeypatch.setattr(turn_network, "_name", lambda *given: "key")
        for name in ("_fit", "_load", "_keep"):
            monkeypatch.setattr(turn_network, name, getattr(self, name))

    def _fit(self, *given):
        self.num_fits += 1
        time.sleep(0.5)
        return ("network", "probabilities", "hidden")

    def _keep(self, folder, *found):
        self.is_kept = True

    def _load(self, folder, num_turns):
        if not self.is_kept:
            raise FileNotFoundError(folder)
        return ("network", "probabilities", "hidden")


def fit_below(prepared_dir):
    train = replace(hold(*invent_turns()), prepared_dir=prepared_dir)
    training = TurnTraining(None, {}, NetworkVectors.PROBABILITIES)
    return fit_turn_network(training, train, train.all_turns, None, {})


def test_of_two_trials_at_once_one_trains_and_the_other_waits_for_it(tmp_path, monkeypatch):
    kept = Kept(monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(fit_below, [tmp_path, tmp_path]))
    assert found[0] == found[1] and kept.num_fits == 1


def test_where_nothing_can_be_written_it_is_trained_each_time(tmp_path, monkeypatch):
    kept = Kept(monkeypatch)

    def refuse(folder, *found):
        raise PermissionError(folder)

    monkeypatch.setattr(turn_network, "_keep", refuse)
    (tmp_path / "no folder").touch()
    assert fit_below(tmp_path / "no folder")[0] == "network" and fit_below(tmp_path / "no folder")[0] == "network"
    assert kept.num_fits == 2


def test_what_nothing_has_read_for_30_days_is_removed_unless_another_process_holds_it(tmp_path, monkeypatch):
    kept, month = Kept(monkeypatch), 31 * 24 * 3600
    folders = {name: tmp_path / "turn_models" / name for name in ("unread", "held", "recent")}
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        (folder / "answers.npy").touch()
        folder.with_suffix(".lock").touch()
        if name != "recent":
            os.utime(folder, (time.time() - month,) * 2)
    with folders["held"].with_suffix(".lock").open("ab") as lock:
        wait_for_lock(lock.fileno(), folders["held"])
        fit_below(tmp_path)
    assert [name for name, folder in folders.items() if folder.is_dir()] == ["held", "recent"]
    assert kept.num_fits == 1
    # Reading makes it recent.
    own = tmp_path / "turn_models" / "key"
    own.mkdir()
    os.utime(own, (time.time() - month,) * 2)
    fit_below(tmp_path)
    assert time.time() - own.stat().st_mtime < month / 2
