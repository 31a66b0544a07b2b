"""Every kind of damage to a corpus: what the table of irregularities says of it, and that nothing becomes zeros."""

import csv
from collections import Counter

import numpy as np
import pytest

from harness.corpus.layout import MocapStream
from harness.features.prepare import prepare_corpus
from harness.features.speech import SpeechSettings
from harness.features.store import FeatureStore
from tests.cli.commands import type_command
from tests.corpus.written import (
    COMPLETE,
    label_bytes,
    mocap_bytes,
    mocap_values,
    tone,
    transcript_bytes,
    wav_bytes,
    write_tiny_corpus,
)

ANGRY = f"{COMPLETE}_M000"


def sound(content):
    """Damage that replaces the recording of the angry utterance, which lasts half a second."""
    return lambda layout: layout.utterance_wav_path(ANGRY).write_bytes(content)


def labels(*changes):
    return lambda layout: layout.annotation_path(COMPLETE).write_bytes(changed(label_bytes(COMPLETE), changes))


def words(*changes):
    return lambda layout: layout.transcript_path(COMPLETE).write_bytes(changed(transcript_bytes(COMPLETE), changes))


def changed(content, changes):
    for old, new in changes:
        assert old in content
        content = content.replace(old, new)
    return content


def motion(change, stream=MocapStream.HEAD):
    """Damage that puts the lines of a motion file through ``change``."""

    def damage(layout):
        path = layout.mocap_path(COMPLETE, stream)
        path.write_bytes(change(path.read_bytes()))

    return damage


def line(number, replace):
    """Replace one line of a file, counted from 1."""

    def change(content):
        lines = content.splitlines(keepends=True)
        lines[number - 1] = replace(lines[number - 1])
        return b"".join(lines)

    return change


def lost(rows, stream=MocapStream.FACE):
    """The stream's file with no value in some rows."""

    def damage(layout):
        values = mocap_values(stream, num_rows=80)
        values[rows] = np.nan
        layout.mocap_path(COMPLETE, stream).write_bytes(mocap_bytes(stream, values))

    return damage


def as_24_bit(samples):
    upper = (samples.astype("<i4") * 256)[:, None].view("u1").reshape(-1, 4)[:, :3]
    return wav_bytes(upper.copy().ravel(), 16000, 1, 3)


HALF = tone(0.5)
RATED = f"Session1/dialog/EmoEvaluation/{COMPLETE}.txt"
SPOKEN = f"Session1/dialog/transcriptions/{COMPLETE}.txt"
MOVED = f"Session1/dialog/MOCAP_head/{COMPLETE}.txt"
TURN_2 = b"[1.7500 - 2.2500]\tSes01F_impro01_M000\tang\t[2.5000, 3.0000, 3.5000]"
BETWEEN = b"\nC-E1:\tAnger;\t()\nC-F1:\tOther; Neutral;\t(a bit)\nA-E3:\tval 2; act 4; dom  4;\t()\n\n"
RATINGS = "[2.5000, 3.0000, 3.5000]"
UTF_16 = "begins with a UTF-16 byte order mark"
TURNS = [f"{COMPLETE}_{turn}" for turn in ("F000", "F001", "M000", "M001")]
#: What is left of a dialogue without labels, or without transcripts.
STRAY = "not in the label file"
UNLABELLED = [(f"{what} without turn", turn, STRAY) for turn in TURNS for what in ("recording", "transcript")]
UNSPOKEN = [("missing transcript", turn, "no line") for turn in TURNS]

