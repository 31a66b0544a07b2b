"""`harness check --leaks` as it is typed: promises that hold, a planted leak, and a test session left sealed."""

import json

import pytest

from tests.cli.commands import WATCHED, type_command
from tests.searched import run_small_search

#: A vocabulary that knows the words of the scored utterances under every protocol.
LEAKING = WATCHED.replace(
    "\nsys.addaudithook",
    """
from dataclasses import replace
from harness.final import leak_check
from harness.splits.protocol import Vocabulary

honest = leak_check.fit_features

def fit_on_everything(train, modalities, protocol, *given, **named):
    return honest(train, modalities, replace(protocol, vocabulary=Vocabulary.EVERYTHING_OPENED), *given, **named)

leak_check.fit_features = fit_on_everything
sys.addaudithook""",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("the reader's own")
    run_small_search(made)
    return made


@pytest.mark.parametrize("protocol", ["paper", pytest.param("strict", marks=pytest.mark.long)])
def test_what_a_protocol_promises_is_kept_and_no_test_feature_is_opened(folder, protocol):
    asked = ("check", "a corpus", "--leaks", "--protocol", protocol)
    # The first call prepares the features, as `harness prepare` does.
    type_command(folder, *asked)
    done = type_command(folder, *asked, program=WATCHED)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "This corpus is synthetic: no score on it is a score on IEMOCAP."
    assert "its labels only to find the utterances of the four classes" in " ".join(lines[-3:])
    assert lines[-1] == f"The parts share nothing that protocol '{protocol}' promises to keep apart."
    shared = [line for line in lines if line.startswith("speakers train + validation")]
    if protocol == "strict":
        assert shared[0].startswith("speakers train + validation 0 0 of ")
    else:
        assert shared == ["speakers train + validation 1 7 of 17 the protocol's choice"]
    assert any(line.startswith("speakers train + test 0 0 of 22 none") for line in lines)
    scenes = [line for line in lines if line.startswith("scenes train + test ")]
    assert scenes == ["scenes train + test 4 22 of 22 counted"]


@pytest.mark.long
def test_the_vocabulary_of_the_published_code_is_named_as_its_choice(folder):
    done = type_command(folder, "check", "a corpus", "--leaks", "--protocol", "published-code", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["is_synthetic"] is True and found["broken_promises"] == []
    search, final = found["vocabularies"]
    assert search["leaked"] and final["leaked"] and final["num_scored"] == found["num_utterances"]["test"]
    printed = type_command(folder, "check", "a corpus", "--leaks", "--protocol", "published-code").stdout
    assert printed.count("a leak, the protocol's declared choice") == 2


def test_a_vocabulary_fitted_on_everything_is_found_with_exit_code_one(folder):
    done = type_command(folder, "check", "--leaks", "a corpus", program=LEAKING)
    assert done.returncode == 1, done.stderr
    assert "Broken: the vocabulary of the search has words that training lacks" in " ".join(done.stdout.split())
    found = json.loads(type_command(folder, "check", "--leaks", "a corpus", "--json", program=LEAKING).stdout)
    assert len(found["broken_promises"]) == 2 and all(check["leaked"] for check in found["vocabularies"])


@pytest.mark.long
def test_without_a_corpus_it_is_that_of_the_latest_search(folder):
    done = type_command(folder, "check", "--leaks", "--json", program=WATCHED)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["protocol"]["name"] == "paper" and found["corpus"].endswith("a corpus")
    other = json.loads(type_command(folder, "check", "--leaks", "--protocol", "strict", "--json").stdout)
    assert other["protocol"]["name"] == "strict" and other["corpus"].endswith("a corpus")


def test_tensorflow_is_not_imported(folder):
    program = WATCHED.replace("; main()", "\ntry:\n    main()\nfinally:\n    assert 'tensorflow' not in sys.modules")
    done = type_command(folder, "check", "a corpus", "--leaks", program=program)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--leaks", "--repair"), "Error: --repair is for results folders; expected it without"),
        (("a corpus", "--json"), "Error: --protocol and --json belong to --leaks; expected --leaks too"),
        (("nowhere", "--leaks"), "error: corpus is 'nowhere', which is not a folder; expected IEMOCAP_full_release"),
    ],
    ids=["repair", "json", "no corpus"],
)
def test_what_is_wrong_gives_one_sentence_and_exit_code_two(folder, arguments, message):
    done = type_command(folder, "check", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.split())
