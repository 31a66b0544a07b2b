"""The package's models as one would write them well in PyTorch: packed sequences, masks, a loop for the decoder.

Layers carry the names of the package's own, by which weights are copied. PyTorch's LSTM has neither
recurrent dropout nor hard sigmoid gates, and is spared both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from harness.corpus.utterances import CLASSES
from harness.models.hyperparameters import Hyperparameters
from harness.models.inputs import InputShapes
from harness.models.mocap import CONVOLUTION_FILTERS

Batch = Mapping[str, torch.Tensor]


class AttentionDecoder(nn.Module):
    """Bahdanau's attention decoder: all directions one batch, ``W_a`` before the sum over steps is broadcast.

    Call with float (batch, steps, columns) and int (batch,); returns float (batch, steps,
    directions * units), zeros beyond an utterance's steps.
    """

    def __init__(self, columns: int, units: int, directions: int) -> None:
        super().__init__()
        self.units, self.directions = units, directions
        sizes = {"W_a": (units, units), "U_a": (columns, units), "b_a": (1, units), "V_a": (units, 1)}
        sizes |= {"W_s": (columns, units), "W": (units, 4 * units), "U": (units, 4 * units)}
        sizes |= {"C": (columns, 4 * units), "b": (1, 4 * units)}
        for name, size in sizes.items():
            weight = torch.zeros(directions, *size)
            if not name.startswith("b"):
                nn.init.xavier_uniform_(weight)
            self.register_parameter(name, nn.Parameter(weight))

    def forward(self, encoded: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        batch, steps, columns = encoded.shape
        units, directions = self.units, self.directions
        position = torch.arange(steps, device=encoded.device)
        is_real = position < lengths[:, None]
        backwards = torch.where(is_real, lengths[:, None] - 1 - position, position)[..., None]
        if directions == 2:
            both = torch.stack([encoded, encoded.gather(1, backwards.expand(-1, -1, columns))])
        else:
            both = encoded[None]
        flat = both.reshape(directions, batch * steps, columns)
        projected = torch.baddbmm(self.b_a, flat, self.U_a).view(directions, batch, steps, units)
        rows = both.reshape(directions * batch, steps, columns)
        blocked = torch.zeros_like(is_real, dtype=torch.float32).masked_fill(~is_real, -1e9)
        from_both = torch.cat([self.W, self.C], dim=1)
        gates, proposal, emission = self.U.split([2 * units, units, units], dim=2)
        from_state = torch.cat([self.W_a, gates, emission], dim=2)
        state = torch.tanh(torch.bmm(both[:, :, 0], self.W_s))
        output, outputs = torch.zeros_like(state), []
        for _ in range(steps):
            recurrent = torch.bmm(state, from_state)
            hidden = torch.tanh(projected + recurrent[..., :units].unsqueeze(2))
            scores = torch.bmm(hidden.view(directions, batch * steps, units), self.V_a)
            weights = torch.softmax(scores.view(directions, batch, steps) + blocked, dim=-1)
            context = torch.bmm(weights.view(directions * batch, 1, steps), rows).view(directions, batch, columns)
            shared = torch.baddbmm(self.b, torch.cat([output, context], dim=-1), from_both)
            gates = torch.sigmoid(shared[..., : 2 * units] + recurrent[..., units : 3 * units])
            reset, kept = gates[..., :units], gates[..., units:]
            proposed = torch.tanh(shared[..., 2 * units : 3 * units] + torch.bmm(reset * state, proposal))
            output = torch.softmax(shared[..., 3 * units :] + recurrent[..., 3 * units :], dim=-1)
            state = torch.lerp(state, proposed, kept)
            outputs.append(output)
        emitted = torch.stack(outputs, dim=2)
        if directions == 2:
            turned = emitted[1].gather(1, backwards.expand(-1, -1, units))
            emitted = torch.cat([emitted[0], turned], dim=-1)
        else:
            emitted = emitted[0]
        return emitted * is_real[..., None]


class Counterpart(nn.Module):
    """A model of the package's in PyTorch: ``parts`` has the layers with weights under the package's own names.

    Call with a batch as the package's models take it; returns the logits, float32 (batch, 4), unless it says else.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict()

    def answers(self, outputs: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return what an utterance is answered by, float32 (batch, 4): the outputs, where they are that."""
        return outputs

    def loss(self, outputs: torch.Tensor, batch: Batch, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of a batch, whose ``targets`` are those of ``compared_systems.read_targets``."""
        return functional.cross_entropy(outputs, targets)


class TorchModel(Counterpart):
    """One of the paper's systems: ``speech4``, ``text2``, ``mocap1`` or the combined one."""

    def __init__(self, modalities: Sequence[str], choices: Hyperparameters, shapes: InputShapes) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.choices, self.shapes = choices, shapes
        self.is_fused = len(self.modalities) > 1
        units = choices.branch_dense if self.is_fused else choices.dense
        self.dropout = nn.Dropout(choices.dropout)
        for modality in self.modalities:
            getattr(self, f"_build_{modality}")(units)
        if self.is_fused:
            self.parts["finalfc"] = nn.Linear(units * len(self.modalities), choices.finalfc)
            units = choices.finalfc
        self.parts["emotion"] = nn.Linear(units, len(CLASSES))

    def _build_text(self, units: int) -> None:
        embedding = torch.from_numpy(self.shapes.embedding.copy())
        second = getattr(self.choices, "textlstm2", self.choices.textlstm)
        self.parts["text_vectors"] = nn.Embedding.from_pretrained(embedding, freeze=False)
        self.parts["text_lstm"] = nn.LSTM(embedding.shape[1], self.choices.textlstm, batch_first=True)
        self.parts["text_lstm2"] = nn.LSTM(self.choices.textlstm, second, batch_first=True)
        self.parts["text_dense"] = nn.Linear(second, units)

    def _build_speech(self, units: int) -> None:
        width, directions = self.choices.speechlstm, self.choices.directions
        name = "speech_bilstm" if directions == 2 else "speech_lstm"
        self.parts[name] = nn.LSTM(
            self.shapes.speech_columns, width, batch_first=True, bidirectional=directions == 2
        )
        self.encoder = name
        self.parts["speech_decoder"] = AttentionDecoder(directions * width, width, directions)
        self.parts["speech_dense"] = nn.Linear(self.shapes.speech_frames * directions * width, units)

    def _build_mocap(self, units: int) -> None:
        filters, windows, columns = 1, self.shapes.mocap_windows, self.shapes.mocap_columns
        for number, more in enumerate(CONVOLUTION_FILTERS, start=1):
            # Channels last: on a CPU the faster order.
            convolution = nn.Conv2d(filters, more, 3, stride=2).to(memory_format=torch.channels_last)
            self.parts[f"mocap_conv{number}"] = convolution
            filters, windows, columns = more, -(-windows // 2), -(-columns // 2)
        self.parts["mocap_dense"] = nn.Linear(windows * columns * filters, units)

    def forward(self, batch: Batch) -> torch.Tensor:
        outputs = [getattr(self, f"_{modality}")(batch) for modality in self.modalities]
        if not self.is_fused:
            return self.parts["emotion"](torch.relu(outputs[0]))
        hidden = self.parts["finalfc"](torch.relu(torch.cat(outputs, dim=-1)))
        return self.parts["emotion"](torch.relu(hidden))

    def _text(self, batch: Batch) -> torch.Tensor:
        lengths = (batch["text"] != 0).sum(dim=1)
        steps = pack(self.parts["text_vectors"](batch["text"]), lengths)
        steps = drop_packed(self.dropout, self.parts["text_lstm"](steps)[0])
        _, (last, _) = self.parts["text_lstm2"](steps)
        return self.parts["text_dense"](self.dropout(last[-1]))

    def _speech(self, batch: Batch) -> torch.Tensor:
        lengths = batch["speech_lengths"].long()
        packed = drop_packed(self.dropout, self.parts[self.encoder](pack(batch["speech"], lengths))[0])
        encoded, _ = pad_packed_sequence(packed, batch_first=True, total_length=batch["speech"].shape[1])
        attended = self.dropout(self.parts["speech_decoder"](encoded, lengths)).flatten(1)
        dense = self.parts["speech_dense"]
        return functional.linear(attended, dense.weight[:, : attended.shape[1]], dense.bias)

    def _mocap(self, batch: Batch) -> torch.Tensor:
        features = batch["mocap"][:, None].contiguous(memory_format=torch.channels_last)
        for number in range(1, len(CONVOLUTION_FILTERS) + 1):
            # As TensorFlow's padding "same" at stride 2: an even side has its zeros at the end alone.
            odd = [size % 2 for size in features.shape[2:]]
            features = functional.pad(features, (odd[1], 1, odd[0], 1))
            features = torch.relu(self.dropout(self.parts[f"mocap_conv{number}"](features)))
        return self.parts["mocap_dense"](features.permute(0, 2, 3, 1).flatten(1))


def pack(steps: torch.Tensor, lengths: torch.Tensor) -> PackedSequence:
    """Pack float (batch, steps, columns) by int (batch,) steps that are real."""
    return pack_padded_sequence(steps, lengths.cpu(), batch_first=True, enforce_sorted=False)


def drop_packed(dropout: nn.Module, packed: PackedSequence) -> PackedSequence:
    """Apply a layer to every real step."""
    return packed._replace(data=dropout(packed.data))


def copy_weights(weights: Mapping[str, Sequence[np.ndarray]], model: Counterpart) -> None:
    """Copy the weights of the package's model, arrays by layer in Keras's order and layout.

    Keras's LSTM has one bias where PyTorch's has two: the second becomes zero.
    """
    for name, part in model.parts.items():
        arrays = [torch.from_numpy(np.asarray(array)) for array in weights[name]]
        with torch.no_grad():
            if isinstance(part, nn.Embedding):
                part.weight.copy_(arrays[0])
            elif isinstance(part, nn.Linear):
                part.weight.copy_(arrays[0].T)
                part.bias.copy_(arrays[1])
            elif isinstance(part, nn.Conv2d):
                part.weight.copy_(arrays[0].permute(3, 2, 0, 1))
                part.bias.copy_(arrays[1])
            elif isinstance(part, nn.Conv1d):
                part.weight.copy_(arrays[0].permute(2, 1, 0))
                part.bias.copy_(arrays[1])
            elif isinstance(part, nn.LSTM):
                for direction, suffix in enumerate(["", "_reverse"][: len(arrays) // 3]):
                    kernel, recurrent, bias = arrays[3 * direction : 3 * direction + 3]
                    getattr(part, f"weight_ih_l0{suffix}").copy_(kernel.T)
                    getattr(part, f"weight_hh_l0{suffix}").copy_(recurrent.T)
                    getattr(part, f"bias_ih_l0{suffix}").copy_(bias)
                    getattr(part, f"bias_hh_l0{suffix}").zero_()
            else:
                for array, parameter in zip(arrays, part.parameters(), strict=True):
                    parameter.copy_(array)
