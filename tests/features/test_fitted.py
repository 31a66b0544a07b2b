import json
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import FeatureError, HarnessError
from harness.features import text
from harness.features.fitted import FittedFeatures, fit_features
from harness.splits.protocol import PROTOCOLS, Lengths, Vocabulary, read_protocol
from tests.features.invented import SETTINGS, make_features, make_mocap, make_speech

PAPER = PROTOCOLS["paper"]


@pytest.fixture
def train():
    return make_features(
        ["so what now", "what", None],
        {**make_speech([3, 1, 2], [1.0, 8.0, 0.0]), **make_mocap([1.0, 3.0, 5.0])},
    )


def test_only_what_the_model_takes_is_fitted(train):
    fitted = fit_features(train, ["mocap"], PAPER, None, 8, seed=0)
    assert fitted.modalities == ("mocap",)
    assert fitted.tokenizer is fitted.embedding is fitted.speech is None
    assert fitted.mocap is not None
    assert fitted.embedding_source == "the model takes no text"


def test_without_a_file_the_vectors_are_trained_on_the_training_text(train):
    fitted = fit_features(train, ["text", "speech"], PAPER, None, 8, seed=0)
    assert fitted.modalities == ("speech", "text")
    assert fitted.embedding.shape == (5, 8)
    assert fitted.embedding_source == (
        "gensim Word2Vec, 8 numbers a word, trained on the 3 training transcripts"
    )


