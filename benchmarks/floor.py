"""The least a trial can cost: counted floating-point operations over the measured speed of a matrix product.

`python -m benchmarks.floor` prints the operations of one epoch of training (3000 utterances) and of
validation (838), part by part, and the seconds they take at the speed at which this machine multiplies
two large matrices.

What is counted, on real words and frames alone:

- matrix products and convolutions: 2 operations a multiplication and addition; forward once, backward
  once for the inputs' gradient and once for the weights'; no gradient of frames and windows, which
  nothing needs. Word vectors are trained, so theirs is counted;
- the decoder's attention: every frame against every frame of its utterance, forward and backward;
- tanh, the logistic function and exp at 20 operations each, about what their polynomials take in Eigen
  (ten multiplications with addition); the sums and products around them one by one;
- Adam: 12 operations a weight and step.

Left out: reading and writing memory, gathering batches, dropout, relu, biases. (The decoder's tanh can
be had for less than 20 operations; it is about 2 % of the paper's model.)
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interleaved import print_machine
from benchmarks.measured_models import MEASURED, MeasuredModel
from benchmarks.utterance_lengths import InventedCorpus
from harness.training.tensorflow import start_tensorflow

#: Operations of one tanh, logistic function or exp.
FUNCTION = 20

#: Operations of Adam a weight and step: two running means (3 and 4), a root, a division, the step (5).
ADAM = 12

#: Of the five convolutions, after the one channel that the first reads.
FILTERS = (1, 32, 64, 64, 128, 128)


@dataclass(frozen=True)
class Work:
    """Operations that utterances cost.

    Attributes:
        forward: float64 (num_utterances,)
        backward: float64 (num_utterances,), with what the optimiser does left out
        functions: float64 (num_utterances,), how many tanh, logistic functions and exp there are forward
    """

    forward: np.ndarray
    backward: np.ndarray
    functions: np.ndarray

    def __add__(self, other: Work) -> Work:
        return Work(
            self.forward + other.forward, self.backward + other.backward, self.functions + other.functions
        )


def product(rows: np.ndarray | float, inner: int, columns: int, *, inputs_gradient: bool = True) -> Work:
    """A product of (rows, inner) and (inner, columns) weights, rows counted an utterance."""
    forward = 2.0 * np.asarray(rows, np.float64) * inner * columns
    return Work(forward, forward * (2 if inputs_gradient else 1), 0.0 * forward)


def elementwise(values: np.ndarray | float, functions: int, forward: int, backward: int) -> Work:
    """``functions`` of 20 operations and ``forward`` others a value, and ``backward`` ones to differentiate them."""
    count = np.asarray(values, np.float64)
    return Work(count * (functions * FUNCTION + forward), count * backward, count * functions)


def lstm(steps: np.ndarray, inputs: int, units: int, *, inputs_gradient: bool) -> Work:
    """One direction: inputs' and recurrent products; a step's five functions, five sums and products, 20 backward."""
    work = product(steps, inputs, 4 * units, inputs_gradient=inputs_gradient) + product(steps, units, 4 * units)
    return work + elementwise(steps * units, 5, 5, 20)


def decoder(frames: np.ndarray, columns: int, units: int) -> Work:
    """One direction of the attention decoder.

    Between each pair of frames: a sum, a tanh and a product with the score's weights for every unit;
    an exp and two operations; a product with every column of the encoded frames.
    """
    work = product(frames, columns, units)  # U_a
    work += product(frames, units, units)  # W_a
    work += product(frames, units + units + columns, 4 * units)  # W, U and C
    work += elementwise(frames * units, 4, 8, 24)
    pairs = frames.astype(np.float64) ** 2
    work += elementwise(pairs * units, 1, 3, 8) + elementwise(pairs, 1, 2, 4)
    mixed = 2.0 * pairs * columns
    return work + Work(mixed, 2 * mixed, 0.0 * mixed)


def text_branch(choices: Any, words: np.ndarray, units: int) -> Work:
    second = getattr(choices, "textlstm2", choices.textlstm)
    work = lstm(words, choices.embedding_dimension, choices.textlstm, inputs_gradient=True)
    work += lstm(words, choices.textlstm, second, inputs_gradient=True)
    return work + product(np.ones(len(words)), second, units)


def speech_branch(choices: Any, frames: np.ndarray, units: int) -> Work:
    width, directions = choices.speechlstm, choices.directions
    work = product(frames, directions * width, units)
    for _ in range(directions):
        work += lstm(frames, 34, width, inputs_gradient=False) + decoder(frames, directions * width, width)
    return work


def mocap_branch(num_utterances: int, units: int, windows: int = 200, columns: int = 189) -> Work:
    ones = np.ones(num_utterances)
    work = product(0.0 * ones, 1, 1)
    for before, filters in zip(FILTERS, FILTERS[1:], strict=False):
        windows, columns = -(-windows // 2), -(-columns // 2)
        work += product(windows * columns * ones, 9 * before, filters, inputs_gradient=before > 1)
    return work + product(ones, windows * columns * FILTERS[-1], units)


def count_work(
    modalities: tuple[str, ...], choices: Any, words: np.ndarray, frames: np.ndarray
) -> dict[str, Work]:
    """Count what each part of a model does for utterances of these lengths.

    Args:
        words, frames: int64 (num_utterances,), cut to what the protocol keeps

    Returns:
        by modality, and ``last layers``
    """
    is_fused = len(modalities) > 1
    units = getattr(choices, "branch_dense", 0) if is_fused else getattr(choices, "dense", 0)
    branches = {
        "text": lambda: text_branch(choices, words, units),
        "speech": lambda: speech_branch(choices, frames, units),
        "mocap": lambda: mocap_branch(len(words), units),
    }
    parts = {modality: branches[modality]() for modality in modalities}
    ones = np.ones(len(words))
    if is_fused:
        finalfc = getattr(choices, "finalfc", 0)
        parts["last layers"] = product(ones, units * len(modalities), finalfc) + product(ones, finalfc, 4)
    else:
        parts["last layers"] = product(ones, units, 4)
    return parts


@dataclass(frozen=True)
class EpochWork:
    """Operations of one epoch.

    Attributes:
        training, validation: operations by part
        functions: tanh, logistic functions and exp, forward, training and validation together
    """

    training: Mapping[str, float]
    validation: Mapping[str, float]
    functions: float

    @property
    def operations(self) -> float:
        return sum(self.training.values()) + sum(self.validation.values())


def count_epoch(model: MeasuredModel, corpus: InventedCorpus, max_words: int, num_weights: int) -> EpochWork:
    """Count the operations of an epoch of ``corpus``, on real words and frames."""
    counted = []
    for part in corpus.parts:
        lengths = corpus.lengths(part)
        words, frames = lengths.words.clip(max=max_words), lengths.num_frames(corpus.settings)
        counted.append(count_work(model.system.modalities, model.choices, words, frames))
    num_steps = -(-corpus.num_train // model.choices.batch_size)
    return epoch_work(counted[0], counted[1], num_weights, num_steps)


def epoch_work(
    train: Mapping[str, Work], validation: Mapping[str, Work], num_weights: int, num_steps: int
) -> EpochWork:
    """Add up an epoch: training forward and backward with Adam's steps, validation forward."""
    training = {name: float((work.forward + work.backward).sum()) for name, work in train.items()}
    training["Adam"] = float(ADAM * num_weights * num_steps)
    functions = sum(float(work.functions.sum()) for work in [*train.values(), *validation.values()])
    return EpochWork(training, {name: float(work.forward.sum()) for name, work in validation.items()}, functions)


