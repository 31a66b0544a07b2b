"""The motion of the marked actor in one dialogue, as mocap files: markers, their rest, cues and losses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.corpus.layout import MocapStream
from harness.corpus.synthetic.plan import PlannedDialogue, PlannedUtterance
from harness.corpus.synthetic.settings import Cue, SyntheticSettings
from harness.corpus.utterances import Seconds

_Point = tuple[float, float, float]

#: Millimetres from the nose tip (x to the actor's left, y up, z forward), and the step from one marker of
#: the group to the next. A rough face: only the names and the origin are the real corpus's.
_FACE_GROUPS: Mapping[str, tuple[tuple[str, ...], _Point, _Point]] = {
    "chin": (("CH1", "CH2", "CH3"), (-15.0, -70.0, -20.0), (15.0, 0.0, 0.0)),
    "forehead": (("FH1", "FH2", "FH3"), (-25.0, 85.0, -35.0), (25.0, 0.0, 0.0)),
    "left cheek": (tuple(f"LC{n}" for n in range(1, 9)), (30.0, 20.0, -30.0), (5.0, -8.0, -3.0)),
    "right cheek": (tuple(f"RC{n}" for n in range(1, 9)), (-30.0, 20.0, -30.0), (-5.0, -8.0, -3.0)),
    "lids": (("RLID", "LLID"), (-32.0, 40.0, -25.0), (64.0, 0.0, 0.0)),
    "nose": (("MH", "MNOSE", "LNSTRL"), (0.0, 45.0, -20.0), (4.0, -22.0, 5.0)),
    "nose tip": (("TNOSE",), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    "nostril": (("RNSTRL",), (-12.0, 0.0, -10.0), (0.0, 0.0, 0.0)),
    "left brow's lower edge": (tuple(f"LBM{n}" for n in range(4)), (12.0, 50.0, -22.0), (10.0, 2.0, -3.0)),
    "right brow's lower edge": (tuple(f"RBM{n}" for n in range(4)), (-12.0, 50.0, -22.0), (-10.0, 2.0, -3.0)),
    "left brow": (tuple(f"LBRO{n}" for n in range(1, 5)), (12.0, 60.0, -22.0), (11.0, 2.0, -3.0)),
    "right brow": (tuple(f"RBRO{n}" for n in range(1, 5)), (-12.0, 60.0, -22.0), (-11.0, 2.0, -3.0)),
    "mouth": (tuple(f"Mou{n}" for n in range(1, 9)), (-24.0, -38.0, -14.0), (7.0, 0.0, 0.0)),
    "head band": (("LHD", "RHD"), (75.0, 95.0, -60.0), (-150.0, 0.0, 0.0)),
}
_HANDS = (("LH1", "LH2", "LH3", "RH1", "RH2", "RH3"), (180.0, -350.0, 60.0), (-70.0, 0.0, 10.0))
_HEAD = ("pitch", "roll", "yaw", "tra_x", "tra_y", "tra_z")

#: Millimetres by which a group moves where a face shows its first side; where it shows its second, it
#: moves the other way.
_FACE_CUES: Mapping[str, _Point] = {
    "left cheek": (0.0, -1.5, 0.0),
    "right cheek": (0.0, -1.5, 0.0),
    "left brow's lower edge": (0.0, -3.0, 1.0),
    "right brow's lower edge": (0.0, -3.0, 1.0),
    "left brow": (0.0, -3.0, 1.0),
    "right brow": (0.0, -3.0, 1.0),
    "mouth": (0.0, -2.5, -1.5),
}
_HAND_CUE: _Point = (0.0, 35.0, 20.0)
_HEAD_CUE = (-6.0, 0.0, 0.0, 0.0, -5.0, 5.0)  # degrees, then millimetres

#: The same for the faint tell, in other directions: a wider mouth and raised cheeks, hands to the side,
#: a turned head.
_FAINT_FACE_CUES: Mapping[str, _Point] = {
    "chin": (0.0, -3.0, 1.5),
    "left cheek": (2.0, 0.0, 2.0),
    "right cheek": (-2.0, 0.0, 2.0),
    "mouth": (0.0, 0.0, 2.5),
}
_FAINT_HAND_CUE: _Point = (30.0, 0.0, 0.0)
_FAINT_HEAD_CUE = (0.0, 0.0, 6.0, 5.0, 0.0, 0.0)


@dataclass(frozen=True)
class Body:
    """The columns of one motion file.

    Attributes:
        header: its two lines, without line ends
        rest: float64 (num_columns,), each value at rest, in millimetres or degrees
        main_cue: float64 (num_columns,), added where the main tell shows its first side, and
            subtracted where it shows its second
        faint_cue: float64 (num_columns,), the same for the faint tell
        actor_spread: deviation between actors
        motion_spread: deviation over time
        jaw: float64 (num_columns,), added where a syllable opens the mouth
        lost_markers: places of the markers that can be lost, each with its three columns
    """

    header: tuple[str, str]
    rest: NDArray[np.float64]
    main_cue: NDArray[np.float64]
    faint_cue: NDArray[np.float64]
    actor_spread: float
    motion_spread: float
    jaw: NDArray[np.float64]
    lost_markers: tuple[int, ...]


def _describe_face() -> Body:
    names, rest, main_cue, faint_cue, jaw = [], [], [], [], []
    for group, (markers, first, step) in _FACE_GROUPS.items():
        for place, name in enumerate(markers):
            names.append(name)
            rest.append(np.array(first) + place * np.array(step))
            main_cue.append(_FACE_CUES.get(group, (0.0, 0.0, 0.0)))
            faint_cue.append(_FAINT_FACE_CUES.get(group, (0.0, 0.0, 0.0)))
            is_lower = group == "chin" or (group == "mouth" and place % 2)
            jaw.append((0.0, -3.0 if is_lower else 0.0, 0.0))
    return Body(
        header=("Frame# Time " + " ".join(names), " ".join(["X Y Z"] * len(names))),
        rest=np.concatenate(rest),
        main_cue=np.array(main_cue).ravel(),
        faint_cue=np.array(faint_cue).ravel(),
        actor_spread=1.2,
        motion_spread=1.0,
        jaw=np.array(jaw).ravel(),
        lost_markers=tuple(place for place, name in enumerate(names) if name != "TNOSE"),
    )


def _describe_hands() -> Body:
    names, first, step = _HANDS
    rest = np.concatenate([np.array(first) + place * np.array(step) for place in range(len(names))])
    return Body(
        header=("Frame# Time " + " ".join(names), " ".join(["X Y Z"] * len(names))),
        rest=rest,
        main_cue=np.array(_HAND_CUE * len(names)),
        faint_cue=np.array(_FAINT_HAND_CUE * len(names)),
        actor_spread=12.0,
        motion_spread=15.0,
        jaw=np.zeros(len(rest)),
        lost_markers=tuple(range(len(names))),
    )


def _describe_head() -> Body:
    return Body(
        header=("Frame# Time " + " ".join(_HEAD), "X Y Z X Y Z"),
        rest=np.array([2.0, 0.0, 1.0, 4.0, -3.0, 6.0]),
        main_cue=np.array(_HEAD_CUE),
        faint_cue=np.array(_FAINT_HEAD_CUE),
        actor_spread=1.5,
        motion_spread=2.0,
        jaw=np.zeros(len(_HEAD)),
        lost_markers=(),
    )


BODIES: Mapping[MocapStream, Body] = {
    MocapStream.FACE: _describe_face(),
    MocapStream.HAND: _describe_hands(),
    MocapStream.HEAD: _describe_head(),
}
NOSE_TIP = BODIES[MocapStream.FACE].header[0].split().index("TNOSE") - 2

#: Share of face rows with any lost marker, by session. Source: the real release, counted.
LOST_SHARES: Mapping[int, float] = {1: 0.206, 2: 0.017, 3: 0.024, 4: 0.266, 5: 0.657}

#: Part of that share in utterances with a lost marker in every row. Source: 21.9 % of Session 5's
#: utterances, counted; the other sessions are given the same part.
_WHOLE_UTTERANCE_PART = 0.219 / 0.657

#: Share of rows with a lost marker in the hand file: a choice, few.
_LOST_HAND_SHARE = 0.03
_LOSS_SECONDS: Seconds = 0.4
_MOST_LOST_MARKERS = 3

#: Length of a movement.
_MOTION_SECONDS: Seconds = 0.3

#: Part of an utterance in which a cue comes, and in which it goes again.
_RAMP = 0.1

#: Bytes of a row, by stream, as written: for the size that is stated beforehand.
ROW_BYTES: Mapping[MocapStream, int] = {MocapStream.FACE: 1562, MocapStream.HAND: 194, MocapStream.HEAD: 64}
_ROWS_AT_ONCE = 2000


def count_rows(settings: SyntheticSettings, dialogue: PlannedDialogue) -> int:
    """Return the rows of each of a dialogue's mocap files."""
    return math.floor(dialogue.seconds * settings.mocap_rate)


