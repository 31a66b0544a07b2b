"""The utterances of a session as a file, one a line."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.corpus.utterances import Emotion, Utterance
from harness.errors import FeatureError
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
    """Read what ``utterance_to_json`` wrote."""
    values = {**record, "emotion": Emotion(record["emotion"])}
    for name in _NUMBERS:
        if values[name] is None:
            values[name] = math.nan
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
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FeatureError(f"{str(path)!r}: cannot be read ({error}); {PREPARE_AGAIN}") from error
