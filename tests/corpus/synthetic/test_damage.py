import io

import numpy as np
import pytest
from scipy.io import wavfile

from harness.corpus.audio import read_recording
from harness.corpus.irregularities import IrregularityKind
from harness.corpus.synthetic.plan import Damage, choose_damaged, encode_utterance_wav, encode_wav

SAMPLES = np.rint(12000 * np.sin(np.arange(8000) / 5)).astype(np.int16)


def test_a_wav_is_what_scipy_reads_too():
    stereo = np.stack([SAMPLES, SAMPLES[::-1]], axis=1)
    rate, read = wavfile.read(io.BytesIO(encode_wav(stereo)))
    assert rate == 16000
    assert np.array_equal(read, stereo)


@pytest.mark.parametrize(
    ("damage", "kind", "num_samples"),
    [
        (None, None, 8000),
        (Damage.STEREO, IrregularityKind.STEREO_RECORDING, 8000),
        (Damage.OTHER_RATE, IrregularityKind.OTHER_SAMPLING_RATE, 8000),
        (Damage.TRUNCATED, IrregularityKind.TRUNCATED_RECORDING, 5333),
        (Damage.EMPTY, IrregularityKind.EMPTY_RECORDING, None),
        (Damage.COLON, None, 8000),
    ],
    ids=str,
)
def test_a_damaged_wav_is_met_by_the_reader(damage, kind, num_samples, tmp_path):
    path = tmp_path / "Ses01F_impro01_F000.wav"
    path.write_bytes(encode_utterance_wav(SAMPLES, damage))
    recording, irregularities = read_recording(path)
    assert [found.kind for found in irregularities] == ([] if kind is None else [kind])
    assert (None if recording is None else len(recording.samples)) == num_samples
    if recording is not None and damage not in (Damage.STEREO, Damage.OTHER_RATE):
        assert np.array_equal(recording.samples * 32768, SAMPLES[:num_samples])


def test_no_utterance_is_damaged_twice_and_every_kind_has_its_number():
    names = [f"u{number}" for number in range(200)]
    chosen = choose_damaged(names, names[-5:], scale=1.0, generator=np.random.default_rng(0))
    assert len(chosen) == 3 * len(Damage)
    assert {kind: list(chosen.values()).count(kind) for kind in Damage} == dict.fromkeys(Damage, 3)
    assert {name for name, kind in chosen.items() if kind is Damage.BEYOND_RECORDING} <= set(names[-5:])
