"""Transcripts to words, words to the ids that a model looks up, and vectors for the words.

The vectors are read from any GloVe or word2vec file, or trained on the transcripts.
"""

from __future__ import annotations

import gzip
import mmap
import re
import string
import unicodedata
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from harness.errors import FeatureError, one_line
from harness.features.lexica import POLARITIES, Lexicon, lexicon_terms
from harness.files import open_regular, why_no_file

# gensim takes about a second to import: only the functions that use it import it.
if TYPE_CHECKING:
    from gensim.models import KeyedVectors

#: The ids that no word has.
PADDING_ID, UNKNOWN_ID = 0, 1
NUM_RESERVED_IDS = 2

_TOKEN_PATTERN = re.compile(r"\[[^\[\]]+\]|[^\W_]+(?:'[^\W_]+)*")
_MARKED_PATTERN = re.compile(_TOKEN_PATTERN.pattern + "|[!?.]")


def split_words(transcript: str) -> list[str]:
    """Split a transcript into lowercase words; a tag such as ``[LAUGHTER]`` is one word, punctuation none.

    Example:
        >>> split_words("I don't... [LAUGHTER] well-known, Augie: 10%!")
        ['i', "don't", '[laughter]', 'well', 'known', 'augie', '10']
    """
    text = transcript.lower().replace("\u2019", "'")
    return ["_".join(token.split()) for token in _TOKEN_PATTERN.findall(text)]


#: The characters of a spelled transcript.
LETTERS = string.ascii_lowercase + " '"


def spell(transcript: str | None) -> str | None:
    """Spell the words of a transcript in ``LETTERS``; tags such as ``[LAUGHTER]`` are left out.

    Letters lose their marks. None where nothing is spoken, and where a word has a digit or a letter of another
    alphabet: its sound is not known.

    Example:
        >>> spell("I don't... [LAUGHTER] well-known, Augé!"), spell("Over 10%"), spell("[BREATHING]")
        ("i don't well known auge", None, None)
    """
    words = [word for word in split_words((transcript or "").casefold()) if not word.startswith("[")]
    decomposed = unicodedata.normalize("NFD", " ".join(words))
    text = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return text if text and set(text) <= set(LETTERS) else None


def split_terms(transcript: str, lexicon: Lexicon = Lexicon.NONE) -> list[str]:
    """Split a transcript into lowercase words, sentence marks, the pairs of neighbours, and the lexicon's terms.

    Marks tell emotions. In cross-validation by session on television dialogues, marks and pairs lift TF-IDF with a
    logistic regression from 60.1 to 68.5 % weighted accuracy, and from 34.7 to 45.4 % unweighted.

    Example:
        >>> split_terms("Oh no! No")
        ['oh', 'no', '!', 'no', 'oh no', 'no !', '! no']
    """
    return _add_terms(_split_marked(transcript), lexicon)


def _split_marked(transcript: str) -> list[str]:
    return _MARKED_PATTERN.findall(transcript.lower().replace("\u2019", "'"))


def _add_terms(words: list[str], lexicon: Lexicon) -> list[str]:
    pairs = [f"{first} {second}" for first, second in zip(words, words[1:], strict=False)]
    return words + pairs + lexicon_terms(words, lexicon)


def count_terms(transcripts: Iterable[str | None], lexicon: Lexicon = Lexicon.NONE) -> dict[str, int]:
    """Count the transcripts that have each term of ``split_terms``, of the words, the marks and the repeated pairs.

    Pairs that one transcript alone has cost half of the time, and change scores by less than chance does.

    Example:
        >>> count_terms(["oh no", "oh no!", None])
        {'oh': 2, 'no': 2, 'oh no': 2, '!': 1}
    """
    counts = _count_all_terms(transcripts, lexicon)
    return {term: count for term, count in counts.items() if count > 1 or " " not in term}


def _count_all_terms(transcripts: Iterable[str | None], lexicon: Lexicon) -> Counter[str]:
    return Counter(
        term for transcript in transcripts for term in dict.fromkeys(split_terms(transcript or "", lexicon))
    )


