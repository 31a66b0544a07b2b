"""The emotions of recordings, each on its own, or of the turns of a dialogue, by a saved model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from harness.corpus.audio import read_recording
from harness.corpus.irregularities import Irregularity, IrregularityKind, irregularity_of
from harness.corpus.layout import MocapStream
from harness.corpus.mocap import MocapTrack, read_mocap, rows_between
from harness.corpus.utterances import Emotion, Utterance, scene_of
from harness.errors import CorpusError, HarnessError, ModelError, ShapeError
from harness.features.context import Context, ContextTurns
from harness.features.dialogues import SPEAKERS
from harness.features.mocap import MOCAP_COLUMNS, NUM_MOCAP_COLUMNS, NUM_WINDOWS, average_windows
from harness.features.speech import SpeechSettings, column_names, extract_speech
from harness.features.store import Features
from harness.final.answers import predict_mean, refuse_own_features
from harness.final.recorded import Recorded, RecordedTurn, require_file
from harness.final.saved_model import ModelRecord
from harness.splits.scenes import find_group

#: How each modality is given on the command line, and of a dialogue.
OPTIONS = {"speech": "a recording as WAV", "text": "the words as --text", "mocap": "a motion file as --mocap"}
OF_TURNS = {
    "speech": "a recording of every turn, in the column 'wav' or as 01_F.wav",
    "text": "the words of every turn, in the column 'text' or as 01_F.txt",
    "mocap": "a motion file of every turn, in the column 'mocap' of a CSV file",
}

#: Turns that one speaker can have in a dialogue: an id has three digits for them.
MAX_TURNS = 1000
#: Utterances that a network answers at once; it is loaded once for them. A choice: a few hundred MB of features.
_BATCH = 64


@dataclass(frozen=True)
class Classification:
    """The answer of a model for one utterance.

    Attributes:
        probabilities: of each class, from 0 to 1, in the order of the model's outputs
        irregularities: of the files that the model read, in the order of reading
    """

    probabilities: Mapping[Emotion, float]
    irregularities: tuple[Irregularity, ...]

    @property
    def emotion(self) -> Emotion:
        """The class with the highest probability."""
        return max(self.probabilities, key=self.probabilities.__getitem__)


def predict_dialogue(
    model_dir: Path, turns: Sequence[RecordedTurn], scene: str | None = None, speaker_wavs: Path | None = None
) -> tuple[Classification, ...]:
    """Average the probabilities of a model's seeds for each turn of a dialogue; one recording is one of one turn.

    A model in context reads all the turns that its context allows; another one reads each turn on its own. Where
    scenes were disjoint in training, each seed has one network a group of scenes: all of them answer, for a new
    recording plays no scene that one of them has read.

    Args:
        turns: of at most two speakers, in the order of the conversation
        scene: of the corpus, such as ``impro03``, if the dialogue plays one; then only the networks answer that have
            not read it, as in a test evaluation
        speaker_wavs: a folder of recordings by the speaker of all turns, for a model that scales speech by speaker.
            None for the training utterances' mean and deviation; but where ``turns`` name their speakers, all turns
            of each scale his or her speech and motion. Where a speaker's turns so far do, those are read from
            ``turns``, and the recordings, of which there may be none, precede them

    Raises:
        ModelError: the model is damaged, reads a user's own features or a modality that a turn lacks; ``scene`` is
            none or was read by every network; or the model needs ``speaker_wavs``, or does not scale by speaker
        CorpusError: a file cannot be read as what it should be, or a speaker has too many turns
    """
    record = ModelRecord.read(model_dir)
    refuse_own_features(model_dir, record, "from a recording")
    for turn in turns:
        given = _given(turn)
        for modality in record.modalities:
            if given[modality] is None:
                expected = OF_TURNS[modality] if turn.place else f"{OPTIONS[modality]} too"
                raise ModelError(
                    f"{f'{turn.place}: ' if turn.place else ''}model {str(model_dir)!r}: was trained with "
                    f"{', '.join(sorted(record.modalities))}, and {modality} is missing; expected {expected}"
                )
    group = None if scene is None else _group_without(record, scene, model_dir)
    features, irregularities = read_recorded(record, turns)
    recordings: list[np.ndarray[Any, Any]] = []
    if speaker_wavs is not None:
        if not _scales_by_speaker(record):
            raise ModelError(
                f"model {str(model_dir)!r}: does not scale speech by speaker, protocol {record.protocol.name!r}; omit "
                "--speaker-wavs"
            )
        recordings = _read_speaker(speaker_wavs, features.speech_settings, turns, record)
    if record.protocol.scales_by_past:
        speakers = [turn.speaker for turn in turns]
        features = features.scale_by_turns(speakers, is_past=True, recordings=recordings)
    elif speaker_wavs is not None:
        features = features.scale_by(recordings)
    elif record.protocol.scales_by_speaker and all(turn.speaker for turn in turns):
        features = features.scale_by_turns([turn.speaker for turn in turns], is_past=False)
    elif _scales_by_speaker(record) and record.turn_model is None and record.is_in_context:
        # A regression over functionals has no statistics of the training utterances to fall back on.
        raise ModelError(
            f"model {str(model_dir)!r}: reads speech that is scaled by its speaker's own turns; expected other "
            "recordings of the speaker as --speaker-wavs, or the dialogue as --dialogue"
        )
    probabilities = predict_mean(model_dir, record, features, group)
    classes = [Emotion(name) for name in record.classes]
    return tuple(
        Classification(dict(zip(classes, map(float, row), strict=True)), found)
        for row, found in zip(probabilities, irregularities, strict=True)
    )


def _given(turn: RecordedTurn) -> dict[str, Path | str | None]:
    """Return what was given of a turn, by modality."""
    recorded = turn.recorded
    return {"speech": recorded.wav_path, "text": recorded.transcript, "mocap": recorded.mocap_path}


def note_unread(model_dir: Path, turns: Sequence[RecordedTurn]) -> str | None:
    """Return a sentence on what was given and the model does not read; None where it reads everything.

    Raises:
        ModelError: the model is damaged
    """
    record = ModelRecord.read(model_dir)
    unread = [
        modality
        for modality in OPTIONS
        if modality not in record.modalities and any(_given(turn)[modality] is not None for turn in turns)
    ]
    if not unread:
        return None
    read = ", ".join(sorted(record.modalities))
    return f"Not read: {', '.join(unread)}, for the model was trained with {read} alone."


def predict_each(
    model_dir: Path, turns: Sequence[RecordedTurn], scene: str | None = None, speaker_wavs: Path | None = None
) -> Iterator[Classification | HarnessError]:
    """Answer utterances that have nothing to do with each other, each as if it were given alone.

    Args:
        turns: with a place each, of any number of speakers, whose names do not count
        scene, speaker_wavs: as ``predict_dialogue``; one speaker for all

    Yields:
        the answer to each, in order; for one that cannot be read, the error in its place
    """
    record = ModelRecord.read(model_dir)
    # Where a model reads other turns, or scales by them, each utterance must stay alone.
    size = 1 if record.is_in_context or record.protocol.scales_by_past else _BATCH
    for first in range(0, len(turns), size):
        batch = [replace(turn, speaker="") for turn in turns[first : first + size]]
        try:
            yield from predict_dialogue(model_dir, batch, scene, speaker_wavs)
        except HarnessError as error:
            if len(batch) == 1:
                yield error
                continue
            for turn in batch:
                try:
                    yield from predict_dialogue(model_dir, [turn], scene, speaker_wavs)
                except HarnessError as of_turn:
                    yield of_turn


def note_speaker_scaling(model_dir: Path, speaker_wavs: Path | None, *, is_dialogue: bool = False) -> str | None:
    """Return sentences on whose statistics scale speech and motion; None where the model scales neither by speaker.

    Args:
        is_dialogue: whether the turns of a dialogue were given, whose speakers are named

    Raises:
        ModelError: the model is damaged
    """
    record = ModelRecord.read(model_dir)
    names = {"speech": "speech", "mocap": "motion"}
    scaled = [name for modality, name in names.items() if modality in record.modalities]
    if not scaled or not record.protocol.scales_by_speaker:
        return None
    are_scaled = f"{' and '.join(scaled)} {'are' if len(scaled) > 1 else 'is'} scaled"
    by_training = "by the mean and the deviation of the training utterances."
    if record.protocol.scales_by_past:
        note = (
            f"Adapted to the speaker without labels: {are_scaled} by the training utterances and, the more there are, "
            "by the speaker's turns up to the scaled one."
        )
        if speaker_wavs is not None:
            note += f" The recordings in {str(speaker_wavs)!r} count as if the speaker had said them before."
        return note
    if is_dialogue:
        return (
            f"Adapted to the speakers without labels: {are_scaled} by all turns of the speaker in the dialogue. The "
            "fewer those are, the less this is as in training."
        )
    if speaker_wavs is None:
        note = f"Not adapted to the speaker as in training: {are_scaled} {by_training}"
        return f"{note} Give a folder of the speaker's recordings with --speaker-wavs." if "speech" in scaled else note
    note = f"Adapted to the speaker without labels: speech is scaled by the recordings in {str(speaker_wavs)!r}."
    return f"{note} Motion is not adapted as in training: it is scaled {by_training}" if "motion" in scaled else note


def _scales_by_speaker(record: ModelRecord) -> bool:
    return "speech" in record.modalities and record.protocol.scales_by_speaker


def _read_speaker(
    folder: Path, settings: SpeechSettings, turns: Sequence[RecordedTurn], record: ModelRecord
) -> list[np.ndarray[Any, Any]]:
    paths = sorted(folder.glob("*.wav"))
    if not paths and not (record.protocol.scales_by_past and folder.is_dir()):
        raise ModelError(f"folder {str(folder)!r}: has no .wav file; expected recordings of the speaker")
    if record.protocol.scales_by_past:
        # A turn counts by itself already.
        given = {turn.recorded.wav_path.resolve() for turn in turns if turn.recorded.wav_path is not None}
        paths = [path for path in paths if path.resolve() not in given]
    return [_read_frames(path, settings, []).astype(np.float32) for path in paths]


def note_context(model_dir: Path, *, is_alone: bool) -> str | None:
    """Return a sentence on the turns that a model in context reads here; None where nothing is to be said.

    Args:
        is_alone: whether one recording was given, and no dialogue

    Raises:
        ModelError: the model is damaged
    """
    record = ModelRecord.read(model_dir)
    context = record.hyperparameters.get("context", Context.NONE)
    if context == Context.NONE:
        return None
    if is_alone:
        return (
            f"Read as a dialogue of one turn: {record.system} with context {context!r} answers from the other turns "
            "too; give them with --dialogue."
        )
    if record.hyperparameters.get("turns") == ContextTurns.LABELLED_ONLY:
        return (
            "Every turn is in the dialogue, for none has a label; the model was trained on dialogues of the scored "
            "classes' turns alone."
        )
    return None


def _group_without(record: ModelRecord, scene: str, model_dir: Path) -> int:
    """Return the number of the group whose networks have not read a scene."""
    if not record.scene_groups:
        raise ModelError(
            f"model {str(model_dir)!r}: was trained with scenes shared, so its networks have read every scene; omit "
            "--scene"
        )
    try:
        found = scene_of(f"Ses01F_{scene}")
    except CorpusError:
        raise ModelError(
            f"scene {scene!r}: is not in the corpus; expected one like 'impro03' or 'script01_1'"
        ) from None
    return find_group([frozenset(group) for group in record.scene_groups], found) + 1


def read_recorded(
    record: ModelRecord, turns: Sequence[RecordedTurn]
) -> tuple[Features, tuple[tuple[Irregularity, ...], ...]]:
    """Read the inputs of a model for the turns of a dialogue, and the irregularities of each turn's files.

    Raises:
        ModelError, CorpusError, ShapeError: as ``predict_dialogue``
    """
    utterances = _name_turns(record, turns)
    settings = SpeechSettings.from_json(record.speech_settings) if record.speech_settings else SpeechSettings()
    columns = column_names(settings)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    if "speech" in record.modalities:
        speech = np.zeros((len(turns), settings.max_frames, len(columns)), np.float32)
        arrays |= {"speech": speech, "speech_lengths": np.zeros(len(turns), np.int64)}
    if "mocap" in record.modalities:
        mocap = np.zeros((len(turns), NUM_WINDOWS, NUM_MOCAP_COLUMNS), np.float32)
        arrays |= {"mocap": mocap, "mocap_rows": np.zeros(len(turns), np.int64)}
    # The turns of a dialogue are parts of the same files, as a rule.
    read_track = lru_cache(len(MocapStream))(read_mocap)
    irregularities = []
    for row, turn in enumerate(turns):
        found: list[Irregularity] = []
        try:
            if "speech" in arrays and turn.recorded.wav_path is not None:
                frames = _read_frames(turn.recorded.wav_path, settings, found)
                arrays["speech"][row, : len(frames)] = frames
                arrays["speech_lengths"][row] = len(frames)
            if "mocap" in arrays and turn.recorded.mocap_path is not None:
                windows, num_rows = _read_windows(turn.recorded, turn.recorded.mocap_path, read_track, found)
                arrays["mocap"][row], arrays["mocap_rows"][row] = windows, num_rows
        except (CorpusError, ModelError, ShapeError) as error:
            raise type(error)(f"{turn.place}: {error}" if turn.place else str(error)) from None
        irregularities.append(tuple(found))
    return Features.from_arrays(utterances, settings, columns, arrays), tuple(irregularities)


def _name_turns(record: ModelRecord, turns: Sequence[RecordedTurn]) -> list[Utterance]:
    """Give turns the ids and the starts that put them in order; neither says anything else about the recording."""
    # Alone, each is of the actor who wears the markers: what is given as a turn's motion is the speaker's own.
    in_context = record.is_in_context
    letters = [SPEAKERS[in_context and turn.speaker != turns[0].speaker] for turn in turns]
    numbers: Counter[str] = Counter()
    utterances = []
    for row, (turn, letter) in enumerate(zip(turns, letters, strict=True)):
        if numbers[letter] == MAX_TURNS:
            raise CorpusError(f"{turn.place}: is one turn too many; expected at most {MAX_TURNS} turns of a speaker")
        utterances.append(
            Utterance(
                utterance_id=f"Ses01F_impro01_{letter}{numbers[letter]:03d}",
                emotion=Emotion.UNDECIDED,
                valence=math.nan,
                activation=math.nan,
                dominance=math.nan,
                start=float(row),
                end=float(row + 1),
                transcript=turn.recorded.transcript,
                wav_path=None,
                num_mocap_rows=0,
            )
        )
        numbers[letter] += 1
    return utterances


def _read_frames(path: Path, settings: SpeechSettings, found: list[Irregularity]) -> np.ndarray[Any, Any]:
    require_file(path, f"recording {str(path)!r}", "a wav file")
    recording, irregularities = read_recording(path)
    if recording is None:
        raise ModelError(f"recording {str(path)!r}: {irregularities[0].detail}; give a wav file with sound")
    found += irregularities
    try:
        return extract_speech(recording.samples, settings)
    except ShapeError as error:
        named = str(error).removeprefix("the recording ")
        raise ModelError(f"recording {str(path)!r}: {named}; give a longer one") from error


def _read_windows(
    recorded: Recorded,
    face_path: Path,
    read_track: Callable[[Path, MocapStream], tuple[MocapTrack, list[Irregularity]]],
    found: list[Irregularity],
) -> tuple[np.ndarray[Any, Any], int]:
    windows = np.full((NUM_WINDOWS, NUM_MOCAP_COLUMNS), np.nan, np.float32)
    num_rows = dict.fromkeys(MocapStream, 0)
    for stream in MocapStream:
        path = face_path if stream is MocapStream.FACE else face_path.parents[1] / stream.folder / face_path.name
        layout = f"the {stream} file in {stream.folder!r} beside {MocapStream.FACE.folder!r}"
        require_file(path, f"motion file {str(path)!r}", f"the corpus's layout, with {layout}")
        track, irregularities = read_track(path, stream)
        found += irregularities
        rows = rows_between(track, recorded.start, recorded.end)
        windows[:, MOCAP_COLUMNS[stream]] = average_windows(track.values[rows], NUM_WINDOWS)
        num_rows[stream] = rows.stop - rows.start
    if num_rows[MocapStream.FACE] == 0:
        bounds = [f"after {recorded.start:g} s"] if recorded.start != -math.inf else []
        bounds += [f"before {recorded.end:g} s"] if recorded.end != math.inf else []
        expected = "a start and an end inside the recording" if bounds else "a file with rows of motion"
        where = f" {' and '.join(bounds)}" if bounds else ""
        raise ModelError(f"motion file {str(face_path)!r}: has no row{where}; expected {expected}")
    if min(num_rows.values()) < NUM_WINDOWS:
        detail = ", ".join(f"{stream} {count}" for stream, count in num_rows.items())
        found.append(irregularity_of(IrregularityKind.FEW_MOCAP_ROWS, face_path, f"rows: {detail}"))
    return windows, num_rows[MocapStream.FACE]