@dataclass(frozen=True)
class Peak:
    """The best speed of this machine, on the threads of a trial.

    Attributes:
        operations: of a matrix product, a second
        functions: tanh of values that fit the cache, a second
    """

    operations: float
    functions: float


class PeakMeasurement:
    """Times TensorFlow's own matrix product and tanh. TensorFlow is set up by who makes this."""

    def __init__(self, side: int = 2048) -> None:
        import tensorflow as tf

        self.side = side
        generator = np.random.default_rng(0)
        self._left = tf.constant(generator.normal(size=(side, side)), tf.float32)
        self._right = tf.constant(generator.normal(size=(side, side)), tf.float32)
        self._values = tf.constant(generator.normal(size=(64, 2048)), tf.float32)
        self._multiply = tf.function(lambda: tf.linalg.matmul(self._left, self._right)[0, 0], autograph=False)
        self._functions = 200
        self._tanh = tf.function(self._tanh_many_times, autograph=False)

    def _tanh_many_times(self) -> Any:
        import tensorflow as tf

        return tf.while_loop(
            lambda number, values: number < self._functions,
            lambda number, values: (number + 1, tf.tanh(values)),
            (0, self._values),
        )[1][0, 0]

    def measure(self, times: int = 9) -> Peak:
        """The median of some matrix products of a large square, and of some runs of tanh."""
        multiply = self._median(self._multiply, times)
        tanh = self._median(self._tanh, times)
        return Peak(2.0 * self.side**3 / multiply, self._functions * float(np.prod(self._values.shape)) / tanh)

    @staticmethod
    def _median(run: Any, times: int) -> float:
        run().numpy()
        seconds = []
        for _ in range(times):
            began = time.perf_counter()
            run().numpy()
            seconds.append(time.perf_counter() - began)
        return statistics.median(seconds)


def main() -> None:
    """Print the counted work of every model that `benchmarks.trial` measures, Adam's left out, and its seconds."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.floor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2, help="of the matrix product [2]")
    threads = parser.parse_args().threads
    start_tensorflow(threads)
    print_machine(["tensorflow", "numpy"])
    peak = PeakMeasurement().measure()
    print(f"{threads} threads: {peak.operations / 1e9:.0f} GFLOP/s, {peak.functions / 1e9:.2f} G tanh/s")
    corpus = InventedCorpus(Path())
    for name, model in MEASURED.items():
        if model.is_padded or not model.is_of_paper:
            continue
        work = count_epoch(model, corpus, model.protocol.max_words, num_weights=0)
        print(f"{name}: {work.operations / 1e9:.0f} GFLOP, {work.operations / peak.operations:.2f} s")
        for part, operations in work.validation.items():
            print(f"  {part:12s} {work.training[part] / 1e9:7.1f} training {operations / 1e9:7.1f} validation")


if __name__ == "__main__":
    main()
