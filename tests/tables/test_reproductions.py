"""The compared systems: what is trained for each, and what its cells say."""

import json
from dataclasses import replace

import numpy as np
import pytest

from harness.corpus.utterances import Happiness
from harness.files import hash_json
from harness.models.systems import PAPER_SYSTEMS, SYSTEMS
from harness.scoring.metrics import macro_f1, predicted_classes, weighted_accuracy
from harness.splits.protocol import PROTOCOLS, ClassWeights, Recordings, Scenes, SpeakerScaling
from harness.store.records import TrialStatus
from harness.tables.compared import COMPARED
from harness.tables.experiments import compared_names, hyperparameters_of, identity_of, known_names
from harness.tables.parts import TableSplit
from harness.tables.plan import plan_rows, plan_tables
from harness.tables.reproductions import (
    Column,
    describe_own,
    describe_plan,
    plan_reproductions,
    read_reproduction,
    read_stored,
    write_reproduction,
)
from harness.tables.stored import find_trials
from harness.tables.trainings import record_tables_opening
from tests.tables.invented import CORPUS, SETTINGS, invent_predictions, record_invented


def planned(title):
    (found,) = [each for each in plan_reproductions(compared_names()) if title in each.compared.title]
    return found


def read(results, reproduction, settings=SETTINGS):
    return read_reproduction(find_trials(results, settings, CORPUS.corpus_hash), reproduction)


def test_nothing_is_planned_for_what_was_not_chosen():
    assert plan_reproductions(PAPER_SYSTEMS) == ()
    assert [each.compared.system for each in plan_reproductions(("ctc", "speech4"))] == ["ctc"]


def test_every_built_system_has_a_row_and_no_other_has():
    rows = plan_reproductions(compared_names())
    names = {"dnn_elm", "blstm_null", "speech_framewise", "one_label", "ctc", "acnn", "asr_transfer", "uni_svm"}
    assert {each.compared.system for each in rows} == set(compared_names()) == names | {"sc_lstm", "bc_lstm"}
    assert len(rows) == len(COMPARED)


@pytest.mark.parametrize("reproduction", plan_reproductions(compared_names()), ids=lambda row: row.compared.title)
def test_strict_is_the_preset_and_scenes_left_out_is_strict_with_disjoint_scenes(reproduction):
    (strict,), (left_out,) = reproduction.strict, reproduction.left_out
    assert strict.protocol == PROTOCOLS["strict"] and strict.protocol.test_session == 5
    assert (left_out.protocol.scenes, left_out.protocol.class_weights) == (Scenes.DISJOINT, ClassWeights.BALANCED)
    assert left_out.protocol.split_rule is strict.protocol.split_rule
    assert {each.name for each in reproduction.experiments} == {reproduction.compared.system}


def test_the_protocol_of_ctc_is_five_sessions_of_our_classes():
    own = planned("CTC").own
    assert [each.protocol.test_session for each in own] == [1, 2, 3, 4, 5]
    assert {each.protocol.happiness for each in own} == {Happiness.EXCITED}
    assert {(each.split, each.protocol.tests_one_speaker) for each in own} == {(TableSplit.SESSIONS, False)}


def test_the_protocol_of_bc_lstm_is_session_five_with_happiness_merged_and_labelled_turns_alone():
    (own,) = planned("bc-LSTM").own
    assert (own.protocol.test_session, own.protocol.happiness) == (5, Happiness.MERGED)
    assert own.choices == (("residual", "none"), ("turns", "labelled-only"), ("vectors", "both"))
    assert own.modalities == ("text", "speech")


@pytest.mark.parametrize("name", ["sc-LSTM", "bc-LSTM"])
def test_no_column_of_the_networks_over_dialogues_adds_the_answers_of_a_logistic_regression(name):
    found = [hyperparameters_of(each) for each in planned(name).experiments]
    assert len(found) == 3 and {each["residual"] for each in found} == {"none"}
    assert [each["turns"] for each in found] == ["labelled-only", "all", "all"]


def test_only_the_protocol_of_acnn_scales_speech_by_speaker():
    for each in plan_reproductions(compared_names()):
        scaled = {one.protocol.speaker_scaling for one in each.own} == {SpeakerScaling.OWN}
        assert scaled is (each.compared.system == "acnn")
        assert {one.protocol.speaker_scaling for one in (*each.strict, *each.left_out)} == {SpeakerScaling.NONE}
    assert {one.protocol.test_session for one in planned("attentive CNN").own} == {1, 2, 3, 4, 5}


def test_the_recogniser_has_a_row_for_each_way_to_use_its_layers():
    found = [hyperparameters_of(each.strict[0])["transfer"] for each in plan_reproductions(("asr_transfer",))]
    assert found == ["frozen", "fine-tuned", "scratch"]


