"""A saved model on another corpus: what is refused, what is scored, what is on record. The corpora are tiny."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from harness.codec import to_plain
from harness.corpus.layout import MocapStream
from harness.corpus.utterances import CLASSES
from harness.errors import FeatureError, ModelError
from harness.features.auxiliary import AuxiliaryCorpora, AuxiliaryTraining
from harness.features.own import OwnFeatures
from harness.features.prepare import open_files, prepare_corpus, prepared_dir_for
from harness.features.speech import own_speech_settings, speech_settings
from harness.features.store import FeatureStore
from harness.files import write_digests
from harness.final.evaluate import evaluate, find_training_features
from harness.final.predict import predict_dialogue
from harness.final.saved_model import ModelRecord, load_seed, seed_dir
from harness.models.baselines import BASELINES
from harness.splits.protocol import PROTOCOLS
from harness.store.evaluations import read_evaluations
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from tests.corpus.written import COMPLETE, WITHOUT_MOCAP, write_tiny_corpus
from tests.final.test_predict import save_untrained
from tests.invented_features import SETTINGS
from tests.store.experiments import an_experiment

#: The four-class utterances of the tiny corpus.
SCORED = ["Ses01F_impro01_F000", "Ses01F_impro01_M000", "Ses01F_impro01_M001", "Ses05M_script01_1b_M000"]
SMALL_TEXT = {"textlstm": 4, "textlstm2": 4, "dense": 4, "random_dimension": 4}


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    """A forest of 500 trees takes a second or two; what is tested here shows with twenty."""
    monkeypatch.setattr("harness.models.baselines.NUM_TREES", 20)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("untrained models")
    save_untrained(folder / "reader", "text3", **SMALL_TEXT)
    save_untrained(folder / "listener", "speech4", speechlstm=4, dense=4, attention="pooling")
    save_untrained(folder / "watcher", "head2")
    return folder


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """The corpus that is scored, and one that training could have read: other times and other words, but for one."""
    folder = tmp_path_factory.mktemp("two corpora")
    write_tiny_corpus(folder / "the other's")
    own = write_tiny_corpus(folder / "own")
    for path, old, new in (
        (own.annotation_path(COMPLETE), b"1.7500", b"1.5000"),
        (own.annotation_path(COMPLETE), b"0.5000 -", b"0.2500 -"),
        (own.annotation_path(COMPLETE), b"3.7500", b"3.5000"),
        (own.transcript_path(COMPLETE), b"Excuse me.", b"So what?"),
        (own.transcript_path(COMPLETE), b"Oh.", b"They're here!"),
    ):
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new))
    return folder


@pytest.fixture
def other(corpora):
    return corpora / "the other's"


@pytest.fixture
def results(tmp_path):
    with ResultsStore.open(tmp_path / "its results" / "results.db") as opened:
        yield opened


def prepare(results, corpus):
    """Prepare a corpus as a search does, and return its features."""
    folder = prepared_dir_for(results.path.parent, corpus, SETTINGS)
    prepare_corpus(corpus, folder, SETTINGS)
    return FeatureStore.open(folder)


def place(results, models, name, **changes):
    """Put a model into the results folder, with another record."""
    folder = results.path.parent / "models" / name
    shutil.copytree(models / name, folder)
    replace(ModelRecord.read(folder), **changes).write(folder)
    return folder


def search(results, corpus_hash, **changes):
    protocol = PROTOCOLS["paper"]
    known = {"protocol": json.dumps(protocol.to_json()), "corpus_hash": corpus_hash}
    return results.create_experiment(an_experiment(**{**known, **changes}))


def test_every_four_class_utterance_is_scored_and_on_record_and_no_test_evaluation_is(results, models, other):
    found = evaluate(results, models / "reader", other, command="harness evaluate")
    (row,) = read_evaluations(results)
    assert found.is_new and found.evaluation == row
    assert (row.eid, row.model, row.sessions, row.seeds) == (None, "reader", (1, 5), (1,))
    assert (row.corpus_path, row.trained_on_hash, row.command) == (str(other), "0" * 64, "harness evaluate")
    (scores,) = row.scores
    assert [made.utterance_id for made in scores.predictions] == SCORED
    assert [made.emotion.value for made in scores.predictions] == ["neu", "ang", "sad", "exc"]
    assert (scores.kind, scores.epoch) == (ScoreKind.VALIDATION_CHOSEN, 1)
    assert scores.weighted_accuracy == np.mean([made.emotion == made.predicted for made in scores.predictions])
    store = prepare(results, other)
    expected = load_seed(models / "reader", 1).predict(store.load(SCORED))
    assert np.allclose([made.probabilities for made in scores.predictions], expected, atol=1e-6)
    assert results.openings() == []


def test_without_the_features_of_training_there_are_no_baselines_and_it_is_said(results, models, other):
    found = evaluate(results, models / "reader", other)
    assert found.left_out == (
        "The baselines and the share of known transcripts are left out: the prepared features of the training corpus, "
        "00000000, are not in the results folder.",
    )
    assert found.evaluation.is_seen == {}


def test_baselines_are_fitted_on_the_model_s_own_training_utterances(results, models, corpora, other):
    own = prepare(results, corpora / "own")
    model = place(results, models, "watcher", corpus_hash=own.corpus_hash)
    row = evaluate(results, model, other).evaluation
    assert {score.kind.value.removeprefix("baseline: ") for score in row.scores if score.kind.is_baseline} == {
        baseline.title for baseline in BASELINES.values() if baseline.is_for_all
    }
    (text,) = [score for score in row.scores if score.kind is ScoreKind.BASELINE_TEXT_LOGISTIC]
    # Session 5 of its own corpus is the test session: it trains no baseline either.
    trained_on = own.load([name for name in SCORED if name.startswith("Ses01")])
    fitted = BASELINES["text_logistic"].fit(trained_on, 1)
    expected = fitted.probabilities(prepare(results, other).load(SCORED))
    assert np.allclose([made.probabilities for made in text.predictions], expected)
    assert [made.probabilities[CLASSES.index("exc")] for made in text.predictions] == [0.0] * 4


def test_a_model_of_motion_finds_the_features_that_hold_it_and_a_model_of_frames_its_frames(results, models, corpora):
    framed = speech_settings(PROTOCOLS["paper"], "frames")
    folder = results.path.parent / "prepared" / "a first folder"
    prepare_corpus(corpora / "own", folder, framed)
    corpus_hash = FeatureStore.open(folder).corpus_hash
    records = {
        name: replace(ModelRecord.read(models / name), corpus_hash=corpus_hash, **changes)
        for name, changes in (
            ("reader", {"speech_settings": None}),
            ("watcher", {"speech_settings": None}),
            ("listener", {"speech_settings": framed.to_json()}),
        )
    }
    for with_motion in (False, True):
        if with_motion:
            prepare(results, corpora / "own")
        found = {name: find_training_features(results.path.parent, record) for name, record in records.items()}
        assert [name for name, store in found.items() if store is None] == ([] if with_motion else ["watcher"])
        assert found["listener"].prepared_dir == folder
        assert (found["reader"].prepared_dir == folder) is not with_motion


def test_a_model_of_files_is_refused_with_all_of_them(results, models, other):
    own = {name: OwnFeatures("0a1b", 88, 1, 1.0, name) for name in ("a.csv", "b.csv")}
    model = place(
        results,
        models,
        "reader",
        speech_settings=own_speech_settings(own["a.csv"]).to_json(),
        text_features=to_plain(own["b.csv"]),
    )
    needs = "'a.csv', one vector of 88 numbers an utterance and 'b.csv', one vector of 88 numbers an utterance"
    for refused, where in (
        (lambda: evaluate(results, model, other), "for another corpus"),
        (lambda: predict_dialogue(model, []), "from a recording"),
    ):
        with pytest.raises(ModelError, match=f"needs {needs}, from whatever .* cannot compute them {where}; expected"):
            refused()


@pytest.mark.parametrize("modality", ["speech", "text"])
def test_features_of_one_s_own_beside_a_model_of_words_fit_no_baseline(modality, results, models, corpora, tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, **{name: np.ones((2, 3), np.float32) for name in SCORED})
    own, settings = open_files({modality: path}, SETTINGS)
    # Before all others in the order of the folders' names.
    folder = results.path.parent / "prepared/0"
    prepare_corpus(corpora / "own", folder, settings, own=own)
    model = place(results, models, "reader", corpus_hash=FeatureStore.open(folder).corpus_hash)
    assert find_training_features(results.path.parent, ModelRecord.read(model)) is None
    computed = prepare(results, corpora / "own")
    found = find_training_features(results.path.parent, ModelRecord.read(model))
    assert found.prepared_dir == computed.prepared_dir


def test_transcripts_that_training_had_are_on_record(results, models, corpora, other):
    own = prepare(results, corpora / "own")
    model = place(results, models, "watcher", corpus_hash=own.corpus_hash)
    is_seen = evaluate(results, model, other).evaluation.is_seen
    assert is_seen == dict(zip(SCORED, (False, True, False, True), strict=True))


def test_the_same_is_scored_once_and_again_where_baselines_have_become_possible(results, models, corpora, other):
    own = prepare(results, corpora / "own")
    model = place(results, models, "watcher", corpus_hash=own.corpus_hash)
    hidden = own.prepared_dir.rename(results.path.parent / "hidden")
    assert evaluate(results, model, other).is_new
    assert not evaluate(results, model, other).is_new
    hidden.rename(own.prepared_dir)
    assert evaluate(results, model, other).is_new
    again = evaluate(results, model, other)
    assert not again.is_new and again.evaluation.evaluation_id == 2
    part = evaluate(results, model, other, sessions=(1,))
    assert part.is_new and len(part.evaluation.of_model[0].predictions) == 3
    # Another seed makes another model.
    shutil.copytree(seed_dir(model, 1), seed_dir(model, 2))
    replace(ModelRecord.read(model), seeds=(1, 2)).write(model)
    assert [score.seed for score in evaluate(results, model, other).evaluation.of_model] == [1, 2]
    assert len(read_evaluations(results)) == 4


def test_a_model_of_the_folder_is_known_by_its_experiment(results, models, corpora, other):
    own = prepare(results, corpora / "own")
    eid = search(results, own.corpus_hash)
    model = place(results, models, "watcher", corpus_hash=own.corpus_hash, eid=eid)
    row = evaluate(results, model, other).evaluation
    assert (row.eid, row.model) == (eid, "models/watcher")
    assert read_evaluations(results, eid) == [row] and read_evaluations(results, eid + 1) == []
    # Its number alone is that of any experiment.
    shutil.copytree(model, results.path.parents[1] / "elsewhere")
    assert evaluate(results, results.path.parents[1] / "elsewhere", other, (1,)).evaluation.eid is None


def refusal(*arguments, **options):
    with pytest.raises((FeatureError, ModelError)) as caught:
        evaluate(*arguments, **options)
    assert read_evaluations(arguments[0]) == []
    return str(caught.value)


def test_the_corpus_that_the_model_was_trained_on_is_refused(results, models, corpora):
    own = prepare(results, corpora / "own")
    model = place(results, models, "reader", corpus_hash=own.corpus_hash)
    assert refusal(results, model, corpora / "own") == (
        f"corpus {str(corpora / 'own')!r}: is the corpus that the model was trained on; expected another one; its test "
        "session is scored by `harness retrain-best --test`"
    )


def test_a_changed_copy_of_the_training_corpus_is_refused(results, models, corpora, tmp_path):
    own = prepare(results, corpora / "own")
    model = place(results, models, "reader", corpus_hash=own.corpus_hash)
    copy = shutil.copytree(corpora / "own", tmp_path / "copy")
    shutil.rmtree(copy / "Session1" / "sentences")
    assert refusal(results, model, copy) == (
        f"corpus {str(copy)!r}: 3 of its 4 utterances, such as 'Ses01F_impro01_F000', have the same id, times and "
        "words as a training utterance of the model; expected another corpus"
    )


@pytest.mark.parametrize("session", [5, None], ids=["asked for", "among all"])
def test_a_session_that_an_experiment_keeps_for_its_test_stays_sealed(results, models, other, session):
    store = prepare(results, other)
    search(results, "another corpus")
    eid = search(results, store.corpus_hash, name="text")
    assert refusal(results, models / "watcher", other, sessions=() if session is None else (session,)) == (
        f"corpus {str(other)!r}: its Session 5 is the test session of experiment {eid} ('text') in '{results.path}', "
        "and is sealed except for test evaluations; score the others with --session 1"
    )
    opened = []
    utterances = FeatureStore.utterances
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureStore, "utterances", lambda store, asked: opened.extend(asked) or utterances(store, asked))
        row = evaluate(results, models / "watcher", other, sessions=(1,)).evaluation
    assert set(opened) == {1} and len(row.of_model[0].predictions) == 3


def test_what_is_not_there_is_refused_in_a_sentence(results, models, other, tmp_path):
    assert refusal(results, models / "reader", other, sessions=(1, 3)) == (
        f"corpus {str(other)!r}: has no Session 3; expected some of [1, 5]"
    )
    bare = shutil.copytree(other, tmp_path / "bare")
    shutil.rmtree(bare / "Session1" / "sentences")
    shutil.rmtree(bare / "Session5" / "sentences")
    shutil.rmtree(bare / "Session1" / "dialog" / MocapStream.HEAD.folder)
    assert refusal(results, models / "listener", bare) == (
        f"system 'speech4' needs speech, which the corpus at {str(bare)!r} does not have; expected a "
        "system that reads what it has"
    )
    assert refusal(results, models / "watcher", bare) == (
        f"system 'head2' needs the head's motion, which the corpus at {str(bare)!r} does not have; expected a "
        "system that reads what it has"
    )
    for path in bare.glob(f"Session5/dialog/EmoEvaluation/{WITHOUT_MOCAP}.txt"):
        path.write_bytes(path.read_bytes().replace(b"exc", b"fru"))
    assert refusal(results, models / "reader", bare, sessions=(5,)) == (
        f"corpus {str(bare)!r}: has no utterance of the classes ang, exc, neu, sad in Session 5; expected at least one"
    )


@pytest.mark.parametrize("is_damaged", [False, True])
def test_why_auxiliary_corpora_cannot_be_used_is_said_and_found_once(
    results, models, corpora, other, monkeypatch, is_damaged
):
    """Damaged features were called missing, or of another content."""
    own, folder = prepare(results, corpora / "own"), results.path.parent / "auxiliary"
    auxiliary = AuxiliaryCorpora((folder,), ("c0ffee",), AuxiliaryTraining.TOGETHER, 1)
    model = place(results, models, "reader", corpus_hash=own.corpus_hash, auxiliary=auxiliary)
    folder.mkdir()
    if is_damaged:
        (folder / "manifest.json").write_text("torn")
    with pytest.raises(FeatureError) as cause:
        auxiliary.check_content()
    opened, check = [], AuxiliaryCorpora.check_content

    def count(self):
        opened.append(self)
        check(self)

    monkeypatch.setattr(AuxiliaryCorpora, "check_content", count)
    left_out = (
        "The baselines are left out, and transcripts of the auxiliary corpora count as not seen, because the model's "
        f"auxiliary corpora cannot be used: {cause.value}.",
    )
    assert evaluate(results, model, other).left_out == left_out
    assert len(opened) == 1
    # It was scored and recorded anew by each call, as if baselines had become possible.
    again = evaluate(results, model, other)
    assert (again.is_new, again.left_out, len(read_evaluations(results))) == (False, left_out, 1)


def test_a_damaged_seed_leaves_no_record(results, models, other):
    model = place(results, models, "reader", seeds=(1, 2))
    seed_dir(model, 2).mkdir()
    (seed_dir(model, 2) / "model.keras").write_bytes(b"torn")
    assert "seed-2': has no sha256.json, which is written last" in refusal(results, model, other)
    write_digests(seed_dir(model, 2))
    assert "model.keras': cannot be loaded" in refusal(results, model, other)


def test_sound_is_prepared_as_the_model_s_own_was(results, models, other):
    row = evaluate(results, models / "listener", other).evaluation
    assert len(row.of_model[0].predictions) == 4
    (prepared,) = (results.path.parent / "prepared").iterdir()
    assert FeatureStore.open(prepared).manifest.speech_settings == SETTINGS


@pytest.mark.long
def test_real_speech_of_another_language_is_scored(results, models, emodb):
    """Every recording of EmoDB, by a model that never learnt anything."""
    row = evaluate(results, models / "listener", emodb, sessions=(2,)).evaluation
    assert len(row.of_model[0].predictions) == 51 and not row.is_synthetic
