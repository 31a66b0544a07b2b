import pytest

from harness.corpus.synthetic.settings import SyntheticSettings, read_cue
from harness.errors import CorpusError, UnknownNameError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": 0.0}, "synthetic corpus: scale is 0.0; expected a number from 0.01 to 1"),
        ({"scale": float("nan")}, "synthetic corpus: scale is nan; expected a number from 0.01 to 1"),
        ({"seed": -1}, "synthetic corpus: seed is -1; expected a whole number from 0 to 2**63 - 1"),
        (
            {"seconds_per_utterance": 0.1},
            "synthetic corpus: seconds_per_utterance is 0.1; expected a number from 0.5 to 30",
        ),
        ({"mocap_rate": 0.0}, "synthetic corpus: mocap_rate is 0.0; expected a number from 1 to 1000"),
        ({"moods": 1.1}, "synthetic corpus: moods is 1.1; expected a number from 0 to 1"),
        ({"scene_words": -0.1}, "synthetic corpus: scene_words is -0.1; expected a number from 0 to 1"),
    ],
    ids=["scale-zero", "scale-nan", "seed", "seconds", "rate", "moods", "scene-words"],
)
def test_a_setting_outside_its_range_is_rejected(values, message):
    with pytest.raises(CorpusError) as raised:
        SyntheticSettings(**values)
    assert str(raised.value) == message


def test_an_unknown_cue_is_rejected():
    with pytest.raises(UnknownNameError) as raised:
        read_cue("smell")
    assert str(raised.value) == (
        "unknown cue 'smell'; expected one of ['face', 'hand', 'head', 'speech', 'text']"
    )


def test_random_numbers_depend_on_seed_and_name_alone():
    first = SyntheticSettings(seed=1).generator("Ses01F_impro01", "voice").random(3).tolist()
    again = SyntheticSettings(seed=1, scale=0.5, cues=frozenset()).generator("Ses01F_impro01", "voice")
    other_name = SyntheticSettings(seed=1).generator("Ses01F_impro02", "voice").random(3).tolist()
    other_seed = SyntheticSettings(seed=2).generator("Ses01F_impro01", "voice").random(3).tolist()
    assert again.random(3).tolist() == first
    assert first != other_name and first != other_seed
