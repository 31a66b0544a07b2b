"""Leaks and replications in words and tables: gains are of the same utterances, with their intervals."""

import json

import pytest

from harness.corpus.utterances import CLASSES
from harness.report.findings import read_leaks, read_replication
from harness.report.follow_ups import (
    describe_leaks,
    describe_replication,
    tabulate_leaks,
    tabulate_replication,
)
from harness.splits.parts import LeakSplit
from harness.store.records import (
    EpochRecord,
    ExperimentKind,
    Prediction,
    ScoreKind,
    TestScores,
    TrialResult,
    TrialStatus,
)
from harness.store.store import ResultsStore
from tests.report.searches import begin_search, run_trial, validation_predictions
from tests.store.experiments import an_experiment, an_opening

SPLITS = list(LeakSplit)


@pytest.fixture
def store(tmp_path):
    with ResultsStore.open(tmp_path / "results.db") as opened:
        yield opened


def predict(seed, num_right, num_dialogues=12):
    """Twenty utterances of as many classes, the first ones right."""
    predictions = []
    for number in range(20):
        predicted = number % 4 if number < num_right else (number + 1) % 4
        name = f"Ses0{5 - seed}F_impro{number % num_dialogues:02d}_F{number:03d}"
        predictions.append(Prediction(name, CLASSES[number % 4], CLASSES[predicted], (0.25,) * 4))
    return tuple(predictions)


def score(store, eid, split, right_by_seed, opens_test=False, **changes):
    draws = {str(seed): {"num_train": 30 + seed} for seed in right_by_seed}
    settings = {
        "searched_eid": eid, "searched_trial": 0, "split": split.value, "opens_test": opens_test, "draws": draws
    }
    scored = store.create_experiment(an_experiment(kind=ExperimentKind.LEAKS, settings=json.dumps(settings | changes)))
    opening_id = store.record_opening(an_opening(None)) if opens_test else None
    for seed, num_right in right_by_seed.items():
        trial_id = store.start_trial(scored, seed, seed, {})
        predictions = predict(seed, num_right)
        accuracy = num_right / 20
        validation = predict(1, 3)[:4] if opens_test else predictions
        store.record_result(trial_id, TrialResult(0.75 if opens_test else accuracy, 1, 1, validation, None, 1.0))
        if opens_test:
            kind = ScoreKind.VALIDATION_CHOSEN
            scores = TestScores(seed, kind, accuracy, accuracy, accuracy, predictions, 1)
            store.record_trial_test_scores(trial_id, opening_id, scores)
        store.finish_trial(trial_id, TrialStatus.FINISHED, score=0.75 if opens_test else accuracy)


def search(store):
    eid = begin_search(store, is_synthetic=False)
    run_trial(store, eid, 0, 1, 0.75)
    return store.experiment(eid)


def test_gains_are_over_the_strictest_and_over_the_next_and_of_seeds_that_all_splits_have(store):
    experiment = search(store)
    right = [{1: 18, 2: 16, 3: 1}, {1: 12, 2: 14}, {1: 12, 2: 12}, {1: 10, 2: 10}]
    for split, of_split in zip(SPLITS, right, strict=True):
        score(store, experiment.eid, split, of_split)
    leaks = read_leaks(store, experiment)
    assert (leaks.seeds, leaks.num_scored, leaks.num_train, leaks.opens_test) == ((1, 2), 40, (31, 32), False)
    assert [found.accuracy for found in leaks.scores] == pytest.approx([0.85, 0.65, 0.6, 0.5])
    assert leaks.scores[0].spread.deviation == pytest.approx(0.0707, abs=1e-4)
    gains = [found.above_strictest.difference for found in leaks.scores[:3]]
    steps = [found.above_next.difference for found in leaks.scores[:3]]
    assert gains == pytest.approx([0.35, 0.15, 0.1]) and steps == pytest.approx([0.2, 0.05, 0.1])
    assert leaks.scores[-1].above_strictest is None and leaks.scores[-1].above_next is None
    assert leaks.scores[0].above_strictest.interval.drawn == "draws and dialogues"
    assert leaks.scores[0].above_strictest.spread.deviation == pytest.approx(0.0707, abs=1e-4)

    table = tabulate_leaks(leaks)
    assert table.title == "What leaks add (validation)" and [row[0] for row in table.rows] == [*LeakSplit]
    assert table.rows[0][2:4] == ("85.0", "7.1") and table.rows[0][4].startswith("+35.0 ± 7.1 [+")
    assert "differ in speaker and seed" in table.note and "IEMOCAP" not in table.note
    assert table.rows[3][4:] == ("", "", "")
    statement = describe_leaks(leaks)
    assert statement.text.startswith(
        "The hyperparameters of trial 0, trained on 31 to 32 utterances under each split and scored on the same 40 "
        "utterances of the search's sessions (2 seeds, each with another draw of them): a random split scores +35.0 ± "
        "7.1 [+"
    )
    assert "over the 2 draws, each with its own speaker and seed, and over the dialogues " in statement.text
    assert statement.is_warning


