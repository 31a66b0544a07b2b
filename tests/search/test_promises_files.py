"""A file that others read appears whole or not at all, whatever becomes of who writes it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.files import write_json, write_then_rename

REPOSITORY = Path(__file__).parents[2]

WRITES_FOR_EVER = """
import sys
from pathlib import Path
from harness.files import write_json
number = 0
while True:
    number += 1
    write_json(Path(sys.argv[1]), {"number": number, "again": [number] * 20_000})
"""


def start_writer(path: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([sys.executable, "-c", WRITES_FOR_EVER, str(path)], env=environment)


def read_whole(path: Path) -> int:
    """Read what the writer wrote; return its number."""
    text = path.read_text()
    value = json.loads(text)
    assert text.endswith("}\n")
    assert value["again"] == [value["number"]] * 20_000
    return int(value["number"])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "Ctrl-C"])
def test_a_writer_that_is_ended_at_any_instant_leaves_a_whole_file(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "it's; \"shared\".json"
    generator = random.Random(number)
    num_read = 0
    for _ in range(8):
        path.unlink(missing_ok=True)
        writer = start_writer(path)
        try:
            while not path.exists():
                assert writer.poll() is None
            end = time.monotonic() + generator.uniform(0, 0.08)
            while time.monotonic() < end:
                num_read += read_whole(path) > 0
        finally:
            os.kill(writer.pid, number)
            writer.wait()
        assert read_whole(path) > 0
    assert num_read > 8


def test_a_write_that_fails_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    write_json(path, [1])
    with pytest.raises(OSError, match="the disk is full"), write_then_rename(path) as stream:
        stream.write(b"half of")
        raise OSError("the disk is full")
    with pytest.raises(TypeError):
        write_json(path, {"not JSON": object()})
    assert json.loads(path.read_text()) == [1]
    assert list(tmp_path.iterdir()) == [path]