def test_a_file_of_vectors_decides_the_dimension(train, tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("what 1 2\nnever 3 4\n")
    fitted = fit_features(train, ["text"], PAPER, path, 300, seed=0)
    assert fitted.tokenizer.vocabulary == ("what", "now", "so", "never")
    assert fitted.embedding.shape == (6, 2)
    assert fitted.embedding[2].tolist() == [1, 2]
    assert fitted.embedding_source == (
        "glove.txt, 2 numbers a word: of the 4 spoken words of training (3 different ones), the file has 2 (1), 0 (0) "
        "begin as the mean of their pieces, and the others as small random vectors; words that training lacks, not "
        "trained: 1 with the file's vector, 0 with the mean of their pieces"
    )


def test_a_scored_word_that_the_file_has_gets_its_vector(train, tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("what 1 2\n, 5 6\nNever 7 8\nnever 3 4\nbroken 3\nnever 9 9\n")
    fitted = fit_features(train, ["text"], PAPER, path, 300, seed=0)
    fitted.save(tmp_path / "model")
    for each in (fitted, FittedFeatures.load(tmp_path / "model")):
        assert each.tokenizer.num_file_words == 1
        (known, unknown), = each.prepare(make_features(["Never broken"])).batch([0])["text"]
        assert each.embedding[known].tolist() == [3, 4] and unknown == 1


def test_words_of_the_file_are_limited_and_move_no_random_vector(train, tmp_path, monkeypatch):
    path = tmp_path / "glove.txt"
    path.write_text("what 1 2\n" + "".join(f"word{number} {number} 1\n" for number in range(9)))
    without = tmp_path / "without.txt"
    without.write_text("what 1 2\n")
    monkeypatch.setattr(text, "NUM_FILE_WORDS", 4)
    found, expected = (fit_features(train, ["text"], PAPER, each, 300, seed=3) for each in (path, without))
    assert found.tokenizer.vocabulary[3:] == ("word0", "word1", "word2", "word3")
    assert np.array_equal(found.embedding[:5], expected.embedding)


def test_a_contraction_that_the_file_lacks_begins_as_the_mean_of_its_pieces(tmp_path):
    train = make_features(["I don't, I'm, it's, isn't", "don't y'all"])
    path = tmp_path / "glove.txt"
    path.write_text("do 1 2\nn't 3 4\ndon 9 9\nt 9 9\ni 1 0\nm 0 1\nit's 7 7\nit 0 0\n's 0 0\n")
    fitted = fit_features(train, ["text"], PAPER, path, 300, seed=0)
    row_of = {word: fitted.embedding[fitted.tokenizer.encode(word)[0]].tolist() for word in fitted.tokenizer.vocabulary}
    # As the file parts it; as plain words where the file does not; and the file's own vector before either.
    assert (row_of["don't"], row_of["i'm"], row_of["it's"]) == ([2, 3], [0.5, 0.5], [7, 7])
    # The file has no "is", no "isn" and no "y".
    assert max(np.abs(row_of[word]).max() for word in ("isn't", "y'all")) <= 0.05
    assert "of the 7 spoken words of training (6 different ones), the file has 2 (2), 3 (2) begin" in (
        fitted.embedding_source
    )


def test_a_scored_contraction_that_training_and_the_file_lack_has_the_mean_of_its_pieces(tmp_path, monkeypatch):
    path = tmp_path / "glove.txt"
    path.write_text("so 1 1\nthey 1 2\nwho's 5 6\ni 1 0\nm 0 1\n's 8 8\nwho 9 9\n'd 3 4\n")
    monkeypatch.setattr(text, "NUM_FILE_WORDS", 1)
    fitted = fit_features(make_features(["so"]), ["text"], PAPER, path, 300, seed=0)
    fitted.save(tmp_path / "model")
    scored = make_features(["they'd so", "I'm", "who's", "they'll", "they's"])
    for each in (fitted, FittedFeatures.load(tmp_path / "model")):
        # The limit is of the file's words alone, of which the first is "they".
        assert each.tokenizer.vocabulary == ("so", "they", "who's", "i'm", "i'd", "they'd", "who'd")
        ids = each.prepare(scored).batch(range(5))["text"]
        assert each.embedding[ids[0]].tolist() == [[2, 3], [1, 1]]
        assert each.embedding[ids[1:3, 0]].tolist() == [[0.5, 0.5], [5, 6]]
        # The file has no "'ll" and no "ll"; and "they's" is no common contraction.
        assert ids[3:, 0].tolist() == [1, 1]
    assert fitted.embedding_source.endswith(
        "; words that training lacks, not trained: 2 with the file's vector, 4 with the mean of their pieces"
    )


def test_terms_are_fitted_on_training_and_saved(train, tmp_path):
    fitted = fit_features(train, ["text"], PAPER, tmp_path / "not there.txt", None, seed=0, reads_terms=True)
    assert fitted.tokenizer.vocabulary == ("now", "so", "what")
    assert fitted.embedding.shape == (5, 1) and fitted.embedding_source.startswith("TF-IDF of words, sentence marks")
    fitted.save(tmp_path / "model")
    scored = make_features(["So! What now?"])
    loaded = FittedFeatures.load(tmp_path / "model")
    for each in (fitted, loaded):
        # Words, marks, and then pairs, which training has once each.
        assert each.prepare(scored).batch([0])["text"].tolist() == [[3, 1, 4, 2, 1, 1, 1, 1, 1]]


@pytest.mark.parametrize("lengths", Lengths)
def test_of_too_many_words_the_last_are_kept_before_pairs_are_made(lengths):
    protocol = replace(PAPER, max_words=2, lengths=lengths)
    trained = make_features(["what now so what", "so what"])
    fitted = fit_features(trained, ["text"], protocol, None, None, seed=0, reads_terms=True)
    assert fitted.tokenizer.vocabulary == ("now", "so", "so what", "what")
    found = fitted.prepare(make_features(["now so what", "now"])).batch([0, 1])["text"].tolist()
    assert found == [[3, 5, 4], [0, 0, 2] if lengths is Lengths.PADDED else [2, 0, 0]]


def test_a_pair_that_is_repeated_beyond_training_weighs_as_often_as_training_has_it():
    everything = replace(PAPER, vocabulary=Vocabulary.EVERYTHING_OPENED)
    trained, extra = make_features(["so what", "no"]), make_features(["so what", "never"])
    fitted = fit_features(
        trained, ["text"], everything, None, None, seed=0, vocabulary_extra=extra, reads_terms=True
    )
    assert fitted.tokenizer.vocabulary == ("never", "no", "so", "so what", "what")
    never, no, so, pair, what = fitted.embedding[2:, 0]
    assert pair == so == what == no == pytest.approx(1 + np.log(3 / 2)) and never == pytest.approx(1 + np.log(3))


def test_where_every_opened_word_is_known_the_file_adds_none(train, tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("what 1 2\nnever 3 4\ndo 1 1\nn't 1 1\n")
    extra = make_features(["don't now"])
    everything = replace(PAPER, vocabulary=Vocabulary.EVERYTHING_OPENED)
    fitted = fit_features(train, ["text"], everything, path, 300, seed=0, vocabulary_extra=extra)
    assert fitted.tokenizer.vocabulary == ("now", "what", "don't", "so")
    assert np.abs(fitted.embedding[fitted.tokenizer.encode("don't")[0]]).max() <= 0.05


def test_a_model_may_make_its_own_vectors(train):
    fitted = fit_features(train, ["text"], PAPER, None, None, seed=0)
    assert fitted.embedding is None
    assert fitted.embedding_source == "the model's own random vectors"


def test_no_file_of_vectors_is_read_for_a_model_that_makes_its_own(train, tmp_path):
    fitted = fit_features(train, ["text"], PAPER, tmp_path / "not there.txt", None, seed=0)
    assert fitted.embedding is None
    assert fitted.embedding_source == "the model's own random vectors"


def test_other_utterances_words_are_known_only_where_the_protocol_says_so(train):
    extra = make_features(["never heard"])
    everything = replace(PAPER, vocabulary=Vocabulary.EVERYTHING_OPENED)
    for protocol, words in ((PAPER, set()), (everything, {"never", "heard"})):
        fitted = fit_features(train, ["text"], protocol, None, None, seed=0, vocabulary_extra=extra)
        assert set(fitted.tokenizer.vocabulary) == {"so", "what", "now"} | words


def test_nothing_but_the_training_utterances_changes_what_is_fitted(train):
    fitted = fit_features(train, ["speech", "text", "mocap"], PAPER, None, 8, seed=0)
    others = make_features(
        ["other words"] * 3, {**make_speech([4] * 3, [99.0] * 3), **make_mocap([99.0] * 3)}
    )
    fitted.prepare(others).batch([0, 1, 2])
    again = fit_features(train, ["speech", "text", "mocap"], PAPER, None, 8, seed=0, vocabulary_extra=others)
    assert again.tokenizer == fitted.tokenizer
    assert np.array_equal(again.embedding, fitted.embedding)
    assert np.array_equal(again.speech.mean, fitted.speech.mean)
    assert np.array_equal(again.mocap.std, fitted.mocap.std)


def test_words_are_encoded_once_for_the_same_features(train):
    fitted = fit_features(train, ["text"], PAPER, None, None, seed=0)
    assert fitted.prepare(train).words is fitted.prepare(train).words


@pytest.mark.parametrize("modalities", [["speech", "text", "mocap"], ["text"], ["mocap"]])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_was_saved_gives_the_same_batches(train, tmp_path, modalities, protocol):
    fitted = fit_features(train, modalities, PROTOCOLS[protocol], None, 8, seed=0)
    fitted.save(tmp_path / "a 'model'")
    loaded = FittedFeatures.load(tmp_path / "a 'model'")
    assert loaded.protocol == fitted.protocol
    assert loaded.tokenizer == fitted.tokenizer
    assert loaded.embedding_source == fitted.embedding_source
    assert loaded.speech_settings == SETTINGS
    if "text" in modalities:
        assert np.array_equal(loaded.embedding, fitted.embedding)
    for (name, found), expected in zip(
        loaded.prepare(train).batch([2, 0]).items(), fitted.prepare(train).batch([2, 0]).values(), strict=True
    ):
        assert np.array_equal(found, expected), name


def test_a_changed_protocol_is_saved_with_its_name(train, tmp_path):
    protocol = read_protocol({"base": "strict", "max_words": 7})
    fit_features(train, ["text"], protocol, None, None, seed=0).save(tmp_path)
    assert FittedFeatures.load(tmp_path).protocol == protocol


def test_only_json_and_npy_are_written(train, tmp_path):
    fit_features(train, ["speech", "text", "mocap"], PAPER, None, 8, seed=0).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "embedding.npy",
        "fitted.json",
        "mocap_mean.npy",
        "mocap_std.npy",
        "speech_mean.npy",
        "speech_std.npy",
    ]
    assert json.loads((tmp_path / "fitted.json").read_text())["vocabulary"] == ["what", "now", "so"]


def test_a_folder_without_what_was_fitted_is_rejected(tmp_path):
    with pytest.raises(FeatureError) as caught:
        FittedFeatures.load(tmp_path)
    assert str(caught.value) == (
        f"fitted features {str(tmp_path)!r}: cannot be read (fitted.json: No such file or directory); train the "
        "model again"
    )


def test_frames_made_in_another_way_are_rejected(train):
    fitted = fit_features(train, ["speech"], PAPER, None, None, seed=0)
    others = make_features(["a"], make_speech([1], [1.0]), settings=replace(SETTINGS, hop=0.05))
    with pytest.raises(FeatureError) as caught:
        fitted.prepare(others).batch([0])
    assert str(caught.value) == (
        f"speech features: were made with {json.dumps(replace(SETTINGS, hop=0.05).to_json())}; "
        f"expected {json.dumps(SETTINGS.to_json())}, on which the model was fitted"
    )


HOLDS_NO = "prepared features: hold no {}, for the corpus has none; expected a system that does not read it"


@pytest.mark.parametrize(
    ("transcripts", "modalities", "message"),
    [
        ([], ["text"], "there are no training utterances; expected at least one to fit features on"),
        (["a"], ["face"], "unknown modality 'face'; expected one of ['mocap', 'speech', 'text']"),
        (["a"], ["mocap"], HOLDS_NO.format("mocap")),
        (["a"], ["speech"], HOLDS_NO.format("speech")),
    ],
    ids=["no utterance", "unknown modality", "no mocap", "no speech"],
)
def test_what_cannot_be_fitted_is_rejected(transcripts, modalities, message):
    with pytest.raises(HarnessError) as caught:
        fit_features(make_features(transcripts), modalities, PAPER, None, None, seed=0)
    assert str(caught.value) == message
