"""A turn model from the search to the test evaluation: trained once a search, and once for each final seed."""

import numpy as np
import pytest

from harness.final.retrain import plan_final_training, train_final_models
from harness.final.saved_model import ModelRecord, load_seed
from harness.final.test_session import open_test_session, score_test_session
from harness.report.model_card import write_model_card
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from tests.searched import SMALL_FUSION, run_small_search

NETWORK = {"contextlstm": 3, "dense": 4, "batch_size": 2}
POINTS = {
    "chain": ({"context": "past"}, {"context": "dialogue"}),
    "fusion_context": ({**NETWORK, "learning_rate": 0.001}, {**NETWORK, "learning_rate": 0.003}),
}
BELOW = {
    "chain": {"system": "head2", "num_epochs": 1, "hyperparameters": {"dense": 4, "batch_size": 16}},
    "fusion_context": {"num_epochs": 1, "hyperparameters": SMALL_FUSION},
}
READ = {"chain": ("mocap",), "fusion_context": ("text", "speech", "mocap")}


@pytest.mark.long
@pytest.mark.parametrize("system", ["chain", "fusion_context"])
@pytest.mark.timeout(600)
def test_a_turn_model_lasts_from_the_search_to_the_test_evaluation(system, tmp_path):
    run_small_search(tmp_path, max_epochs=1, system=system, points=POINTS[system], turn_model=BELOW[system])
    results_dir = tmp_path / "results"
    kept = results_dir / "prepared" / "features" / "turn_models"
    assert len([path for path in kept.iterdir() if path.is_dir()]) == 1
    with ResultsStore.open(results_dir / "results.db") as results:
        training = plan_final_training(results, results_dir, None, 1)
        assert training.modalities == READ[system]
        train_final_models(training, results)
        assert score_test_session(training, results, "harness retrain-best --test") == ()
        (opening,) = results.openings()
        (seed,) = training.seeds
        write_model_card(training.model_dir, results)
        scored = {score.kind for score in opening.scores}
        own = results.test_predictions(opening.opening_id, seed, ScoreKind.BASELINE_OWN_TURN)
    assert {ScoreKind.VALIDATION_CHOSEN, ScoreKind.BASELINE_OWN_TURN, ScoreKind.BASELINE_CONTEXT} <= scored
    # The baselines have the turn model of the first seed, and train none.
    assert len([path for path in kept.iterdir() if path.is_dir()]) == 2
    record = ModelRecord.read(training.model_dir)
    assert record.turn_model["system"] == BELOW[system].get("system", "fusion")
    assert "vectors" not in record.hyperparameters
    assert record.recipe().turn_model.seed == seed
    test = open_test_session(training.open_features(), training.spec.protocol)
    alone = load_seed(training.model_dir, seed).fitted.prepare(test)
    expected = alone.probabilities[alone.rows]
    np.testing.assert_allclose([prediction.probabilities for prediction in own], expected, atol=1e-6)
    card = (training.model_dir / "MODEL_CARD.md").read_text("utf-8")
    assert f"| turn_model.system | {record.turn_model['system']} |" in card and "| turn_model.num_epochs | 1 |" in card
