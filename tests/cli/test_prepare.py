import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.prepare import OUTDATED_SENTENCE, PROTOCOL_NAMES, VARIANTS
from harness.features.manifest import FORMAT_VERSION
from harness.features.speech import SPEECH_VARIANTS
from harness.features.store import FeatureStore
from harness.splits.protocol import PROTOCOLS
from tests.cli.commands import type_command
from tests.corpus.written import COMPLETE, WITHOUT_MOCAP, write_tiny_corpus

EMODB = Path(__file__).parents[2] / "../shared/data/emodb"


def run_prepare(folder, *arguments):
    return type_command(folder, "prepare", *arguments, columns=200)


def test_a_corpus_is_prepared_and_told_of(tmp_path):
    layout = write_tiny_corpus(tmp_path / "the actors' own")
    into = tmp_path / "prepared [here]"
    done = run_prepare(tmp_path, layout.root, "--into", into, "--jobs", 1)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert lines[0] == (
        "This corpus is not IEMOCAP: it has 6 utterances, where the release has 10039. No score on it is a score on "
        "IEMOCAP."
    )
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert cells[0] == ["1", "1/229", "0/143", "1/384", "1/194", "3/950", "0/135", "3/1085", "4/1819"]
    assert cells[5] == ["all", "1/1103", "1/1041", "1/1708", "1/1084", "4/4936", "0/595", "4/5531", "6/10039"]
    assert cells[-1][:2] == ["few mocap rows", "4"]
    assert "mocap: 4 of 6 utterances have it." in lines
    assert "Under protocol paper: 2 utterances train, 1 validate, 1 test (Session 5)." in lines
    assert str(into / "irregularities.csv") in lines
    assert "2 dialogues were read, 0 had been read before." in lines
    assert lines[-1] == f"The prepared features are in {into}"
    assert FeatureStore.open(into).sessions == (1, 5)
    again = run_prepare(tmp_path, layout.root, "--into", into, "--jobs", 1)
    expected = done.stdout.replace("2 dialogues were read, 0 had", "0 dialogues were read, 2 had")
    assert again.stdout == expected
    manifest = into / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"format_version": {FORMAT_VERSION}', '"format_version": 2'))
    renewed = run_prepare(tmp_path, layout.root, "--into", into, "--jobs", 1)
    assert renewed.stdout == f"{OUTDATED_SENTENCE}\n{expected}"


@pytest.mark.long
def test_each_choice_has_its_own_folder_beside_the_results(tmp_path):
    layout = write_tiny_corpus(tmp_path / "corpus")
    left_out = "mocap: is left out, because systems that read frames of speech read no motion.\n"
    for arguments in ([], ["--speech", "mel"], ["--protocol", "published-code"], ["--speech", "frames"]):
        done = run_prepare(tmp_path, "corpus", "--jobs", 1, *arguments)
        assert done.returncode == 0, done.stderr
        assert (left_out in done.stdout) is ("frames" in arguments)
    kinds = {
        FeatureStore.open(folder).manifest.speech_settings.to_json()["kind"]
        for folder in (tmp_path / "results/prepared").iterdir()
    }
    assert len(list((tmp_path / "results/prepared").iterdir())) == 4
    assert kinds == {"short-term", "mel", "frames"}
    assert layout.root.is_dir()


