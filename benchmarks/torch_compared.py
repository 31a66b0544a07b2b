"""The systems that the paper compares with, as one would write them well in PyTorch: packed sequences and masks.

``blstm_null`` has its layers alone: PyTorch has no sum over the paths of a chain, and a loop in Python would be no
match for a compiled one. It is trained by the cross-entropy of each frame, the utterance's class where it is voiced and
Null elsewhere. No classifier is fitted after an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from benchmarks.measured_models import MeasuredModel
from benchmarks.torch_models import Batch, Counterpart, TorchModel, drop_packed, pack
from harness.corpus.utterances import CLASSES
from harness.features.frames import MEL, MFCC, frame_columns
from harness.features.text import LETTERS
from harness.models.acnn import POOL_FRAMES, POOL_STRIDE
from harness.models.decision import NUM_LEVELS
from harness.models.hyperparameters import (
    AcnnHyperparameters,
    AsrTransferHyperparameters,
    Hyperparameters,
    NetworkHyperparameters,
    NullStateHyperparameters,
    OneLabelHyperparameters,
    Optimizer,
    SegmentHyperparameters,
    Transfer,
)
from harness.models.inputs import InputShapes
from harness.models.recogniser import BLANK, FRAMES_PER_STEP
from harness.models.segments import SEGMENT_FRAMES
from harness.models.short_frames import DELTA_FRAMES

NUM_CLASSES = len(CLASSES)


def mask_steps(steps: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return bool (batch, steps), true for the real ones of any (batch, steps, ...)."""
    return torch.arange(steps.shape[1], device=steps.device) < lengths[:, None]


