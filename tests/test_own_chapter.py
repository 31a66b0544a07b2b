"""The code of the chapter on features of one's own runs, and gives what the chapter says."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.corpus.labels import read_annotations
from harness.corpus.layout import CorpusLayout, find_root
from harness.corpus.utterances import Emotion
from harness.features.own import OwnFile
from harness.features.prepare import open_files, prepare_corpus
from harness.features.speech import SpeechSettings
from harness.features.store import FeatureStore
from harness.models.systems import SYSTEMS, TEXT_FEATURE_READERS
from harness.splits.protocol import DEFAULT_SPEECH_VARIANT
from tests.corpus.written import write_tiny_corpus

CHAPTER = Path(__file__).parents[1] / "docs/own.md"
TEXT = CHAPTER.read_text("utf-8")
CODE = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)

#: In place of the package, which is no dependency: one row a file, indexed as its own tables are.
STAND_IN = """
import pandas as pd

class FeatureSet:
    eGeMAPSv02 = "eGeMAPSv02"

class FeatureLevel:
    Functionals = "functionals"

class Smile:
    def __init__(self, feature_set, feature_level):
        assert (feature_set, feature_level) == ("eGeMAPSv02", "functionals")

    def process_files(self, files):
        starts = [pd.Timedelta(0)] * len(files)
        index = pd.MultiIndex.from_arrays([files, starts, starts], names=["file", "start", "end"])
        columns = [f"functional_{number}" for number in range(88)]
        return pd.DataFrame([[float(len(name))] * 88 for name in files], index=index, columns=columns)
"""


def run_code(folder, code, *arguments):
    path = folder / "code.py"
    path.write_text(code)
    done = subprocess.run(
        [sys.executable, path, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_archive_of_the_chapter_is_a_file_of_features(tmp_path):
    run_code(tmp_path, next(code for code in CODE if "np.savez" in code))
    opened = OwnFile.open(tmp_path / "wavlm.npz")
    assert (opened.described.num_columns, opened.described.max_frames, len(opened.lengths)) == (768, 120, 2)


@pytest.mark.parametrize("is_installed", [False, True], ids=["a stand-in", "the package"])
def test_the_extractor_of_the_chapter_writes_a_row_for_each_recording(is_installed, tmp_path):
    corpus = write_tiny_corpus(tmp_path / "corpus").root
    if is_installed:
        pytest.importorskip("opensmile")
    else:
        (tmp_path / "opensmile.py").write_text(STAND_IN)
    run_code(tmp_path, next(code for code in CODE if "opensmile" in code), corpus, "egemaps.csv")
    own, settings = open_files({"speech": tmp_path / "egemaps.csv"}, SpeechSettings())
    report = prepare_corpus(find_root(corpus).root, tmp_path / "prepared", settings, jobs=1, own=own)
    recordings = {path.stem for path in corpus.glob("Session*/sentences/wav/*/*.wav")}
    assert set(own["speech"].lengths) == recordings and report.num_present["speech"] == len(recordings) > 0
    store = FeatureStore.open(tmp_path / "prepared")
    features = store.load(sorted(recordings))
    assert features.speech_shape == (1, 88)
    assert np.isfinite(features.speech(range(len(recordings)))).all()


def test_the_chapter_names_the_systems_that_refuse_a_file() -> None:
    _, _, paragraph = TEXT.partition("\nA file of `speech_features` is refused")
    of_speech, of_text = re.findall(r"systems that need [^:]+: ([^.]+)\. ?", paragraph.replace("\n", " "))[:2]
    assert set(re.findall(r"`(\w+)`", of_speech)) == {
        system.name
        for system in SYSTEMS.values()
        if "speech" in system.modalities and system.speech_features != DEFAULT_SPEECH_VARIANT
    }
    assert set(re.findall(r"`(\w+)`", of_text)) == {
        system.name
        for system in SYSTEMS.values()
        if "text" in system.modalities and (system.turn_model or system.name) not in TEXT_FEATURE_READERS
    }


def test_the_arrangement_that_the_chapter_shows_is_the_layout(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```\n(Session1/.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    wav, labels, line = block.splitlines()
    layout = CorpusLayout(tmp_path)
    assert layout.utterance_wav_path("Ses01M_impro01_M000") == tmp_path / wav.split()[0]
    path = tmp_path / labels.split()[0]
    assert layout.annotation_path("Ses01M_impro01") == path
    path.parent.mkdir(parents=True)
    path.write_text(f"{line}\n", "utf-8")
    (turn,), irregularities = read_annotations(path)
    assert (turn.utterance_id, turn.emotion, irregularities) == ("Ses01M_impro01_M000", Emotion.ANGER, [])
