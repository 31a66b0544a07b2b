"""What a writer wrote is what a reader reads, whatever it was."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.corpus.audio import read_dialogue_left, read_recording
from harness.corpus.labels import Turn, read_annotations, read_transcripts
from harness.corpus.layout import CorpusLayout, MocapStream, path_in_corpus
from harness.corpus.mocap import read_mocap
from harness.corpus.synthetic import SyntheticSettings, plan_corpus
from harness.corpus.synthetic.plan import Damage, encode_wav
from harness.corpus.synthetic.text import encode_label_file, encode_transcription_file
from harness.corpus.utterances import DIALOGUE_PATTERN, UTTERANCE_PATTERN, Emotion, parse_utterance_id
from tests.corpus.written import COMPLETE, HEADER, mocap_bytes

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEN_THOUSANDTHS = st.integers(0, 10**7).map(lambda number: number / 10**4)
TURN_NUMBERS = st.lists(st.tuples(st.sampled_from("FM"), st.integers(0, 999)), min_size=1, max_size=8, unique=True)
#: Characters that end no line, and that UTF-8 can write.
SAID = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0"), max_size=60)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("the actors' own") / f"{COMPLETE}.txt"


@FEW
@given(data=st.data(), numbers=TURN_NUMBERS, line_end=st.sampled_from(["\n", "\r\n"]))
def test_turns(path, data, numbers, line_end):
    turns = [
        Turn(
            f"{COMPLETE}_{letter}{number:03}",
            start := data.draw(TEN_THOUSANDTHS),
            start + data.draw(st.integers(1, 10**5)) / 10**4,
            data.draw(st.sampled_from(Emotion)),
            tuple(data.draw(st.integers(2, 10)) / 2 for _ in range(3)),
        )
        for letter, number in numbers
    ]
    lines = []
    for turn in turns:
        ratings = ", ".join(f"{value:.4f}" for value in turn.vad)
        lines.append(f"[{turn.start:.4f} - {turn.end:.4f}]\t{turn.utterance_id}\t{turn.emotion}\t[{ratings}]")
        said = data.draw(SAID.filter(lambda text: "Ses" not in text))
        lines.append(f"C-E1:\tAnger;\t({said})")
    path.write_bytes((HEADER.decode() + line_end.join(lines) + line_end).encode())
    found, irregularities = read_annotations(path)
    assert [(turn.utterance_id, turn.emotion, turn.vad) for turn in found] == [
        (turn.utterance_id, turn.emotion, turn.vad) for turn in turns
    ]
    for turn, written in zip(found, turns, strict=True):
        assert (turn.start, turn.end) == pytest.approx((written.start, written.end))
    assert {found.kind.value for found in irregularities} <= {"CRLF line ends"}


@FEW
@given(numbers=TURN_NUMBERS, said=st.lists(SAID, min_size=8, max_size=8))
def test_transcripts(path, numbers, said):
    expected = {
        f"{COMPLETE}_{letter}{number:03}": text.strip()
        for (letter, number), text in zip(numbers, said, strict=False)
    }
    lines = [f"{name} [001.0000-002.0000]: {text}\n" for name, text in expected.items()]
    path.write_bytes("".join(lines).encode())
    found, irregularities = read_transcripts(path)
    assert found == expected
    empty = [name for name, text in expected.items() if not text]
    assert [irregularity.utterance_id for irregularity in irregularities] == empty


@settings(FEW, max_examples=8)
@given(seed=st.integers(0, 2**32), place=st.integers(0, 10**6))
def test_the_synthetic_corpus(tmp_path, seed, place):
    chosen = SyntheticSettings(scale=0.01, seed=seed)
    dialogues = plan_corpus(chosen).dialogues
    dialogue = dialogues[place % len(dialogues)]
    path = tmp_path / f"{dialogue.dialogue_id}.txt"
    path.write_bytes(encode_label_file(chosen, dialogue))
    turns, _ = read_annotations(path)
    planned = {utterance.utterance_id: utterance for utterance in dialogue.utterances}
    assert {turn.utterance_id: turn.emotion for turn in turns} == {
        name: utterance.emotion for name, utterance in planned.items()
    }
    for turn in turns:
        assert turn.start == pytest.approx(planned[turn.utterance_id].start, abs=1e-4)
    path.write_bytes(encode_transcription_file(chosen, dialogue))
    transcripts, _ = read_transcripts(path)
    silent = {name for name, utterance in planned.items() if utterance.damage is Damage.NO_TRANSCRIPT}
    assert set(planned) - set(transcripts) == silent


NUMBERS = arrays(
    np.int64,
    st.tuples(st.integers(1, 6), st.just(MocapStream.HEAD.num_columns)),
    elements=st.integers(-(10**8), 10**8),
)


@FEW
@given(numbers=NUMBERS, lost=st.lists(st.integers(0, 5), max_size=3), line_end=st.sampled_from([b"\n", b"\r\n"]))
def test_motion(path, numbers, lost, line_end):
    values = numbers / 10**5
    values[:, lost] = np.nan
    path.write_bytes(mocap_bytes(MocapStream.HEAD, values).replace(b"\n", line_end))
    track, irregularities = read_mocap(path, MocapStream.HEAD)
    assert np.array_equal(track.values, values.astype(np.float32), equal_nan=True)
    told = {found.kind.value for found in irregularities}
    assert told == ({"CRLF line ends"} if line_end == b"\r\n" else set()) | (
        {"lost mocap"} if np.isnan(values).all() else set()
    )


@FEW
@given(samples=arrays(np.int16, st.tuples(st.integers(1, 400), st.integers(1, 2))))
def test_recordings(path, samples):
    path = Path(path).with_suffix(".wav")
    path.write_bytes(encode_wav(samples))
    recording, _ = read_recording(path)
    assert np.array_equal(recording.samples, samples.mean(axis=1) / 2**15)
    left, _ = read_dialogue_left(path)
    assert np.array_equal(left.samples, samples[:, 0] / 2**15)


@FEW
@given(utterance_id=st.from_regex(UTTERANCE_PATTERN, fullmatch=True))
def test_ids_and_places(utterance_id):
    name = parse_utterance_id(utterance_id)
    assert name.utterance_id == utterance_id and name.utterance_id.startswith(name.dialogue_id)
    assert DIALOGUE_PATTERN.fullmatch(name.dialogue_id)
    layout = CorpusLayout(Path("/the corpus"))
    path = layout.utterance_wav_path(utterance_id)
    assert path.stem == utterance_id and path.parent.name == name.dialogue_id
    assert path_in_corpus(path) == layout.relative(path)
    assert path_in_corpus(path).startswith(f"Session{name.session}/")


@FEW
@given(text=st.text(max_size=30))
def test_what_is_no_id_is_refused(text):
    with pytest.raises(ValueError, match="not an id of the corpus"):
        parse_utterance_id(text + "\u0663")
