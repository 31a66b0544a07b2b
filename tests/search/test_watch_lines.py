"""A watched search where there is no screen."""

from pathlib import Path

from harness.search.display import describe_changes, describe_end
from harness.search.snapshot import watch_search
from harness.store.records import ExperimentStatus, TrialResult, TrialStatus, utc_now
from tests.report.searches import begin_trial, fail_trial
from tests.search.watched_searches import running_search


def test_the_first_look_tells_how_things_stand_and_the_next_ones_what_is_new(folder: Path) -> None:
    waiting = watch_search(folder, None)
    assert describe_changes(None, waiting) == [f"No search has begun in '{folder}' yet."]
    assert describe_changes(waiting, watch_search(folder, None)) == []
    with running_search(folder) as store:
        first = watch_search(folder, None)
        lines = describe_changes(waiting, first)
        assert lines[:2] == [
            "Experiment 1, 'fusion search': system fusion, protocol paper",
            "This corpus is synthetic: no score on it is a score on IEMOCAP.",
        ]
        assert lines[3].startswith("10 trials: 2 finished, 2 running, 1 failed, 5 left. ")
        assert lines[4:] == ["Best validation accuracy 0.7500 (trial 0, epoch 4)"]
        assert describe_changes(first, watch_search(folder, None)) == []

        [finishing, stopping] = store.running_trials(1)
        store.record_result(finishing.trial_id, TrialResult(0.5, 1, 3, (), None, 1.0))
        store.finish_trial(finishing.trial_id, TrialStatus.FINISHED, score=0.5)
        store.finish_trial(stopping.trial_id, TrialStatus.STOPPED, message="ended by the user")
        fail_trial(store, 1, 5, TrialStatus.TIMED_OUT, "it took\ntoo long")
        begin_trial(store, 1, 6, 10)
        second = watch_search(folder, None)
        lines = describe_changes(first, second)
        assert lines[0] == "trial 5 timed out: it took\\ntoo long"
        assert lines[1].startswith(
            "trial 3 finished: validation accuracy 0.5000; 10 trials: 3 finished, 1 running, 2 failed, 4 left. "
        )
        assert lines[2] == "trial 4 stopped"
        assert lines[3].startswith("trial 6 begins: adamlr=")
        assert len(lines) == 4
    abandoned = watch_search(folder, None)
    assert describe_changes(second, abandoned) == [
        "Nobody runs this experiment; `aup` with its file goes on with it."
    ]


def test_the_end_is_summed_up(folder: Path) -> None:
    with running_search(folder, num_running=0) as store:
        store.update_experiment(1, ExperimentStatus.INTERRUPTED, utc_now())
        assert describe_end(watch_search(folder, 1)) == [
            "3 of 10 trials: 1 diverged, 2 finished.",
            "Best trial 0: validation accuracy 0.7500 at adamlr=0.0001259, textlstm=150, attention=decoder",
            "The experiment has ended: interrupted.",
        ]
