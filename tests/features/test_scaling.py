import numpy as np
import pytest

from harness.features import scaling
from harness.features.fitted import FittedFeatures, fit_features, fit_mocap, fit_speech
from harness.features.frames import FRAME_COLUMNS, frame_columns
from harness.features.scaling import ColumnScaling
from harness.features.speech import SPEECH_VARIANTS, extract_speech
from harness.features.store import Features
from harness.splits.protocol import PROTOCOLS
from tests.features.invented import make_features, make_mocap, make_speech, make_utterance


def test_speech_is_measured_over_the_frames_that_are_there():
    # The frames are 1, 2, 3 and 8: mean 3.5, squared deviations 6.25 + 2.25 + 0.25 + 20.25 = 29.
    train = make_features(["a", "b", "c"], make_speech([3, 1, 0], [1.0, 8.0, 100.0]))
    fitted = fit_speech(train)
    assert fitted.mean.dtype == fitted.std.dtype == np.float32
    assert np.allclose(fitted.mean, 3.5)
    assert np.allclose(fitted.std, np.sqrt(29 / 4))


def test_the_voicing_of_short_frames_stays_0_or_1_and_all_else_is_scaled(tmp_path):
    settings = SPEECH_VARIANTS["frames"]
    samples = np.random.default_rng(0).normal(scale=0.1, size=24000)
    samples[:12000] = np.sin(np.arange(12000) / 16)
    frames = extract_speech(samples, settings).astype(np.float32)
    speech = np.zeros((2, settings.max_frames, frames.shape[1]), np.float32)
    speech[:, : len(frames)] = frames
    arrays = {"speech": speech, "speech_lengths": np.array([len(frames), 100])}
    utterances = [make_utterance(f"Ses01F_impro01_F00{number}") for number in range(2)]
    train = Features.from_arrays(utterances, settings, FRAME_COLUMNS, arrays)
    fit_features(train, ("speech",), PROTOCOLS["paper"], None, None, 1).save(tmp_path)
    batch = FittedFeatures.load(tmp_path).prepare(train).batch([0, 1])
    scaled = np.concatenate([batch["speech"][0], batch["speech"][1][:100]])
    (voiced,) = frame_columns("voiced")
    assert set(scaled[:, voiced]) == {0.0, 1.0}
    others = np.delete(scaled, voiced, axis=1)
    assert np.allclose(others.mean(axis=0), 0.0, atol=1e-3)
    assert np.allclose(others.std(axis=0), 1.0, atol=1e-3)


def test_mocap_is_measured_over_what_was_not_lost():
    arrays = make_mocap([1.0, 3.0])
    arrays["mocap"][0, :, 5] = np.nan
    arrays["mocap"][:, :, 6] = np.nan
    arrays["mocap"][1, 50:, 7] = np.nan
    fitted = fit_mocap(make_features(["a", "b"], arrays))
    assert fitted.mean[[0, 5, 6, 7]].tolist() == pytest.approx([2.0, 3.0, 0.0, 1.4])
    # Column 5 never changes where it was seen, column 6 was never seen; column 7 is 200 ones and 50 threes.
    assert fitted.std[[0, 5, 6, 7]].tolist() == pytest.approx([1.0, 1.0, 1.0, 0.8])


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 / 3])
def test_a_column_that_never_changes_keeps_its_scale(constant):
    train = make_features(["a"] * 5, make_mocap([constant] * 5))
    fitted = fit_mocap(train)
    assert (fitted.std == 1).all()
    assert np.allclose(fitted.mean, constant)


def test_chunks_give_what_one_piece_gives(monkeypatch):
    generator = np.random.default_rng(0)
    mocap = generator.normal(300, 2, size=(23, 200, 189)).astype(np.float32)
    mocap[generator.random(mocap.shape) < 0.4] = np.nan
    train = make_features(["a"] * 23, {"mocap": mocap})
    monkeypatch.setattr(scaling, "CHUNK_BYTES", 2 * mocap[0].nbytes)
    fitted = fit_mocap(train)
    values = mocap.reshape(-1, 189).astype(np.float64)
    assert np.allclose(fitted.mean, np.nanmean(values, axis=0), rtol=1e-6)
    assert np.allclose(fitted.std, np.nanstd(values, axis=0), rtol=1e-5)


def test_no_frame_at_all_leaves_numbers_as_they_are():
    fitted = fit_speech(make_features(["a"], make_speech([0], [0.0])))
    assert (fitted.mean == 0).all()
    assert (fitted.std == 1).all()


def test_scaling_keeps_nan():
    values = np.array([[3.0, np.nan]], dtype=np.float32)
    ColumnScaling(np.float32([1, 1]), np.float32([2, 2])).scale(values)
    assert np.array_equal(values, [[1.0, np.nan]], equal_nan=True)
