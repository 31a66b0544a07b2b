"""A search under every later choice of a protocol: its temperature reaches the answers, the card and the scores."""

import numpy as np
import pytest

from harness.errors import ModelError
from harness.final.answers import predict_seed
from harness.final.modalities import retrain_without
from harness.final.retrain import plan_final_training, train_final_models
from harness.final.saved_model import ModelRecord, load_seed
from harness.final.test_session import open_test_session, score_test_session
from harness.report.model_card import write_model_card
from harness.report.test_set import tabulate_opening
from harness.scoring.calibration import apply_temperature
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from tests.searched import run_small_search

CHOICES = {"base": "paper", "calibration": "temperature", "kept_weights": "average", "final_length": "updates"}


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_temperature_reaches_the_answers_the_card_and_the_scores_and_changes_no_answer(tmp_path):
    run_small_search(tmp_path, CHOICES, max_epochs=3)
    with ResultsStore.open(tmp_path / "results" / "results.db") as results:
        training = plan_final_training(results, tmp_path / "results", None, 2)
        temperature = training.trial.temperature
        assert temperature is not None and temperature != 1
        train_final_models(training, results)
        record = ModelRecord.read(training.model_dir)
        assert record.temperature == temperature
        score_test_session(training, results, "harness retrain-best --test")
        test = open_test_session(training.open_features(), training.spec.protocol)
        (opening,) = results.openings()
        for seed in training.seeds:
            before = load_seed(training.model_dir, seed).predict(test)
            after = predict_seed(training.model_dir, record, seed, test)
            np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
            np.testing.assert_allclose(after, apply_temperature(before, temperature))
            (score,) = [
                found
                for found in opening.scores
                if found.seed == seed and found.kind is ScoreKind.VALIDATION_CHOSEN
            ]
            assert score.weighted_accuracy == (before.argmax(axis=1) == test.emotions).mean()
            recorded = results.test_predictions(opening.opening_id, seed, ScoreKind.VALIDATION_CHOSEN)
            np.testing.assert_allclose([found.probabilities for found in recorded], after, atol=1e-12)
        scored = write_model_card(training.model_dir, results)
        card = (training.model_dir / "MODEL_CARD.md").read_text("utf-8")
        assert f"divided by {temperature:.3f}, fitted on the validation predictions" in card
        assert "a moving average of the weights" in card and "about as many training steps as until epoch" in card
        assert scored is not None
        calibration = next(table for table in tabulate_opening(scored) if table.title.endswith("calibration"))
        before_and_after = [row for row in calibration.rows if row[0].startswith("the model")]
        assert len(before_and_after) == 2 and before_and_after[0][0].endswith("before temperature scaling")
        assert before_and_after[0][1:] != before_and_after[1][1:]
        with pytest.raises(ModelError, match="has fitted a temperature for the whole model"):
            retrain_without(training, results, ["mocap"], None)