def move(settings: SyntheticSettings, dialogue: PlannedDialogue, stream: MocapStream) -> NDArray[np.float64]:
    """Move the marked actor through a dialogue.

    Only while the marked actor speaks does anything depend on the emotion.

    Returns:
        float64 (num_rows, num_columns), in millimetres and degrees; NaN where a marker was lost.
        Row k is at (k + 1) / mocap_rate seconds
    """
    body = BODIES[stream]
    generator = settings.generator(dialogue.dialogue_id, stream.value)
    num_rows = count_rows(settings, dialogue)
    values = _wander(settings, body, num_rows, generator)
    values += body.rest + _build_actor(settings, dialogue, stream)
    performance = _perform(settings, dialogue, Cue(stream.value), num_rows, generator)
    # One by one, not as a matrix product, whose last bit may depend on the number of threads.
    for place, direction in enumerate((body.main_cue, body.faint_cue, body.jaw)):
        values += performance[:, place : place + 1] * direction
    if stream is MocapStream.FACE:
        values[:, 3 * NOSE_TIP : 3 * NOSE_TIP + 3] = 0.0
    if body.lost_markers:
        share = LOST_SHARES[dialogue.session] if stream is MocapStream.FACE else _LOST_HAND_SHARE
        _lose(values, settings, dialogue, body, share, generator)
    return values


