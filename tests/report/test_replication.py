"""Best-of-N optimism in words and in a table."""

import json

import pytest

from harness.report.findings import read_replication
from harness.report.follow_ups import describe_replication, tabulate_replication
from harness.store.records import ExperimentKind, TrialResult, TrialStatus
from harness.store.store import ResultsStore
from tests.report.searches import begin_search, run_trial, validation_predictions
from tests.store.experiments import an_experiment

LAST = (
    "The choice among trials was made on these validation utterances, so that even the new seeds' mean may promise "
    "more than other utterances will give."
)


@pytest.fixture
def store(tmp_path):
    with ResultsStore.open(tmp_path / "results.db") as opened:
        yield opened


def replicate(store, eid, trial_index, scores, is_synthetic=False):
    settings = json.dumps({"searched_eid": eid, "searched_trial": trial_index})
    record = an_experiment(kind=ExperimentKind.REPLICATION, settings=settings, is_synthetic=is_synthetic)
    replicated = store.create_experiment(record)
    for number, score in enumerate(scores):
        trial_id = store.start_trial(replicated, number, 100 + number, {})
        if score is None:
            store.finish_trial(trial_id, TrialStatus.DIVERGED, message="the loss is nan")
        else:
            predictions = validation_predictions(round(20 * score))
            store.record_result(trial_id, TrialResult(score, 3, 4, predictions, None, 61.0))
            store.finish_trial(trial_id, TrialStatus.FINISHED, score=score)


def search(store, *scores):
    eid = begin_search(store)
    for trial_index, score in enumerate(scores):
        run_trial(store, eid, trial_index, len(scores), score)
    return store.experiment(eid)


def test_what_new_seeds_lose_was_luck(store):
    experiment = search(store, 0.5, 0.75, 0.6)
    replicate(store, experiment.eid, 1, [0.7, 0.65, None, 0.6])
    found = read_replication(store, experiment)
    assert (found.best_score, found.num_trials) == (0.75, 3)
    assert (found.spread.mean, found.luck) == pytest.approx((0.65, 0.1))
    statement = describe_replication(found)
    assert statement.is_warning
    assert statement.text == (
        "The search's best of 3, trial 1, scored 75.0 % on validation; 3 new seeds of the same point on the same "
        "split: 65.0 % ± 5.0 (sample standard deviation; 95 % interval of the mean 52.6 to 77.4 %). About 10.0 points "
        f"of the best score were luck, though with so few seeds it may be chance. {LAST}"
    )
    table = tabulate_replication(found)
    assert table.rows[0] == ("the search's best, trial 1", "1", "75.0", "4 of 4", "1 min 35 s")
    assert table.rows[1] == ("new seed 1", "100", "70.0", "3 of 0", "1 min 1 s")
    assert [row[0] for row in table.rows[1:]] == ["new seed 1", "new seed 2", "new seed 4", "mean of 3 new seeds"]
    assert table.rows[-1][2] == "65.0" and table.highlighted_row == 0


@pytest.mark.parametrize(
    ("scores", "sentence", "is_warning"),
    [
        ([0.65, 0.65, 0.6], "About 11.7 points of the best score were luck. ", True),
        (
            [0.8],
            "The new seeds score about 5.0 points more: no luck of its seed shows in the best score, though so few "
            "seeds may hide it. ",
            False,
        ),
        (
            [0.7, 0.9],
            "The new seeds score about 5.0 points more: no luck of its seed shows in the best score, though so few "
            "seeds may hide it. ",
            False,
        ),
        (
            [0.85, 0.85, 0.9],
            "The new seeds score about 11.7 points more: no luck of its seed shows in the best score. ",
            False,
        ),
        (
            [0.75],
            "The new seeds score the same: no luck of its seed shows in the best score, though so few seeds may hide "
            "it. ",
            False,
        ),
    ],
    ids=["sure", "more", "more, inside the interval", "more, sure", "the same"],
)
def test_how_sure_that_is(store, scores, sentence, is_warning):
    experiment = search(store, 0.75)
    replicate(store, experiment.eid, 0, scores)
    statement = describe_replication(read_replication(store, experiment))
    assert statement.text.endswith(f" {sentence}{LAST}") and statement.is_warning is is_warning
    assert statement.text.startswith("The search's only trial, trial 0, scored 75.0 % ")


def test_a_synthetic_corpus_is_named(store):
    experiment = search(store, 0.75)
    replicate(store, experiment.eid, 0, [0.6], is_synthetic=True)
    found = read_replication(store, experiment)
    assert describe_replication(found).text.endswith("no score on it is a score on IEMOCAP.")
    assert tabulate_replication(found).note.endswith("no score on it is a score on IEMOCAP.")


def test_only_a_replication_of_the_best_trial_of_that_search_counts(store):
    experiment, other = search(store, 0.5, 0.75), search(store, 0.6)
    assert read_replication(store, experiment) is None
    replicate(store, experiment.eid, 0, [0.5])
    replicate(store, experiment.eid, 1, [None])
    assert read_replication(store, experiment) is None
    replicate(store, experiment.eid, 1, [0.7])
    assert read_replication(store, experiment).luck == pytest.approx(0.05)
    assert read_replication(store, other) is None
    run_trial(store, experiment.eid, 2, 3, 0.8)
    assert read_replication(store, experiment) is None
