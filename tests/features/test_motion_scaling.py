"""Motion scaled by the speaker: whose windows count, and what is never read."""

import shutil

import numpy as np
import pytest

from harness.features.fitted import fit_features
from harness.features.prepare import prepare_corpus
from harness.features.scaling import BACKGROUND_WINDOWS, ColumnScaling
from harness.features.speech import SpeechSettings
from harness.features.store import FeatureStore
from harness.splits.protocol import read_protocol
from tests.corpus.written import write_tiny_corpus

#: By id, as the arrays' rows are: the woman is marked in all of them.
TURNS = [f"Ses01F_impro01_{turn}" for turn in ("F000", "F001", "M000", "M001")]
BACKGROUND = ColumnScaling(np.full(189, 2.0, np.float32), np.full(189, 4.0, np.float32))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("motion")
    layout = write_tiny_corpus(folder / "corpus")
    prepare_corpus(layout.root, folder / "prepared", SpeechSettings(), jobs=1)
    path = folder / "prepared/Session1/mocap.npy"
    values = np.random.default_rng(1).normal(5.0, 3.0, size=np.load(path).shape).astype(np.float32)
    values[2:] += 40.0
    values[0, 10:20, 7] = np.nan
    values[1, :, 8] = np.nan
    values[:, 190:] = np.nan
    np.save(path, values)
    return folder / "prepared"


@pytest.fixture
def prepared(written, tmp_path):
    return shutil.copytree(written, tmp_path / "prepared")


def overwrite(prepared, rows):
    path = prepared / "Session1/mocap.npy"
    mocap = np.load(path)
    mocap[rows] = 3.0 * mocap[rows] + 1.0
    np.save(path, mocap)


def read(prepared, turn, scaling, **choices):
    """The windows of a turn as a model reads them, of which nothing was fitted on this session."""
    protocol = read_protocol({"speaker_scaling": scaling, **choices})
    features = FeatureStore.open_for(protocol, prepared).load([TURNS[turn]])
    fitted = fit_features(features, ("mocap",), protocol, None, None, 1)
    object.__setattr__(fitted, "mocap", BACKGROUND)
    return fitted.prepare(features).batch([0])["mocap"][0]


def test_motion_has_the_mean_and_deviation_of_the_speakers_turns(prepared):
    mocap = np.load(prepared / "Session1/mocap.npy").astype(np.float64)
    own = mocap[:2].reshape(-1, 189)
    expected = (mocap[0] - np.nanmean(own, axis=0)) / np.nanstd(own, axis=0)
    found = read(prepared, 0, "own")
    np.testing.assert_allclose(found, np.nan_to_num(expected, nan=0.0), atol=1e-4)
    # A marker that this turn never shows has the mean of the speaker's other turns.
    assert (read(prepared, 1, "own", mocap_gaps="neighbours")[:, 8] == 0).all()
    assert np.abs(read(prepared, 0, "own", mocap_gaps="neighbours")[10:20, 7]).min() > 0


def test_turns_so_far_are_joined_with_those_of_training(prepared):
    mocap = np.load(prepared / "Session1/mocap.npy").astype(np.float64)[0, :190, 0]
    joined = np.concatenate([mocap, np.full(BACKGROUND_WINDOWS // 2, -2.0), np.full(BACKGROUND_WINDOWS // 2, 6.0)])
    found = read(prepared, 0, "past")
    np.testing.assert_allclose(found[:190, 0], (mocap - joined.mean()) / joined.std(), atol=1e-4)


@pytest.mark.parametrize(
    ("scaling", "turn", "unread", "read_too"),
    [("own", 0, [2, 3], [1]), ("own", 2, [0, 1], [3]), ("past", 0, [1, 2, 3], [0]), ("past", 3, [0, 1], [2])],
)
def test_nobody_elses_turn_and_no_later_one_changes_a_bit(prepared, scaling, turn, unread, read_too):
    before = read(prepared, turn, scaling)
    overwrite(prepared, unread)
    assert np.array_equal(before, read(prepared, turn, scaling))
    overwrite(prepared, read_too)
    assert not np.array_equal(before, read(prepared, turn, scaling))


def test_without_the_choice_training_scales(prepared):
    mocap = np.load(prepared / "Session1/mocap.npy")[3]
    expected = np.nan_to_num((mocap - 2.0) / 4.0, nan=0.0)
    np.testing.assert_allclose(read(prepared, 3, "none"), expected, atol=1e-5)
