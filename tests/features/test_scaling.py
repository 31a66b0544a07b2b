import numpy as np
import pytest

from harness.features import scaling
from harness.features.fitted import MocapScaling, SpeechScaling
from tests.features.invented import make_features, make_mocap, make_speech


def test_speech_is_measured_over_the_frames_that_are_there():
    # The frames are 1, 2, 3 and 8: mean 3.5, squared deviations 6.25 + 2.25 + 0.25 + 20.25 = 29.
    train = make_features(["a", "b", "c"], make_speech([3, 1, 0], [1.0, 8.0, 100.0]))
    fitted = SpeechScaling.fit(train)
    assert fitted.mean.dtype == fitted.std.dtype == np.float32
    assert np.allclose(fitted.mean, 3.5)
    assert np.allclose(fitted.std, np.sqrt(29 / 4))


def test_mocap_is_measured_over_what_was_not_lost():
    arrays = make_mocap([1.0, 3.0])
    arrays["mocap"][0, :, 5] = np.nan
    arrays["mocap"][:, :, 6] = np.nan
    arrays["mocap"][1, 50:, 7] = np.nan
    fitted = MocapScaling.fit(make_features(["a", "b"], arrays))
    assert fitted.mean[[0, 5, 6, 7]].tolist() == pytest.approx([2.0, 3.0, 0.0, 1.4])
    # Column 5 never changes where it was seen, column 6 was never seen; column 7 is 200 ones and 50 threes.
    assert fitted.std[[0, 5, 6, 7]].tolist() == pytest.approx([1.0, 1.0, 1.0, 0.8])


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 / 3])
def test_a_column_that_never_changes_keeps_its_scale(constant):
    train = make_features(["a"] * 5, make_mocap([constant] * 5))
    fitted = MocapScaling.fit(train)
    assert (fitted.std == 1).all()
    assert np.allclose(fitted.mean, constant)


def test_chunks_give_what_one_piece_gives(monkeypatch):
    generator = np.random.default_rng(0)
    mocap = generator.normal(300, 2, size=(23, 200, 189)).astype(np.float32)
    mocap[generator.random(mocap.shape) < 0.4] = np.nan
    train = make_features(["a"] * 23, {"mocap": mocap})
    monkeypatch.setattr(scaling, "CHUNK_BYTES", 2 * mocap[0].nbytes)
    fitted = MocapScaling.fit(train)
    values = mocap.reshape(-1, 189).astype(np.float64)
    assert np.allclose(fitted.mean, np.nanmean(values, axis=0), rtol=1e-6)
    assert np.allclose(fitted.std, np.nanstd(values, axis=0), rtol=1e-5)


def test_no_frame_at_all_leaves_numbers_as_they_are():
    fitted = SpeechScaling.fit(make_features(["a"], make_speech([0], [0.0])))
    assert (fitted.mean == 0).all()
    assert (fitted.std == 1).all()


def test_scaling_keeps_nan():
    values = np.array([[3.0, np.nan]], dtype=np.float32)
    SpeechScaling(np.float32([1, 1]), np.float32([2, 2])).scale(values)
    assert np.array_equal(values, [[1.0, np.nan]], equal_nan=True)
