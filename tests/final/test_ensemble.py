"""An ensemble is one model: trained member by member, saved, scored, described and asked as the mean of its members."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from harness.corpus.layout import MocapStream
from harness.errors import ModelError, WorkFailedError
from harness.final.added import NUM_STEPS
from harness.final.answers import answer_added, predict_mean, predict_networks, predict_seed
from harness.final.ensemble import plan_ensemble, require_alike, train_ensemble
from harness.final.retrain import plan_final_training, train_final_models
from harness.final.saved_model import AddedKind, ModelRecord, load_seed, seed_dir
from harness.final.test_session import open_test_session, score_test_session
from harness.models.systems import find_system
from harness.report.model_card import write_model_card
from harness.report.test_set import name_opening
from harness.store.integrity import find_missing_files
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from tests.searched import run_small_search

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two trials")
    run_small_search(folder, {"base": "paper", "calibration": "temperature"})
    return folder / "results"


@pytest.fixture
def results(searched):
    with ResultsStore.open(searched / "results.db") as opened:
        yield opened


def scores_of(opening, kind):
    return [score for score in opening.scores if score.kind is kind]


def test_the_mean_of_all_members_is_scored_described_and_answered_and_each_seed_beside_it(results, searched):
    ensemble = plan_ensemble(results, searched, (), 2, 2)
    assert len({member.trial.trial_index for member in ensemble.members}) == 2
    # A member whose training is interrupted leaves no ensemble, and what is saved is not trained again.
    train_final_models(ensemble.members[0], results)
    first = [seed_dir(ensemble.members[0].model_dir, seed) / "model.keras" for seed in ensemble.members[0].seeds]
    before = [path.stat().st_mtime_ns for path in first]
    assert not ensemble.model_dir.exists()
    train_ensemble(ensemble, results)
    assert [path.stat().st_mtime_ns for path in first] == before
    score_test_session(ensemble.members[0], results, "harness retrain-best --top 2 --test", ensemble=ensemble)
    opening = results.openings()[-1]
    assert opening.completed_at is not None and len(opening.seeds) == 4

    test = open_test_session(ensemble.members[0].open_features(), ensemble.members[0].spec.protocol)
    of_each = [
        predict_seed(member.model_dir, ModelRecord.read(member.model_dir), seed, test)
        for member in ensemble.members
        for seed in member.seeds
    ]
    record = ModelRecord.read(ensemble.model_dir)
    np.testing.assert_array_equal(predict_networks(ensemble.model_dir, record, test), of_each)
    mean = np.mean(of_each, axis=0)
    (whole,), alone = scores_of(opening, ScoreKind.ENSEMBLE), scores_of(opening, ScoreKind.ENSEMBLE_MEMBER)
    assert whole.weighted_accuracy == (mean.argmax(axis=1) == test.emotions).mean()
    assert [score.weighted_accuracy for score in sorted(alone, key=lambda score: score.seed)] == [
        (probabilities.argmax(axis=1) == test.emotions).mean()
        for _, probabilities in sorted(zip(opening.seeds, of_each, strict=True), key=lambda pair: pair[0])
    ]

    scored = write_model_card(ensemble.model_dir, results)
    assert scored is not None and scored.assessment.kind is ScoreKind.ENSEMBLE
    assert scored.assessment.scores[0].values == (whole.weighted_accuracy,) and ", 4 models, " in name_opening(scored)
    card = (ensemble.model_dir / "MODEL_CARD.md").read_text("utf-8")
    assert "An ensemble: the mean of the probabilities of 4 models, of the 2 best trials of experiment 1." in card
    for member in ensemble.members:
        assert f"| trial {member.trial.trial_index}: learning_rate |" in card and member.model_dir.name in card
    # A member's own card has its own seeds alone.
    of_member = write_model_card(ensemble.members[1].model_dir, results)
    assert of_member is not None and of_member.assessment.num_seeds == 2
    values = {score.weighted_accuracy for score in alone if score.seed in ensemble.members[1].seeds}
    assert set(of_member.assessment.scores[0].values) == values

    assert find_missing_files(results) == []
    shutil.move(ensemble.members[1].model_dir, searched / "moved")
    try:
        assert any(found.subject == f"ensemble '{ensemble.model_dir.name}'" for found in find_missing_files(results))
        with pytest.raises(ModelError, match=r"^ensemble .*: has no model.json; .* all its members beside it$"):
            predict_networks(ensemble.model_dir, record, test)
    finally:
        shutil.move(searched / "moved", ensemble.members[1].model_dir)


def test_added_models_answer_with_weights_that_validation_chose(results, searched):
    ensemble = plan_ensemble(results, searched, (), 1, 1, added=[AddedKind.TFIDF, AddedKind.SVM])
    assert ensemble.model_dir != plan_ensemble(results, searched, (), 1, 1, added=[AddedKind.SVM]).model_dir
    before = len(results.openings())
    train_ensemble(ensemble, results)
    assert len(results.openings()) == before
    record = ModelRecord.read(ensemble.model_dir)
    assert [added.kind for added in record.added] == [AddedKind.SVM, AddedKind.TFIDF]
    # In this corpus the speech tells the emotion, and the motion of the head does so less.
    assert all(added.weight in [step / NUM_STEPS for step in range(NUM_STEPS + 1)] for added in record.added)
    assert record.added[0].weight > 0 and record.speech_settings is not None
    assert set(record.modalities) == {"mocap", *(added.kind.modality for added in record.added if added.weight)}
    for added in record.added:
        said = f"its weight, {added.weight:g} of 1" if added.weight else "got no weight on validation"
        assert f"{added.kind.phrase[2:]} " in (record.variant or "") and said in (record.variant or "")

    # What is saved is not fitted again.
    saved = sorted(ensemble.model_dir.rglob("*"))
    times = [path.stat().st_mtime_ns for path in saved]
    train_ensemble(ensemble, results)
    assert [path.stat().st_mtime_ns for path in saved] == times and ModelRecord.read(ensemble.model_dir) == record
    assert find_missing_files(results) == []
    shutil.move(ensemble.model_dir / "svm", searched / "moved")
    try:
        assert any(found.subject == f"ensemble '{ensemble.model_dir.name}'" for found in find_missing_files(results))
    finally:
        shutil.move(searched / "moved", ensemble.model_dir / "svm")

    score_test_session(ensemble.members[0], results, "harness retrain-best --with tfidf --test", ensemble=ensemble)
    test = open_test_session(ensemble.members[0].open_features(), ensemble.members[0].spec.protocol)
    networks = np.mean(predict_networks(ensemble.model_dir, record, test), axis=0)
    mixed = (1 - sum(added.weight for added in record.added)) * networks
    for added in record.added:
        mixed += added.weight * answer_added(ensemble.model_dir, added.kind, test)
    np.testing.assert_allclose(predict_mean(ensemble.model_dir, record, test), mixed)
    (whole,) = scores_of(results.openings()[-1], ScoreKind.ENSEMBLE)
    assert whole.weighted_accuracy == (mixed.argmax(axis=1) == test.emotions).mean()


def test_the_best_trials_of_several_searches_are_one_model(results, searched):
    machine = run_small_search(
        searched.parent,
        {"base": "paper", "calibration": "temperature"},
        system="speech_functionals",
        points=[{"classifier": "svm"}, {"classifier": "svm", "svm_cost": 1.0}],
    )
    ensemble = plan_ensemble(results, searched, (1, machine), 1, 2)
    network, svm = ensemble.members
    assert (network.system.name, svm.system.name) == ("head2", "speech_functionals")
    # Both searches have the same seed, and seeds are what the scores of one test evaluation are told apart by.
    assert len({*network.seeds, *svm.seeds}) == 4
    train_ensemble(ensemble, results)
    score_test_session(network, results, "harness retrain-best --experiment 1 --experiment 2", ensemble=ensemble)
    (whole,) = scores_of(results.openings()[-1], ScoreKind.ENSEMBLE)
    test = open_test_session(network.open_features(), network.spec.protocol)
    answers = [
        predict_seed(member.model_dir, ModelRecord.read(member.model_dir), seed, test)
        for member in ensemble.members
        for seed in member.seeds
    ]
    assert whole.weighted_accuracy == (np.mean(answers, axis=0).argmax(axis=1) == test.emotions).mean()
    record = ModelRecord.read(ensemble.model_dir)
    assert set(record.modalities) == {"speech", "mocap"}
    write_model_card(ensemble.model_dir, results)
    card = (ensemble.model_dir / "MODEL_CARD.md").read_text("utf-8")
    assert card.startswith("# head2 and speech_functionals: ")
    assert "of the best trial of each of the experiments 1 and 2." in card
    assert f"| trial {svm.trial.trial_index} of experiment {machine}, speech_functionals: svm_cost |" in card
    # A corpus with the head's motion alone has all that the networks read.
    assert record.streams == (MocapStream.HEAD,)


def test_searches_under_different_protocols_make_no_ensemble(results, searched):
    other = run_small_search(searched.parent, "paper", system="head1")
    with pytest.raises(ModelError, match=r"^experiments 1 and \d+: differ in their protocol"):
        plan_ensemble(results, searched, (1, other), 1, 1)


def test_a_system_that_reads_the_dialogue_makes_no_ensemble_with_another_one(results, searched):
    (network,) = plan_ensemble(results, searched, (1,), 2, 1).members[:1]
    other = replace(network, system=find_system("chain"))
    for pair in ((network, other), (other, network)):
        with pytest.raises(ModelError, match="^experiment 1: its system 'chain' reads the dialogue; expected"):
            require_alike(*pair)


def test_more_members_than_finished_trials_are_refused(results, searched):
    with pytest.raises(WorkFailedError, match=r"has 2 finished trials; expected at least 3 for an ensemble"):
        plan_ensemble(results, searched, (), 3, 1)


def test_the_mean_of_several_seeds_is_scored_beside_each(results, searched):
    training = plan_final_training(results, searched, None, 2)
    train_final_models(training, results)
    score_test_session(training, results, "harness retrain-best --test --seeds 2")
    opening = results.openings()[-1]
    test = open_test_session(training.open_features(), training.spec.protocol)
    (mean,) = scores_of(opening, ScoreKind.MEAN_OF_SEEDS)
    assert len(scores_of(opening, ScoreKind.VALIDATION_CHOSEN)) == 2
    record = ModelRecord.read(training.model_dir)
    answers = np.mean([predict_seed(training.model_dir, record, seed, test) for seed in training.seeds], axis=0)
    assert mean.weighted_accuracy == (answers.argmax(axis=1) == test.emotions).mean()
    scored = write_model_card(training.model_dir, results)
    assert scored is not None and scored.assessment.kind is ScoreKind.VALIDATION_CHOSEN
    assert scored.assessment.scores[0].averaged == mean.weighted_accuracy
    assert "mean of the seeds' probabilities" in (training.model_dir / "MODEL_CARD.md").read_text("utf-8")


def test_each_member_has_its_groups_where_scenes_are_disjoint(tmp_path):
    run_small_search(tmp_path, {"base": "paper", "scenes": "disjoint"})
    with ResultsStore.open(tmp_path / "results" / "results.db") as results:
        ensemble = plan_ensemble(results, tmp_path / "results", (), 2, 1, added=[AddedKind.SVM])
        train_ensemble(ensemble, results)
        score_test_session(ensemble.members[0], results, "harness retrain-best --top 2 --test", ensemble=ensemble)
        (whole,) = scores_of(results.openings()[-1], ScoreKind.ENSEMBLE)
        groups = ensemble.members[0].folds
        record = ModelRecord.read(ensemble.model_dir)
        assert len(record.scene_groups) == len(groups) > 1
        test = open_test_session(ensemble.members[0].open_features(), ensemble.members[0].spec.protocol)
        right = 0
        for group, scenes in enumerate(record.scene_groups, start=1):
            rows = [name for name in test.utterance_ids if any(f"_{scene}" in name for scene in scenes)]
            part = test.select(rows)
            mean = np.mean(
                [load_seed(member.model_dir, member.seeds[0], group).predict(part) for member in ensemble.members],
                axis=0,
            )
            whole_answer = predict_mean(ensemble.model_dir, record, part, group)
            right += (whole_answer.argmax(axis=1) == part.emotions).sum() if rows else 0
            # A recording that plays a scene of the group is answered by these networks alone.
            np.testing.assert_allclose(
                np.mean(predict_networks(ensemble.model_dir, record, part, group), axis=0), mean
            )
        assert whole.weighted_accuracy == pytest.approx(right / len(test))