CASES = {
    # Recordings.
    "truncated wav": (
        sound(wav_bytes(HALF)[:9000]),
        [
            ("truncated recording", ANGRY, "8956 of 16000 bytes of sound"),
            ("shorter than turn", ANGRY, "0.2799 s of 0.5000 s"),
        ],
    ),
    "empty wav": (sound(b""), [("empty recording", ANGRY, "0 bytes")]),
    "wav of a header": (sound(wav_bytes(HALF[:0])), [("empty recording", ANGRY, "a header without samples")]),
    "text as wav": (
        sound(b"This is no sound."),
        [("unreadable recording", ANGRY, "begins with b'This is no s', expected a RIFF WAVE header")],
    ),
    "silent wav": (sound(wav_bytes(HALF * 0)), [("silent recording", ANGRY, "8000 equal samples")]),
    "clipped wav": (
        sound(wav_bytes(np.clip(HALF.astype(int) * 4, -32768, 32767).astype(np.int16))),
        [("clipped recording", ANGRY, "5320 samples at full scale")],
    ),
    "wav at 8 kHz": (sound(wav_bytes(tone(0.5, 8000), 8000)), [("other sampling rate", ANGRY, "8000 Hz")]),
    "wav at 44.1 kHz": (sound(wav_bytes(tone(0.5, 44100), 44100)), [("other sampling rate", ANGRY, "44100 Hz")]),
    "stereo wav": (
        sound(wav_bytes(np.stack([HALF, HALF], axis=1))),
        [("stereo recording", ANGRY, "2 channels")],
    ),
    "float wav": (
        sound(wav_bytes((HALF / 2**15).astype(np.float32), encoding=3)),
        [("other sample format", ANGRY, "32 bit floating point")],
    ),
    "24-bit wav": (sound(as_24_bit(HALF)), [("other sample format", ANGRY, "24 bit integers")]),
    "wav of NaN": (
        sound(wav_bytes(np.full(8000, np.nan, np.float32), encoding=3)),
        [
            ("other sample format", ANGRY, "32 bit floating point"),
            ("unreadable recording", ANGRY, "holds samples that are NaN or infinite"),
        ],
    ),
    "wav whose header claims 4 GB": (
        sound(wav_bytes(HALF).replace(b"fmt \x10\0\0\0", b"fmt \xf0\xff\xff\xff")),
        [("unreadable recording", ANGRY, "ends before its samples begin")],
    ),
    # Labels.
    "labels missing": (
        lambda layout: layout.annotation_path(COMPLETE).unlink(),
        [("missing label file", "", "no such file")],
    ),
    "labels in UTF-16": (
        lambda layout: layout.annotation_path(COMPLETE).write_text(label_bytes(COMPLETE).decode(), "utf-16"),
        [
            ("unreadable file", "", f"file '{RATED}', line 1: {UTF_16}; expected labels in UTF-8"),
            *UNLABELLED,
        ],
    ),
    "labels in Latin-1": (
        labels((b"(a bit)", b"(tr\xe8s)")),
        [("not UTF-8", "", "line 5 holds the byte 0xe8")],
    ),
    "labels without columns": (
        labels((TURN_2, b"Ses01F_impro01_M000\tang")),
        [
            ("unreadable times", ANGRY, "line 8: found ''"),
            ("unreadable ratings", ANGRY, "line 8: found ''"),
            ("no mocap rows", ANGRY, "rows: face 0, hand 0, head 0"),
        ],
    ),
    "rating off the scale": (
        labels((TURN_2, TURN_2.replace(b"[2.5000", b"[99.0000"))),
        [("ratings off the scale", ANGRY, "line 8: found '[99.0000, 3.0000, 3.5000]'; expected 0.5 to 5.5")],
    ),
    "unknown emotion": (
        labels((b"\tang\t", b"\tangry\t")),
        [
            ("unknown emotion", ANGRY, "line 8: found 'angry'"),
            ("recording without turn", ANGRY, "not in the label file"),
            ("transcript without turn", ANGRY, "not in the label file"),
        ],
    ),
    "turn twice": (
        labels((TURN_2, TURN_2 + b"\n" + TURN_2.replace(b"ang", b"sad"))),
        [("duplicate turn", ANGRY, "line 9: labelled sad, and ang earlier")],
    ),
    "two turns on a line": (
        labels((b"]" + BETWEEN + b"[1.75", b"] [1.75")),
        [
            ("unreadable line", f"{COMPLETE}_F000", f"line 3: {ANGRY} is on the line of {COMPLETE}_F000"),
            ("unreadable ratings", f"{COMPLETE}_F000", f"line 3: found {RATINGS + ' ' + TURN_2.decode()!r}"),
            ("recording without turn", ANGRY, "not in the label file"),
            ("transcript without turn", ANGRY, "not in the label file"),
        ],
    ),
    "times reversed": (
        labels((b"[1.7500 - 2.2500]", b"[2.2500 - 1.7500]")),
        [
            ("reversed times", ANGRY, "line 8: from 2.25 s to 1.75 s"),
            ("no mocap rows", ANGRY, "rows: face 0, hand 0, head 0"),
        ],
    ),
    "times without end": (
        labels((b"2.2500]", b"9" * 400 + b"]")),
        [
            ("unreadable times", ANGRY, f"line 8: found '[1.7500 - {'9' * 400}]'"),
            ("no mocap rows", ANGRY, "rows: face 0, hand 0, head 0"),
        ],
    ),
    "labels with NUL bytes": (
        labels((b"\tang\t", b"\ta\0ng\t")),
        [("NUL bytes", "", "1 of them, the first on line 8")],
    ),
    "labels with Windows line ends": (labels((b"\n", b"\r\n")), [("CRLF line ends", "", "21 lines")]),
    "labels with line ends of the old Macintosh": (
        labels((b"\n", b"\r")),
        [("CRLF line ends", "", "21 lines that end in CR alone")],
    ),
    "labels with a BOM": (labels((b"% [", b"\xef\xbb\xbf% [")), []),
    "labels empty": (
        lambda layout: layout.annotation_path(COMPLETE).write_bytes(b""),
        [
            (
                "unreadable file",
                "",
                f"label file '{RATED}': found no turn of dialogue '{COMPLETE}' in 1 lines; expected lines like "
                "'[6.2901 - 8.2357]\\tSes01F_impro01_F000\\tneu\\t[2.5000, 2.5000, 2.5000]'",
            ),
            *UNLABELLED,
        ],
    ),
    # Transcripts.
    "transcripts missing": (
        lambda layout: layout.transcript_path(COMPLETE).unlink(),
        [("missing transcript file", "", "no such file"), *UNSPOKEN],
    ),
    "transcripts in UTF-16": (
        lambda layout: layout.transcript_path(COMPLETE).write_text(transcript_bytes(COMPLETE).decode(), "utf-16"),
        [
            (
                "unreadable file",
                "",
                f"file '{SPOKEN}', line 1: {UTF_16}; expected transcripts in UTF-8",
            ),
            *UNSPOKEN,
        ],
    ),
    "transcript without colon": (
        words((b"]: I said: ", b"] I said ")),
        [
            ("unreadable line", ANGRY, "line 2: no colon after the id and its times"),
            ("missing transcript", ANGRY, "no line"),
        ],
    ),
    "transcript twice": (
        words((b": Oh.\n", b": Oh.\nSes01F_impro01_M000 [1-2]: Again.\n")),
        [("duplicate transcript", ANGRY, "line 5: its id is already on an earlier line")],
    ),
    "transcript with NUL bytes": (
        words((b"I said", b"I\0\0 said")),
        [("NUL bytes", "", "2 of them, the first on line 2")],
    ),
    "transcript in Latin-1 with Windows line ends": (
        words((b"\n", b"\r\n"), (b"no.", b"n\xf6.")),
        [("CRLF line ends", "", "4 lines"), ("not UTF-8", "", "line 2 holds the byte 0xf6")],
    ),
    # Motion.
    "motion missing a column": (
        motion(line(5, lambda row: row.rsplit(b" ", 1)[0] + b"\n")),
        [
            (
                "unreadable file",
                "",
                f"mocap file '{MOVED}', line 5: found 7 fields; expected 8: frame, time and 6 values",
            )
        ],
    ),
    "motion with a word": (
        motion(line(6, lambda row: row.replace(b" 3.00200", b" lost"))),
        [
            (
                "unreadable file",
                "",
                f"mocap file '{MOVED}', line 6: found 'lost'; expected a number, or NaN for a lost marker",
            )
        ],
    ),
    "motion with a NUL byte": (
        motion(line(6, lambda row: row.replace(b" 3.00200", b" 3.\x000200"))),
        [("unreadable file", "", f"mocap file '{MOVED}', line 6: holds a NUL byte; expected numbers and spaces")],
    ),
    "motion with a return in a row": (
        motion(line(6, lambda row: row.replace(b" 3.00200", b"\r 3.00200"))),
        [
            (
                "unreadable file",
                "",
                f"mocap file '{MOVED}', line 6: holds a CR inside the line; expected lines that end in LF or CRLF",
            )
        ],
    ),
    "motion with line ends of the old Macintosh": (
        motion(lambda content: content.replace(b"\n", b"\r")),
        [
            (
                "unreadable file",
                "",
                f"mocap file '{MOVED}', line 1: holds a CR inside the line; expected lines that end in LF or CRLF",
            )
        ],
    ),
    "motion with a gap": (
        motion(lambda content: b"\n".join(content.split(b"\n")[:42] + content.split(b"\n")[62:])),
        [("mocap gap", "", "1 gaps, the longest of 1.050 s, starting at 2.000 s")],
    ),
    "motion all NaN": (lost(slice(None)), [("lost mocap", "", "no value in 80 rows")]),
    "motion lost for one utterance": (
        lost(slice(35, 44)),
        [("lost mocap", ANGRY, "no value in 9 rows")],
    ),
    "motion broken off": (
        motion(lambda content: content[:-20]),
        [("truncated mocap", "", "line 82 has 6 of 8 fields")],
    ),
    "motion without rows": (
        motion(lambda content: b"".join(content.splitlines(keepends=True)[:2])),
        [("empty mocap", "", "no row")],
    ),
}
#: What follows from the rows that an utterance has, and is in the table without damage too.
FOLLOWS = "few mocap rows"