def test_features_of_ones_own_are_counted_and_a_missing_file_is_refused(tmp_path):
    write_tiny_corpus(tmp_path / "corpus")
    known = [f"{COMPLETE}_F000", f"{COMPLETE}_M000", f"{WITHOUT_MOCAP}_M000"]
    for name, ids in (("ours.csv", [*known, f"{COMPLETE}_M900"]), ("words.csv", known[:1])):
        (tmp_path / name).write_text("utterance_id,a,b\n" + "".join(f"{each},0.5,1\n" for each in ids))
    options = ("--speech-features", "ours.csv", "--text-features", "words.csv", "--jobs", 1)
    done = run_prepare(tmp_path, "corpus", "--into", "prepared", *options)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line.startswith("features file")]
    of_all = "of the corpus's 6 utterances"
    first = f"such as '{COMPLETE}_F001'; each counts as an utterance without"
    assert lines == [
        f"features file 'ours.csv': lacks 3 {of_all}, 1 of them of the four classes, {first} speech.",
        f"features file 'ours.csv': holds 1 id of no utterance of the corpus, such as '{COMPLETE}_M900'; "
        "it is left out.",
        f"features file 'words.csv': lacks 5 {of_all}, 3 of them of the four classes, {first} text.",
    ]
    refused = run_prepare(tmp_path, "corpus", "--into", "other", "--speech-features", "nowhere.csv", "--jobs", 1)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Invalid value for '--speech-features': File 'nowhere.csv' does not exist." in refused.stderr
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["nowhere"],
            "error: corpus 'nowhere': no such folder; expected the release's folder 'IEMOCAP_full_release', "
            "or its parent\n",
        ),
        (
            ["."],
            "error: corpus '.': holds no folder Session1 to Session5; expected the release's folder "
            "'IEMOCAP_full_release', or its parent\n",
        ),
    ],
    ids=["missing", "no corpus"],
)
def test_what_is_no_corpus_is_one_sentence(tmp_path, arguments, message):
    done = run_prepare(tmp_path, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
    assert list(tmp_path.iterdir()) == []


def test_too_few_utterances_for_a_split_are_told(tmp_path):
    layout = write_tiny_corpus(tmp_path / "corpus")
    done = run_prepare(
        tmp_path, layout.root, "--into", tmp_path / "prepared", "--protocol", "strict", "--jobs", 1
    )
    assert done.returncode == 0
    assert (
        "No split: protocol 'strict': 3 utterances are split into 3 for training and 0 for validation; expected at "
        "least one of each\n"
    ) in done.stdout


def test_what_a_protocol_cuts_speech_from_may_be_missing(tmp_path):
    layout = write_tiny_corpus(tmp_path / "corpus")
    for path in layout.root.glob("Session*/dialog/wav/*.wav"):
        path.unlink()
    done = run_prepare(tmp_path, layout.root, "--protocol", "published-code", "--jobs", 1)
    sentence = "the corpus has no recording of a whole dialogue, so systems that need speech cannot use it."
    assert f"speech: {sentence}\n" in done.stdout


@pytest.mark.long
def test_a_motion_stream_that_the_corpus_lacks_is_told(tmp_path):
    layout = write_tiny_corpus(tmp_path / "corpus")
    for path in layout.root.glob("Session*/dialog/MOCAP_head/*.txt"):
        path.unlink()
    done = run_prepare(tmp_path, layout.root, "--jobs", 1)
    sentence = "the corpus has no motion of the head, so systems that need it cannot use it."
    assert f"mocap: {sentence}\n" in done.stdout
    assert done.stdout.count("has no motion of the") == 1


def test_the_names_in_the_help_are_those_that_there_are():
    assert set(VARIANTS) == set(SPEECH_VARIANTS)
    assert set(PROTOCOL_NAMES) == set(PROTOCOLS)


def test_the_help_needs_no_features(tmp_path):
    code = (
        "import sys, harness.cli.prepare; "
        "print([name for name in ('numpy', 'rich', 'harness.features') if name in sys.modules])"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.long
def test_real_recordings_without_motion_are_prepared(tmp_path):
    if not EMODB.is_dir():
        pytest.skip("the recordings of EmoDB are not beside this repository")
    done = run_prepare(tmp_path, EMODB, "--into", tmp_path / "prepared")
    assert done.returncode == 0, done.stderr
    assert "mocap: the corpus has no mocap, so systems that need mocap cannot use it." in done.stdout
    assert "speech: 339 of 339 utterances have it." in done.stdout
    assert "Under protocol paper: 208 utterances train, 58 validate, 73 test (Session 5)." in done.stdout