def test_a_gain_that_may_be_none_is_called_so(store):
    experiment = search(store)
    for split, num_right in zip(SPLITS, (11, 10, 10, 10), strict=True):
        score(store, experiment.eid, split, {1: num_right})
    text = describe_leaks(read_leaks(store, experiment)).text
    assert "which may be due to chance in these draws" in text
    assert tabulate_leaks(read_leaks(store, experiment)).rows[0][3] == ""


def test_one_draw_is_never_sure_and_its_interval_is_called_too_narrow(store):
    experiment = search(store)
    for split, num_right in zip(SPLITS, (20, 10, 10, 1), strict=True):
        score(store, experiment.eid, split, {1: num_right})
    leaks = read_leaks(store, experiment)
    assert leaks.scores[0].above_strictest.interval.low > 0
    text = describe_leaks(leaks).text
    assert "may be due to chance in these draws" in text
    assert "over the dialogues of the only draw. It is too narrow" in text
    table = tabulate_leaks(leaks)
    assert table.rows[0][4].endswith("]*") and "* Too narrow: one draw" in table.note


def test_draws_that_disagree_do_not_tell_a_gain_from_none(store):
    """All dialogues of a draw may agree: it is the draws' own luck that the interval must hold."""
    experiment = search(store)
    for split, right in zip(SPLITS, ({1: 20, 2: 4}, {1: 9, 2: 9}, {1: 9, 2: 9}, {1: 9, 2: 9}), strict=True):
        score(store, experiment.eid, split, right)
    leaks = read_leaks(store, experiment)
    interval = leaks.scores[0].above_strictest.interval
    assert interval.low < -0.1 and interval.high > 0.4
    assert "may be due to chance in these draws" in describe_leaks(leaks).text


def test_a_synthetic_corpus_is_named_beside_the_table_too(store):
    eid = begin_search(store)
    run_trial(store, eid, 0, 1, 0.75)
    for split in SPLITS:
        score(store, eid, split, {1: 10})
    leaks = read_leaks(store, store.experiment(eid))
    assert "no score on it is a score on IEMOCAP" in tabulate_leaks(leaks).note
    assert "no score on it is a score on IEMOCAP" in describe_leaks(leaks).text


def test_scores_that_are_adapted_to_the_speakers_say_so_in_words_and_beside_the_table(store):
    eid = begin_search(store, "careful", is_synthetic=False)
    run_trial(store, eid, 0, 1, 0.75)
    experiment = store.experiment(eid)
    for split in SPLITS:
        score(store, eid, split, {1: 10})
    replicate(store, eid, 0, [0.6], protocol_name=experiment.protocol_name)
    leaks, replication = read_leaks(store, experiment), read_replication(store, experiment)
    sentence = " Adapted to the test speakers without labels."
    assert describe_leaks(leaks).text.endswith(sentence) and tabulate_leaks(leaks).note.endswith(sentence)
    assert describe_replication(replication).text.endswith(sentence)
    assert tabulate_replication(replication).note.endswith(sentence)