def told(prepared_dir):
    with (prepared_dir / "irregularities.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["kind"] != FOLLOWS]
    assert all(row["policy"].endswith(".") for row in rows)
    return Counter((row["kind"], row["utterance_id"], row["detail"]) for row in rows)


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undamaged")
    prepare_corpus(write_tiny_corpus(folder / "corpus").root, folder / "prepared", SpeechSettings(), jobs=1)
    return told(folder / "prepared")


@pytest.mark.parametrize(("damage", "expected"), CASES.values(), ids=CASES.keys())
def test_damage_is_told_with_its_place_and_nothing_becomes_zeros(tmp_path, undamaged, damage, expected):
    layout = write_tiny_corpus(tmp_path / "the actors' own")
    damage(layout)
    prepare_corpus(layout.root, tmp_path / "prepared", SpeechSettings(), jobs=1)
    assert told(tmp_path / "prepared") - undamaged == Counter(expected)
    store = FeatureStore.open(tmp_path / "prepared")
    features = store.load([utterance.utterance_id for utterance in store.utterances([1])])
    for row, num_frames in enumerate(features.speech_lengths):
        # pyAudioAnalysis gives even silence an entropy and an MFCC: a frame of zeros is none of its own.
        assert features.speech([row])[0, :num_frames].any(axis=1).all()
    if "mocap" in store.modalities:
        windows = features.mocap(range(len(features)))
        assert not (windows == 0).all(axis=2).any()


def test_the_command_survives_damage_of_every_file(tmp_path):
    layout = write_tiny_corpus(tmp_path / "corpus")
    for name in ("wav of NaN", "turn twice", "transcripts in UTF-16", "motion with a word", "motion all NaN"):
        CASES[name][0](layout)
    done = type_command(tmp_path, "prepare", "corpus", "--jobs", "1", columns=200)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Traceback" not in done.stdout
    for kind in ("unreadable recording", "duplicate turn", "unreadable file", "lost mocap"):
        assert kind in done.stdout
