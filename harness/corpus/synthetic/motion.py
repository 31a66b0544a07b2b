"""How the marked actor moves in one dialogue, and the mocap files that say so."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from harness.corpus.layout import MocapStream
from harness.corpus.synthetic.body import BODIES, NOSE_TIP, Body
from harness.corpus.synthetic.plan import PlannedDialogue, PlannedUtterance
from harness.corpus.synthetic.settings import Cue, SyntheticSettings
from harness.corpus.utterances import Seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Share of face rows with any lost marker, by session. Source: the real release, counted.
LOST_SHARES: Mapping[int, float] = {1: 0.206, 2: 0.017, 3: 0.024, 4: 0.266, 5: 0.657}

#: Part of that share in utterances with a lost marker in every row. Source: 21.9 % of Session 5's
#: utterances, counted; the other sessions are given the same part.
_WHOLE_UTTERANCE_PART = 0.219 / 0.657

#: Share of rows with a lost marker in the hand file: a choice, few.
_LOST_HAND_SHARE = 0.03
_LOSS_SECONDS: Seconds = 0.4
_MOST_LOST_MARKERS = 3

#: How long a movement lasts.
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
    """Return what distinguishes this actor from others, the same in each of their dialogues."""
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
    """Return what the actor does on purpose.

    Returns:
        float64 (num_rows, 3): how far the main tell and the faint one show, from -1 to 1 or a little
        more, and how wide the jaw opens, from 0 to 1
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
