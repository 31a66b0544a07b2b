import hashlib
from collections import Counter

import numpy as np
import pytest

from harness.corpus.audio import read_dialogue_left, read_header, read_recording
from harness.corpus.index import build_index, compare_counts
from harness.corpus.irregularities import IrregularityKind
from harness.corpus.layout import CorpusLayout, MocapStream, find_root
from harness.corpus.synthetic import MARKER_NAME, SyntheticSettings, plan_corpus, write_synthetic
from harness.corpus.synthetic.settings import UNFINISHED_NAME
from harness.corpus.synthetic.writer import record_dialogue
from harness.corpus.utterances import CLASSES
from harness.errors import CorpusError
from tests.corpus.synthetic.conftest import SMALL

TINY = SyntheticSettings(scale=0.01, seconds_per_utterance=0.6, mocap_rate=10)


def digests(root):
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiny") / "corpus"
    write_synthetic(root, TINY)
    return digests(root)


@pytest.mark.long
def test_the_same_seed_gives_the_same_bytes_however_many_jobs_write(tiny, tmp_path):
    write_synthetic(tmp_path / "again", TINY, jobs=2)
    assert digests(tmp_path / "again") == tiny


def test_another_seed_gives_other_bytes(tiny, tmp_path):
    other = SyntheticSettings(scale=0.01, seconds_per_utterance=0.6, mocap_rate=10, seed=1)
    write_synthetic(tmp_path / "other", other)
    found = digests(tmp_path / "other")
    wav = "Session1/dialog/wav/Ses01F_impro01.wav"
    assert found[wav] != tiny[wav]


def test_the_index_finds_everything_that_was_planned(written):
    index = build_index(find_root(written.layout.root), jobs=1)
    planned = {
        utterance.utterance_id: utterance for one in written.plan.dialogues for utterance in one.utterances
    }
    assert {found.utterance_id: found.emotion for found in index.utterances} == {
        name: utterance.emotion for name, utterance in planned.items()
    }
    assert all(found.is_marked == planned[found.utterance_id].is_marked for found in index.utterances)
    assert sum(found.emotion in CLASSES for found in index.utterances) == 99
    assert len(compare_counts(index.utterances)) == 30


def test_every_irregularity_of_the_real_corpus_is_there(written):
    index = build_index(written.layout, jobs=1)
    kinds = {irregularity.kind for irregularity in index.irregularities}
    assert kinds >= {
        IrregularityKind.MACOS_FILE,
        IrregularityKind.CRLF_LINE_ENDS,
        IrregularityKind.NOT_UTF8,
        IrregularityKind.NOT_AN_UTTERANCE,
        IrregularityKind.DUPLICATE_TURN,
        IrregularityKind.ENDS_BEYOND_RECORDING,
        IrregularityKind.MISSING_TRANSCRIPT,
        IrregularityKind.EMPTY_RECORDING,
        IrregularityKind.TRUNCATED_RECORDING,
        IrregularityKind.SHORTER_THAN_WINDOW,
        IrregularityKind.STEREO_RECORDING,
        IrregularityKind.OTHER_SAMPLING_RATE,
        IrregularityKind.MISSING_MOCAP,
    }
    assert not any(written.layout.mocap_path("Ses05M_script01_1b", stream).exists() for stream in MocapStream)


def test_without_irregularities_nothing_is_wrong(tmp_path):
    settings = SyntheticSettings(scale=0.01, irregularities=False)
    write_synthetic(tmp_path / "sound", settings)
    assert build_index(CorpusLayout(tmp_path / "sound"), jobs=1).irregularities == ()


def test_an_utterance_is_cut_from_its_speakers_channel(written):
    dialogue = written.plan.dialogues[0]
    channels = record_dialogue(SMALL, dialogue)
    left, irregularities = read_dialogue_left(written.layout.dialogue_wav_path(dialogue.dialogue_id))
    assert irregularities == []
    assert np.array_equal(left.samples * 32768, channels[:, 0])
    levels = Counter()
    for utterance in dialogue.utterances:
        if utterance.damage is None:
            path = written.layout.utterance_wav_path(utterance.utterance_id)
            samples = read_recording(path)[0].samples * 32768
            first = round(utterance.start * 16000)
            near = "FM".index(utterance.speaker_letter)
            assert np.array_equal(samples, channels[first : first + len(samples), near])
            far = channels[first : first + len(samples), 1 - near]
            levels["near"] += np.abs(samples).mean()
            levels["far"] += np.abs(far).mean()
    assert 0.05 < levels["far"] / levels["near"] < 0.3


def test_a_dialogues_recording_is_as_long_as_planned(written):
    for dialogue in written.plan.dialogues:
        path = written.layout.dialogue_wav_path(dialogue.dialogue_id)
        header, irregularities = read_header(path, num_channels=2)
        assert irregularities == []
        assert header.num_channels == 2
        assert header.duration == pytest.approx(dialogue.seconds, abs=1e-4)


def test_a_finished_corpus_is_left_alone(tmp_path):
    calls = []

    def record(done, total):
        calls.append((done, total))

    write_synthetic(tmp_path / "corpus", TINY, progress=record)
    assert calls[-1] == (21, 21) and len(calls) == 21
    marker = tmp_path / "corpus" / MARKER_NAME
    before = marker.stat().st_mtime_ns
    plan = write_synthetic(tmp_path / "corpus", TINY, progress=record)
    assert plan == plan_corpus(TINY)
    assert len(calls) == 21 and marker.stat().st_mtime_ns == before


def test_a_write_that_breaks_off_does_not_look_complete_and_is_begun_again(tiny, tmp_path):
    root = tmp_path / "corpus"

    def break_off(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic(root, TINY, progress=break_off)
    assert not (root / MARKER_NAME).exists() and (root / UNFINISHED_NAME).exists()
    write_synthetic(root, TINY)
    assert digests(root) == tiny


def test_a_folder_with_other_settings_is_refused(written):
    with pytest.raises(CorpusError) as raised:
        write_synthetic(written.layout.root, TINY)
    assert str(raised.value) == (
        f"synthetic corpus {str(written.layout.root)!r}: the folder holds a synthetic corpus with other "
        "settings; name a new or an empty folder"
    )


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(CorpusError) as raised:
        write_synthetic(tmp_path, TINY)
    assert str(raised.value) == (
        f"synthetic corpus {str(tmp_path)!r}: the folder is not empty: it holds 'thesis.tex'; name a new or "
        "an empty folder"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "corpus").write_text("mine")
    with pytest.raises(CorpusError) as raised:
        write_synthetic(tmp_path / "corpus", TINY)
    assert str(raised.value) == (
        f"synthetic corpus {str(tmp_path / 'corpus')!r}: the folder is a file; name a new or an empty folder"
    )


@pytest.mark.long
@pytest.mark.timeout(900)
def test_scale_one_is_complete(tmp_path):
    write_synthetic(tmp_path / "full", SyntheticSettings(scale=1.0, mocap_rate=5))
    assert compare_counts(build_index(CorpusLayout(tmp_path / "full"), jobs=-1).utterances) == []
