"""The key turn_model: what it becomes, and each thing that it cannot be."""

import pytest

from harness.errors import HarnessError
from harness.models.build import NETWORKS
from harness.models.systems import SYSTEMS, find_system
from harness.models.turn_model import NetworkVectors, read_turn_model
from harness.splits.protocol import PROTOCOLS

PAPER = PROTOCOLS["paper"]
ALONE = [name for name, system in SYSTEMS.items() if not system.contexts]


def test_what_is_not_given_has_a_default_and_its_values_are_read_again():
    found = read_turn_model({"system": "text2", "hyperparameters": {"textlstm": 7}}, find_system("chain"), PAPER)
    assert (found.num_epochs, found.seed, found.turn_vectors) == (15, 0, NetworkVectors.PROBABILITIES)
    assert found.hyperparameters.textlstm == 7
    assert read_turn_model(found.to_json(), find_system("chain"), PAPER) == found


def test_only_fusion_context_has_one_of_its_own():
    found = {name: read_turn_model(None, system, PAPER) for name, system in SYSTEMS.items()}
    assert {name for name, below in found.items() if below} == {"fusion_context"}
    below = found["fusion_context"]
    assert (below.system.name, below.turn_vectors) == ("fusion", NetworkVectors.HIDDEN)
    assert read_turn_model({"num_epochs": 2}, find_system("fusion_context"), PAPER).system.name == "fusion"


def test_only_activations_before_a_softmax_are_hidden_vectors():
    assert {name for name, system in SYSTEMS.items() if not system.has_hidden} == {*NETWORKS}
    with pytest.raises(HarnessError, match="system 'ctc' has no activations before its softmax"):
        read_turn_model({"system": "ctc", "turn_vectors": "hidden"}, find_system("bc_lstm"), PAPER)


def test_a_quick_start_cuts_epochs_and_a_batch_size_that_was_not_chosen():
    found = read_turn_model({"system": "text2"}, find_system("chain"), PAPER).shorten(4, 8)
    assert (found.num_epochs, found.hyperparameters.batch_size) == (4, 8)
    chosen = {"system": "text2", "num_epochs": 2, "hyperparameters": {"batch_size": 32}}
    found = read_turn_model(chosen, find_system("chain"), PAPER).shorten(4, 8)
    assert (found.num_epochs, found.hyperparameters.batch_size) == (2, 32)


@pytest.mark.parametrize(
    ("system", "value", "message"),
    [
        (
            "fusion",
            {"system": "text2"},
            "turn_model is given, and system 'fusion' reads single utterances; expected it with one of "
            "['chain', 'sc_lstm', 'bc_lstm', 'fusion_context']",
        ),
        ("chain", "text2", 'turn_model is \'text2\'; expected an object such as {"system": "text2"}'),
        ("chain", {}, f"turn_model.system is missing; expected one of {ALONE}"),
        ("chain", {"system": 2}, f"turn_model.system is 2; expected one of {ALONE}"),
        (
            "chain",
            {"system": "bc_lstm"},
            f"turn_model.system is 'bc_lstm', which reads the dialogue itself; expected one of {ALONE}",
        ),
        (
            "chain",
            {"system": "text2", "num_epochs": 0},
            "turn_model.num_epochs is 0; expected a whole number from 1 on",
        ),
        (
            "chain",
            {"system": "text2", "seed": True},
            "turn_model.seed is true; expected a whole number from 0 on",
        ),
        (
            "chain",
            {"system": "text2", "hyperparameters": []},
            "turn_model.hyperparameters is []; expected an object of hyperparameters",
        ),
        (
            "chain",
            {"system": "text2", "turn_vectors": "hidden"},
            "turn_model.turn_vectors is 'hidden', and system 'chain' reads probabilities alone; expected "
            "'probabilities'",
        ),
        (
            "bc_lstm",
            {"system": "text2", "turn_vectors": "all"},
            "unknown value of turn_model.turn_vectors: 'all'; expected one of ['hidden', 'probabilities']",
        ),
        (
            "bc_lstm",
            {"system": "text2", "epochs": 3},
            "unknown key of turn_model: 'epochs'; expected one of ['hyperparameters', 'num_epochs', 'seed', 'system', "
            "'turn_vectors']",
        ),
    ],
)
def test_what_it_cannot_be_is_refused_in_one_sentence(system, value, message):
    with pytest.raises(HarnessError) as caught:
        read_turn_model(value, find_system(system), PAPER)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "value", [{"system": "no such"}, {"system": "text2", "hyperparameters": {"textlstm": -1}}], ids=["system", "point"]
)
def test_names_and_values_are_those_of_the_systems(value):
    with pytest.raises(HarnessError, match="turn_model"):
        read_turn_model(value, find_system("chain"), PAPER)
