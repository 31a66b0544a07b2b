import pytest

from harness.errors import FeatureError
from harness.features.text import Tokenizer, spell, split_words


@pytest.mark.parametrize(
    ("transcript", "words"),
    [
        ("Excuse me.", ["excuse", "me"]),
        ("Do you have your forms?", ["do", "you", "have", "your", "forms"]),
        ("[LAUGHTER]", ["[laughter]"]),
        ("Yeah.[BREATHING] So--", ["yeah", "[breathing]", "so"]),
        ("[LAUGHTER and noise]", ["[laughter_and_noise]"]),
        ("I don't, y'know; it's O'Brien's 'quote'", ["i", "don't", "y'know", "it's", "o'brien's", "quote"]),
        ("I don\u2019t", ["i", "don't"]),
        ("[unclosed tag", ["unclosed", "tag"]),
        ("Der Lappen liegt, hören Sie?", ["der", "lappen", "liegt", "hören", "sie"]),
        ("a_b  x-y\t3:30", ["a", "b", "x", "y", "3", "30"]),
        ("...", []),
        ("", []),
    ],
)
def test_words_of_a_transcript(transcript, words):
    assert split_words(transcript) == words


@pytest.mark.parametrize(
    ("transcript", "text"),
    [
        ("Excuse me. [LAUGHTER] I don\u2019t--", "excuse me i don't"),
        ("Was für ein großes Café!", "was fur ein grosses cafe"),
        ("It's 3:30.", None),
        ("да, да", None),
        ("[BREATHING]", None),
        (None, None),
    ],
)
def test_a_transcript_is_spelled_in_letters_or_not_at_all(transcript, text):
    assert spell(transcript) == text


def test_more_frequent_words_have_lower_ids_and_ties_are_alphabetical():
    tokenizer = Tokenizer.fit(["b a b", None, "c a b", ""])
    assert tokenizer.vocabulary == ("b", "a", "c")
    assert tokenizer.encode("a b c d") == [3, 2, 4, 1]
    assert tokenizer.num_ids == 5


@pytest.mark.parametrize("transcript", [None, "", "..."])
def test_a_transcript_without_words_has_no_ids(transcript):
    assert Tokenizer.fit(["a"]).encode(transcript) == []


def test_the_order_of_transcripts_changes_nothing():
    transcripts = ["so what", "what now", "now so be it"]
    assert Tokenizer.fit(transcripts) == Tokenizer.fit(reversed(transcripts))


def test_a_repeated_word_is_rejected():
    with pytest.raises(FeatureError) as caught:
        Tokenizer(("a", "b", "a"))
    assert str(caught.value) == "vocabulary: word 'a' stands in it twice; expected every word once"
