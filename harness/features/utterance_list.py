"""The utterances of a session as a file, one a line."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.corpus.utterances import Emotion, Utterance, parse_utterance_id
from harness.errors import FeatureError, one_line
from harness.features.manifest import PREPARE_AGAIN

UTTERANCES_NAME = "utterances.jsonl"

_NUMBERS = ("valence", "activation", "dominance", "start", "end")


def utterance_to_json(utterance: Utterance) -> dict[str, Any]:
    """Every field by name; a number that is NaN becomes None."""
    record = asdict(utterance)
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in record.items()
    }


def utterance_from_json(record: Mapping[str, Any]) -> Utterance:
    """Read what ``utterance_to_json`` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is no utterance's record
    """
    values = {**record, "emotion": Emotion(record["emotion"])}
    for name in _NUMBERS:
        if values[name] is None:
            values[name] = math.nan
        elif not isinstance(values[name], float) or not math.isfinite(values[name]):
            raise TypeError(f"{name} is {values[name]!r:.80}; expected a finite number with a point, or null")
    parse_utterance_id(values["utterance_id"])
    for name in ("transcript", "wav_path"):
        if not isinstance(values[name], str | None):
            raise TypeError(f"{name} is {values[name]!r:.80}; expected a text, or null")
    if type(values["num_mocap_rows"]) is not int or values["num_mocap_rows"] < 0:
        raise TypeError(f"num_mocap_rows is {values['num_mocap_rows']!r:.80}; expected a count")
    return Utterance(**values)


def read_utterances(path: Path, emotions: Collection[Emotion] = tuple(Emotion)) -> tuple[Utterance, ...]:
    """Read the utterances of a session that have one of some labels, sorted by id.

    Raises:
        FeatureError: the file is missing or damaged
    """
    try:
        # One call for all lines: a trial opens thousands of them, in a tenth of a second.
        records = json.loads(b"[" + b",".join(path.read_bytes().splitlines()) + b"]")
        return tuple(utterance_from_json(record) for record in records if record["emotion"] in emotions)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FeatureError(f"{str(path)!r}: cannot be read ({one_line(error)}); {PREPARE_AGAIN}") from error
