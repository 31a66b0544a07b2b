from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.features.speech import SpeechSettings
from harness.final.saved_model import ModelRecord
from harness.report.model_card import describe_card, read_card_facts, write_model_card
from harness.splits.protocol import PROTOCOLS, leave_scenes_out, read_protocol
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from tests.report.scored import COMMAND, PROBED, score_whole_opening
from tests.report.searches import run_search, score_test
from tests.store.experiments import an_opening

CHOSEN, MAXIMUM, RETRAINED = ScoreKind.VALIDATION_CHOSEN, ScoreKind.TEST_MAXIMUM, ScoreKind.FUSION_RETRAINED


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResultsStore]:
    with ResultsStore.open(tmp_path / "results.db") as opened:
        yield opened


def a_record(eid: int, **changes) -> ModelRecord:
    known = {
        "system": "fusion",
        "hyperparameters": {"dropout": 0.1, "textlstm": 200},
        "protocol": PROTOCOLS["paper"],
        "modalities": ("text", "speech"),
        "classes": ("ang", "exc", "neu", "sad"),
        "num_epochs": 4,
        "seeds": (1, 2),
        "speech_settings": SpeechSettings().to_json(),
        "corpus_hash": "c0ffee",
        "is_synthetic": True,
        "num_train_utterances": 3838,
        "is_fitted_on_test": False,
        "variant": None,
        "eid": eid,
        "trial_index": 9,
        "versions": {"python": "3.11.7"},
        "created_at": "2026-01-02T03:04:05.000+00:00",
    }
    return ModelRecord(**{**known, **changes})


FOLDER = "models/experiment-1-trial-9-0a1b2c3d"


def card(store: ResultsStore, record: ModelRecord, folder: str = FOLDER) -> str:
    return describe_card(record, read_card_facts(Path("results") / folder, record, store))


def test_the_card_names_files_of_features_and_what_they_lack(store: ResultsStore) -> None:
    note = "Features of speech come from 'own.csv', one vector of 6 numbers an utterance."
    assert note in card(store, a_record(run_search(store, features_note=note)))
    assert "own.csv" not in card(store, a_record(run_search(store)))


@pytest.mark.parametrize(
    ("happiness", "said"),
    [("excited", "excitement without happiness"), ("merged", "excitement and happiness together")],
)
def test_the_card_says_what_excitement_is(store: ResultsStore, happiness: str, said: str) -> None:
    protocol = read_protocol({"base": "paper", "happiness": happiness})
    text = card(store, a_record(run_search(store), is_synthetic=False, protocol=protocol))
    assert f"`exc` is {said}." in text
    assert ("Happiness is merged into excitement" in text) is (happiness == "merged")


def test_the_card_says_that_a_model_is_adapted_with_every_score(store: ResultsStore) -> None:
    protocol = read_protocol({"base": "paper", "name": "mine", "speaker_scaling": "own"})
    eid = run_search(store, protocol=protocol)
    score_whole_opening(store, eid, model=FOLDER, protocol=protocol.name)
    text = card(store, a_record(eid, protocol=protocol))
    adapted = "Adapted to the test speakers without labels."
    assert f"**Adapted:** {adapted}" in text
    notes = [line for line in text.splitlines() if "protocol 'mine" in line]
    assert len(notes) > 5 and all(adapted in line for line in notes)
    assert adapted not in card(store, a_record(run_search(store)))


def test_before_the_test_session_is_opened_the_card_says_so_and_has_no_score(store: ResultsStore) -> None:
    text = card(store, a_record(run_search(store)))
    assert "Session 5 of this corpus has never been scored from this results folder." in text
    assert "accuracy, %" not in text and "Scores" not in text
    assert "They were the best of 10 finished trials by validation accuracy, with 75.0 %." in text
    assert "Validation chose 4 epochs in that trial." in text
    assert "Training and validation share speakers" in text


def test_the_card_has_every_part_of_what_was_scored(store: ResultsStore) -> None:
    eid = run_search(store)
    score_whole_opening(store, eid, model=FOLDER, probes=PROBED)
    text = card(store, a_record(eid))
    titles = ("scores", "by class", "by group", "confusion", "against baselines", "scenes", "calibration")
    for title in (*titles, "reliability"):
        assert f"#### Test set: {title}\n" in text
    assert "| weighted accuracy | 62.5 | 17.7 | 50.0 to 75.0 | 62.5 to 62.5 |" in text
    assert f"| 1 | 2026-02-03 04:05:06 | {COMMAND} | paper | synthetic | {eid} | 2 |  |" in text
    assert "- **Scenes:** On this synthetic corpus, words alone score 75.0 % unweighted where training" in text
    assert "| words | 75.0 [75.0 to 75.0] | 25.0 [25.0 to 25.0] | +50.0 [+50.0 to +50.0] |" in text
    assert "**What the intervals mean:** 95 % percentile bootstrap" in text
    assert "| 1 | 2 | validation-chosen epoch | 4 | 50.00 | 50.00 |" in text
    # Both tables name the test evaluation with the same word.
    assert "| no. | seed | epoch chosen by |" in text and "| no. | when (UTC) |" in text


