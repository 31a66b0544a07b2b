"""The code of the chapter on features of one's own runs, and gives what the chapter says."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.corpus.layout import find_root
from harness.features.own import OwnFile
from harness.features.prepare import open_files, prepare_corpus
from harness.features.speech import SpeechSettings
from harness.features.store import FeatureStore
from tests.corpus.written import write_tiny_corpus

CHAPTER = Path(__file__).parents[1] / "docs/own.md"
CODE = re.findall(r"^```python\n(.*?)^```$", CHAPTER.read_text("utf-8"), re.DOTALL | re.MULTILINE)

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
