import json
import re
import shutil
import signal

import pytest

from harness.corpus.synthetic import SyntheticSettings, write_synthetic
from harness.store.store import ResultsStore
from tests.cli.commands import PROGRAM, WATCHED, break_off, type_command

pytestmark = pytest.mark.long


def tables(folder, *arguments, program=PROGRAM):
    return type_command(folder, "tables", "--threads", "1", *arguments, program=program, columns=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a corpus, in which the tables have been made once."""
    made = tmp_path_factory.mktemp("the reader's own")
    write_synthetic(made / "a corpus", SyntheticSettings(scale=0.02, mocap_rate=5))
    return made


ASKED = ("--corpus", "a corpus", "--systems", "text1,text_logistic,majority", "--seeds", "2", "--max-epochs", "1")


@pytest.fixture(scope="module")
def made(folder):
    return tables(folder, *ASKED)


def rows_of(printed, table):
    """The lines of one table, cut at gaps of two spaces."""
    lines = printed.split(f"\nTable {table}")[1].splitlines()[1:]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_the_tables_are_printed_with_published_figures_beside_ours(made):
    assert made.returncode == 0, made.stderr
    assert [line.strip() for line in made.stdout.splitlines() if line.startswith("Table ")] == [
        "Table 1. Speech",
        "Table 2. Speech, beside previous research",
        "Table 3. Text",
        "Table 3, text scores by group: weighted accuracy, %",
        "Table 4. Motion capture",
        "Table 5. All modalities",
    ]
    (text1,) = [row for row in rows_of(made.stdout, "3. Text") if row[:1] == ["Text_Model1"]]
    assert text1[1:3] == ["text1", "62.55"] and len(text1) == 7
    assert all(len(line) <= 120 for line in made.stdout.splitlines())


def test_synthetic_data_is_called_so_and_the_published_column_other_data(made):
    assert made.stdout.splitlines()[:3] == [
        "Protocol 'paper', 2 seeds, one epoch; Session 5 tests where a split is by session.",
        "This corpus is synthetic: no score on it is a score on IEMOCAP.",
        "The published column speaks of other data: the complete IEMOCAP, where this corpus is synthetic.",
    ]


def test_the_optimistic_column_is_titled_so(made):
    heading = " ".join(" ".join(row) for row in rows_of(made.stdout, "3. Text")[:4])
    assert "(optimistic), %" in heading and "published code's" in heading and "on validation)" in heading


def test_no_name_is_cut_in_a_terminal_of_80_columns(folder, made):
    printed = type_command(folder, "tables", "--threads", "1", *ASKED, program=PROGRAM, columns=80).stdout
    for row in (r"Text_Model1 +text1 +62\.55 ", r"TF-IDF,.* text_logistic "):
        assert re.search(f"^{row}", printed, re.M), printed
    assert all(len(line) <= 80 for line in printed.splitlines())


def test_text_scores_stand_apart_in_a_further_table(made):
    rows = rows_of(made.stdout, "3, text scores by group: weighted accuracy, %")
    assert rows[0] == ["all", "scripted", "improvised", "transcript seen in training", "transcript not seen"]
    assert [row[0] for row in rows[2:4]] == ["text1", "text_logistic"] and len(rows[2]) == 6


def test_progress_goes_to_standard_error(made):
    assert "text1, Session 5, seed 2: " in made.stderr and "text1, Session 5, seed" not in made.stdout


def test_a_second_call_trains_nothing_and_gives_the_same_as_json(folder, made):
    again = tables(folder, *ASKED, "--json")
    assert again.returncode == 0 and "10 of 10 trainings were finished before.\n" in again.stderr
    found = json.loads(again.stdout)
    assert found["is_synthetic"] is True and [table["table"] for table in found["tables"]] == [1, 2, 3, 4, 5]
    (text1,) = [row for row in found["tables"][2]["rows"] if row["system"] == "text1"]
    chosen, maximum = text1["epoch_chosen_on_validation"], text1["maximum_over_test_epochs_optimistic"]
    assert maximum["weighted_accuracy"]["mean"] >= chosen["weighted_accuracy"]["mean"]
    (printed,) = [row for row in rows_of(made.stdout, "3. Text") if row[:1] == ["Text_Model1"]]
    accuracy = chosen["weighted_accuracy"]
    assert printed[3] == f"{100 * accuracy['mean']:.2f} ± {100 * accuracy['deviation']:.2f}"
    assert {score["group"] for score in text1["text"]} >= {"all", "scripted", "improvised"}
    assert [probe["reads"] for probe in found["scenes"]["probes"]] == ["words", "speech"]
    assert f"Scenes: {found['scenes']['note']}" in " ".join(made.stdout.split())


def test_every_call_is_an_opening_on_record_before_a_file_of_the_test_session_is_opened(folder, made):
    with ResultsStore.open_readonly(folder / "results" / "results.db") as results:
        before = results.openings()
    done = tables(folder, *ASKED, "--recordings", "improvised", program=WATCHED)
    assert done.returncode == 0, done.stderr
    counts = {line for line in done.stderr.splitlines() if line.startswith("opened after")}
    assert counts == {f"opened after {len(before) + 1}"}
    with ResultsStore.open_readonly(folder / "results" / "results.db") as results:
        latest = results.openings()[-1]
        assert results.latest_experiment() is None
    assert latest.completed_at is not None and latest.is_synthetic and latest.seeds == (1, 2)
    assert latest.command.startswith("harness tables --threads 1 --corpus 'a corpus' --systems text1")


def test_a_training_that_fails_leaves_a_row_that_says_so_and_exit_code_one(folder, made):
    (folder / "vectors.txt").write_text("so what\n")
    done = tables(folder, *ASKED, "--word-vectors", "vectors.txt")
    assert done.returncode == 1
    assert done.stderr.endswith(
        "error: 2 trainings failed, with the cause below the table; the same command tries them again\n"
    )
    (text1,) = [row for row in rows_of(done.stdout, "3. Text") if row[:1] == ["Text_Model1"]]
    assert text1[3] == "failed, see below"
    assert "text1, Session 5, seed 1: crashed: " in done.stdout
    with ResultsStore.open_readonly(folder / "results" / "results.db") as results:
        assert results.openings()[-1].completed_at is None


def test_broken_off_the_same_command_goes_on(folder, made):
    asked = ("--corpus", "a corpus", "--systems", "majority,head2", "--seeds", "3", "--max-epochs", "40")
    words = ("tables", "--threads", "1", *asked)
    code, printed, rest = break_off(folder, *words, at="head2, Session 5, seed 1", number=signal.SIGINT)
    assert (code, printed) == (130, "") and rest.endswith("interrupted\n")
    done = tables(folder, *asked)
    assert done.returncode == 0, done.stderr
    assert "head2, Session 5, seed 1" not in done.stderr and "head2, Session 5, seed 3" in done.stderr
    assert "trainings were finished before." in done.stderr


COMPARED = ("--corpus", "a corpus", "--systems", "ctc,bc_lstm", "--seeds", "1", "--max-epochs", "1")


@pytest.fixture(scope="module")
def compared(folder):
    """The compared systems, broken off at a training in the middle, and then to the end."""
    words = ("tables", "--threads", "1", *COMPARED)
    code, printed, rest = break_off(folder, *words, at="ctc, Session 2 (its own protocol)", number=signal.SIGINT)
    assert (code, printed) == (130, "")
    return rest, tables(folder, *COMPARED)


@pytest.mark.thorough
@pytest.mark.timeout(1200)
def test_the_compared_systems_are_trained_under_every_protocol_and_go_on_after_a_stop(folder, compared):
    begun, done = compared
    assert begun.splitlines()[-1] == "interrupted"
    assert done.returncode == 0, done.stderr
    planned = "Compared systems: 2 rows, 10 trainings (6 under their own protocols, 2 under 'strict', 2 with"
    assert planned in done.stderr
    assert "trainings were finished before." in done.stderr
    assert "ctc, Session 1 (its own protocol), seed 1" not in done.stderr
    assert "bc_lstm, Session 5 (scored scene left out), seed 1" in done.stderr
    again = tables(folder, *COMPARED, "--json")
    assert again.returncode == 0 and "12 of 12 trainings were finished before." in again.stderr, again.stderr
    found = json.loads(again.stdout)
    rows = {row["system"]: row for row in found["compared_systems"]}
    assert set(rows) == {"ctc", "bc_lstm"}
    for name, row in rows.items():
        for column, cell in row["columns"].items():
            is_blank = name == "ctc" and column.endswith("(optimistic)")
            assert bool(cell["measures"]) is not is_blank and cell["missing"] is None
    assert rows["ctc"]["columns"]["its own protocol"]["measures"]["weighted accuracy"]["mean_over_test_sets"] > 0
    (chernykh,) = [row for row in found["tables"][0]["rows"] if row["title"] == "Chernykh et al."]
    assert chernykh["system"] == "ctc" and chernykh["epoch_chosen_on_validation"] is not None


@pytest.mark.thorough
@pytest.mark.timeout(1200)
def test_the_further_table_is_printed_below_and_says_that_the_corpus_is_synthetic(compared):
    printed = compared[1].stdout
    assert "Compared systems: published, and the same system here" in printed
    assert all(len(line) <= 120 for line in printed.splitlines())
    assert "This corpus is synthetic: no score on it is a score on IEMOCAP." in printed


def test_two_at_once_are_refused(folder, made):
    from harness.search.lock import held

    with held(folder / "results" / "tables.lock", "a test"):
        done = tables(folder, *ASKED)
    assert done.returncode == 2
    assert done.stderr.startswith("error: tables in 'results': process ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--corpus", "nowhere"),
            "error: corpus is 'nowhere', which is not a folder; expected IEMOCAP_full_release, or its parent\n",
        ),
        (
            ("--corpus", "a corpus", "--split", "random", "--protocol", "strict"),
            "error: split 'random': trains on speakers of its test set, which protocol 'strict' rules out; expected "
            "the split 'sessions', or another protocol\n",
        ),
    ],
    ids=["no corpus", "contradiction"],
)
def test_what_is_wrong_gives_one_sentence_and_exit_code_two(folder, arguments, message):
    done = tables(folder, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_a_system_that_is_asked_for_and_that_the_corpus_cannot_feed_is_refused(folder, made, tmp_path):
    shutil.copytree(folder / "a corpus", tmp_path / "a corpus")
    for session in (tmp_path / "a corpus").glob("Session*"):
        for motion in session.glob("dialog/MOCAP*"):
            shutil.rmtree(motion)
    done = tables(tmp_path, "--corpus", "a corpus", "--systems", "majority,head2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: system 'head2' needs mocap, which the corpus at 'a corpus' does not have; expected a system that reads "
        "what it has\n"
    )
    assert not (tmp_path / "results" / "results.db").exists()


@pytest.mark.timeout(300)
def test_without_a_corpus_it_is_a_quick_start_that_says_so(tmp_path):
    done = tables(tmp_path, "--systems", "majority", "--seeds", "1")
    assert done.returncode == 0, done.stderr
    second = " ".join(done.stdout.split("\n", 1)[1].split())
    assert second.startswith(
        "No corpus is named, so this is a quick start on a synthetic one, with at most 8 epochs instead of 30 and "
        "patience 3; name a corpus with --corpus or in HARNESS_CORPUS for the tables themselves."
    )


def test_the_help_names_every_system_option_and_an_example(tmp_path):
    done = tables(tmp_path, "--help")
    assert done.returncode == 0
    assert "harness tables --systems speech4,majority --seeds 3" in done.stdout
    for option in ("--corpus", "--leave-one-session-out", "--split", "--word-vectors", "--json"):
        assert option in done.stdout
