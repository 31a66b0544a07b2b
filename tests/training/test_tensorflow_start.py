"""How TensorFlow is started: quickly, and leaving every package as importable as before."""

import subprocess
import sys

import pytest

STARTED = """
import sys
from harness.training.tensorflow import start_tensorflow
start_tensorflow(threads=1)
import keras, tensorflow
"""


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_what_keras_can_do_without_is_not_imported() -> None:
    done = run_python(STARTED + "print({'matplotlib', 'pandas', 'sklearn'} & set(sys.modules))")
    assert (done.stdout, done.stderr) == ("set()\n", "")


@pytest.mark.long
def test_packages_kept_out_can_be_imported_afterwards() -> None:
    code = STARTED + "import matplotlib.pyplot, pandas, sklearn.ensemble; print(pandas.DataFrame({'a': [1]}).size)"
    done = run_python(code)
    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.long
def test_package_that_was_imported_before_stays() -> None:
    done = run_python("import pandas as before" + STARTED + "import pandas; print(pandas is before)")
    assert (done.stdout, done.stderr) == ("True\n", "")