def test_scores_of_the_test_session_are_read_apart_and_labelled(store):
    experiment = search(store)
    for split, num_right in zip(SPLITS, (16, 14, 12, 10), strict=True):
        score(store, experiment.eid, split, {1: num_right}, opens_test=True)
    assert read_leaks(store, experiment) is None
    leaks = read_leaks(store, experiment, opens_test=True)
    assert [found.accuracy for found in leaks.scores] == [0.8, 0.7, 0.6, 0.5]
    assert tabulate_leaks(leaks).title == "What leaks add (test session opened)"
    assert "20 utterances of the test session" in describe_leaks(leaks).text


def test_nothing_is_read_before_every_split_has_a_seed_or_of_another_trial(store):
    experiment = search(store)
    for split in SPLITS[:3]:
        score(store, experiment.eid, split, {1: 10})
    assert read_leaks(store, experiment) is None
    score(store, experiment.eid, SPLITS[3], {1: 10}, searched_trial=5)
    assert read_leaks(store, experiment) is None
    score(store, experiment.eid, SPLITS[3], {1: 10})
    assert read_leaks(store, experiment) is not None
    run_trial(store, experiment.eid, 1, 2, 0.9)
    assert read_leaks(store, experiment) is None


LAST = (
    "The best trial was chosen on these validation utterances, so even the mean of the new seeds may be higher than "
    "the score on other utterances."
)


def replicate(store, eid, trial_index, scores, is_synthetic=False, epochs=(), **changes):
    settings = json.dumps({"searched_eid": eid, "searched_trial": trial_index})
    changes |= {"is_synthetic": is_synthetic}
    record = an_experiment(kind=ExperimentKind.REPLICATION, settings=settings, **changes)
    replicated = store.create_experiment(record)
    for number, score in enumerate(scores):
        trial_id = store.start_trial(replicated, number, 100 + number, {})
        for epoch, accuracy in enumerate(epochs[number] if epochs else (), start=1):
            store.record_epoch(trial_id, EpochRecord(epoch, 1.0, 0.5, 0.5, 1.0, accuracy, accuracy, 1.0))
        if score is None:
            store.finish_trial(trial_id, TrialStatus.DIVERGED, message="the loss is nan")
        else:
            predictions = validation_predictions(round(20 * score))
            store.record_result(trial_id, TrialResult(score, 3, 4, predictions, None, 61.0))
            store.finish_trial(trial_id, TrialStatus.FINISHED, score=score)


def search_of(store, *scores):
    eid = begin_search(store)
    for trial_index, score in enumerate(scores):
        run_trial(store, eid, trial_index, len(scores), score)
    return store.experiment(eid)


def test_what_new_seeds_lose_was_luck(store):
    experiment = search_of(store, 0.5, 0.75, 0.6)
    replicate(store, experiment.eid, 1, [0.7, 0.65, None, 0.6])
    found = read_replication(store, experiment)
    assert (found.best_score, found.num_trials) == (0.75, 3)
    assert (found.spread.mean, found.luck) == pytest.approx((0.65, 0.1))
    statement = describe_replication(found)
    assert statement.is_warning
    assert statement.text == (
        "The search's best of 3, trial 1, scored 75.0 % on validation; 3 new seeds of the same hyperparameters on the "
        "same split: 65.0 % ± 5.0 (sample standard deviation; 95 % interval of the mean 52.6 to "
        "77.4 %). About 10.0 points "
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
            "The new seeds score about 5.0 points more: the best score shows no luck of its seed, though so few seeds "
            "may hide it. ",
            False,
        ),
        (
            [0.7, 0.9],
            "The new seeds score about 5.0 points more: the best score shows no luck of its seed, though so few seeds "
            "may hide it. ",
            False,
        ),
        (
            [0.85, 0.85, 0.9],
            "The new seeds score about 11.7 points more: the best score shows no luck of its seed. ",
            False,
        ),
        (
            [0.75],
            "The new seeds score the same: the best score shows no luck of its seed, though so few seeds may hide it. ",
            False,
        ),
    ],
    ids=["sure", "more", "more, inside the interval", "more, sure", "the same"],
)
def test_how_sure_that_is(store, scores, sentence, is_warning):
    experiment = search_of(store, 0.75)
    replicate(store, experiment.eid, 0, scores)
    statement = describe_replication(read_replication(store, experiment))
    assert statement.text.endswith(f" {sentence}{LAST}") and statement.is_warning is is_warning
    assert statement.text.startswith("The search's only trial, trial 0, scored 75.0 % ")


