"""A competitor of `benchmarks.trial` in a process of its own, and what is asked of it through a pipe."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import psutil

from benchmarks.trial_competitors import Machine, Ours, Plain, Torch
from benchmarks.trial_setting import Setting

#: How often the memory of a competitor at work is looked at, in seconds.
MEMORY_INTERVAL = 0.05


class Process:
    """A competitor in a process of its own; private memory is its resident memory without mapped files."""

    def __init__(self, name: str, setting: Setting, **options: Any) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, name, setting, options), daemon=True)
        self.process.start()
        theirs.close()
        self.peak_private_bytes = 0
        self._wait()

    def ask(self, method: str, *arguments: Any) -> Any:
        self.connection.send((method, arguments))
        return self._wait()

    def end(self) -> None:
        self.connection.send(None)
        self.process.join(10)
        self.process.kill()

    def _wait(self) -> Any:
        connection: Connection = self.connection
        seen = psutil.Process(self.process.pid)
        while not connection.poll(MEMORY_INTERVAL):
            memory = seen.memory_info()
            self.peak_private_bytes = max(self.peak_private_bytes, memory.rss - getattr(memory, "shared", 0))
        is_done, result = connection.recv()
        if not is_done:
            raise RuntimeError(f"{self.name} failed:\n{result}")
        return result


def _start_ours(threads: int) -> None:
    from harness.training.tensorflow import start_tensorflow

    start_tensorflow(threads)


def _start_plain(threads: int) -> None:
    """TensorFlow as it comes, without the determinism that ours pays for."""
    tf = _import_tensorflow()
    # As products of float32 are elsewhere, so that numbers compare.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _start_torch(threads: int) -> None:
    """PyTorch; TensorFlow is imported by what cuts the batches, and does nothing here."""
    import torch

    # Triton, which PyTorch's optimisers import, crashes where TensorFlow's libraries are loaded before its own.
    import torch._dynamo  # noqa: F401

    _import_tensorflow()
    torch.set_num_threads(threads)


def _import_tensorflow() -> Any:
    """TensorFlow without its notes on what it was built with."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    import tensorflow

    os.dup2(before, 2)
    return tensorflow


_START = {"ours": _start_ours, "plain": _start_plain, "torch": _start_torch, "machine": _start_ours}
_COMPETITORS = {"ours": Ours, "plain": Plain, "torch": Torch, "machine": Machine}


def serve(connection: Connection, name: str, setting: Setting, options: Mapping[str, Any]) -> None:
    """Make a competitor, and call its methods as they are asked for until told to end.

    Replies are (True, result) or (False, traceback).
    """
    if not setting.is_on_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: setting.threads])
    try:
        _START[name](setting.threads)
        competitor = _COMPETITORS[name](setting, **options)
        connection.send((True, None))
        while (asked := connection.recv()) is not None:
            method, arguments = asked
            connection.send((True, getattr(competitor, method)(*arguments)))
    except Exception:
        connection.send((False, traceback.format_exc()))
