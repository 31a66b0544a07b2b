from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import wavfile

from harness.corpus.audio import Recording, read_dialogue_left, read_header, read_recording
from harness.corpus.irregularities import Irregularity, IrregularityKind
from harness.corpus.layout import CorpusLayout
from harness.errors import CorpusError
from tests.corpus.written import COMPLETE, tone, wav_bytes, write_file

NAME = "Ses01F_impro01_M003.wav"


def read(tmp_path: Path, data: bytes) -> tuple[Recording | None, list[tuple[IrregularityKind, str]]]:
    recording, irregularities = read_recording(write_file(tmp_path / NAME, data))
    return recording, [(found.kind, found.detail) for found in irregularities]


def three_bytes(samples: NDArray[np.int32]) -> NDArray[np.uint8]:
    return samples.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].ravel()


def test_a_recording_like_the_corpus_s_is_read_exactly_and_without_a_word(tmp_path: Path) -> None:
    samples = np.array([0, 1, -1, 16384, 32766, -32767], dtype="<i2")
    recording, found = read(tmp_path, wav_bytes(samples))
    assert recording is not None and found == []
    assert recording.samples.dtype == np.float64
    np.testing.assert_array_equal(recording.samples * 32768, samples)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        pytest.param(wav_bytes(np.array([0, 64, 128, 192], np.uint8)), "8 bit integers", id="8 bit"),
        pytest.param(
            wav_bytes(three_bytes(np.array([-(2**23), -(2**22), 0, 2**22])), sample_bytes=3),
            "24 bit integers",
            id="24 bit",
        ),
        pytest.param(
            wav_bytes(np.array([-(2**31), -(2**30), 0, 2**30], "<i4")), "32 bit integers", id="32 bit"
        ),
        pytest.param(
            wav_bytes(np.array([-1, -0.5, 0, 0.5], "<f4"), encoding=3), "32 bit floating point", id="float"
        ),
        pytest.param(
            wav_bytes(np.array([-1, -0.5, 0, 0.5], "<f8"), encoding=3), "64 bit floating point", id="double"
        ),
    ],
)
def test_every_sample_format_gives_the_same_samples(tmp_path: Path, data: bytes, detail: str) -> None:
    recording, found = read(tmp_path, data)
    assert recording is not None
    np.testing.assert_array_equal(recording.samples, [-1, -0.5, 0, 0.5])
    assert found == [(IrregularityKind.OTHER_SAMPLE_FORMAT, detail)]