@dataclass(frozen=True)
class Tokenizer:
    """The words that a model knows; its ids begin after padding (0) and unknown (1).

    Attributes:
        vocabulary: the words of training, most frequent first, and then those of a file of word vectors
        num_file_words: the last words of the vocabulary, which training lacks
        has_terms: whether its words are those of ``split_terms``: words, sentence marks and pairs
        lexicon: whose terms are among them

    Example:
        >>> tokenizer = Tokenizer.fit(["so what", "so be it", None])
        >>> tokenizer.vocabulary
        ('so', 'be', 'it', 'what')
        >>> tokenizer.encode("So, what now?")
        [2, 5, 1]
    """

    vocabulary: tuple[str, ...]
    num_file_words: int = 0
    has_terms: bool = False
    lexicon: Lexicon = Lexicon.NONE

    def __post_init__(self) -> None:
        if len(set(self.vocabulary)) != len(self.vocabulary):
            twice = next(word for word, count in Counter(self.vocabulary).items() if count > 1)
            raise FeatureError(f"vocabulary: word {twice!r} stands in it twice; expected every word once")
        if not 0 <= self.num_file_words <= len(self.vocabulary):
            raise FeatureError(
                f"vocabulary: {self.num_file_words} of its {len(self.vocabulary)} words are of the file of word "
                "vectors; expected from 0 to all"
            )

    @classmethod
    def fit(cls, transcripts: Iterable[str | None]) -> Tokenizer:
        """Collect every word of ``transcripts``; words of one frequency are in alphabetical order."""
        counts = Counter(word for transcript in transcripts if transcript for word in split_words(transcript))
        return cls(tuple(sorted(counts, key=lambda word: (-counts[word], word))))

    @classmethod
    def fit_terms(cls, transcripts: Iterable[str | None], lexicon: Lexicon = Lexicon.NONE) -> Tokenizer:
        """Collect the terms of ``transcripts``, as ``count_terms`` does, in alphabetical order."""
        return cls(tuple(sorted(count_terms(transcripts, lexicon))), has_terms=True, lexicon=lexicon)

    @property
    def num_ids(self) -> int:
        """Rows of an embedding for these words: one a word, one for padding, one for unknown words."""
        return len(self.vocabulary) + NUM_RESERVED_IDS

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.vocabulary, start=NUM_RESERVED_IDS)}

    def encode(self, transcript: str | None, max_words: int | None = None) -> list[int]:
        """Return the id of each word, 1 for words outside the vocabulary; none for a missing transcript.

        Args:
            max_words: of more words the last ones are kept, with the pairs of these alone; None for all
        """
        words = (_split_marked if self.has_terms else split_words)(transcript or "")
        if max_words is not None:
            words = words[max(0, len(words) - max_words) :]
        return self.encode_words(_add_terms(words, self.lexicon) if self.has_terms else words)

    def most_ids(self, max_words: int) -> int:
        """Return how many ids ``encode`` returns of ``max_words`` words; a sentence mark counts as a word."""
        if not self.has_terms:
            return max_words
        return 2 * max_words - 1 if self.lexicon is Lexicon.NONE else 3 * max_words - 1 + len(POLARITIES)

    def encode_words(self, words: Sequence[str]) -> list[int]:
        """Return the id of each of ``words``, 1 for words outside the vocabulary."""
        return [self._ids.get(word, UNKNOWN_ID) for word in words]


#: Lines whose number of fields decides the dimension of a file without a header.
NUM_LINES_TO_MEASURE = 25
#: Of the lines that decide the dimension: a file without line ends is not read as one line.
MAX_LINE_BYTES = 2**22
#: Numbers a word: more is a damaged first line.
MAX_DIMENSION = 100_000
#: Half the width of the uniform range for words without a vector: that of Keras's own embeddings.
RANDOM_VECTOR_RANGE = 0.05
#: A small corpus needs more passes than gensim's 5 before its vectors part; 20 take seconds on the real one.
NUM_TRAINING_EPOCHS = 20


_Found = dict[str, npt.NDArray[np.float32]]


