"""Invented scores of the tables' experiments, recorded as the trainings record them."""

from pathlib import Path

import numpy as np

from harness.corpus.utterances import CLASSES
from harness.scoring.metrics import macro_f1, predicted_classes, unweighted_accuracy, weighted_accuracy
from harness.splits.protocol import Recordings
from harness.store.records import Prediction, ScoreKind, TestScores, TrialStatus
from harness.tables.experiments import describe_experiment
from harness.tables.settings import CorpusFacts, TablesSettings
from harness.tables.trainings import record_tables_opening

CORPUS = CorpusFacts(Path("nowhere"), "c0ffee", "a corpus", True, (), None)
SETTINGS = TablesSettings(("ctc",), (1, 2), "paper", Recordings.ALL, None, False, 30, None)


def invent_predictions(experiment, share, seed, num_dialogues=12, num_turns=8):
    """Answer about a share of the utterances of one test set right; the same utterances for every seed."""
    generator = np.random.default_rng(seed)
    predictions = []
    for dialogue in range(num_dialogues):
        for turn in range(num_turns):
            speaker = experiment.protocol.test_speaker
            letter = speaker.value if experiment.protocol.tests_one_speaker else "FM"[turn % 2]
            name = f"Ses{experiment.protocol.test_session:02d}F_impro{dialogue:02d}_{letter}{turn:03d}"
            emotion = CLASSES[(dialogue + turn) % 4]
            is_right = generator.random() < share
            predicted = emotion if is_right else CLASSES[(dialogue + turn + 1) % 4]
            predictions.append(Prediction(name, emotion, predicted, (0.25, 0.25, 0.25, 0.25)))
    return tuple(predictions)


def score(kind, seed, predictions):
    outcome = predicted_classes(predictions)
    return TestScores(
        seed,
        kind,
        weighted_accuracy(*outcome),
        unweighted_accuracy(*outcome),
        macro_f1(*outcome),
        predictions,
        epoch=1,
    )


def record_invented(results, experiment, share=0.5, settings=SETTINGS, corpus=CORPUS, seeds=None):
    """Record every seed of an experiment as finished, with a better best test epoch where it has one."""
    known = results.find_experiment(describe_experiment(experiment, settings, corpus).identity)
    eid = known.eid if known else results.create_experiment(describe_experiment(experiment, settings, corpus))
    opening_id = record_tables_opening(results, settings, corpus, "harness tables")
    for seed in settings.seeds if seeds is None else seeds:
        trial_id = results.start_trial(eid, seed, seed, {})
        scores = [score(ScoreKind.VALIDATION_CHOSEN, seed, invent_predictions(experiment, share, seed))]
        if experiment.num_models == 2:
            better = invent_predictions(experiment, share + 0.05, seed)
            scores.append(score(ScoreKind.TEST_MAXIMUM, seed, better))
        for each in scores:
            results.record_trial_test_scores(trial_id, opening_id, each)
        results.finish_trial(trial_id, TrialStatus.FINISHED, score=0.5)
    return eid
