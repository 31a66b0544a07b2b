import json
import math

import pytest

from harness.corpus.utterances import Emotion, Utterance
from harness.errors import FeatureError
from harness.features.manifest import read_utterances, utterance_from_json, utterance_to_json

UTTERANCE = Utterance(
    "Ses01F_impro01_F000", Emotion.SADNESS, 2.5, math.nan, 3.0, 0.5, math.nan, "hören", None, 12
)


def test_an_utterance_survives_strict_json():
    text = json.dumps(utterance_to_json(UTTERANCE), allow_nan=False)
    found = utterance_from_json(json.loads(text))
    assert utterance_to_json(found) == utterance_to_json(UTTERANCE)
    assert found.emotion is Emotion.SADNESS
    assert math.isnan(found.activation) and math.isnan(found.end)
    assert found.transcript == "hören"
    assert json.loads(text)["scene"] == found.scene == "impro01"


@pytest.mark.parametrize("content", [b"{}\n", b"{\n", b"\xff\n", b"[]\n"])
def test_a_damaged_list_is_rejected(tmp_path, content):
    path = tmp_path / "utterances.jsonl"
    path.write_bytes(content)
    with pytest.raises(FeatureError) as caught:
        read_utterances(path)
    assert str(caught.value).startswith(f"{str(path)!r}: cannot be read (")
    assert str(caught.value).endswith("; delete the manifest.json above it and run harness prepare again")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transcript": 5}, "transcript is 5; expected a text, or null"),
        ({"utterance_id": "../x"}, "utterance '../x': is not an id of the corpus"),
        ({"valence": "2.5"}, "valence is '2.5'; expected a finite number with a point, or null"),
        ({"num_mocap_rows": -1}, "num_mocap_rows is -1; expected a count"),
        ({"scene": "impro02"}, "scene of Ses01F_impro01_F000 is 'impro02'; expected 'impro01'"),
    ],
    ids=["transcript", "id", "rating", "rows", "scene"],
)
def test_a_line_that_is_no_utterance_is_refused(tmp_path, change, message):
    record = utterance_to_json(UTTERANCE)
    path = tmp_path / "utterances.jsonl"
    path.write_text(json.dumps({**record, **change}) + "\n")
    with pytest.raises(FeatureError) as caught:
        read_utterances(path)
    assert message in str(caught.value)
    assert str(caught.value).endswith("run harness prepare again")
