"""The markers of the three motion files: their names, where they rest, and how they show a cue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.corpus.layout import MocapStream

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
        rest: float64 (num_columns,), millimetres or degrees: where each value rests
        main_cue: float64 (num_columns,): what is added where the main tell shows its first side, and
            subtracted where it shows its second
        faint_cue: float64 (num_columns,): the same for the faint tell
        actor_spread: deviation between actors
        motion_spread: deviation over time
        jaw: float64 (num_columns,): what is added where a syllable opens the mouth
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
