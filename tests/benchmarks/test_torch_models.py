"""PyTorch's models compute what the package's compute."""

import keras
import numpy as np
import pytest

from benchmarks.measured_models import MEASURED
from benchmarks.utterance_lengths import InventedCorpus
from harness.models.build import build_model
from harness.models.inputs import input_shapes

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("name", ["fusion-paper", "speech4", "text2", "mocap1"])
def test_probabilities_are_ours(name, tmp_path):
    from benchmarks.torch_models import TorchModel, copy_weights

    model = MEASURED[name]
    corpus = InventedCorpus(tmp_path, num_train=3, num_validation=7, max_frames=15)
    corpus.write()
    inputs = corpus.fit(model.system.modalities, model.protocol).prepare(corpus.open("validation"))
    shapes = input_shapes(inputs.fitted, model.protocol)
    keras.utils.set_random_seed(0)
    ours = build_model(model.system, model.choices, shapes)
    theirs = TorchModel(model.system.modalities, model.choices, shapes).eval()
    copy_weights({layer.name: layer.get_weights() for layer in ours.layers if layer.weights}, theirs)
    batch = inputs.batch(np.arange(7))
    expected = np.asarray(ours({tensor.name: batch[tensor.name] for tensor in ours.inputs}, training=False))
    with torch.inference_mode():
        logits = theirs({key: torch.from_numpy(array) for key, array in batch.items()})
    np.testing.assert_allclose(torch.softmax(logits, dim=-1).numpy(), expected, atol=1e-6)
