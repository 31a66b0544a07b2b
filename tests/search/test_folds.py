"""One experiment of several folds: a search for each, with a test set of its own, resumed wherever it ended."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ExperimentFileError, FeatureError
from harness.search.experiment_file import read_experiment_file
from harness.search.folds import run_folds
from harness.search.lock import find_holder, lock_path
from harness.search.view import Ending
from harness.splits.protocol import PROTOCOLS
from harness.store.records import ExperimentRow, ExperimentStatus, TrialStatus
from harness.store.store import ResultsStore
from tests.search.promises import run_aup
from tests.search.searches import (
    SilentView,
    kill,
    search,
    start_aup,
    trials_of,
    wait_until,
    write_experiment,
)

#: A trial whose score tells the test session and the point, and that does {work} before. It records its result as this
#: package's own do, without the second that their imports take.
_TRIAL = """
import json, os, sqlite3, sys, time
point = json.load(open(sys.argv[1]))
spec = json.load(open(sys.argv[1].removesuffix(".json") + ".trial.json"))
session = spec["protocol"]["test_session"]
{work}
score = session / 10 + point["dropout"] / 100
with sqlite3.connect(os.path.join(os.path.dirname(sys.argv[1]), spec["results_db"]), 60) as database:
    database.execute(
        "INSERT INTO trial_results (trial_id, score, best_epoch, num_epochs, duration_seconds, recorded_at)"
        " VALUES (?, ?, 1, 1, 0.1, '')",
        (spec["trial_id"], score),
    )
