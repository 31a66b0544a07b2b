"""An experiment of folds with known outcomes, written to a real database as `aup` and `retrain-best` would."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.splits.folds import Folds, fold_protocols
from harness.splits.protocol import PROTOCOLS, Protocol
from harness.store.records import FoldedExperiment, FoldedExperimentRow, Prediction, ScoreKind
from harness.store.store import ResultsStore
from tests.report.scored import score
from tests.report.searches import run_search
from tests.scored import answer_dialogues
from tests.store.experiments import an_opening

#: What is right of the four turns of every dialogue, by session.
RIGHT = {1: 4, 2: 3, 3: 2, 4: 1, 5: 0}


def write_folds(
    store: ResultsStore,
    num_searched: int = 5,
    folds: Folds = Folds.SESSIONS,
    name: str = "fusion search",
    protocol: Protocol = PROTOCOLS["paper"],
) -> FoldedExperimentRow:
    """Write an experiment of folds of which so many have a search."""
    protocols = fold_protocols(folds, protocol, (1, 2, 3, 4, 5))
    folded_id = store.create_folded(FoldedExperiment(name, json.dumps({"folds": folds.value}), tuple(protocols)))
    for fold, of_fold in list(protocols.items())[:num_searched]:
        run_search(
            store,
            num_trials=2,
            name=f"{name}, {fold}",
            folded_id=folded_id,
            fold=fold,
            protocol=of_fold,
        )
    return store.folded_experiments()[-1]


def answers_of(session: int, num_right: int, num_dialogues: int = 12) -> list[Prediction]:
    """Dialogues of four turns, one of each class, of which the first ``num_right`` are right."""
    found = answer_dialogues([[turn < num_right for turn in range(4)]] * num_dialogues)
    return [replace(each, utterance_id=f"Ses0{session}{each.utterance_id[5:]}") for each in found]


def score_fold(
    store: ResultsStore,
    eid: int,
    session: int,
    seeds: Sequence[int] = (1, 2),
    scored: int | None = None,
    baselines: Sequence[ScoreKind] = (ScoreKind.BASELINE_MAJORITY,),
    model: str | None = None,
    kind: ScoreKind = ScoreKind.VALIDATION_CHOSEN,
    probes: Mapping[ScoreKind, int] | None = None,
) -> int:
    """Score a fold's test session with ``RIGHT``; of the seeds only the first ``scored``, where it was interrupted."""
    opening_id = store.record_opening(an_opening(eid, seeds=tuple(seeds)))
    for seed in seeds[: len(seeds) if scored is None else scored]:
        predictions = answers_of(session, RIGHT[session])
        store.record_test_scores(opening_id, score(seed, kind, predictions, model=model))
    for baseline in baselines:
        store.record_test_scores(opening_id, score(seeds[0], baseline, answers_of(session, 1), epoch=None))
    for kind_of_probe, num_right in (probes or {}).items():
        predictions = answers_of(session, num_right)
        store.record_test_scores(opening_id, score(seeds[0], kind_of_probe, predictions, epoch=None))
    store.record_test_utterances(opening_id, {each.utterance_id: session > 3 for each in answers_of(session, 4)})
    return opening_id