def read_word_vectors(path: Path, words: Collection[str], num_others: int = 0) -> KeyedVectors:
    """Read the vectors of ``words``, and of the file's first other words, in one pass over a GloVe or word2vec file.

    The file may have a header line, tokens that hold spaces, and repeated words, of which the first one counts.
    ``.gz`` files are unpacked on the way; ``.bin`` files are word2vec's binary format.

    Args:
        num_others: other words to read, such as ``split_words`` returns; one whose line is damaged is left out

    Returns:
        float32 vectors in the order of the file; empty where the file has none of the words

    Raises:
        FeatureError: the file is missing, not of these formats, or ends in the middle of a line; or
            one of ``words`` has too few numbers, or something that is no number. Names file and line
    """
    if fault := why_no_file(path):
        raise FeatureError(f"word vectors {str(path)!r}: {fault}; give the path of a GloVe or word2vec file")
    from gensim.models import KeyedVectors

    wanted = {word.encode() for word in words}
    try:
        if path.suffix == ".bin":
            dimension, found = _read_binary(path, wanted, num_others)
        else:
            with ExitStack() as stack:
                raw: BinaryIO = stack.enter_context(open_regular(path, buffering=1 << 20))
                if path.suffix == ".gz":
                    raw = cast(BinaryIO, stack.enter_context(gzip.open(raw)))
                dimension, found = _read_text(path, raw, wanted, num_others)
    except (OSError, EOFError, zlib.error) as error:
        raise FeatureError(
            f"word vectors {str(path)!r}: cannot be read ({one_line(error)}); fetch the file again"
        ) from error
    vectors = KeyedVectors(vector_size=dimension, count=0)
    if found:
        vectors.add_vectors(list(found), np.stack(list(found.values())))
    return vectors


def _read_text(path: Path, stream: BinaryIO, wanted: set[bytes], num_others: int) -> tuple[int, _Found]:
    first_lines = list(islice(iter(partial(stream.readline, MAX_LINE_BYTES), b""), NUM_LINES_TO_MEASURE))
    dimension = _measure_dimension(path, first_lines)
    num_words = _read_counts(path, first_lines[0], dimension)
    found: _Found = {}
    line = b"\n"
    number = 0
    for number, line in enumerate(chain(first_lines, stream), start=1):
        # A line without a space is a word alone: it has too few numbers, like any shorter line.
        word = line[:end] if (end := line.find(b" ")) >= 0 else line.strip()
        if number == 1 and num_words is not None:
            continue
        if word in wanted:
            fields = line.split()
            # More fields are a token that holds spaces, unless they are numbers from the second on.
            if len(fields) - 1 <= dimension or _is_number(fields[1]):
                found[word.decode()] = _parse_numbers(path, number, fields, dimension)
                wanted.discard(word)
        elif num_others and _is_word(text := word.decode("utf-8", "replace")) and text not in found:
            with suppress(FeatureError):
                found[text] = _parse_numbers(path, number, line.split(), dimension)
                num_others -= 1
    if not line.endswith(b"\n") and len(line.split()) <= dimension:
        raise FeatureError(
            f"word vectors {str(path)!r}, line {number}: the file ends after {len(line.split()) - 1} of "
            f"{dimension} numbers; fetch the file again"
        )
    if num_words is not None and number - 1 < num_words:
        raise FeatureError(
            f"word vectors {str(path)!r}, line {number}: the file ends after {number - 1} of the {num_words} "
            "words of its first line; fetch the file again, or correct that count"
        )
    return dimension, found


def _read_counts(path: Path, line: bytes, dimension: int) -> int | None:
    """Return the number of words that a header line states; None where the line is no header."""
    fields = line.split()
    if dimension == 1 or len(fields) != 2 or not all(field.isdigit() for field in fields):
        return None
    num_words, stated = (int(field[:18]) for field in fields)
    if stated != dimension:
        raise FeatureError(
            f"word vectors {str(path)!r}, line 1: says {stated} numbers a word, and most of the lines after it "
            f"have {dimension}; expected the same"
        )
    return num_words


def _is_word(text: str) -> bool:
    """Return whether ``split_words`` can return it."""
    return split_words(text) == [text]


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _measure_dimension(path: Path, first_lines: Sequence[bytes]) -> int:
    if any(b"\t" in line for line in first_lines):
        raise FeatureError(
            f"word vectors {str(path)!r}: the first lines hold tabs; expected spaces between a word and its numbers"
        )
    widths = [len(line.split()) - 1 for line in first_lines]
    if len(widths) > 1 and widths[0] == 1 and max(widths) > 1:
        widths = widths[1:]
    dimension = Counter(sorted(widths)).most_common(1)[0][0] if widths else 0
    if not 1 <= dimension <= MAX_DIMENSION or first_lines[0].startswith(b"PK\x03\x04"):
        raise FeatureError(
            f"word vectors {str(path)!r}: the first lines are not a word and its numbers; "
            "expected an unpacked GloVe or word2vec text file, one of these as .gz, or word2vec's .bin"
        )
    return dimension