def test_ten_folds_by_speaker_leave_each_speaker_out_once():
    speakers, tuning, nothing = planned("as cited"), planned("with Null"), planned("from scratch")
    for each, split in ((speakers, TableSplit.SESSIONS), (tuning, TableSplit.PARTNER_VALIDATES)):
        assert len({one.protocol.test_set for one in each.own}) == 10
        assert {one.split for one in each.own} == {split}
    assert {one.protocol.recordings for one in tuning.own} == {Recordings.IMPROVISED}
    assert nothing.own == ()


def test_the_default_call_trains_none_of_them_and_a_named_one_gets_its_row_of_table_two_too(settings):
    plan = plan_tables(settings(names=known_names()))
    assert plan.compared == () and not {each.name for each in plan.experiments} & ({*SYSTEMS} - {*PAPER_SYSTEMS})
    assert [each.compared.system for each in plan_tables(settings(compared=("ctc",))).compared] == ["ctc"]
    (row,) = [row for row in plan_rows(settings(names=("ctc",))) if row.name]
    assert (row.table, row.title, row.published.percent) == (2, "Chernykh et al.", 54.0)
    assert row.experiments[0].protocol == PROTOCOLS["paper"]


def test_the_plan_counts_each_training_once():
    ctc, bc_lstm = planned("CTC"), planned("bc-LSTM")
    # Two models a training, but six where each group of scenes has its own beside the one that chooses the epoch.
    assert describe_plan([ctc], 3) == (
        "Compared systems: one row, 21 trainings (15 under their own protocols, 3 under 'strict', 3 with the scored "
        "scene left out) of at most 54 models; what is finished is not trained again."
    )
    several = describe_plan([ctc, ctc, bc_lstm, *plan_reproductions(("asr_transfer",))], 1)
    assert several.startswith("Compared systems: 6 rows, 16 trainings (6 under")
    assert "models, beside the turns' own classifiers and the speech recognisers; what" in several


def test_identities_differ_by_protocol_and_by_hyperparameters(settings):
    for reproduction in plan_reproductions(compared_names()):
        identities = [hash_json(identity_of(each, settings(), "c0ffee")) for each in reproduction.experiments]
        assert len(set(identities)) == len(identities)
    (own,), (strict,) = planned("bc-LSTM").own, planned("bc-LSTM").strict
    assert identity_of(own, settings(), "c0ffee")["hyperparameters"]["turns"] == "labelled-only"
    assert identity_of(strict, settings(), "c0ffee")["hyperparameters"]["turns"] == "all"


def test_the_speech_features_are_in_an_identity_where_they_are_not_the_default(settings, monkeypatch):
    (strict,) = planned("CTC").strict
    assert "speech_features" not in identity_of(strict, settings(), "c0ffee")
    monkeypatch.setitem(SYSTEMS, "ctc", replace(SYSTEMS["ctc"], speech_features="frames"))
    assert identity_of(strict, settings(), "c0ffee")["speech_features"] == "frames"
    assert strict.speech_settings.kind.value == "frames"


def test_a_cell_is_pooled_over_the_test_sets_in_every_measure(results):
    ctc = planned("CTC")
    for number, experiment in enumerate(ctc.own):
        record_invented(results, experiment, 0.3 + 0.1 * number)
    cell = read(results, ctc).cells[Column.OWN]
    folds = [[invent_predictions(each, 0.3 + 0.1 * n, seed) for n, each in enumerate(ctc.own)] for seed in (1, 2)]
    pooled = [predicted_classes([one for fold in of_seed for one in fold]) for of_seed in folds]
    weighted, of_f1 = cell.measures["weighted accuracy"], cell.measures["macro F1"]
    assert weighted.spread.mean == pytest.approx(np.mean([weighted_accuracy(*found) for found in pooled]))
    assert of_f1.spread.mean == pytest.approx(np.mean([macro_f1(*found) for found in pooled]))
    each = [macro_f1(*predicted_classes(fold)) for of_seed in folds for fold in of_seed]
    assert of_f1.fold_mean == pytest.approx(np.mean(each))
    assert weighted.interval.low < weighted.spread.mean < weighted.interval.high
    assert (cell.num_utterances, cell.missing) == (5 * 96, "")


def test_the_best_test_epoch_stands_only_where_public_code_takes_it(results):
    for title in ("CTC", "bc-LSTM"):
        record_invented(results, planned(title).strict[0], 0.5)
    assert read(results, planned("CTC")).cells[Column.TEST_MAXIMUM].measures == {}
    cells = read(results, planned("bc-LSTM")).cells
    maximum, strict = (cells[column].measures["weighted accuracy"] for column in (Column.TEST_MAXIMUM, Column.STRICT))
    assert maximum.spread.mean > strict.spread.mean


