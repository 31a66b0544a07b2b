"""Which workers may run trials: the others are told of once, and a busy one is waited for."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import WorkFailedError
from harness.search.view import Ending
from harness.store.records import TrialStatus
from tests.search.dask.processes import DaskProcesses, end, on
from tests.search.searches import SCORES_X, SilentView, search, trials_of, wait_until, write_experiment

pytestmark = pytest.mark.long

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

#: Waits for "go", which the view leaves with its first note.
WAITS_FOR_A_NOTE = """
import os, time
while not os.path.exists("go"):
    time.sleep(0.02)
print("#Auptimizer:%d" % ("CUDA_VISIBLE_DEVICES" in os.environ))
"""


class TellingView(SilentView):
    """Lets the trials of a folder end as soon as a note comes."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def note(self, sentence: str) -> None:
        super().note(sentence)
        (self._folder / "go").touch()


def another_version(dask: DaskProcesses) -> list[str]:
    preload = dask.folder / "other version.py"
    preload.write_text("import harness\nharness.__version__ = '0.0.1'\n")
    return ["--preload", str(preload)]


def test_a_worker_with_another_version_is_refused_once_with_what_differs(folder: Path, dask: DaskProcesses) -> None:
    dask.start_worker(*another_version(dask))
    dask.start_worker()
    view = TellingView(folder)
    assert search(write_experiment(folder, WAITS_FOR_A_NOTE, **on(dask)), view=view).ending is Ending.DONE
    (note,) = view.notes
    assert "gets no trials: harness is 0.0.1 there and " in note


def test_a_search_without_a_worker_that_may_run_it_ends_with_one_sentence(
    folder: Path, dask: DaskProcesses
) -> None:
    dask.start_worker(*another_version(dask))
    cluster = {"scheduler": dask.address, "patience_seconds": 5}
    path = write_experiment(folder, SCORES_X, **on(dask, cluster=cluster))
    with pytest.raises(WorkFailedError, match="for 5 s there was no worker that may run a trial .*: harness is 0.0.1"):
        search(path)
    assert {trial.status for trial in trials_of(path)} == {TrialStatus.KILLED}
    dask.start_worker()
    assert search(path).ending is Ending.DONE


def test_a_scheduler_that_lacks_the_package_is_said_to(folder: Path, dask: DaskProcesses) -> None:
    preload = dask.folder / "without.py"
    preload.write_text("import sys\nsys.modules['harness'] = None\n")
    assert dask.scheduler is not None
    end(dask.scheduler)
    dask.start_scheduler("--preload", str(preload))
    dask.start_worker()
    path = write_experiment(folder, SCORES_X, **on(dask, cluster={"scheduler": dask.address, "patience_seconds": 4}))
    with pytest.raises(WorkFailedError, match="its scheduler cannot read the task: harness-iemocap .* must be"):
        search(path)


def test_a_worker_without_the_resources_of_a_trial_is_refused(folder: Path, dask: DaskProcesses) -> None:
    dask.start_worker()
    dask.start_worker("--resources", "GPU=2")
    cluster = {"scheduler": dask.address, "resources": {"GPU": 1}, "patience_seconds": 20}
    view = TellingView(folder)
    path = write_experiment(folder, WAITS_FOR_A_NOTE, **on(dask, cluster=cluster))
    assert search(path, view=view).ending is Ending.DONE
    assert {trial.score for trial in trials_of(path)} == {0.0}
    (note,) = view.notes
    assert "it has 0 of the Dask resource 'GPU', and a trial takes 1" in note


def test_a_worker_that_is_busy_is_waited_for_and_told_of(
    folder: Path, dask: DaskProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    monkeypatch.setattr("harness.search.dask.workers._BUSY_SECONDS", 1.0)
    dask.start_worker()
    cluster = {"scheduler": dask.address, "patience_seconds": 2}
    path = write_experiment(folder, SCORES_X, **on(dask, cluster=cluster))
    view = TellingView(folder)
    with Client(dask.address, set_as_default=False) as client:
        client.wait_for_workers(1)
        script = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\ntime.sleep(3)"
        others = client.submit(subprocess.run, [sys.executable, "-c", script], cwd=str(folder))
        wait_until(lambda: others.key in {key for keys in client.processing().values() for key in keys})
        assert search(path, view=view).ending is Ending.DONE
    (note,) = view.notes
    assert note.endswith("probably because it is busy with other tasks; it gets trials once it answers.")