def _parse_numbers(path: Path, number: int, fields: Sequence[bytes], dimension: int) -> npt.NDArray[np.float32]:
    place = f"word vectors {str(path)!r}, line {number}: word {fields[0].decode('utf-8', 'replace')!r}"
    try:
        with np.errstate(over="ignore"):
            vector = np.array([float(text) for text in fields[1:]], dtype=np.float32)
        is_finite = bool(np.isfinite(vector).all())
    except ValueError:
        vector, is_finite = np.empty(0, dtype=np.float32), False
    if not is_finite:
        raise FeatureError(f"{place} has something that is not a finite number; expected {dimension} of them")
    if len(vector) != dimension:
        raise FeatureError(f"{place} has {len(vector)} numbers; expected {dimension}")
    return vector


def _read_binary(path: Path, wanted: set[bytes], num_others: int) -> tuple[int, _Found]:
    with open_regular(path) as stream:
        header = stream.readline(100).split()
        if len(header) != 2 or not all(part.isdigit() for part in header):
            raise FeatureError(
                f"word vectors {str(path)!r}: the first line is not two counts; "
                "expected word2vec's binary format"
            )
        num_words, dimension = (int(part[:18]) for part in header)
        if not 1 <= dimension <= MAX_DIMENSION:
            raise FeatureError(
                f"word vectors {str(path)!r}: the first line says {dimension} numbers a word; "
                f"expected from 1 to {MAX_DIMENSION}"
            )
        position = stream.tell()
        found: _Found = {}
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for number in range(1, num_words + 1):
                space = content.find(b" ", position)
                end = space + 1 + 4 * dimension
                if space < 0 or end > len(content):
                    raise FeatureError(
                        f"word vectors {str(path)!r}: the file ends at word {number} of {num_words}; "
                        "fetch the file again"
                    )
                word = content[position:space].lstrip(b"\n")
                is_wanted, text = word in wanted, word.decode("utf-8", "replace")
                if is_wanted or (num_others and _is_word(text) and text not in found):
                    vector = np.frombuffer(content[space + 1 : end], dtype="<f4").astype(np.float32)
                    is_finite = bool(np.isfinite(vector).all())
                    if is_wanted and not is_finite:
                        raise FeatureError(
                            f"word vectors {str(path)!r}, word {number}: {text!r} has something that is "
                            f"not a finite number; expected {dimension} of them"
                        )
                    if is_finite:
                        found[text] = vector
                        wanted.discard(word)
                        num_others -= not is_wanted
                position = end
    return dimension, found


def train_word_vectors(transcripts: Iterable[str | None], dimension: int, seed: int) -> KeyedVectors:
    """Train gensim's Word2Vec (skip-gram) on the transcripts.

    One thread, so that the same transcripts, dimension and seed give the same bytes in every process.

    Returns:
        float32 vectors (``dimension`` numbers) for every word; empty where the transcripts have no word
    """
    from gensim.models import KeyedVectors, Word2Vec

    sentences = [split_words(transcript) for transcript in transcripts if transcript]
    if not any(sentences):
        return KeyedVectors(vector_size=dimension, count=0)
    model = Word2Vec(
        sentences,
        vector_size=dimension,
        sg=1,
        min_count=1,
        epochs=NUM_TRAINING_EPOCHS,
        seed=seed % 2**32,
        workers=1,
        hashfxn=_stable_hash,
    )
    return cast("KeyedVectors", model.wv)


def _stable_hash(text: str) -> int:
    return zlib.crc32(text.encode())


def inverse_frequencies(tokenizer: Tokenizer, transcripts: Iterable[str | None]) -> npt.NDArray[np.float32]:
    """Return float32 (tokenizer.num_ids, 1), the weight of each term in TF-IDF; 0 for padding and the unknown term.

    Source: scikit-learn's, smoothed: ln((1 + n) / (1 + df)) + 1, of the n transcripts that have a term.
    """
    spoken = [transcript for transcript in transcripts if split_terms(transcript or "")]
    counts = _count_all_terms(spoken, tokenizer.lexicon)
    frequencies = np.array([counts[term] for term in tokenizer.vocabulary])
    weights = np.zeros((tokenizer.num_ids, 1), np.float32)
    weights[NUM_RESERVED_IDS:, 0] = np.log((1 + len(spoken)) / (1 + frequencies)) + 1
    return weights


