"""The competitors of `benchmarks.trial`: each runs one epoch when asked, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measured_models import MeasuredModel
from benchmarks.trial_setting import Epoch, Setting, read_clocks
from harness.features.fitted import Inputs
from harness.splits.protocol import Lengths

if TYPE_CHECKING:
    from harness.training.loop import HasFeatures

#: Rows on which equality is shown.
NUM_COMPARED = 16

#: Of the trial that the measured epoch belongs to.
EPOCHS = 30


class Ours:
    """The package's own model and trainer, whole epochs."""

    def __init__(self, setting: Setting, num_epochs: int = EPOCHS) -> None:
        from benchmarks.compared_systems import make_trainer, pick_training
        from harness.models.inputs import input_shapes
        from harness.training.loop import seed_everything

        seed_everything(0)
        self.setting, self.choices = setting, setting.model.choices
        self.protocol = setting.cut(setting.model.protocol)
        self.train = pick_training(setting.model, setting.inputs("train", self.protocol))
        self.validation = setting.inputs("validation", self.protocol)
        num_training = len(self.train.features)
        self.shapes = input_shapes(self.validation.fitted, self.protocol, num_training)
        self.trainer = make_trainer(setting.model, self.shapes)
        self.num_steps = num_epochs * -(-num_training // self.choices.batch_size)
        self.trainer.expect_steps(self.num_steps)
        self.generator = np.random.default_rng(0)

    def run_epoch(self, number: int) -> Epoch:
        validation = None if self.setting.model.trains_recogniser else self.validation
        return time_epoch(self.trainer, self.train, validation, self.choices.batch_size, self.generator)

    def weights(self) -> dict[str, list[np.ndarray]]:
        """The weights by layer."""
        return {layer.name: layer.get_weights() for layer in self.trainer.trained.layers if layer.weights}

    def probabilities(self) -> np.ndarray:
        """Of the first validation utterances, float32 (num_rows, 4); or those of the compared layer."""
        return predict(self.setting.model, self.trainer, self.validation, np.arange(NUM_COMPARED))

    def num_weights(self) -> int:
        return int(sum(np.prod(weight.shape) for weight in self.trainer.trained.trainable_weights))

    def profile(self) -> dict[str, float]:
        """Seconds an epoch of each branch alone, fed the same batches, and of making the batches."""
        from harness.models.build import build_model, build_optimizer
        from harness.training.loop import Trainer, like_length_batches, num_steps

        system, seconds = self.setting.model.system, {}
        has_branches = self.setting.model.is_of_paper and len(system.modalities) > 1
        for modality in system.modalities if has_branches else ():
            model = build_model(replace(system, modalities=(modality,)), self.choices, self.shapes)
            trainer = Trainer(model, build_optimizer(self.choices))
            trainer.expect_steps(self.num_steps)
            for _ in range(2):
                epoch = time_epoch(
                    trainer, self.train, self.validation, self.choices.batch_size, np.random.default_rng(0)
                )
            seconds[f"{modality} alone, training"] = epoch.training
            seconds[f"{modality} alone, validation"] = epoch.validation
        began = read_clocks()
        for rows in like_length_batches(num_steps(self.train), self.choices.batch_size, self.generator):
            self.train.batch(rows)
        seconds["making the training batches"] = float((read_clocks() - began)[0])
        return seconds


def predict(measured: MeasuredModel, trainer: Any, inputs: Inputs, rows: np.ndarray) -> np.ndarray:
    """Answer with the model of a trainer: float32 (rows, 4), or the softmax of the compared layer's outputs."""
    import keras
    import tensorflow as tf

    batch = trainer.feed(inputs, rows)
    if measured.compared_layer is None:
        return np.asarray(trainer.model(batch, training=False))
    layer = trainer.trained.get_layer(measured.compared_layer)
    return np.asarray(tf.nn.softmax(keras.Model(trainer.trained.inputs, layer.output)(batch, training=False)))


def time_epoch(
    trainer: Any, train: HasFeatures, validation: Inputs | None, batch_size: int, generator: np.random.Generator
) -> Epoch:
    """One epoch as ``harness.training.loop.fit`` runs it; without validation as ``train_for`` does."""
    began = read_clocks()
    trainer.train_epoch(train, batch_size, generator)
    trained = read_clocks()
    if validation is not None:
        trainer.score(validation)
    return Epoch.between(trained - began, read_clocks() - trained)


class Plain:
    """The same model in stock Keras: padded, no mask, ``compile`` and ``train_on_batch``, without XLA.

    Some batches are timed and scaled to an epoch, of validation too. Making them is not timed.
    """

    def __init__(self, setting: Setting, fewest: int = 3, most: int = 10, seconds: float = 8.0) -> None:
        import keras

        from benchmarks.plain_keras import build_plain
        from harness.models.inputs import input_shapes

        keras.utils.set_random_seed(0)
        self.setting, self.choices = setting, setting.model.choices
        self.fewest, self.most, self.seconds = fewest, most, seconds
        self.protocol = setting.cut(setting.model.padded_protocol)
        self.train, self.validation = (setting.inputs(part, self.protocol) for part in ("train", "validation"))
        self.shapes = input_shapes(self.train.fitted, self.protocol)
        self.model = build_plain(setting.model.system_name, self.choices, self.shapes)
        self.model.compile(
            keras.optimizers.Adam(self.choices.rate),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=False,
        )

    def run_epoch(self, number: int) -> Epoch:
        return Epoch.between(self._scale("train", number), self._scale("validation", number))

    def _scale(self, part: str, number: int) -> np.ndarray:
        inputs = self.train if part == "train" else self.validation
        step = self.model.train_on_batch if part == "train" else self.model.test_on_batch
        rows = np.random.default_rng(number).permutation(len(inputs.features))
        size = min(self.choices.batch_size, len(rows))
        spent, count = np.zeros(2), 0
        while count < self.most and (count < self.fewest or spent[0] < self.seconds):
            chosen = rows[np.arange(count * size, (count + 1) * size) % len(rows)]
            batch, emotions = self._feed(inputs, chosen), inputs.features.emotions[chosen]
            began = read_clocks()
            step(batch, emotions)
            spent += read_clocks() - began
            count += 1
        return spent / count * len(rows) / size

    def _feed(self, inputs: Inputs, rows: np.ndarray) -> dict[str, np.ndarray]:
        batch = inputs.batch(rows)
        return {tensor.name: batch[tensor.name] for tensor in self.model.inputs}

    def compare(self) -> dict[str, float]:
        """Largest difference between the package's model under published-code maths and this one, dropout 0.

        Of the probabilities, and of the gradients of every weight, on one batch; the package's loops compiled.
        """
        import keras
        import tensorflow as tf

        from benchmarks.plain_keras import build_plain, copy_weights, gradients_by_layer
        from harness.models.build import build_model, build_optimizer
        from harness.training.loop import STEPS_WORTH_COMPILING, Trainer

        choices = replace(self.choices, dropout=0.0, recurrent_dropout=0.0)
        ours = build_model(self.setting.model.system, choices, self.shapes)
        plain = build_plain(self.setting.model.system_name, choices, self.shapes)
        rows = np.argsort(self.validation.features.speech_lengths)[-NUM_COMPARED:]
        batch = self.validation.batch(rows)
        emotions = self.validation.features.emotions[rows]

        def differentiate(model: Any) -> tuple[Any, Any]:
            inputs = {tensor.name: tf.constant(batch[tensor.name]) for tensor in model.inputs}
            with tf.GradientTape() as tape:
                probabilities = model(inputs, training=True)
                loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(emotions, probabilities))
            return probabilities, tape.gradient(loss, model.trainable_variables)

        copy_weights(ours, plain)
        Trainer(ours, build_optimizer(choices)).expect_steps(STEPS_WORTH_COMPILING)
        ours_probabilities, gradients = tf.function(lambda: differentiate(ours), autograph=False)()
        ours_gradients = gradients_by_layer(ours, gradients)
        # Not traced: that would take longer than it saves.
        plain_probabilities, gradients = differentiate(plain)
        plain_gradients = gradients_by_layer(plain, gradients)
        if ours_gradients.keys() != plain_gradients.keys():
            raise ValueError(f"gradients of {sorted(ours_gradients)}; expected those of {sorted(plain_gradients)}")
        return {
            "probabilities": float(np.abs(ours_probabilities.numpy() - plain_probabilities.numpy()).max()),
            "gradients": max(
                float(np.abs(values - plain_gradients[key]).max()) for key, values in ours_gradients.items()
            ),
        }


