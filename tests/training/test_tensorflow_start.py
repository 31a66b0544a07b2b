"""How TensorFlow is started: quickly, and leaving every package as importable as before."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

STARTED = """
import sys
from harness.training.tensorflow import start_tensorflow
start_tensorflow(threads=1)
import keras, tensorflow
"""


def run_python(code: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)


def test_what_keras_can_do_without_is_not_imported() -> None:
    done = run_python(STARTED + "print({'matplotlib', 'pandas', 'sklearn'} & set(sys.modules))")
    assert (done.stdout, done.stderr) == ("set()\n", "")


@pytest.mark.parametrize(("chosen", "expected"), [({}, "true"), ({"TF_FORCE_GPU_ALLOW_GROWTH": "false"}, "false")])
def test_several_trials_fit_on_one_card_unless_the_user_wants_otherwise(
    tmp_path: Path, chosen: dict[str, str], expected: str
) -> None:
    # In TensorFlow's place. It reads the environment of C, not Python's copy.
    (tmp_path / "tensorflow.py").write_text(
        "import ctypes\nread = ctypes.CDLL(None).getenv\nread.restype = ctypes.c_char_p\n"
        "print(read(b'TF_FORCE_GPU_ALLOW_GROWTH').decode())\n"
    )
    kept = {name: value for name, value in os.environ.items() if name != "TF_FORCE_GPU_ALLOW_GROWTH"}
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    code = "from harness.training.tensorflow import import_tensorflow; import_tensorflow()"
    done = run_python(code, {**kept, "PYTHONPATH": paths, **chosen})
    assert (done.stdout, done.stderr) == (f"{expected}\n", "")


@pytest.mark.long
def test_packages_kept_out_can_be_imported_afterwards() -> None:
    code = STARTED + "import matplotlib.pyplot, pandas, sklearn.ensemble; print(pandas.DataFrame({'a': [1]}).size)"
    done = run_python(code)
    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.long
def test_package_that_was_imported_before_stays() -> None:
    done = run_python("import pandas as before" + STARTED + "import pandas; print(pandas is before)")
    assert (done.stdout, done.stderr) == ("True\n", "")
