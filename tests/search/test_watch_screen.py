"""A watched search on screens of every size."""

from dataclasses import replace

import pytest

from harness.search.display import Canvas, draw
from harness.search.snapshot import Watched, WatchState, watch_search
from tests.search.watched_searches import running_search

HINT = "q quits"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("watched")
    with running_search(folder):
        return watch_search(folder, None)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("crowded")
    with running_search(folder, num_running=40):
        return watch_search(folder, None)


def show(watched: Watched, width: int, height: int, is_ascii: bool = False) -> list[str]:
    return [line.plain for line in draw(watched, Canvas(width, height, is_ascii), HINT)]


def test_a_terminal_of_the_usual_size_shows_everything(watched: Watched) -> None:
    lines = show(watched, 80, 24)
    assert lines[0] == "Experiment 1, 'fusion search': system fusion, protocol paper"
    assert lines[1] == "This corpus is synthetic: no score on it is a score on IEMOCAP."
    assert lines[4] == "█" * 16 + "▒" * 8 + "▓" * 16 + "░" * 40
    assert lines[5] == "10 trials: 2 finished, 2 running, 1 failed, 5 left."
    assert "Best validation accuracy 0.7500 (trial 0, epoch 4)" in lines
    assert "Scores  █▁" in lines
    [title] = [line for line in lines if line.startswith("trial  epoch")]
    assert title.split() == "trial epoch now best s/epoch left for memory validation accuracy".split()
    first = lines[lines.index(title) + 1].split()
    assert (first[:7], first[-2:]) == ("3 3/30 0.6000 0.6000 1.5 40 s".split(), ["—", "▁▄█"])
    assert lines[lines.index(title) + 2].startswith("  adamlr=")
    assert lines[-2:] == ["  trial 2 diverged: the loss is no number", HINT]


@pytest.mark.parametrize("width", [1, 20, 40, 80, 200])
@pytest.mark.parametrize("height", [1, 5, 10, 24, 60])
def test_nothing_leaves_the_screen(watched: Watched, crowded: Watched, width: int, height: int) -> None:
    for each in (watched, crowded):
        lines = draw(each, Canvas(width, height), HINT)
        assert len(lines) <= height
        assert all(line.cell_len <= width for line in lines)
        assert lines[-1].plain[:1] == "q" or width == 1


def test_a_narrow_terminal_keeps_what_matters_most(watched: Watched) -> None:
    lines = show(watched, 40, 40)
    [titles] = [line.split() for line in lines if line.startswith("trial ")]
    assert titles == ["trial", "epoch", "now", "best", "left"]


def test_of_many_running_trials_the_rest_is_counted(crowded: Watched) -> None:
    lines = show(crowded, 100, 30)
    num_shown = sum(line.lstrip()[:1].isdigit() and "/30" in line for line in lines)
    assert f"and {40 - num_shown} running trials more" in lines
    assert 5 < num_shown < 40
    assert lines[-2].startswith("  trial 2 diverged")


def test_a_terminal_without_unicode_gets_ascii(watched: Watched) -> None:
    assert all(line.isascii() for line in show(watched, 80, 40, is_ascii=True))


def test_what_a_trial_said_cannot_move_the_cursor(watched: Watched) -> None:
    assert not any("\x1b" in line for line in show(watched, 80, 40))


def test_nobody_runs_it_is_said_in_place_of_who_does(watched: Watched) -> None:
    abandoned = replace(watched, state=WatchState.ABANDONED, running=(), controller=None)
    lines = show(abandoned, 80, 24)
    assert lines[2] == "Nobody runs this experiment; `aup` with its file goes on with it."
    assert "10 trials: 2 finished, 0 running, 1 failed, 7 left." in lines


def test_before_a_search_there_is_one_sentence() -> None:
    waiting = Watched("results", WatchState.WAITING, message="No search has begun in 'results' yet.")
    assert show(waiting, 80, 24) == ["No search has begun in 'results' yet.", HINT]
