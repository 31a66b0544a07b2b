"""The answers of a trained model: those of the kept epoch, probabilities, and the same after its file is loaded."""

from dataclasses import replace

import keras
import numpy as np


def check_answers_and_file(trained, history, scored, folder):
    """Return the answers, float32 (num_scored, 4), after they and those of the saved model are checked."""
    answers = trained.predict(scored)
    np.testing.assert_allclose(answers, history.best_probabilities, atol=1e-5)
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-5)
    trained.model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(replace(trained, model=loaded).predict(scored), answers)
    return answers
