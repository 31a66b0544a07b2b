"""PyTorch's models compute what the package's compute."""

import keras
import numpy as np
import pytest

from benchmarks.compared_systems import make_trainer, read_targets
from benchmarks.measured_models import MEASURED
from benchmarks.trial_competitors import predict
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


COMPARED = [name for name, model in MEASURED.items() if not model.is_of_paper and model.has_torch]


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", COMPARED)
def test_compared_systems_answer_as_ours_and_learn(name, tmp_path):
    """On utterances of several lengths, some of them cut, with weights that are not the first ones."""
    from benchmarks.torch_compared import build_counterpart
    from benchmarks.torch_models import copy_weights

    model = MEASURED[name]
    corpus = InventedCorpus(
        tmp_path, num_train=3, num_validation=7, max_frames=230, speech_features=model.system.speech_features
    )
    corpus.write()
    inputs = corpus.fit(("speech",), model.protocol).prepare(corpus.open("validation"))
    rows = np.arange(7)
    keras.utils.set_random_seed(0)
    trainer = make_trainer(model, input_shapes(inputs.fitted, model.protocol, 7))
    trainer.trained.set_weights([weights + 0.003 for weights in trainer.trained.get_weights()])
    theirs = build_counterpart(model, input_shapes(inputs.fitted, model.protocol)).eval()
    copy_weights({layer.name: layer.get_weights() for layer in trainer.trained.layers if layer.weights}, theirs)
    batch = {key: torch.from_numpy(array) for key, array in inputs.batch(rows).items()}
    with torch.inference_mode():
        answers = torch.softmax(theirs.answers(theirs(batch), batch), dim=-1).numpy()
    expected = predict(model, trainer, inputs, rows)
    # Steps that are padding say nothing, where the answers are of steps.
    is_real = np.ones(len(rows), bool)
    if answers.ndim == 3:
        longest = inputs.batch(rows)["speech_lengths"]
        steps = -(-longest // 4) if model.trains_recogniser else longest
        is_real = np.arange(answers.shape[1]) < steps[:, None]
    assert answers.shape == expected.shape
    np.testing.assert_allclose(answers[is_real], expected[is_real], atol=1e-5)

    texts = np.array([[0, 1, -1], [4, -1, -1]])
    targets = texts[rows % 2] if model.trains_recogniser else read_targets(model, inputs, rows)
    trained, losses = [weights for weights in theirs.parameters() if weights.requires_grad], []
    for _ in range(5):
        loss = theirs.loss(theirs(batch), batch, torch.from_numpy(targets))
        losses.append(float(loss.detach()))
        # By hand: PyTorch's optimisers cannot be imported behind TensorFlow everywhere.
        gradients = torch.autograd.grad(loss, trained)
        norm = torch.sqrt(sum((gradient**2).sum() for gradient in gradients))
        with torch.no_grad():
            for weights, gradient in zip(trained, gradients, strict=True):
                weights -= 0.01 * gradient / norm
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
