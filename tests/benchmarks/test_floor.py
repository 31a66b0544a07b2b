"""The counted operations are those of the models."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.floor import (
    FUNCTION,
    Work,
    count_work,
    decoder,
    elementwise,
    epoch_work,
    lstm,
    mocap_branch,
    product,
)
from benchmarks.measured_models import MEASURED


def test_product_counts_two_operations_a_multiplication_and_both_gradients():
    work = product(np.array([1.0, 3.0]), 5, 7)
    assert work.forward.tolist() == [70.0, 210.0]
    assert work.backward.tolist() == [140.0, 420.0]
    assert product(1.0, 5, 7, inputs_gradient=False).backward == 70.0


def test_functions_are_counted_at_their_operations():
    work = elementwise(np.array([4]), 2, 3, 5)
    assert work.forward.tolist() == [4 * (2 * FUNCTION + 3)]
    assert work.backward.tolist() == [20.0]
    assert work.functions.tolist() == [8.0]


def test_lstm_of_no_steps_costs_nothing():
    work = lstm(np.array([0, 2]), 3, 4, inputs_gradient=True)
    assert work.forward[0] == work.backward[0] == 0
    assert work.forward[1] == 2 * (2 * 3 * 16 + 2 * 4 * 16) + 8 * (5 * FUNCTION + 5)


def test_decoder_grows_with_the_square_of_the_frames():
    one, two, three = decoder(np.array([1, 2, 3]), 8, 4).forward
    assert three - two > two - one
    between_a_pair = 4 * (FUNCTION + 3) + FUNCTION + 2 + 2 * 8
    assert three - 2 * two + one == 2 * between_a_pair


def test_convolutions_are_those_of_the_paper():
    # (100, 95), (50, 48), (25, 24), (13, 12), (7, 6) outputs of 9 taps, then the Dense layer.
    outputs = [9500 * 9 * 32, 2400 * 288 * 64, 600 * 576 * 64, 156 * 576 * 128, 42 * 1152 * 128]
    expected = 2 * (sum(outputs) + 42 * 128 * 256)
    assert mocap_branch(2, 256).forward.tolist() == [expected, expected]


def test_fusion_is_its_branches_and_its_last_layers():
    model = MEASURED["fusion-paper"]
    words, frames = np.array([3, 12]), np.array([20, 45])
    parts = count_work(model.system.modalities, model.choices, words, frames)
    assert list(parts) == ["text", "speech", "mocap", "last layers"]
    assert parts["last layers"].forward.tolist() == [2.0 * (768 * 256 + 256 * 4)] * 2


def test_recurrent_dropout_and_gates_cost_nothing():
    model = MEASURED["fusion-published"]
    words, frames = np.array([3]), np.array([20])
    plainer = replace(model.choices, recurrent_dropout=0.0)
    counted, again = (count_work(("speech",), choices, words, frames) for choices in (model.choices, plainer))
    assert counted["speech"].forward == again["speech"].forward


def test_epoch_adds_training_with_adam_and_validation_forward():
    work = Work(np.array([10.0, 20.0]), np.array([1.0, 2.0]), np.array([5.0, 5.0]))
    epoch = epoch_work({"text": work}, {"text": work}, num_weights=100, num_steps=2)
    assert epoch.training == {"text": 33.0, "Adam": 2400.0}
    assert epoch.validation == {"text": 30.0}
    assert epoch.operations == pytest.approx(2463.0)
    assert epoch.functions == 20.0
