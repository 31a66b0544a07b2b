import warnings

import numpy as np
import pytest

from harness.corpus.layout import MocapStream
from harness.errors import ShapeError
from harness.features.mocap import MOCAP_COLUMNS, NUM_MOCAP_COLUMNS, average_windows, empty_windows


def mean_of_parts(frames, num_windows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.stack([np.nanmean(part, axis=0) for part in np.array_split(frames, num_windows)])


@pytest.mark.parametrize("num_frames", [1, 7, 199, 200, 201, 399, 400, 401, 555, 2000])
@pytest.mark.parametrize("share_lost", [0.0, 0.3, 0.9])
def test_windows_are_the_means_of_array_split_to_the_bit(num_frames, share_lost):
    generator = np.random.default_rng(num_frames)
    frames = generator.normal(scale=50, size=(num_frames, 5))
    frames[generator.random(frames.shape) < share_lost] = np.nan
    assert np.array_equal(average_windows(frames, 200), mean_of_parts(frames, 200), equal_nan=True)


def test_a_lost_marker_is_left_out_of_its_windows_mean():
    frames = np.array([[1.0, 1.0], [np.nan, 3.0], [np.nan, 5.0], [np.nan, 7.0]])
    assert np.array_equal(average_windows(frames, 2), [[1.0, 2.0], [np.nan, 6.0]], equal_nan=True)


def test_windows_without_a_frame_are_nan_and_marked():
    windows = average_windows(np.array([[1.0], [2.0]]), 4)
    assert np.array_equal(windows, [[1.0], [2.0], [np.nan], [np.nan]], equal_nan=True)
    assert empty_windows(2, 4).tolist() == [False, False, True, True]


def test_no_frame_at_all_gives_nan_in_every_window():
    assert np.isnan(average_windows(np.empty((0, 3)), 2)).all()
    assert empty_windows(0, 2).all()


def test_the_frames_given_are_not_changed():
    frames = np.array([[1.0], [np.nan]], dtype=np.float32)
    average_windows(frames, 1)
    assert np.array_equal(frames, [[1.0], [np.nan]], equal_nan=True)


@pytest.mark.parametrize(
    ("frames", "num_windows", "message"),
    [
        (np.zeros(3), 2, "motion frames have shape (3,); expected (num_frames, num_columns)"),
        (np.zeros((3, 1)), 0, "motion windows: num_windows is 0; expected at least 1"),
    ],
    ids=["1-D", "no window"],
)
def test_wrong_shapes_are_rejected(frames, num_windows, message):
    with pytest.raises(ShapeError) as caught:
        average_windows(frames, num_windows)
    assert str(caught.value) == message


def test_the_streams_fill_the_columns_one_after_the_other():
    first = 0
    for stream in (MocapStream.FACE, MocapStream.HAND, MocapStream.HEAD):
        assert MOCAP_COLUMNS[stream] == slice(first, first + stream.num_columns)
        first += stream.num_columns
    assert first == NUM_MOCAP_COLUMNS == 189
