import subprocess
import sys


def test_store_does_without_pandas_and_leaves_it_to_others() -> None:
    code = (
        "import sys, harness.store.store\n"
        "print('pandas' in sys.modules)\n"
        "import pandas\n"
        "print(pandas.Series([1, 2]).sum())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "3"]