def test_the_interval_of_few_seeds_is_one_of_accuracies(store):
    """It was -47.1 to 207.1 %: two numbers say little, but nobody scores less than nothing."""
    experiment = search_of(store, 0.75)
    replicate(store, experiment.eid, 0, [0.7, 0.9])
    assert "95 % interval of the mean 0.0 to 100.0 %)" in describe_replication(read_replication(store, experiment)).text


def test_a_synthetic_corpus_is_named(store):
    experiment = search_of(store, 0.75)
    replicate(store, experiment.eid, 0, [0.6], is_synthetic=True)
    found = read_replication(store, experiment)
    assert describe_replication(found).text.endswith("no score on it is a score on IEMOCAP.")
    assert tabulate_replication(found).note.endswith("no score on it is a score on IEMOCAP.")


def test_new_seeds_are_also_scored_at_the_epoch_that_the_search_chose(store):
    experiment = search_of(store, 0.5, 0.75)
    epochs = ([0.5, 0.7, 0.6, 0.55], [0.65, 0.6, 0.6, 0.6], [0.6, 0.5])
    replicate(store, experiment.eid, 1, [0.7, 0.65, 0.6], epochs=epochs)
    found = read_replication(store, experiment)
    assert (found.best.best_epoch, found.at_chosen_epoch) == (4, (0.55, 0.6))
    assert describe_replication(found).text.endswith(
        " Each new seed's score is the highest of its own epochs too. At epoch 4, which the search chose, 2 of the "
        "3 score 57.5 % ± 3.5; the other one ended before that epoch."
    )
    assert tabulate_replication(found).rows[-1] == ("their mean at the search's epoch", "", "57.5", "4", "")


@pytest.mark.parametrize(
    ("epochs", "words"),
    [
        (([0.5, 0.7, 0.6, 0.55],), "The new seed's score is the highest of its own epochs too. At epoch 4, which the "
         "search chose, it scores 55.0 %."),
        (([0.5, 0.7, 0.6, 0.55], [0.6], [0.5]), "Each new seed's score is the highest of its own epochs too. At epoch "
         "4, which the search chose, 1 of the 3 scores 55.0 %; the other 2 ended before that epoch."),
    ],
    ids=["one seed", "one of three"],
)
def test_the_words_fit_the_number_of_seeds_that_came_so_far(store, epochs, words):
    experiment = search_of(store, 0.5, 0.75)
    replicate(store, experiment.eid, 1, [0.6] * len(epochs), epochs=epochs)
    found = read_replication(store, experiment)
    assert describe_replication(found).text.endswith(f" {words}")
    name = "its score" if len(epochs) == 1 else "their mean"
    assert tabulate_replication(found).rows[-1][0] == f"{name} at the search's epoch"


def test_only_a_replication_of_the_best_trial_of_that_search_counts(store):
    experiment, other = search_of(store, 0.5, 0.75), search_of(store, 0.6)
    assert read_replication(store, experiment) is None
    replicate(store, experiment.eid, 0, [0.5])
    replicate(store, experiment.eid, 1, [None])
    assert read_replication(store, experiment) is None
    replicate(store, experiment.eid, 1, [0.7])
    assert read_replication(store, experiment).luck == pytest.approx(0.05)
    assert read_replication(store, other) is None
    run_trial(store, experiment.eid, 2, 3, 0.8)
    assert read_replication(store, experiment) is None