def test_the_published_figure_stands_apart_only_beside_scores_on_recordings_of_people(store: ResultsStore) -> None:
    synthetic, real = run_search(store), run_search(store, is_synthetic=False)
    for eid in (synthetic, real):
        score_whole_opening(store, eid, model=FOLDER)
    on_synthetic = card(store, a_record(synthetic))
    assert "71.04" not in on_synthetic and "no score on it is a score on IEMOCAP" in on_synthetic
    on_real = card(store, a_record(real, is_synthetic=False))
    assert "780 of 1098" in on_real and "68.3 to 73.6 %" in on_real
    assert "This corpus is synthetic" not in on_real and "corpus c0ffee" in on_real


def test_openings_by_other_commands_are_listed_and_other_corpora_are_not(store: ResultsStore) -> None:
    eid = run_search(store)
    store.record_opening(an_opening(None, command="harness tables"))
    store.record_opening(an_opening(None, command="harness leaks --test", corpus_hash="0ther"))
    text = card(store, a_record(eid))
    assert "There has been 1 test evaluation on this corpus" in text
    assert "harness tables | paper | synthetic | several" in text
    assert "ended before every seed was scored" in text and "leaks --test" not in text
    assert "These models have no recorded scores." in text


@pytest.mark.parametrize(
    ("first", "second", "variant"),
    [
        ("models/experiment-1-trial-9-0pened00", "models/experiment-1-trial-9-5ea1ed00", None),
        (f"{FOLDER}-without-speech", f"{FOLDER}-without-text", "Without text: the branches frozen."),
        ("models/experiment-1-trial-9-0ldc0de0", "models/experiment-1-trial-9-newc0de0", None),
    ],
    ids=["with the test session open in training, and without", "without speech, and without text", "another version"],
)
def test_scores_of_another_model_of_the_same_seeds_are_not_this_models(
    store: ResultsStore, first: str, second: str, variant: str | None
) -> None:
    eid = run_search(store)
    kinds = (CHOSEN, MAXIMUM) if variant is None else (RETRAINED, ScoreKind.ZEROED)
    score_test(store, eid, seeds=(1, 2), kinds=kinds, model=first)
    of_second = card(store, a_record(eid, variant=variant), second)
    assert "These models have no recorded scores." in of_second and "Scores" not in of_second
    of_first = card(store, a_record(eid, variant=variant), first)
    assert f"| 1 | 2 | {kinds[0]} | 4 | 70.00 |" in of_first


def test_a_synthetic_model_has_limits_of_its_own(store: ResultsStore) -> None:
    eid = run_search(store)
    on_synthetic, on_real = card(store, a_record(eid)), card(store, a_record(eid, is_synthetic=False))
    assert "nobody spoke" in on_synthetic and "ten speakers" not in on_synthetic
    assert "ten speakers" in on_real and "nobody spoke" not in on_real


def test_a_protocol_by_test_maximum_is_named_optimistic(store: ResultsStore) -> None:
    eid = run_search(store)
    text = card(store, a_record(eid, protocol=PROTOCOLS["published-code"], is_fitted_on_test=True))
    assert "such a score is optimistic" in text
    assert "The vocabulary contains the words of the test session" in text


def test_every_table_of_the_card_is_one(store: ResultsStore) -> None:
    """Every row of a table has as many cells as its heading, also where a cell holds a bar."""
    eid = run_search(store)
    score_whole_opening(store, eid, model=FOLDER)
    record = a_record(eid, hyperparameters={"a|b": "c|d"})
    widths: list[int] = []
    for line in card(store, record).splitlines():
        if not line.startswith("|"):
            widths = []
            continue
        widths.append(line.replace("\\|", "").count("|"))
        assert widths[-1] == widths[0], line


def test_the_card_is_written_beside_the_models(store: ResultsStore, tmp_path: Path) -> None:
    eid = run_search(store)
    (tmp_path / FOLDER).mkdir(parents=True)
    a_record(eid).write(tmp_path / FOLDER)
    assert write_model_card(tmp_path / FOLDER, store) is None
    assert (tmp_path / FOLDER / "MODEL_CARD.md").read_text("utf-8") == card(store, a_record(eid))


def test_models_without_scenes_of_a_search_that_shared_them_say_so(store: ResultsStore) -> None:
    record = a_record(run_search(store), protocol=leave_scenes_out(PROTOCOLS["paper"]))
    text = card(store, record)
    assert "The search shared scenes, and chose hyperparameters and epochs so. These models do not:" in text
    assert "the search trains without one group" not in text
    searched = a_record(run_search(store, protocol=record.protocol.to_json()), protocol=record.protocol)
    assert "Scenes are disjoint: the search trains without one group of scenes" in card(store, searched)
