"""Some dialogues of the synthetic corpus at the real corpus's length: recordings, labels and motion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from joblib import Parallel, delayed

from harness.corpus.audio import SAMPLING_RATE
from harness.corpus.layout import CorpusLayout, MocapStream
from harness.corpus.synthetic import SyntheticSettings, plan_corpus
from harness.corpus.synthetic.motion import encode_mocap_file
from harness.corpus.synthetic.plan import PlannedDialogue, encode_wav
from harness.corpus.synthetic.text import encode_label_file, encode_transcription_file
from harness.corpus.synthetic.writer import LETTERS, record_dialogue

#: As many utterances as the real corpus, of its mean length, and its rows a second.
SETTINGS = SyntheticSettings(scale=1.0, seconds_per_utterance=4.6, mocap_rate=119.9, irregularities=False)


def write_long_corpus(layout: CorpusLayout, num_dialogues: int, num_rows: int) -> list[str]:
    """Write dialogues of the five sessions in turn, each cut to the same length.

    Args:
        num_rows: of each mocap file, at 119.9 a second

    Returns:
        the dialogues' ids, in the order of the turns
    """
    dialogues = _choose_dialogues(num_dialogues, num_rows)
    Parallel(n_jobs=-1)(delayed(_write_dialogue)(layout, dialogue) for dialogue in dialogues)
    return [dialogue.dialogue_id for dialogue in dialogues]


def link_dialogues(layout: CorpusLayout, dialogue_ids: Iterable[str], root: Path) -> Path:
    """Make a smaller corpus of links to a larger one's files, and return its root."""
    for dialogue_id in dialogue_ids:
        for path in layout.dialogue_files(dialogue_id):
            link = root / layout.relative(path)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    return root


def _choose_dialogues(num_dialogues: int, num_rows: int) -> list[PlannedDialogue]:
    # Half a row more, so that rounding takes none away.
    seconds = (num_rows + 0.5) / SETTINGS.mocap_rate
    long_enough = [one for one in plan_corpus(SETTINGS).dialogues if one.seconds >= seconds]
    by_session = [[one for one in long_enough if one.session == session] for session in range(1, 6)]
    in_turn = [one for group in zip(*by_session, strict=False) for one in group]
    if len(in_turn) < num_dialogues:
        raise SystemExit(
            f"found {len(in_turn)} dialogues of {num_rows} rows or more; expected {num_dialogues}"
        )
    return [_cut_dialogue(one, seconds) for one in in_turn[:num_dialogues]]


def _cut_dialogue(dialogue: PlannedDialogue, seconds: float) -> PlannedDialogue:
    kept = tuple(one for one in dialogue.utterances if one.end < seconds)
    return replace(dialogue, utterances=kept, seconds=seconds)


def _write_dialogue(layout: CorpusLayout, dialogue: PlannedDialogue) -> None:
    name = dialogue.dialogue_id
    channels = record_dialogue(SETTINGS, dialogue)
    _write(layout.annotation_path(name), [encode_label_file(SETTINGS, dialogue)])
    _write(layout.transcript_path(name), [encode_transcription_file(SETTINGS, dialogue)])
    _write(layout.dialogue_wav_path(name), [encode_wav(channels)])
    for stream in MocapStream:
        _write(layout.mocap_path(name, stream), encode_mocap_file(SETTINGS, dialogue, stream))
    for utterance in dialogue.utterances:
        first, last = (round(time * SAMPLING_RATE) for time in (utterance.start, utterance.end))
        samples = channels[first:last, LETTERS.index(utterance.speaker_letter)]
        _write(layout.utterance_wav_path(utterance.utterance_id), [encode_wav(samples)])


def _write(path: Path, parts: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.writelines(parts)
