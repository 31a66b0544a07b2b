"""The probes of the tables: fitted once, pooled over the sessions that test, and said below the tables."""

import io
from itertools import chain

import pytest
from rich.console import Console

from harness.report.paper_tables import print_tables
from harness.store.records import ScoreKind
from harness.tables.parts import make_parts
from harness.tables.plan import probe_experiments
from harness.tables.results import TablesReader
from tests.tables.work import carry_out_experiments


def fit_probes(settings, facts, store, results):
    experiments = list(chain.from_iterable(probe_experiments(settings).values()))
    return carry_out_experiments(experiments, settings, facts, store, results)


def test_each_probe_is_fitted_once_whatever_the_seeds_and_kept(settings, facts, store, results):
    num_failed, view = fit_probes(settings(seeds=(1, 2, 3)), facts, store, results)
    assert (num_failed, view.begun) == (0, [(2, 0)])
    assert [(title, seed) for title, seed, _ in view.sentences] == [
        ("probe_words, Session 5", 1),
        ("probe_speech, Session 5", 1),
    ]
    _, again = fit_probes(settings(seeds=(1, 2, 3, 4)), facts, store, results)
    assert again.begun == [(2, 2)]
    scenes = TablesReader(settings(), facts, results).read_scenes()
    assert [pair.reader for pair in scenes] == ["words", "speech"]
    (words, _) = probe_experiments(settings()).values()
    parts = make_parts(words[0].split, words[0].protocol, store)
    (trial,) = results.trials(1)
    scores = results.trial_test_scores(trial.trial_id)
    found = {ScoreKind.PROBE_WORDS_SHARED: scenes[0].shared, ScoreKind.PROBE_WORDS_LEFT_OUT: scenes[0].left_out}
    assert set(scores) == set(found)
    for kind, score in scores.items():
        assert [prediction.utterance_id for prediction in score.predictions] == list(parts.test)
        assert found[kind].spread.mean == pytest.approx(score.unweighted_accuracy)
    assert [prediction.utterance_id for prediction in results.validation_predictions(trial.trial_id)] == list(
        parts.validation
    )


def test_the_note_stands_below_the_tables(settings, facts, store, results):
    fit_probes(settings(), facts, store, results)
    scenes = TablesReader(settings(), facts, results).read_scenes()
    console = Console(file=io.StringIO(), width=1000)
    print_tables(console, settings(), facts, [], scenes)
    last = console.file.getvalue().splitlines()[-1]
    assert last.startswith("Scenes: On this synthetic corpus, words alone score ")
    print_tables(console, settings(), facts, [], ())
    assert console.file.getvalue().count("Scenes: ") == 1


def test_before_they_are_fitted_there_are_none(settings, facts, store, results):
    assert TablesReader(settings(), facts, results).read_scenes() == ()


@pytest.mark.long
def test_leaving_each_session_out_pools_the_probes_over_all_five(settings, facts, store, results):
    asked = settings(leaves_each_session_out=True)
    assert fit_probes(asked, facts, store, results)[0] == 0
    scenes = TablesReader(asked, facts, results).read_scenes()
    assert {pair.num_utterances for pair in scenes} == {len(store.utterances((1, 2, 3, 4, 5)))}