def add_deltas(frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Put the deltas of float (batch, frames, columns) behind them, as ``Deltas`` computes them."""
    num_frames, columns = frames.shape[1:]
    places = torch.arange(-DELTA_FRAMES, num_frames + DELTA_FRAMES, device=frames.device)
    places = torch.minimum(places.clamp(min=0), lengths.clamp(min=1)[:, None] - 1)
    wide = frames.gather(1, places[..., None].expand(-1, -1, columns))

    def shifted(offset: int) -> torch.Tensor:
        return wide[:, DELTA_FRAMES + offset : DELTA_FRAMES + offset + num_frames]

    offsets = range(1, DELTA_FRAMES + 1)
    slopes = sum(offset * (shifted(offset) - shifted(-offset)) for offset in offsets)
    slopes = slopes / (2.0 * sum(offset**2 for offset in offsets))
    return torch.cat([frames, slopes * mask_steps(frames, lengths)[..., None]], dim=-1)


class TwoBlstm(Counterpart):
    """``one_label``: two BLSTM layers and the last state of the second."""

    def __init__(self, choices: OneLabelHyperparameters, shapes: InputShapes, num_outputs: int = NUM_CLASSES) -> None:
        super().__init__()
        self.max_frames = choices.max_frames
        self.dropout = nn.Dropout(choices.dropout)
        widths = (shapes.speech_columns, choices.speechlstm, choices.speechlstm2)
        add_blstms(self.parts, *widths)
        self.parts["speech_dense"] = nn.Linear(2 * choices.speechlstm2, choices.dense)
        self.add_scores(choices.dense)

    def add_scores(self, width: int) -> None:
        self.parts["emotion"] = nn.Linear(width, NUM_CLASSES)

    def lengths(self, batch: Batch) -> torch.Tensor:
        return batch["speech_lengths"].long().clamp(max=self.max_frames)

    def encode(self, batch: Batch) -> tuple[PackedSequence, torch.Tensor]:
        frames = batch["speech"][:, : self.max_frames]
        return run_blstms(self.parts, self.dropout, pack(frames, self.lengths(batch)))

    def forward(self, batch: Batch) -> torch.Tensor:
        _, last = self.encode(batch)
        return self.parts["emotion"](torch.tanh(self.parts["speech_dense"](self.dropout(last))))


def add_blstms(parts: nn.ModuleDict, columns: int, first: int, second: int) -> None:
    """Add the two BLSTM layers of ``one_label``, ``ctc`` and ``blstm_null``."""
    parts["speech_bilstm"] = nn.LSTM(columns, first, batch_first=True, bidirectional=True)
    parts["speech_bilstm2"] = nn.LSTM(2 * first, second, batch_first=True, bidirectional=True)


def run_blstms(
    parts: nn.ModuleDict, dropout: nn.Module, packed: PackedSequence
) -> tuple[PackedSequence, torch.Tensor]:
    """Return the second layer's outputs, and the last state of its directions side by side."""
    hidden = drop_packed(dropout, parts["speech_bilstm"](packed)[0])
    hidden, (last, _) = parts["speech_bilstm2"](hidden)
    return hidden, torch.cat([last[0], last[1]], dim=-1)


class Ctc(TwoBlstm):
    """``ctc`` by PyTorch's own loss; the outputs are log posteriors, float32 (frames, batch, 5), Null last."""

    def add_scores(self, width: int) -> None:
        self.parts["frame_labels"] = nn.Linear(width, NUM_CLASSES + 1)

    def forward(self, batch: Batch) -> torch.Tensor:
        packed, _ = self.encode(batch)
        hidden = torch.tanh(self.parts["speech_dense"](self.dropout(packed.data)))
        scores = self.parts["frame_labels"](self.dropout(hidden)).log_softmax(dim=-1)
        return pad_packed_sequence(packed._replace(data=scores))[0]

    def loss(self, outputs: torch.Tensor, batch: Batch, targets: torch.Tensor) -> torch.Tensor:
        return self._losses(outputs, self.lengths(batch), targets).mean()

    def answers(self, outputs: torch.Tensor, batch: Batch) -> torch.Tensor:
        num_utterances = outputs.shape[1]
        labels = torch.arange(NUM_CLASSES, device=outputs.device).repeat_interleave(num_utterances)
        losses = self._losses(outputs.repeat(1, NUM_CLASSES, 1), self.lengths(batch).repeat(NUM_CLASSES), labels)
        return -losses.view(NUM_CLASSES, num_utterances).T

    @staticmethod
    def _losses(outputs: torch.Tensor, lengths: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        ones = torch.ones_like(labels)
        return functional.ctc_loss(outputs, labels[:, None], lengths, ones, blank=NUM_CLASSES, reduction="none")


class BlstmNull(Counterpart):
    """The layers of ``blstm_null``; the outputs are the scores of each frame, float32 (batch, frames, 5)."""

    def __init__(self, choices: NullStateHyperparameters, shapes: InputShapes) -> None:
        super().__init__()
        names = ("pitch", "voicing", "zero_crossing_rate", *MFCC[:12], "log_energy")
        self.columns, (self.voiced,) = frame_columns(*names), frame_columns("voiced")
        self.dropout = nn.Dropout(choices.dropout)
        add_blstms(self.parts, 2 * len(names), choices.speechlstm, choices.speechlstm2)
        self.parts["frame_labels"] = nn.Linear(2 * choices.speechlstm2, NUM_CLASSES + 1)

    def forward(self, batch: Batch) -> torch.Tensor:
        lengths = batch["speech_lengths"].long()
        frames = add_deltas(batch["speech"][..., self.columns], lengths)
        packed, _ = run_blstms(self.parts, self.dropout, pack(frames, lengths))
        scores = self.parts["frame_labels"](self.dropout(packed.data))
        return pad_packed_sequence(packed._replace(data=scores), batch_first=True)[0]

    def loss(self, outputs: torch.Tensor, batch: Batch, targets: torch.Tensor) -> torch.Tensor:
        is_real = mask_steps(outputs, batch["speech_lengths"])
        labels = torch.where(batch["speech"][..., self.voiced] > 0, targets[:, None], NUM_CLASSES)
        return functional.cross_entropy(outputs[is_real], labels[is_real])


class DnnElm(Counterpart):
    """``dnn_elm``: the loudest segments alone are gathered; the outputs are the means of their log posteriors."""

    def __init__(self, choices: SegmentHyperparameters, shapes: InputShapes) -> None:
        super().__init__()
        names = (*MFCC, "pitch_period", "harmonics_to_noise")
        self.columns, (self.energy,) = frame_columns(*names), frame_columns("log_energy")
        self.share, self.dropout = choices.segment_share, nn.Dropout(choices.dropout)
        width = SEGMENT_FRAMES * 2 * len(names)
        for number in (1, 2, 3):
            self.parts[f"segment_dense{number}"] = nn.Linear(width, choices.dense)
            width = choices.dense
        self.parts["segment_labels"] = nn.Linear(width, NUM_CLASSES)

    def forward(self, batch: Batch) -> torch.Tensor:
        lengths = batch["speech_lengths"].long()
        frames = add_deltas(batch["speech"][..., self.columns], lengths)
        rows, first, counts = self._choose(batch["speech"][..., self.energy], lengths)
        places = first[:, None] + torch.arange(SEGMENT_FRAMES, device=first.device)
        hidden = frames[rows[:, None], torch.minimum(places, lengths[rows, None] - 1)].flatten(1)
        for number in (1, 2, 3):
            hidden = self.dropout(torch.relu(self.parts[f"segment_dense{number}"](hidden)))
        posteriors = self.parts["segment_labels"](hidden).log_softmax(dim=-1)
        return posteriors.new_zeros(len(lengths), NUM_CLASSES).index_add(0, rows, posteriors) / counts[:, None]

    def _choose(self, energy: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The utterance and the first frame of each chosen segment, and each utterance's number of them."""
        num_segments = (lengths + 1 - SEGMENT_FRAMES).clamp(min=1)
        counts = (self.share * num_segments.float()).round().long().clamp(min=1)
        energy = functional.pad(energy, (0, max(SEGMENT_FRAMES - energy.shape[1], 0)))
        of_segments = functional.avg_pool1d(energy[:, None], SEGMENT_FRAMES, 1)[:, 0]
        of_segments = of_segments.masked_fill(~mask_steps(of_segments, num_segments), -torch.inf)
        most = int(counts.max())
        first = of_segments.topk(most).indices
        is_chosen = torch.arange(most, device=first.device) < counts[:, None]
        return is_chosen.nonzero()[:, 0], first[is_chosen], counts

    def loss(self, outputs: torch.Tensor, batch: Batch, targets: torch.Tensor) -> torch.Tensor:
        return functional.nll_loss(outputs, targets)


class PooledAttention(nn.Module):
    """The mean of the real steps, weighted by the softmax of their scores.

    Args:
        units: of the layer below the score, as ``AttentionPooling`` has it; None for the steps themselves
    """

    def __init__(self, columns: int, units: int | None = None) -> None:
        super().__init__()
        if units is not None:
            self.project = nn.Parameter(nn.init.xavier_uniform_(torch.empty(columns, units)))
            self.bias = nn.Parameter(torch.zeros(units))
        self.has_layer = units is not None
        self.score = nn.Parameter(nn.init.xavier_uniform_(torch.empty(units or columns, 1)))

    def forward(self, steps: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(steps @ self.project + self.bias) if self.has_layer else steps
        weights = (hidden @ self.score)[..., 0].masked_fill(~mask, -torch.inf).softmax(dim=-1)
        return torch.bmm(weights[:, None], steps)[:, 0]


class Acnn(Counterpart):
    """``acnn`` over mel bands with attention; the outputs are the scores of all views, float32 (batch, 10)."""

    def __init__(self, choices: AcnnHyperparameters, shapes: InputShapes) -> None:
        super().__init__()
        self.choices, self.columns = choices, slice(frame_columns(MEL[0])[0], frame_columns(MEL[-1])[0] + 1)
        self.max_frames = min(choices.max_frames, shapes.speech_frames)
        self.max_steps = max(1, 1 + (self.max_frames - POOL_FRAMES) // POOL_STRIDE)
        for name, width in (("convolution", choices.width), ("convolution2", choices.width2)):
            self.parts[name] = nn.Conv1d(len(MEL), choices.maps, width)
        self.parts["attention"] = PooledAttention(2 * choices.maps)
        self.parts["scores"] = nn.Linear((1 + self.max_steps) * 2 * choices.maps, NUM_CLASSES + 2 * NUM_LEVELS)
        self.dropout = nn.Dropout(choices.dropout)

    def forward(self, batch: Batch) -> torch.Tensor:
        frames = batch["speech"][:, : self.max_frames, self.columns]
        mask = mask_steps(frames, batch["speech_lengths"])
        frames = frames.transpose(1, 2)
        maps = []
        for name in ("convolution", "convolution2"):
            convolution = self.parts[name]
            width = convolution.kernel_size[0] - 1
            maps.append(torch.relu(convolution(functional.pad(frames, (width // 2, width - width // 2)))))
        both = torch.cat(maps, dim=1) * mask[:, None]
        pooled = functional.max_pool1d(functional.pad(both, (0, POOL_FRAMES - 1)), POOL_FRAMES, POOL_STRIDE)
        pooled = pooled[:, :, : self.max_steps].transpose(1, 2)
        attended = self.parts["attention"](pooled, mask[:, ::POOL_STRIDE][:, : self.max_steps])
        flat = self.dropout(torch.cat([attended[:, None], pooled], dim=1)).flatten(1)
        scores = self.parts["scores"]
        return functional.linear(flat, scores.weight[:, : flat.shape[1]], scores.bias)

    def loss(self, outputs: torch.Tensor, batch: Batch, targets: torch.Tensor) -> torch.Tensor:
        views = outputs.split([NUM_CLASSES, NUM_LEVELS, NUM_LEVELS], dim=1)
        weights = (1.0, self.choices.activation_weight, self.choices.valence_weight)
        losses = [functional.cross_entropy(view, targets[:, n], ignore_index=-1) for n, view in enumerate(views)]
        return sum(weight * loss for weight, loss in zip(weights, losses, strict=True))


class Recogniser(Counterpart):
    """The recogniser of ``asr_transfer``; the outputs are scores of characters, float32 (batch, steps, 29)."""

    def __init__(self, choices: AsrTransferHyperparameters, shapes: InputShapes) -> None:
        super().__init__()
        units, self.num_layers = choices.asr_units, 2
        self.columns = slice(frame_columns(MEL[0])[0], frame_columns(MEL[-1])[0] + 1)
        self.dropout = nn.Dropout(0.0)
        for number, columns in ((1, len(MEL)), (2, units)):
            self.parts[f"asr_convolution{number}"] = nn.Conv1d(columns, units, 5, stride=2)
        for number, columns in ((1, units), (2, 2 * units)):
            self.parts[f"asr_bilstm{number}"] = nn.LSTM(columns, units, batch_first=True, bidirectional=True)
        self.add_last(choices)

    def add_last(self, choices: AsrTransferHyperparameters) -> None:
        self.parts["characters"] = nn.Linear(2 * choices.asr_units, len(LETTERS) + 1)

    def lengths(self, batch: Batch) -> torch.Tensor:
        return (batch["speech_lengths"].long() + FRAMES_PER_STEP - 1) // FRAMES_PER_STEP

    def encode(self, batch: Batch) -> PackedSequence:
        hidden = batch["speech"][..., self.columns].transpose(1, 2)
        for number in (1, 2):
            hidden = torch.relu(self.parts[f"asr_convolution{number}"](functional.pad(hidden, (4, 0))))
        packed = pack(hidden.transpose(1, 2), self.lengths(batch))
        for number in range(1, self.num_layers + 1):
            packed = self.parts[f"asr_bilstm{number}"](packed)[0]
            if number < self.num_layers:
                packed = drop_packed(self.dropout, packed)
        return packed

    def forward(self, batch: Batch) -> torch.Tensor:
        packed = self.encode(batch)
        scores = self.parts["characters"](packed.data)
        return pad_packed_sequence(packed._replace(data=scores), batch_first=True)[0]

    def loss(self, outputs: torch.Tensor, batch: Batch, targets: torch.Tensor) -> torch.Tensor:
        is_letter = targets >= 0
        posteriors = outputs.log_softmax(dim=-1).transpose(0, 1)
        lengths = is_letter.sum(dim=1)
        losses = functional.ctc_loss(
            posteriors, targets[is_letter], self.lengths(batch), lengths, blank=BLANK, reduction="none"
        )
        return losses.mean()


class AsrTransfer(Recogniser):
    """``asr_transfer``; layers that are frozen keep nothing for a gradient."""

    def add_last(self, choices: AsrTransferHyperparameters) -> None:
        self.is_frozen, self.num_layers = choices.transfer is Transfer.FROZEN, choices.asr_layer
        for number in range(self.num_layers + 1, 3):
            del self.parts[f"asr_bilstm{number}"]
        for part in self.parts.values():
            part.requires_grad_(not self.is_frozen)
        self.dropout.p = 0.0 if self.is_frozen else choices.dropout
        self.last_dropout = nn.Dropout(choices.dropout)
        self.parts["speech_attention"] = PooledAttention(2 * choices.asr_units, choices.asr_units)
        self.parts["emotion"] = nn.Linear(2 * choices.asr_units, NUM_CLASSES)

    def forward(self, batch: Batch) -> torch.Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            steps, _ = pad_packed_sequence(self.encode(batch), batch_first=True)
        pooled = self.parts["speech_attention"](steps, mask_steps(steps, self.lengths(batch)))
        return self.parts["emotion"](self.last_dropout(pooled))

    def loss(self, outputs: torch.Tensor, batch: Batch, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs, targets)


_COUNTERPARTS: Mapping[str, Callable[[Any, InputShapes], Counterpart]] = {
    "ctc": Ctc,
    "one_label": TwoBlstm,
    "dnn_elm": DnnElm,
    "blstm_null": BlstmNull,
    "acnn": Acnn,
    "asr_transfer": AsrTransfer,
}


def build_counterpart(measured: MeasuredModel, shapes: InputShapes) -> Counterpart:
    """Build the counterpart of a measured model."""
    if measured.is_of_paper:
        return TorchModel(measured.system.modalities, measured.choices, shapes)
    build = Recogniser if measured.trains_recogniser else _COUNTERPARTS[measured.system_name]
    return build(measured.choices, shapes)


def build_torch_optimizer(choices: Hyperparameters, model: nn.Module) -> torch.optim.Optimizer:
    """Build PyTorch's fused optimiser in place of ours: Adam, or SGD with its momentum."""
    assert isinstance(choices, NetworkHyperparameters)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if choices.optimizer is Optimizer.MOMENTUM:
        return torch.optim.SGD(trained, lr=choices.rate, momentum=0.9, fused=True)
    if choices.optimizer is Optimizer.ADAM:
        return torch.optim.Adam(trained, lr=choices.rate, fused=True)
    raise ValueError(f"optimiser {str(choices.optimizer)!r}: expected 'adam' or 'momentum', which are measured")