def test_a_cell_says_what_is_missing(results):
    ctc = planned("CTC")
    for experiment in ctc.own[:2]:
        record_invented(results, experiment)
    eid = record_invented(results, ctc.strict[0], seeds=(1,))
    trial_id = results.start_trial(eid, 2, 2, {})
    results.finish_trial(trial_id, TrialStatus.DIVERGED, message="the loss is nan")
    found = read(results, ctc)
    assert found.cells[Column.OWN].missing == "2 of 5 test sets scored" and not found.cells[Column.OWN].measures
    assert found.cells[Column.STRICT].missing == "one training failed"
    assert found.cells[Column.STRICT].measures["weighted accuracy"].spread.num_values == 1
    assert found.cells[Column.LEFT_OUT].missing == "not trained"
    assert found.failures == ("ctc, Session 5 (strict), seed 2: diverged: the loss is nan",)
    # Broken off by Ctrl-C, it counted as failed in every later report.
    results.finish_trial(results.start_trial(eid, 2, 2, {}), TrialStatus.STOPPED, message="broken off")
    stopped = read(results, ctc)
    assert stopped.failures == () and stopped.cells[Column.STRICT].missing == ""
    trials = find_trials(results, SETTINGS, CORPUS.corpus_hash)
    lacking = read_reproduction(trials, ctc, ("speech",))
    assert {cell.missing for cell in lacking.cells.values()} == {"no speech in the corpus"}


def test_a_protocol_that_is_not_followed_says_why(results, monkeypatch):
    ctc = next(each for each in COMPARED if each.system == "ctc")
    monkeypatch.setattr("harness.tables.reproductions.COMPARED", (replace(ctc, own="not built: five classes"),))
    (reproduction,) = plan_reproductions(("ctc",))
    found = read(results, reproduction)
    assert found.cells[Column.OWN].missing == "not built: five classes" and describe_own(found) == ""


def test_the_plain_values_have_the_figure_with_its_measure_classes_and_split(results):
    ctc = planned("CTC")
    record_invented(results, ctc.strict[0], seeds=(1,))
    found = json.loads(json.dumps(write_reproduction(read(results, ctc)), allow_nan=False))
    assert found["published"]["percent"] == 54.0 and found["published"]["measure"] == "weighted accuracy"
    assert found["published"]["classes"].startswith("anger") and "5 folds" in found["published"]["split"]
    strict = found["columns"]["strict"]
    assert set(strict["measures"]) == {"weighted accuracy", "unweighted accuracy", "macro F1"}
    assert strict["measures"]["macro F1"]["deviation"] is None and strict["missing"] is None
    assert found["columns"]["its own protocol"]["missing"] == "not trained"


def test_a_report_finds_the_latest_settings_without_knowing_them(results):
    ctc = planned("CTC")
    assert read_stored(results) is None
    record_invented(results, ctc.strict[0], 0.4)
    later = replace(SETTINGS, max_epochs=7, patience=2)
    record_invented(results, ctc.strict[0], 0.8, settings=later)
    record_invented(results, ctc.own[0], 0.8, settings=later)
    stored = read_stored(results)
    assert (stored.max_epochs, stored.is_synthetic) == (7, True)
    (found,) = stored.results
    assert found.cells[Column.STRICT].measures["weighted accuracy"].spread.mean > 0.6
    assert found.cells[Column.OWN].missing == "1 of 5 test sets scored"


def test_a_report_keeps_the_trainings_with_the_latest_word_vectors_alone(results, tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("so 1 2\n")
    (svm,) = [each for each in plan_reproductions(("uni_svm",)) if "text and audio" in each.compared.title]
    with_file = replace(SETTINGS, word_vectors=path)
    record_invented(results, svm.strict[0], 0.9)
    record_invented(results, svm.own[0], 0.4, settings=with_file)
    # It reads no vectors, so it belongs to every call.
    record_invented(results, planned("CTC").strict[0], 0.5)
    ctc, found = read_stored(results).results
    assert ctc.cells[Column.STRICT].pooled
    assert (found.cells[Column.OWN].missing, found.cells[Column.STRICT].missing) == ("", "not trained")
    record_invented(results, svm.strict[0], 0.4, settings=with_file)
    _, found = read_stored(results).results
    assert found.cells[Column.STRICT].measures["weighted accuracy"].spread.mean < 0.6


def test_an_opening_names_the_protocols_of_the_compared_systems_too(results, settings):
    for compared, name in (
        ((), "paper"),
        (("ctc",), "paper, and the compared systems' own, strict, strict+scenes=disjoint"),
    ):
        opening_id = record_tables_opening(results, settings(compared=compared), CORPUS, "harness tables")
        (opening,) = [each for each in results.openings() if each.opening_id == opening_id]
        assert opening.protocol == name


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("attentive CNN", "each session tests once; happiness merged; adapted to the test speakers without labels"),
        ("sc-LSTM", "so the test labels decide what the context is"),
        ("with Null", "each speaker tests once, the partner chooses the epoch; happiness merged, improvised only ("),
    ],
)
def test_the_words_of_a_protocol_say_what_its_scores_depend_on(results, title, words):
    assert words in describe_own(read(results, planned(title)))
