"""`harness retrain-best` as it is typed: each test evaluation is on record before a test file is touched, each card is
of its own model."""

import shutil

import pytest

from harness.final.saved_model import ModelRecord
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from tests.cli.commands import WATCHED, type_command
from tests.searched import SMALL_FUSION, run_small_search

# Every command starts TensorFlow.
pytestmark = pytest.mark.timeout(300)

UNSCORED = "These models have no recorded scores."
FEW = ("--seeds", "1", "--threads", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("the reader's own")
    run_small_search(made)
    return made


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    made = tmp_path_factory.mktemp("as published")
    run_small_search(made, protocol="published-code", max_epochs=3)
    return made


@pytest.fixture(scope="module")
def fusion(tmp_path_factory):
    made = tmp_path_factory.mktemp("a fusion")
    run_small_search(made, system="speech_text", points=[SMALL_FUSION, {**SMALL_FUSION, "adamlr": 0.02}])
    return made


def retrain(folder, *words):
    """Return what was printed, the counts of openings at which test files were opened, and the models' folder."""
    done = type_command(folder, "retrain-best", *words, *FEW, program=WATCHED)
    assert done.returncode == 0, done.stderr
    counts = {line for line in done.stderr.splitlines() if line.startswith("opened after")}
    _, _, saved = done.stdout.rpartition("Saved to ")
    return " ".join(done.stdout.split()), counts, folder / saved.strip()


def openings_of(folder):
    with ResultsStore.open_readonly(folder / "results" / "results.db") as results:
        return results.openings()


def card_of(models):
    return (models / "MODEL_CARD.md").read_text("utf-8")


@pytest.mark.long
def test_the_opening_is_on_record_before_a_test_file_is_touched_and_without_the_flag_none_is(folder):
    words, counts, models = retrain(folder, "--details")
    assert counts == set() and openings_of(folder) == []
    assert "These models have no test evaluation yet; --test makes one." in words
    assert "for 1 epoch, the number that validation chose, with 1 seed." in words or "for 2 epochs" in words
    words, counts, again = retrain(folder, "--test")
    assert counts == {"opened after 1"} and again == models
    (opening,) = openings_of(folder)
    assert opening.completed_at is not None and opening.command == "harness retrain-best --test --seeds 1 --threads 1"
    of_model = {score.model for score in opening.scores if score.kind.is_of_model}
    assert of_model == {f"models/{models.name}"}
    assert {score.model for score in opening.scores if not score.kind.is_of_model} == {None}
    assert {score.kind for score in opening.scores if score.kind.is_probe} >= {
        ScoreKind.PROBE_WORDS_SHARED,
        ScoreKind.PROBE_SPEECH_SHARED,
    }
    assert "Scenes: On this synthetic corpus, words alone score" in words
    assert "### Scores" in card_of(models) and UNSCORED not in card_of(models)
    assert "Test set: Test evaluation 1, validation-chosen epoch, protocol 'paper', 1 seed, synthetic corpus." in words
    assert "score, % mean deviation" in words and "random forest on speech" in words
    assert "Test set: confusion" not in words and "Every test evaluation" not in words
    # The details of what is on record need no further test evaluation.
    words, counts, again = retrain(folder, "--details")
    assert counts == set() and again == models and len(openings_of(folder)) == 1
    titles = ("scores", "by class", "by group", "confusion", "against baselines", "scenes", "calibration")
    for title in (*titles, "reliability"):
        assert f"Test set: {title}" in words
    assert "Session 5, validation-chosen epoch" in words and "Every test evaluation" in words


@pytest.mark.long
def test_an_error_is_not_hidden_by_a_card_that_cannot_be_written(folder, tmp_path):
    shutil.copytree(folder / "results", tmp_path / "results")
    _, _, models = retrain(tmp_path)
    # Nothing can be moved over a folder, and the network is no network.
    (models / "MODEL_CARD.md").unlink()
    (models / "MODEL_CARD.md").mkdir()
    (network,) = models.glob("seed-*/model.keras")
    network.write_bytes(b"torn")
    done = type_command(tmp_path, "retrain-best", "--test", *FEW)
    assert done.returncode != 0
    assert "model.keras" in done.stderr and "MODEL_CARD" not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.long
def test_models_fitted_with_the_test_session_open_are_told_from_those_that_were_not(published):
    words, counts, opened = retrain(published, "--test")
    assert counts == {"opened after 1"}
    assert "for 3 epochs with 1 seed, with the test session open: protocol 'published-code' scores every epoch" in words
    assert "every epoch was scored on it" in words and "Each of these models was scored on it once" not in words
    words, counts, sealed = retrain(published)
    assert counts == set() and sealed != opened and "the number that validation chose, with 1 seed." in words
    assert ModelRecord.read(opened).is_fitted_on_test and not ModelRecord.read(sealed).is_fitted_on_test
    assert "### Scores" in card_of(opened)
    assert UNSCORED in card_of(sealed) and "maximum over test epochs" not in card_of(sealed)
    (opening,) = openings_of(published)
    assert {score.kind for score in opening.scores if score.kind.is_of_model} == {
        ScoreKind.VALIDATION_CHOSEN,
        ScoreKind.TEST_MAXIMUM,
    }


@pytest.mark.thorough
def test_scores_without_one_modality_stand_on_no_card_of_models_without_another(fusion):
    _, counts, without_speech = retrain(fusion, "--without", "speech", "--test")
    assert counts == {"opened after 1"}
    _, counts, without_text = retrain(fusion, "--without", "text")
    assert counts == set() and without_text != without_speech
    assert "### Scores" in card_of(without_speech)
    assert UNSCORED in card_of(without_text) and "### Scores" not in card_of(without_text)


@pytest.mark.thorough
def test_branches_under_the_published_code_are_trained_with_the_test_session_sealed(tmp_path):
    run_small_search(tmp_path, "published-code", system="speech_text", points=[SMALL_FUSION, SMALL_FUSION])
    _, counts, opened = retrain(tmp_path, "--test")
    assert counts == {"opened after 1"}
    _, counts, variant = retrain(tmp_path, "--without", "speech", "--test")
    # Of the two openings: the first one's models are not touched by the second.
    assert counts == {"opened after 2"} and ModelRecord.read(opened).is_fitted_on_test
    assert not ModelRecord.read(variant).is_fitted_on_test
    (whole,) = [path for path in opened.parent.iterdir() if path not in (opened, variant)]
    assert not ModelRecord.read(whole).is_fitted_on_test
    checked = type_command(tmp_path, "check", "--results", "results")
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


@pytest.mark.long
def test_scenes_add_the_score_without_the_scored_scenes_once(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copied")
    words, counts, _ = retrain(tmp_path / "copied", "--test", "--scenes")
    number = len(openings_of(tmp_path / "copied"))
    assert counts == {f"opened after {number}"}
    assert "Then with the scored scenes left out: each seed has one model for each of" in words
    assert "The model itself scores " in words
    kinds = {score.kind for score in openings_of(tmp_path / "copied")[-1].scores}
    assert {ScoreKind.VALIDATION_CHOSEN, ScoreKind.SCENES_LEFT_OUT, ScoreKind.PROBE_WORDS_LEFT_OUT} <= kinds
    words, counts, _ = retrain(tmp_path / "copied", "--test", "--scenes")
    assert counts == set() and len(openings_of(tmp_path / "copied")) == number
    assert "with the scored scenes left out. It is not repeated." in words and "The model itself scores " in words


@pytest.mark.parametrize("others", [(), ("--test", "--without", "speech")], ids=["without --test", "with --without"])
def test_scenes_need_a_test_of_the_model_itself(folder, others):
    done = type_command(folder, "retrain-best", "--scenes", *others)
    assert done.returncode == 2
    assert "--scenes needs --test, and excludes --without and --replace." in done.stderr


@pytest.mark.parametrize("others", [("--top", "2"), ("--with", "tfidf")])
def test_an_ensemble_is_not_changed_or_trained_again_without_scenes(folder, others):
    done = type_command(folder, "retrain-best", *others, "--scenes", "--test")
    assert done.returncode == 2
    assert "--top, --with and several --experiment exclude --scenes, --without and --replace." in done.stderr


@pytest.mark.parametrize("value", ["", "speech"])
def test_a_replacement_without_its_model_is_refused_before_anything_is_done(tmp_path, value):
    """An empty one was ignored, so that --test evaluated the test session with models that were not asked for."""
    done = type_command(tmp_path, "retrain-best", "--test", f"--replace={value}")
    assert done.returncode == 2
    assert f"--replace is {value!r}; expected MODALITY=MODEL, e.g. speech=results/models/..." in done.stderr
