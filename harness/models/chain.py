"""A chain of emotions over any system's probabilities that uses who speaks; its context is a table of counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.corpus.utterances import CLASSES
from harness.errors import ModelError, one_line
from harness.features.context import Context
from harness.features.dialogues import SPEAKERS, Dialogues
from harness.files import read_object, write_json
from harness.models.class_weights import balance_classes, share_classes
from harness.splits.protocol import ClassWeights

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

NUM_CLASSES = len(CLASSES)
#: The state of a speaker who has not spoken yet, after the classes.
_SILENT = NUM_CLASSES
#: The turns that the less specific distribution counts for where transitions are estimated. Ours.
BACK_OFF_TURNS = 5.0
#: Probabilities are at least this before they are divided.
_SMALLEST = 1e-6


@dataclass(frozen=True, eq=False)
class Chain:
    """A first-order chain of emotions that knows who speaks.

    The emotion of a turn depends on the emotion of the same speaker's previous turn, and on that of the other
    speaker's previous turn. Every turn has one of the four classes here, whatever its label.

    Attributes:
        prior: float64 (4,), the classes' shares in the loss that trained the system below
        transitions: float64 (5, 5, 4), the probability of a class given the class of the speaker's own previous
            turn, and of the other's; index 4 stands for no turn before
    """

    prior: Floats
    transitions: Floats

    def write(self, path: Path) -> None:
        """Write both tables as JSON, in which every number keeps all its digits."""
        write_json(path, {"prior": self.prior.tolist(), "transitions": self.transitions.tolist()})

    @classmethod
    def read(cls, path: Path) -> Chain:
        """Read what ``write`` wrote.

        Raises:
            ModelError: the file is missing or damaged
        """
        try:
            record = read_object(path)
            tables = [np.array(record[name], dtype=np.float64) for name in ("prior", "transitions")]
            shapes = [table.shape for table in tables]
            states = NUM_CLASSES + 1
            if shapes != [(NUM_CLASSES,), (states, states, NUM_CLASSES)] or not all(map(_is_shares, tables)):
                raise ValueError(f"its tables have the shapes {shapes}, or are no probabilities")
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"chain {str(path)!r}: cannot be read ({one_line(error)}); train it again with `harness retrain-best`"
            ) from None
        return cls(*tables)

    def smooth(self, dialogues: Dialogues, probabilities: Floats, context: Context) -> Floats:
        """Return the exact probabilities of each turn's class, given the system's answers to the turns that count.

        Args:
            probabilities: float64 (num_turns, 4), the system's own; no label is read
            context: ``PAST`` for the turns so far (forward), ``DIALOGUE`` for all (forward and backward)

        Returns:
            float64 (num_turns, 4)

        Source:
            Rabiner, Proceedings of the IEEE 77(2), 1989, for the recursions; a system's probability over its
            prior stands for the likelihood, as Bourlard and Morgan, Connectionist Speech Recognition, 1994.
        """
        dialogues.check(probabilities)
        if context is Context.NONE:
            return probabilities
        evidence = np.maximum(probabilities, _SMALLEST) / np.maximum(self.prior, _SMALLEST)
        smoothed = np.empty_like(evidence)
        for rows in dialogues:
            smoothed[rows] = self._smooth_one(dialogues.speakers[rows], evidence[rows], context)
        return smoothed

    def _smooth_one(self, speakers: Numbers, evidence: Floats, context: Context) -> Floats:
        # A state is what both said last: the rows are the speaker's whose turn it is, the columns the other's.
        states = _silence()
        forward = []
        for speaker, likelihood in zip(_turned(speakers), evidence, strict=True):
            states = states.T if speaker else states
            spoken = np.einsum("ab,aby->yb", states, self.transitions) * likelihood[:, None]
            states = np.zeros_like(states)
            states[:NUM_CLASSES] = spoken / spoken.sum()
            forward.append(states)
        joint = np.array(forward)[:, :NUM_CLASSES]
        if context is Context.DIALOGUE:
            joint *= self._backward(speakers, evidence)[:, :NUM_CLASSES]
        classes = joint.sum(axis=2)
        return np.asarray(classes / classes.sum(axis=1, keepdims=True))

    def _backward(self, speakers: Numbers, evidence: Floats) -> Floats:
        """Return the likelihood of all later turns given each turn's state, float64 (num_turns, 5, 5)."""
        later = np.ones((NUM_CLASSES + 1, NUM_CLASSES + 1))
        backward = [later]
        turned = _turned(speakers)
        for turn in range(len(speakers) - 1, 0, -1):
            spoken = later[:NUM_CLASSES] * evidence[turn][:, None]
            later = np.einsum("yb,aby->ab", spoken, self.transitions)
            later = (later.T if turned[turn] else later) / later.max()
            backward.append(later)
        return np.array(backward[::-1])


def fit_chain(
    dialogues: Dialogues, emotions: Numbers, class_weights: ClassWeights = ClassWeights.NONE
) -> Chain:
    """Estimate a chain's transitions by counting training labels.

    A label is counted with each speaker's last label before it; turns between that have none are passed over. Their
    probabilities in place of labels would make emotions seem to last less long than they do. The counts of a pair of
    previous classes are filled up with ``BACK_OFF_TURNS`` turns of the distribution given the speaker's own previous
    class alone, and those with the classes' shares.

    Args:
        emotions: int64 (num_turns,), indices into ``CLASSES``; -1 where there is no label to train on
        class_weights: those that trained the system below. Where they are balanced, each count weighs as its label
            does in a loss, and so the classes' shares are equal
    """
    is_known = emotions >= 0
    known = emotions[is_known]
    shares = share_classes(class_weights, known)
    counted = np.eye(NUM_CLASSES)
    if class_weights is ClassWeights.BALANCED:
        counted *= balance_classes(known)
    # The last row is that of a turn that is not there.
    states = np.eye(NUM_CLASSES + 1)[np.append(emotions, _SILENT)]
    own, other = find_previous(dialogues, is_known)
    counts = np.einsum("ta,tb,ty->aby", states[own[is_known]], states[other[is_known]], counted[known])
    given_own = _normalise(counts.sum(axis=1) + BACK_OFF_TURNS * shares)
    transitions = _normalise(counts + BACK_OFF_TURNS * given_own[:, None])
    return Chain(shares, transitions)


def find_previous(dialogues: Dialogues, is_known: npt.NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """Return the row of each turn's last known turn before it of the same speaker, and of the other one.

    Args:
        is_known: bool (num_turns,); the other turns are passed over

    Returns:
        two of int64 (num_turns,); -1 where there is none
    """
    own, other = np.full((2, len(dialogues)), -1, dtype=np.int64)
    for rows in dialogues:
        last = [-1] * len(SPEAKERS)
        for row in range(rows.start, rows.stop):
            speaker = dialogues.speakers[row]
            own[row], other[row] = last[speaker], last[1 - speaker]
            if is_known[row]:
                last[speaker] = row
    return own, other


def _is_shares(table: Floats) -> bool:
    return bool((table >= 0).all() and np.allclose(table.sum(axis=-1), 1.0))


def _silence() -> Floats:
    states = np.zeros((NUM_CLASSES + 1, NUM_CLASSES + 1))
    states[_SILENT, _SILENT] = 1.0
    return states


def _turned(speakers: Numbers) -> npt.NDArray[np.bool_]:
    """Say of each turn whether another speaks than in the turn before."""
    return np.asarray(np.diff(speakers, prepend=speakers[:1]) != 0)


def _normalise(counts: Floats) -> Floats:
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True))