print("#Auptimizer:%r" % score)
"""
SCORES_ITS_FOLD = _TRIAL.format(work="pass")
WAITS_IN_ITS_THIRD_FOLD = _TRIAL.format(
    work="while session == 3 and spec['trial_index'] and not os.path.exists('go'): time.sleep(0.02)"
)
FAILS_IN_ITS_SECOND_FOLD = _TRIAL.format(work="assert session < 2")
SESSIONS = [f"Session {number}" for number in range(1, 6)]


def write_folds(folder: Path, corpus: Path, script: str = SCORES_ITS_FOLD, **changes: Any) -> Path:
    values = {
        "system": "text1",
        "corpus": str(corpus),
        "parameter_config": [{"name": "dropout", "range": [0.0, 0.4], "type": "float"}],
        "n_samples": 2,
        "folds": "sessions",
    }
    return write_experiment(folder, script, **{**values, **changes})


def run(path: Path, view: SilentView | None = None, fresh: bool = False) -> Any:
    return run_folds(read_experiment_file(path), view or SilentView(), fresh)


def experiments_of(folder: Path) -> list[ExperimentRow]:
    with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
        return store.experiments()


def points_of(path: Path, eid: int) -> dict[int, tuple[object, int]]:
    return {trial.trial_index: (trial.hyperparameters["dropout"], trial.seed) for trial in trials_of(path, eid)}


def test_each_session_is_the_test_set_of_a_search_with_the_same_points(
    prepared_folder: Path, tiny_corpus: Path
) -> None:
    path, view = write_folds(prepared_folder, tiny_corpus), SilentView()
    report = run(path, view)
    assert report.ending is Ending.DONE
    found = experiments_of(prepared_folder)
    assert [each.fold for each in found] == SESSIONS
    assert [each.name for each in found] == [f"a search, {fold}" for fold in SESSIONS]
    assert [json.loads(each.protocol)["test_session"] for each in found] == [1, 2, 3, 4, 5]
    # The fold of the paper's own test session is what a search without folds is.
    assert found[4].protocol_hash == PROTOCOLS["paper"].protocol_hash != found[0].protocol_hash
    points = [points_of(path, each.eid) for each in found]
    assert len(points[0]) == 2 and points == [points[0]] * 5
    # Each chooses its own best.
    assert [round(outcome.best.score, 1) for outcome in view.outcomes if outcome.best] == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_the_cost_is_said_before_the_first_trial_and_each_fold_as_it_begins(
    prepared_folder: Path, tiny_corpus: Path
) -> None:
    view = SilentView()
    run(write_folds(prepared_folder, tiny_corpus, n_samples=1), view)
    assert view.notes[0] == (
        "Experiment 'a search' has 5 folds, each a search with its own test set: 5 times as many trials as without "
        "folds, 5 for 1. All try the same hyperparameters, and each chooses its own best trial."
    )
    assert view.notes[3] == "Fold 3 of 5: Session 3 is the test set, and this search does not read it."


def test_more_trials_are_added_to_every_fold_and_none_is_run_again(prepared_folder: Path, tiny_corpus: Path) -> None:
    path, view = write_folds(prepared_folder, tiny_corpus), SilentView()
    run(path)
    before = [trials_of(path, eid) for eid in range(1, 6)]
    ended = [each.ended_at for each in experiments_of(prepared_folder)]
    assert run(path, view) is None
    assert view.notes[1] == "Fold 1 of 5: Session 1 is the test set; experiment 1 has finished."
    assert len(view.outcomes) == 5 and [each.ended_at for each in experiments_of(prepared_folder)] == ended
    run(write_folds(prepared_folder, tiny_corpus, n_samples=3))
    after = [trials_of(path, eid) for eid in range(1, 6)]
    assert [trials[:2] for trials in after] == before and {len(trials) for trials in after} == {3}


def test_a_fresh_start_is_five_new_searches_and_they_are_resumed(prepared_folder: Path, tiny_corpus: Path) -> None:
    path = write_folds(prepared_folder, tiny_corpus, n_samples=1)
    run(path)
    run(path, fresh=True)
    assert [each.folded_id for each in experiments_of(prepared_folder)] == [1] * 5 + [2] * 5
    run(write_folds(prepared_folder, tiny_corpus, n_samples=2))
    assert [len(trials_of(path, eid)) for eid in range(1, 11)] == [1] * 5 + [2] * 5


def test_a_controller_killed_in_the_third_fold_loses_no_trial_and_repeats_none(
    prepared_folder: Path, tiny_corpus: Path
) -> None:
    path = write_folds(prepared_folder, tiny_corpus, WAITS_IN_ITS_THIRD_FOLD, n_samples=3, n_parallel=1)
    controller = start_aup(path)

    def waits() -> bool:
        trials = trials_of(path) if (prepared_folder / "results" / "results.db").exists() else []
        return len(trials) == 2 and trials[-1].eid == 3 and trials[-1].pid is not None

    wait_until(waits)
    kill(controller)
    before = {eid: trials_of(path, eid) for eid in (1, 2)}
    # More trials for all: the first fold goes on before the third is reached, which no longer runs.
    (prepared_folder / "go").touch()
    code, lines, errors = run_aup(write_folds(prepared_folder, tiny_corpus, WAITS_IN_ITS_THIRD_FOLD, n_samples=3))
    assert (code, errors) == (0, "")
    assert {eid: trials_of(path, eid) for eid in (1, 2)} == before
    third = trials_of(path, 3)
    assert [(trial.trial_index, trial.attempt, trial.status) for trial in third] == [
        (0, 1, TrialStatus.FINISHED),
        (1, 1, TrialStatus.KILLED),
        (1, 2, TrialStatus.FINISHED),
        (2, 1, TrialStatus.FINISHED),
    ]
    points = [points_of(path, eid) for eid in range(1, 6)]
    assert points == [points[0]] * 5 and set(points[0]) == {0, 1, 2}
    assert [each.status for each in experiments_of(prepared_folder)] == [ExperimentStatus.FINISHED] * 5
    assert [line for line in lines if line.startswith("Fold ")][2:4] == [
        "Fold 3 of 5: Session 3 is the test set, and this search does not read it.",
        "Fold 4 of 5: Session 4 is the test set, and this search does not read it.",
    ]
    assert [line.split(":")[0] for line in lines[-9:-4]] == [f"{fold} (experiment {fold[-1]})" for fold in SESSIONS]
    assert "no score on it is a score on IEMOCAP" in lines[-4]
    words = [line.split(" '")[0] for line in lines[-3:]]
    assert words == ["Next:", "  harness report", "  harness retrain-best"]


def test_a_fold_that_fails_is_the_last_one(prepared_folder: Path, tiny_corpus: Path) -> None:
    path = write_folds(prepared_folder, tiny_corpus, FAILS_IN_ITS_SECOND_FOLD)
    code, lines, errors = run_aup(path)
    assert code == 1 and "experiment 'a search, Session 2': 2 trials failed, and max_failures is 1" in errors
    assert [each.status for each in experiments_of(prepared_folder)] == ["finished", "failed"]
    assert "Next:" not in lines


def test_no_fold_of_a_running_experiment_can_be_taken_by_another_controller(
    prepared_folder: Path, tiny_corpus: Path
) -> None:
    held = []

    class Looking(SilentView):
        def note(self, sentence: str) -> None:
            names = ["a search", *(f"a search, {fold}" for fold in SESSIONS)]
            held.append([find_holder(lock_path(prepared_folder / "results", name)) is not None for name in names])

    run(write_folds(prepared_folder, tiny_corpus, n_samples=1), Looking())
    assert all(map(all, held)) and held


@pytest.mark.parametrize("folds_first", [True, False], ids=["folds first", "folds second"])
def test_an_experiment_is_not_gone_on_with_other_folds(
    prepared_folder: Path, tiny_corpus: Path, folds_first: bool
) -> None:
    given: list[Any] = ["sessions", None] if folds_first else [None, "sessions"]
    path = write_folds(prepared_folder, tiny_corpus, n_samples=1, folds=given[0])
    run(path) if folds_first else search(path)
    write_folds(prepared_folder, tiny_corpus, n_samples=1, folds=given[1])
    said = "with other settings: folds was .* and is .*; to resume it, change the settings back"
    with pytest.raises(ExperimentFileError, match=said):
        search(path) if folds_first else run(path)


def test_changed_settings_are_refused_and_named(prepared_folder: Path, tiny_corpus: Path) -> None:
    path = write_folds(prepared_folder, tiny_corpus, n_samples=1)
    run(path)
    write_folds(prepared_folder, tiny_corpus, n_samples=1, random_seed=6, folds="speakers")
    with pytest.raises(ExperimentFileError) as caught:
        run(path)
    assert str(caught.value) == (
        "experiment 'a search' was started with other settings: folds was \"sessions\" and is \"speakers\", "
        "random_seed was 5 and is 6; to resume it, change the settings back; otherwise choose another name, or start a "
        "new experiment with --fresh"
    )


def test_ten_speakers_are_ten_folds(prepared_folder: Path, tiny_corpus: Path) -> None:
    view = SilentView()
    run(write_folds(prepared_folder, tiny_corpus, n_samples=1, n_parallel=1, folds="speakers"), view)
    assert [each.fold for each in experiments_of(prepared_folder)] == [
        f"Speaker Ses{session:02d}{letter}" for session in range(1, 6) for letter in "FM"
    ]
    assert view.notes[6] == (
        "Fold 6 of 10: Speaker Ses03M is the test set, and this search does not read it. The partner's turns of the "
        "same dialogues are read."
    )


@pytest.mark.parametrize(
    ("protocol", "tested"),
    [
        ({"test_session": 3}, "tests Session 3, so this search would train on Session 5"),
        ({"test_speaker": "M"}, "tests Speaker Ses05M, so this search would train on Session 5"),
    ],
    ids=["session", "speaker"],
)
def test_another_test_set_is_a_fold_and_no_choice_of_one_search(
    folder: Path, tiny_corpus: Path, protocol: dict[str, object], tested: str
) -> None:
    path = write_folds(folder, tiny_corpus, protocol=protocol)
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(path)
    assert str(caught.value) == (
        f"experiment file 'experiment.json': protocol {tested}; expected Session 5; to test the others, use the key "
        "folds: 'sessions' or 'speakers'"
    )


def test_folds_are_of_the_package_s_own_trials(folder: Path) -> None:
    path = write_experiment(folder, "", folds="sessions")
    with pytest.raises(ExperimentFileError, match="folds is given, but script .* is not harness's own"):
        read_experiment_file(path)


def test_a_corpus_of_one_session_has_no_folds(folder: Path, tiny_corpus: Path) -> None:
    one = folder / "one session"
    one.mkdir()
    (one / "Session2").symlink_to(tiny_corpus / "Session2")
    with pytest.raises(FeatureError, match=r"folds 'sessions': the corpus has four-class utterances in 1 session\(s\)"):
        run(write_folds(folder, one))


def test_a_fold_without_a_validation_set_is_refused_before_the_first_trial(folder: Path, tiny_corpus: Path) -> None:
    """Strict validates on Session 5, or on Session 4 for the fold of Session 5: this corpus has neither."""
    three = folder / "three sessions"
    three.mkdir()
    for session in (1, 2, 3):
        (three / f"Session{session}").symlink_to(tiny_corpus / f"Session{session}")
    said = r"^protocol 'strict\+test_session=1': .* and 0 for validation; expected at least one of each$"
    with pytest.raises(FeatureError, match=said):
        run(write_folds(folder, three, protocol="strict"))
    assert experiments_of(folder) == []