def test_chunks_before_the_samples_and_an_extensible_header_are_read(tmp_path: Path) -> None:
    samples = tone(0.1)
    plain = wav_bytes(samples)
    subformat = struct.pack("<HHIH14s", 22, 16, 4, 1, b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71")
    chunk = struct.pack("<H", 0xFFFE) + plain[22:36] + subformat
    data = (
        plain[:12]
        + b"LIST\x05\0\0\0abcde\0"
        + b"fmt "
        + struct.pack("<I", len(chunk))
        + chunk
        + plain[36:]
        + b"id3 \x02\0\0\0ab"
    )
    recording, found = read(tmp_path, data)
    assert recording is not None and found == []
    np.testing.assert_array_equal(recording.samples * 32768, samples)


def test_two_channels_are_averaged_and_told(tmp_path: Path) -> None:
    left, right = tone(0.1), tone(0.1, hertz=300)
    recording, found = read(tmp_path, wav_bytes(np.stack([left, right], axis=1)))
    assert recording is not None
    np.testing.assert_array_equal(recording.samples * 65536, left.astype(int) + right)
    assert found == [(IrregularityKind.STEREO_RECORDING, "2 channels")]


@pytest.mark.parametrize("sampling_rate", [8000, 22050, 44100, 48000])
def test_another_rate_is_resampled_to_the_same_tone_and_told(tmp_path: Path, sampling_rate: int) -> None:
    recording, found = read(tmp_path, wav_bytes(tone(0.5, sampling_rate), sampling_rate))
    assert recording is not None
    assert len(recording.samples) == pytest.approx(8000, abs=1)
    expected = tone(0.5)[: len(recording.samples)] / 32768
    np.testing.assert_allclose(recording.samples[200:-200], expected[200:-200], atol=0.005)
    assert found == [(IrregularityKind.OTHER_SAMPLING_RATE, f"{sampling_rate} Hz")]


@pytest.mark.parametrize("num_bytes_lost", [1, 2, 1000])
def test_a_truncated_recording_gives_the_samples_that_are_there(tmp_path: Path, num_bytes_lost: int) -> None:
    samples = tone(0.1)
    recording, found = read(tmp_path, wav_bytes(samples)[:-num_bytes_lost])
    assert recording is not None
    np.testing.assert_array_equal(recording.samples * 32768, samples[: 1600 - (num_bytes_lost + 1) // 2])
    assert found == [
        (IrregularityKind.TRUNCATED_RECORDING, f"{3200 - num_bytes_lost} of 3200 bytes of sound")
    ]


def test_a_truncated_stereo_recording_gives_whole_samples_of_both_channels(tmp_path: Path) -> None:
    recording, found = read(tmp_path, wav_bytes(np.stack([tone(0.1), tone(0.1)], axis=1))[:-2])
    assert recording is not None and len(recording.samples) == 1599
    assert [kind for kind, _ in found] == [
        IrregularityKind.TRUNCATED_RECORDING,
        IrregularityKind.STEREO_RECORDING,
    ]


def with_format(
    encoding: int = 1, num_channels: int = 1, sampling_rate: int = 16000, bits: int = 16
) -> bytes:
    chunk = struct.pack("<HHIIHH", encoding, num_channels, sampling_rate, 0, bits // 8 * num_channels, bits)
    data = wav_bytes(tone(0.1))
    return data[:20] + chunk + data[36:]


@pytest.mark.parametrize(
    ("data", "kind", "detail"),
    [
        pytest.param(b"", IrregularityKind.EMPTY_RECORDING, "0 bytes", id="empty"),
        pytest.param(
            wav_bytes(tone(0)), IrregularityKind.EMPTY_RECORDING, "a header without samples", id="no samples"
        ),
        pytest.param(
            wav_bytes(tone(1))[:44],
            IrregularityKind.EMPTY_RECORDING,
            "a header without samples",
            id="cut at 44",
        ),
        pytest.param(
            wav_bytes(tone(1))[:30],
            IrregularityKind.UNREADABLE_RECORDING,
            "ends before its samples begin",
            id="cut at 30",
        ),
        pytest.param(
            tone(0.1).tobytes(),
            IrregularityKind.UNREADABLE_RECORDING,
            f"begins with {tone(0.1).tobytes()[:12]!r}, expected a RIFF WAVE header",
            id="headless",
        ),
        pytest.param(
            b"RIFF\0\0\0\0WAVEdata\x02\0\0\0ab",
            IrregularityKind.UNREADABLE_RECORDING,
            "has no description of its samples",
            id="no format",
        ),
        pytest.param(
            with_format(encoding=7, bits=8),
            IrregularityKind.UNREADABLE_RECORDING,
            "has encoding 7, 8 bits and 1 channels, which is not a known format",
            id="mu-law",
        ),
        pytest.param(
            with_format(num_channels=0),
            IrregularityKind.UNREADABLE_RECORDING,
            "has encoding 1, 16 bits and 0 channels, which is not a known format",
            id="no channel",
        ),
        pytest.param(
            with_format(sampling_rate=3),
            IrregularityKind.UNREADABLE_RECORDING,
            "claims a sampling rate of 3 Hz",
            id="absurd rate",
        ),
    ],
)
def test_a_file_in_which_nothing_can_be_heard_is_missing_and_told(
    tmp_path: Path, data: bytes, kind: IrregularityKind, detail: str
) -> None:
    assert read(tmp_path, data) == (None, [(kind, detail)])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_recording_with_samples_that_are_no_numbers_is_missing(tmp_path: Path, value: float) -> None:
    recording, found = read(tmp_path, wav_bytes(np.array([0, value, 0.5], "<f4"), encoding=3))
    assert recording is None
    assert found[-1] == (IrregularityKind.UNREADABLE_RECORDING, "holds samples that are NaN or infinite")


def test_floating_point_beyond_full_scale_is_scaled_by_its_peak(tmp_path: Path) -> None:
    recording, found = read(tmp_path, wav_bytes(np.array([0, -32768, 16384], "<f4"), encoding=3))
    assert recording is not None
    np.testing.assert_array_equal(recording.samples, [0, -1, 0.5])
    assert found[-1] == (IrregularityKind.BEYOND_FULL_SCALE, "peak 32768")


def test_silence_is_kept_and_told(tmp_path: Path) -> None:
    recording, found = read(tmp_path, wav_bytes(np.zeros(4000, "<i2")))
    assert recording is not None and not recording.samples.any()
    assert found == [(IrregularityKind.SILENT_RECORDING, "4000 equal samples")]


@pytest.mark.parametrize(
    ("samples", "is_clipped"),
    [
        ([0, 32767, 32767, 32767, 0], True),
        ([0, -32768, -32768, -32768, 0], True),
        ([0, 32767, 32767, 0, 32767], False),
        ([0, 32767], False),
    ],
)
def test_three_samples_in_a_row_at_full_scale_are_clipping(
    tmp_path: Path, samples: list[int], is_clipped: bool
) -> None:
    recording, found = read(tmp_path, wav_bytes(np.array(samples, "<i2")))
    assert recording is not None and len(recording.samples) == len(samples)
    assert found == ([(IrregularityKind.CLIPPED_RECORDING, "3 samples at full scale")] if is_clipped else [])


def test_a_dialogue_gives_its_left_channel(tiny_corpus: CorpusLayout) -> None:
    recording, irregularities = read_dialogue_left(tiny_corpus.dialogue_wav_path(COMPLETE))
    assert recording is not None and recording.duration == 4.0 and irregularities == []
    np.testing.assert_array_equal(recording.samples * 32768, tone(4.0))


def test_a_dialogue_of_one_channel_is_told(tmp_path: Path) -> None:
    recording, irregularities = read_dialogue_left(write_file(tmp_path / "a.wav", wav_bytes(tone(0.1))))
    assert recording is not None
    np.testing.assert_array_equal(recording.samples * 32768, tone(0.1))
    assert [(found.kind, found.detail) for found in irregularities] == [
        (IrregularityKind.MONO_DIALOGUE_RECORDING, "1 channel")
    ]


def test_a_header_tells_the_length_and_the_same_as_the_whole_file(tmp_path: Path) -> None:
    path = write_file(tmp_path / NAME, wav_bytes(np.stack([tone(0.1), tone(0.1)], axis=1))[:-4])
    header, irregularities = read_header(path)
    assert header is not None and header.duration == 1599 / 16000
    assert irregularities == read_recording(path)[1]
    assert irregularities[0] == Irregularity(
        kind=IrregularityKind.TRUNCATED_RECORDING,
        dialogue_id="Ses01F_impro01",
        utterance_id="Ses01F_impro01_M003",
        path=NAME,
        detail="6396 of 6400 bytes of sound",
    )


@pytest.mark.parametrize("reader", [read_header, read_recording, read_dialogue_left])
def test_a_file_that_is_not_there_is_an_error(tmp_path: Path, reader: object) -> None:
    assert callable(reader)
    path = tmp_path / NAME
    with pytest.raises(CorpusError) as caught:
        reader(path)
    assert str(caught.value) == (
        f"recording {str(path)!r}: cannot be read (No such file or directory); expected a wav file"
    )


def test_real_recordings_are_read_as_scipy_reads_them(emodb: CorpusLayout) -> None:
    paths = emodb.utterance_wav_paths("Ses05F_impro01")
    assert len(paths) > 30
    for path in paths:
        recording, irregularities = read_recording(path)
        sampling_rate, samples = wavfile.read(path)
        assert recording is not None and sampling_rate == 16000
        assert {found.kind for found in irregularities} <= {IrregularityKind.CLIPPED_RECORDING}
        np.testing.assert_array_equal(recording.samples, samples / 32768)