class Torch:
    """PyTorch with packed sequences in the same batches of like length.

    A round takes one batch out of every ``share`` neighbours in the order of their length, another one
    each round, and counts it for all of them.
    """

    def __init__(self, setting: Setting, share: int = 5) -> None:
        import torch

        from benchmarks.compared_systems import pick_training
        from benchmarks.torch_compared import build_counterpart, build_torch_optimizer
        from harness.models.inputs import input_shapes

        torch.manual_seed(0)
        self.torch, self.choices, self.share = torch, setting.model.choices, share
        self.device = torch.device("cuda" if setting.is_on_gpu else "cpu")
        protocol = setting.cut(replace(setting.model.protocol, lengths=Lengths.REAL))
        self.setting = setting
        self.train = pick_training(setting.model, setting.inputs("train", protocol))
        self.validation = setting.inputs("validation", protocol)
        shapes = input_shapes(self.validation.fitted, protocol)
        self.model = build_counterpart(setting.model, shapes).to(self.device)
        self.optimizer = build_torch_optimizer(self.choices, self.model)

    def run_epoch(self, number: int) -> Epoch:
        validation = np.zeros(2) if self.setting.model.trains_recogniser else self._score()
        return Epoch.between(self._train(number), validation)

    def _train(self, number: int) -> np.ndarray:
        self.model.train()
        spent = np.zeros(2)
        for group in self._groups():
            rows = group[number % len(group)]
            began = read_clocks()
            self._step(rows)
            spent += (read_clocks() - began) * sum(map(len, group)) / len(rows)
        return spent

    def _groups(self) -> Iterator[list[np.ndarray]]:
        from harness.training.loop import like_length_batches, num_steps

        steps = num_steps(self.train.inputs if self.setting.model.trains_recogniser else self.train)
        batches = list(like_length_batches(steps, self.choices.batch_size, np.random.default_rng(0)))
        batches.sort(key=lambda rows: steps[rows].sum() / len(rows))
        for number, start in enumerate(range(0, len(batches), self.share)):
            group = batches[start : start + self.share]
            yield group[number % len(group) :] + group[: number % len(group)]

    def _step(self, rows: np.ndarray) -> None:
        from benchmarks.compared_systems import read_targets

        targets = self.torch.from_numpy(read_targets(self.setting.model, self.train, rows)).to(self.device)
        batch = self._feed(self.train, rows)
        loss = self.model.loss(self.model(batch), batch, targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        loss.item()

    def _score(self, batch_size: int = 256) -> np.ndarray:
        from harness.training.loop import num_steps

        order = np.argsort(num_steps(self.validation), kind="stable")
        began = read_clocks()
        self.model.eval()
        for start in range(0, len(order), batch_size):
            self._predict(order[start : start + batch_size])
        return read_clocks() - began

    def _predict(self, rows: np.ndarray) -> np.ndarray:
        with self.torch.inference_mode():
            batch = self._feed(self.validation, rows)
            logits = self.model.answers(self.model(batch), batch)
            return np.asarray(self.torch.softmax(logits, dim=-1).cpu())

    def _feed(self, inputs: Any, rows: np.ndarray) -> dict[str, Any]:
        return {name: self.torch.from_numpy(array).to(self.device) for name, array in inputs.batch(rows).items()}

    def probabilities_with(self, weights: Mapping[str, list[np.ndarray]]) -> np.ndarray:
        """As ``Ours.probabilities``, with the package's weights."""
        from benchmarks.torch_models import copy_weights

        copy_weights(weights, self.model)
        self.model.eval()
        return self._predict(np.arange(NUM_COMPARED))


class Machine:
    """The measured speed of a matrix product, in the rounds of the others."""

    def __init__(self, setting: Setting) -> None:
        from benchmarks.floor import PeakMeasurement

        self.measurement = PeakMeasurement()

    def measure(self) -> Any:
        return self.measurement.measure()

    def device(self) -> str:
        """The GPU that TensorFlow sees, or ``CPU``."""
        import tensorflow as tf

        found = tf.config.list_physical_devices("GPU")
        return str(tf.config.experimental.get_device_details(found[0])["device_name"]) if found else "CPU"