def encode_mocap_file(
    settings: SyntheticSettings, dialogue: PlannedDialogue, stream: MocapStream
) -> Iterator[bytes]:
    """Yield the bytes of a mocap file, in parts that each end with a line."""
    values = move(settings, dialogue, stream)
    yield "".join(f"{line}\n" for line in BODIES[stream].header).encode()
    template = "%d %.5f" + " %.5f" * values.shape[1]
    for first in range(0, len(values), _ROWS_AT_ONCE):
        rows = values[first : first + _ROWS_AT_ONCE].tolist()
        lines = [
            template % (frame, frame / settings.mocap_rate, *row)
            for frame, row in enumerate(rows, start=first + 1)
        ]
        yield ("\n".join(lines) + "\n").replace("nan", "NaN").encode()


def _wander(
    settings: SyntheticSettings, body: Body, num_rows: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return movements without meaning: smooth noise of deviation ``motion_spread``."""
    from scipy.signal import lfilter

    noise = generator.normal(size=(num_rows, len(body.rest)))
    decay = math.exp(-1 / (_MOTION_SECONDS * settings.mocap_rate))
    gain = body.motion_spread * math.sqrt(1 - decay**2)
    # The first row begins at full deviation, as if the noise had always been there.
    noise[0] /= math.sqrt(1 - decay**2)
    return np.asarray(lfilter([gain], [1.0, -decay], noise, axis=0), dtype=np.float64)


def _build_actor(
    settings: SyntheticSettings, dialogue: PlannedDialogue, stream: MocapStream
) -> NDArray[np.float64]:
    """Return this actor's difference from others, the same in each of their dialogues."""
    body = BODIES[stream]
    generator = settings.generator(f"actor {dialogue.session}{dialogue.marked_letter}", stream.value)
    return generator.normal(scale=body.actor_spread, size=len(body.rest))


def _perform(
    settings: SyntheticSettings,
    dialogue: PlannedDialogue,
    cue: Cue,
    num_rows: int,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the actor's deliberate movements.

    Returns:
        float64 (num_rows, 3): the strength of the main tell and of the faint one, from -1 to 1 or a
        little more, and the opening of the jaw, from 0 to 1
    """
    performance = np.zeros((num_rows, 3))
    for utterance in dialogue.utterances:
        strength, tempo, phase = generator.uniform((0.75, 3.5, 0.0), (1.25, 5.0, 1.0))
        if not utterance.is_marked:
            continue
        rows = rows_of(settings, utterance)
        times = (np.arange(rows.start, rows.stop) + 1) / settings.mocap_rate - utterance.start
        progress = times / (utterance.end - utterance.start)
        ramp = np.clip(np.minimum(progress, 1 - progress) / _RAMP, 0.0, 1.0)
        performance[rows, 0] = (strength if cue in utterance.main_sides else -strength) * ramp
        performance[rows, 1] = (strength if cue in utterance.faint_sides else -strength) * ramp
        performance[rows, 2] = np.sin(np.pi * (tempo * times + phase)) ** 2
    return performance


def rows_of(settings: SyntheticSettings, utterance: PlannedUtterance) -> slice:
    """Return the rows with start < time < end."""
    first = math.floor(utterance.start * settings.mocap_rate)
    return slice(first, max(first, math.ceil(utterance.end * settings.mocap_rate) - 1))


def _lose(
    values: NDArray[np.float64],
    settings: SyntheticSettings,
    dialogue: PlannedDialogue,
    body: Body,
    share: float,
    generator: np.random.Generator,
) -> None:
    """Lose markers in about ``share`` of the rows, whatever the emotion."""
    whole_share = share * _WHOLE_UTTERANCE_PART
    for utterance in dialogue.utterances:
        if generator.random() < whole_share:
            _lose_rows(values, rows_of(settings, utterance), body, generator)
    loss_rows = max(1.0, _LOSS_SECONDS * settings.mocap_rate)
    # Losses that begin anywhere and overlap cover 1 - exp(-losses x length / rows).
    rate = -math.log((1 - share) / (1 - whole_share))
    for _ in range(generator.poisson(rate * len(values) / loss_rows)):
        first = int(generator.integers(len(values)))
        length = math.ceil(generator.exponential(loss_rows))
        _lose_rows(values, slice(first, first + length), body, generator)


def _lose_rows(
    values: NDArray[np.float64], rows: slice, body: Body, generator: np.random.Generator
) -> None:
    num_lost = int(generator.integers(1, _MOST_LOST_MARKERS + 1))
    for marker in generator.choice(np.array(body.lost_markers), size=num_lost, replace=False):
        values[rows, 3 * marker : 3 * marker + 3] = np.nan
