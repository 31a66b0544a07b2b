"""Starting TensorFlow: quietly, on a given number of threads, with deterministic operations."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

#: Packages that Keras, and TensorFlow with it, imports if they are installed, to draw pictures, read data frames and
#: stand in for an estimator: more than a second of every trial's start.
_OPTIONAL_TO_KERAS = ("matplotlib", "pandas", "sklearn")

#: Parameters of glibc's mallopt, from its malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def start_tensorflow(threads: int) -> None:
    """Import TensorFlow and set it up. Call before any of its operations; do not fork afterwards."""
    import_tensorflow()
    import tensorflow as tf

    with _quiet_standard_error():
        # Where it looks for graphics cards, and says what it does not find.
        tf.config.list_physical_devices()
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    # While a loop over the steps runs on one thread, the convolutions use the other.
    tf.config.threading.set_inter_op_parallelism_threads(min(threads, 2))
    tf.config.experimental.enable_op_determinism()
    # Every model is traced once; with several models it warns that traces are discarded.
    tf.get_logger().setLevel("ERROR")


def import_tensorflow() -> None:
    """Import TensorFlow, and run none of its operations: a process that has done no more than this may be forked.

    TensorFlow's notes on its own build are not shown; ``TF_CPP_MIN_LOG_LEVEL`` in the environment chooses which of its
    later messages are. On a graphics card it takes memory as it needs it, unless ``TF_FORCE_GPU_ALLOW_GROWTH`` is set
    there: by default the first process takes nearly all, and no second trial fits on the card.
    """
    _keep_freed_memory()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    with _quiet_standard_error(), _hidden(_OPTIONAL_TO_KERAS):
        import tensorflow  # noqa: F401


def _keep_freed_memory() -> None:
    """Let the C library reuse the memory that TensorFlow frees instead of returning it to the system.

    Otherwise arrays of the size of a batch's activations are mapped, and every page of them zeroed by the system, at
    each operation. Only glibc has the call; elsewhere nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def _hidden(packages: Sequence[str]) -> Iterator[None]:
    """Make imports inside the block behave as if ``packages`` were not installed; those imported before stay."""
    hidden = [package for package in packages if package not in sys.modules]
    # With None in its place, an import fails like that of a missing package.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for package in hidden:
            del sys.modules[package]


@contextmanager
def _quiet_standard_error() -> Iterator[None]:
    """Hold back standard error, of C++ too, and show it only if the block fails."""
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
