import subprocess
import sys

from click.testing import CliRunner

from harness.cli.synth import synth
from harness.corpus.synthetic import MARKER_NAME, Cue, SyntheticSettings
from harness.corpus.synthetic.settings import says_the_same

PROGRAM = [sys.executable, "-c", "from harness.cli.main import main; main()", "synth"]


def run(*arguments):
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True)


def test_the_command_states_the_size_and_writes_the_corpus(tmp_path):
    folder = tmp_path / "a corpus"
    done = run(folder, "--scale", "0.01", "--cues", "hand, head", "--seed", "3", "--mocap-rate", "10")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "100 utterances, 49 of them of the four classes, in 21 dialogues: 446 files, about 16 MB.",
        f"The synthetic corpus is in {folder}",
        "This corpus is synthetic: no score on it is a score on IEMOCAP.",
    ]
    cues = frozenset({Cue.HAND, Cue.HEAD})
    settings = SyntheticSettings(scale=0.01, seed=3, cues=cues, mocap_rate=10)
    assert says_the_same(folder / MARKER_NAME, settings)


def test_no_cue_at_all_can_be_asked_for(tmp_path):
    options = ["--scale", "0.01", "--cues", "none", "--no-irregularities", "--jobs", "1"]
    result = CliRunner().invoke(synth, [str(tmp_path / "corpus"), *options])
    assert result.exit_code == 0, result.output
    settings = SyntheticSettings(scale=0.01, cues=frozenset(), irregularities=False)
    assert says_the_same(tmp_path / "corpus" / MARKER_NAME, settings)


def test_strengths_can_be_chosen_and_are_those_of_the_settings_otherwise(tmp_path):
    strengths = ["--emotion-words", "1", "--scene-words", "0", "--scene-moods", "0.5", "--moods", "0"]
    for folder, options in (("chosen", strengths), ("default", [])):
        result = CliRunner().invoke(synth, [str(tmp_path / folder), "--scale", "0.01", "--jobs", "1", *options])
        assert result.exit_code == 0, result.output
    chosen = SyntheticSettings(scale=0.01, emotion_words=1.0, scene_words=0.0, scene_moods=0.5, moods=0.0)
    for folder, settings in (("chosen", chosen), ("default", SyntheticSettings(scale=0.01))):
        assert says_the_same(tmp_path / folder / MARKER_NAME, settings)


def test_an_unknown_cue_is_refused(tmp_path):
    done = run(tmp_path / "corpus", "--cues", "speech,smell")
    assert done.returncode == 2
    assert done.stderr == (
        "error: unknown cue 'smell'; expected one of ['face', 'hand', 'head', 'speech', 'text']\n"
    )
    assert not (tmp_path / "corpus").exists()


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    done = run(tmp_path, "--scale", "0.01")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: synthetic corpus {str(tmp_path)!r}: the folder is not empty: it holds 'thesis.tex'; "
        "name a new or an empty folder\n"
    )
