"""An opening of the test set with everything in it: two seeds, two baselines, transcripts seen and not."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from harness.scoring.metrics import macro_f1, predicted_classes, unweighted_accuracy, weighted_accuracy
from harness.store.evaluations import record_evaluation
from harness.store.records import Prediction, ScoreKind, TestScores
from harness.store.store import ResultsStore
from tests.scored import answer_dialogues
from tests.store.experiments import an_evaluation, an_opening

COMMAND = "harness retrain-best --test --seeds 2"

#: What the probes have right of the four turns of each dialogue: words lose by a scene left out, speech does not.
PROBED = {
    ScoreKind.PROBE_WORDS_SHARED: [True, True, True, False],
    ScoreKind.PROBE_WORDS_LEFT_OUT: [True, False, False, False],
    ScoreKind.PROBE_SPEECH_SHARED: [True, True, False, False],
    ScoreKind.PROBE_SPEECH_LEFT_OUT: [False, True, True, False],
}


def score(
    seed: int, kind: ScoreKind, predictions: list[Prediction], epoch: int | None = 4, model: str | None = None
) -> TestScores:
    outcome = predicted_classes(predictions)
    scores = (weighted_accuracy(*outcome), unweighted_accuracy(*outcome), macro_f1(*outcome))
    return TestScores(seed, kind, *scores, tuple(predictions), epoch, model)


def score_whole_opening(
    store: ResultsStore,
    eid: int,
    num_dialogues: int = 12,
    baselines: tuple[ScoreKind, ...] = (ScoreKind.BASELINE_MAJORITY, ScoreKind.BASELINE_SPEECH_FOREST),
    kind: ScoreKind = ScoreKind.VALIDATION_CHOSEN,
    model: str | None = None,
    probes: Mapping[ScoreKind, Sequence[bool]] = MappingProxyType({}),
    protocol: str = "paper",
) -> int:
    """Every dialogue has four turns, one of each class: three and two of them right, one by the baselines."""
    opening_id = store.record_opening(
        an_opening(eid, seeds=(1, 2), command=COMMAND, opened_at="2026-02-03T04:05:06.789+00:00", protocol=protocol)
    )
    rights = {1: [True, True, True, False], 2: [True, True, False, False]}
    for seed, right in rights.items():
        predictions = answer_dialogues([right] * num_dialogues)
        store.record_test_scores(opening_id, score(seed, kind, predictions, model=model))
    for baseline in baselines:
        predictions = answer_dialogues([[False, False, False, True]] * num_dialogues, confidence=0.4)
        store.record_test_scores(opening_id, score(1, baseline, predictions, epoch=None))
    for probe, right in probes.items():
        predictions = answer_dialogues([right] * num_dialogues, confidence=0.6)
        store.record_test_scores(opening_id, score(1, probe, predictions, epoch=None))
    names = sorted(prediction.utterance_id for prediction in answer_dialogues([[True] * 4] * num_dialogues))
    store.record_test_utterances(
        opening_id, {name: None if number == 0 else number % 2 == 1 for number, name in enumerate(names)}
    )
    return opening_id


def score_evaluation(store: ResultsStore, eid: int | None, num_dialogues: int = 12, **changes: Any) -> int:
    """An evaluation on another corpus: the same answers as of ``score_whole_opening``, and one baseline."""
    scores = [
        score(seed, ScoreKind.VALIDATION_CHOSEN, answer_dialogues([right] * num_dialogues))
        for seed, right in {1: [True, True, True, False], 2: [True, True, False, False]}.items()
    ]
    constant = answer_dialogues([[False, False, False, True]] * num_dialogues, confidence=0.4)
    scores.append(score(1, ScoreKind.BASELINE_MAJORITY, constant, epoch=None))
    names = [prediction.utterance_id for prediction in constant]
    is_seen = {name: None if number == 0 else number % 4 == 1 for number, name in enumerate(names)}
    return record_evaluation(store, an_evaluation(eid, **changes), scores, is_seen)
