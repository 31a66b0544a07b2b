"""Starting TensorFlow: quietly, on as many threads as are its, with deterministic operations."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def start_tensorflow(threads: int) -> None:
    """Import TensorFlow and set it up; before any of its operations.

    Its notes on what it was built with go nowhere; ``TF_CPP_MIN_LOG_LEVEL`` in the environment brings
    back those of its later messages that the user wants. A process must not fork after this.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _kept_standard_error():
        import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    # Every model is traced once, and several models make it warn of traces that are thrown away.
    tf.get_logger().setLevel("ERROR")


@contextmanager
def _kept_standard_error() -> Iterator[None]:
    """Keep what is written to standard error, by C++ too, and show it only if the block fails."""
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(before, kept.read())
            raise
        finally:
            os.dup2(before, 2)
            os.close(before)
