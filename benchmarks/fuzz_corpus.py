"""The parsers of a corpus and of word vectors, with seeds that the package's own writers made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.fuzz_parsers import Check, Parser, promise

DIALOGUE = "Ses01F_impro01"
#: Bytes of a text seed: long enough for every kind of line, short enough for thousands of inputs a second.
SEED_BYTES = 1200
#: Samples of a seed's recording, at 16 kHz: a little more than one window of 0.2 s.
SEED_SAMPLES = 3400
#: What the seeds' word vectors are asked for.
WORDS = ("so", "what", "now", "1", "caf\u00e9")


def _plan() -> tuple[Any, Any]:
    from harness.corpus.synthetic import SyntheticSettings, plan_corpus

    settings = SyntheticSettings(scale=0.01, mocap_rate=2.0, seconds_per_utterance=0.5)
    return settings, plan_corpus(settings).dialogues[0]


def _label_seeds(folder: Path) -> list[bytes]:
    from harness.corpus.synthetic.text import encode_label_file

    text = encode_label_file(*_plan())[:SEED_BYTES]
    return [text, text.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + text, text.replace(b"ang", b"\xe9")]


def _load_labels() -> Check:
    from harness.corpus.labels import read_annotations

    def check(path: Path) -> None:
        turns, _ = read_annotations(path)
        ids = [turn.utterance_id for turn in turns]
        promise(len(set(ids)) == len(ids), "an utterance twice")
        for turn in turns:
            numbers = (turn.start, turn.end, *turn.vad)
            promise(not any(math.isinf(number) for number in numbers), "infinite times or ratings")
            promise(not any(number < 0.5 or number > 5.5 for number in turn.vad), "a rating off the scale")
            promise(turn.utterance_id.startswith(path.stem), "a turn of another dialogue")

    return check


def _transcript_seeds(folder: Path) -> list[bytes]:
    from harness.corpus.synthetic.text import encode_transcription_file

    text = encode_transcription_file(*_plan())[:SEED_BYTES]
    return [text, text.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + text, text + b"M: Yeah.\n\xe9\n"]


def _load_transcripts() -> Check:
    from harness.corpus.labels import read_transcripts
    from harness.features.text import Tokenizer

    def check(path: Path) -> None:
        transcripts, _ = read_transcripts(path)
        promise(all(name.startswith(path.stem) for name in transcripts), "a turn of another dialogue")
        tokenizer = Tokenizer.fit(transcripts.values())
        promise(all(0 not in tokenizer.encode(text) for text in transcripts.values()), "a word that is padding")

    return check


def _mocap_seeds(folder: Path) -> list[bytes]:
    from harness.corpus.layout import MocapStream
    from harness.corpus.synthetic.motion import encode_mocap_file

    text = b"".join(encode_mocap_file(*_plan(), MocapStream.HEAD))
    text = b"".join(text.splitlines(keepends=True)[:6])
    return [text, text.replace(b"\n", b"\r\n"), text.replace(b" ", b"  "), text.replace(b"1", b"NaN"), text[:-9]]


def _load_mocap() -> Check:
    import numpy as np

    from harness.corpus.layout import MocapStream
    from harness.corpus.mocap import read_mocap, rows_between

    def check(path: Path) -> None:
        track, _ = read_mocap(path, MocapStream.HEAD)
        shape = (len(track.times), MocapStream.HEAD.num_columns)
        promise(track.values.shape == shape and len(track.columns) == shape[1], "another number of columns")
        promise(bool((np.diff(track.times) >= 0).all()), "times that fall")
        promise(not np.isinf(track.values).any() and bool(np.isfinite(track.times).all()), "infinite numbers")
        rows_between(track, 0.5, 1.5)
        # The same numbers, one field at a time: what is a number here is one there.
        rows = [line.split() for line in path.read_bytes().splitlines()]
        promise(len(track.times) <= sum(len(row) == shape[1] + 2 for row in rows), "rows that the file does not have")

    return check


def _recording_seeds(folder: Path) -> list[bytes]:
    import io
    import struct
    import wave

    import numpy as np

    from harness.corpus.synthetic.plan import encode_wav

    samples = np.rint(9000 * np.sin(np.arange(SEED_SAMPLES) / 7)).astype(np.int16)
    seeds = [encode_wav(samples), encode_wav(np.stack([samples, samples], axis=1)), encode_wav(samples, 44100)]
    for dtype, encoding in (("u1", 1), ("<i4", 1), ("<f4", 3), ("<f8", 3)):
        data = (samples[::4] / 2**15).astype(dtype).tobytes()
        size = np.dtype(dtype).itemsize
        layout = struct.pack("<HHIIHH", encoding, 1, 8000, 8000 * size, size, 8 * size)
        body = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", len(data)) + data
        seeds.append(b"RIFF" + struct.pack("<I", len(body)) + body)
    packed = io.BytesIO()
    with wave.open(packed, "wb") as stream:
        stream.setparams((1, 3, 16000, 0, "NONE", ""))
        stream.writeframes(bytes(range(256)) * 3)
    return [*seeds, packed.getvalue(), encode_wav(samples)[:60], encode_wav(samples)[:44]]


def _load_recording() -> Check:
    import numpy as np

    from harness.corpus.audio import read_dialogue_left, read_header, read_recording
    from harness.errors import ShapeError
    from harness.features.speech import SPEECH_VARIANTS, extract_speech

    every = SPEECH_VARIANTS["short-term"], SPEECH_VARIANTS["frames"]

    def check(path: Path) -> None:
        header, problems = read_header(path)
        recording, told = read_recording(path)
        left, _ = read_dialogue_left(path)
        promise(recording is not None or bool(told), "nothing heard and nothing told")
        promise(header is not None or (recording is None and bool(problems)), "more heard than the header has")
        if recording is None or left is None:
            return
        promise(len(recording.samples) > 0, "nothing")
        promise(bool(np.isfinite(recording.samples).all()), "samples that are no numbers")
        promise(bool(np.isfinite(left.samples).all()), "samples that are no numbers")
        for settings in every if len(recording.samples) < 2 * SEED_SAMPLES else ():
            with suppress(ShapeError):
                frames = extract_speech(recording.samples, settings)
                promise(bool(np.isfinite(frames).all()), "frames that are no numbers")

    return check


def _id_seeds(folder: Path) -> list[bytes]:
    _, dialogue = _plan()
    return [utterance.utterance_id.encode() for utterance in dialogue.utterances[:3]] + [
        b"Ses05M_script01_1b_F012",
        b"Ses03M_impro05a",
        b"Ses01F_impro01",
    ]


def _load_ids() -> Check:
    from harness.corpus.layout import CorpusLayout, MocapStream, path_in_corpus
    from harness.corpus.utterances import parse_utterance_id
    from harness.errors import CorpusError

    layout = CorpusLayout(Path("/corpus"))

    def check(path: Path) -> None:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        try:
            found = layout.mocap_path(text, MocapStream.FACE)
            promise(path_in_corpus(found) == layout.relative(found), "a path outside of its session")
        except CorpusError:
            pass
        name = parse_utterance_id(text)
        promise(text.isascii() and name.utterance_id == text, "an id of other characters")
        promise(layout.utterance_wav_path(text).is_relative_to(layout.root), "a path outside of the corpus")
        promise(name.speaker[:5] == name.marked_actor[:5] == name.dialogue_id[:5], "speakers of two sessions")

    return check


def _vector_seeds(folder: Path) -> list[bytes]:
    text = b"so 1 2 3\nwhat -4.5e-3 5 6\nnow 7 8 9\ncaf\xc3\xa9 0 0 0\n"
    return [text, b"4 3\n" + text, text.rstrip(), text.replace(b"\n", b" \r\n"), b". . . 1 2 3\n1 2 3 4\n" + text]


def _load_vectors() -> Check:
    import numpy as np

    from harness.features.text import read_word_vectors

    def check(path: Path) -> None:
        vectors = read_word_vectors(path, WORDS)
        promise(vectors.vector_size >= 1, "vectors of no number")
        promise(set(vectors.index_to_key) <= set(WORDS), "words that were not asked for")
        if len(vectors):
            promise(vectors.vectors.shape == (len(vectors), vectors.vector_size), "another shape")
            promise(bool(np.isfinite(vectors.vectors).all()), "numbers that are none")

    return check


def _binary_vector_seeds(folder: Path) -> list[bytes]:
    import numpy as np

    numbers = np.arange(3, dtype="<f4").tobytes()
    words = b"".join(word.encode() + b" " + numbers + b"\n" for word in WORDS)
    return [b"5 3\n" + words, b"5 3\n" + words[:-6], b"0 3\n"]


CORPUS_PARSERS: Mapping[str, Parser] = {
    "labels": Parser(f"Session1/dialog/EmoEvaluation/{DIALOGUE}.txt", _label_seeds, _load_labels),
    "transcripts": Parser(
        f"Session1/dialog/transcriptions/{DIALOGUE}.txt", _transcript_seeds, _load_transcripts
    ),
    "mocap": Parser(f"Session1/dialog/MOCAP_head/{DIALOGUE}.txt", _mocap_seeds, _load_mocap),
    "recording": Parser("Session1/sentences/wav/recording.wav", _recording_seeds, _load_recording),
    "ids": Parser("id", _id_seeds, _load_ids),
    "word-vectors": Parser("vectors.txt", _vector_seeds, _load_vectors),
    "binary-vectors": Parser("vectors.bin", _binary_vector_seeds, _load_vectors),
}
