"""One holder at a time, and the next one is told who it is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.search.lock import AlreadyRunningError, held
from tests.search.searches import environment


def test_a_second_holder_is_told_who_where_and_since_when(folder: Path) -> None:
    path = folder / "locks" / "a.lock"
    with held(path, "experiment 'a'"), pytest.raises(AlreadyRunningError) as caught, held(
        path, "experiment 'a'"
    ):
        pass
    pattern = (
        rf"experiment 'a': process {os.getpid()} on {re.escape(os.uname().nodename)} runs it since "
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00; wait for it, or end it first"
    )
    assert re.fullmatch(pattern, str(caught.value))
    assert caught.value.exit_code == 2


def test_a_lock_is_free_again_after_an_error(folder: Path) -> None:
    path = folder / "a.lock"
    with pytest.raises(KeyError), held(path, "experiment 'a'"):
        raise KeyError
    with held(path, "experiment 'a'"):
        pass


def test_the_lock_of_a_killed_process_is_free(folder: Path) -> None:
    path = folder / "a.lock"
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom harness.search.lock import held\n"
        "with held(Path(sys.argv[1]), 'it'):\n    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], env=environment())
    assert killed.returncode == -9
    with held(path, "it"):
        pass