#: Words of a file of vectors that are known beside those of training. Ours: files begin with the most frequent words,
#: and a conversation has few others.
NUM_FILE_WORDS = 20_000
#: Ends of contractions that files made like GloVe's have as words of their own, with the words that they often follow
#: in a conversation. The choice of words is ours.
_CLITICS = {
    "n't": "do does did is are was were has have had ca could wo would sha should might must need ai",
    "'s": "he she it that this there here who what where when why how let one",
    "'m": "i",
    "'re": "you we they there who what where how why",
    "'ve": "i you we they there who what could should would might must",
    "'ll": "i you he she it we they that this there who what",
    "'d": "i you he she it we they that there who what where how why",
}
#: Contractions that are known beside the words of training and the first of a file of vectors.
CONTRACTIONS = tuple(word + end for end, words in _CLITICS.items() for word in words.split())


def split_contraction(word: str) -> list[tuple[str, ...]]:
    """Return the ways to part a contraction into words of a file of vectors, best first; none for any other word.

    Example:
        >>> split_contraction("don't"), split_contraction("so")
        ([('do', "n't"), ('don', 't')], [])
        >>> split_contraction("i'm"), split_contraction("o'clock")
        ([('i', "'m"), ('i', 'm')], [('o', 'clock')])
    """
    if "'" not in word:
        return []
    ways = [(word.removesuffix(end), end) for end in _CLITICS if word.endswith(end) and word != end]
    return [*ways[:1], tuple(word.split("'"))]


def read_known_vectors(path: Path, tokenizer: Tokenizer) -> tuple[Tokenizer, KeyedVectors, set[str]]:
    """Read the vectors of the words of training, and of the first ``NUM_FILE_WORDS`` of a file that training lacks.

    A contraction that the file lacks has the mean of the vectors of its pieces, in the first way of
    ``split_contraction`` of which the file has every piece. Files part contractions in different ways. Those of
    ``CONTRACTIONS`` are known too, if training lacks them and the file has them or their pieces.

    Returns:
        the tokenizer of all; the vectors; and the words whose vector is that of their pieces

    Raises:
        FeatureError: as ``read_word_vectors``
    """
    known = set(tokenizer.vocabulary)
    common = [word for word in CONTRACTIONS if word not in known]
    ways = {word: split_contraction(word) for word in (*tokenizer.vocabulary, *common)}
    pieces = {piece for word in ways for way in ways[word] for piece in way}
    vectors = read_word_vectors(path, ways.keys() | pieces, NUM_FILE_WORDS)
    others = [word for word in vectors.index_to_key if word not in known and _is_word(word)][:NUM_FILE_WORDS]
    means = {}
    for word in ways.keys() - vectors.key_to_index.keys():
        found = next((way for way in ways[word] if all(piece in vectors for piece in way)), None)
        if found is not None:
            means[word] = np.mean([vectors[piece] for piece in found], axis=0)
    if means:
        vectors.add_vectors(list(means), np.stack(list(means.values())))
    added = dict.fromkeys([*others, *(word for word in common if word in vectors)])
    return Tokenizer((*tokenizer.vocabulary, *added), len(added)), vectors, set(means)


def embedding_matrix(tokenizer: Tokenizer, vectors: KeyedVectors, seed: int = 0) -> npt.NDArray[np.float32]:
    """Lay out vectors by word id.

    Returns:
        float32 (tokenizer.num_ids, dimension): row 0 (padding) is 0; the row for unknown words, and
        those of words without a vector, are small random numbers from ``seed``
    """
    generator = np.random.default_rng(seed)
    shape = (tokenizer.num_ids, vectors.vector_size)
    matrix = generator.uniform(-RANDOM_VECTOR_RANGE, RANDOM_VECTOR_RANGE, shape).astype(np.float32)
    matrix[PADDING_ID] = 0.0
    for number, word in enumerate(tokenizer.vocabulary, start=NUM_RESERVED_IDS):
        if word in vectors:
            matrix[number] = vectors[word]
    return matrix
