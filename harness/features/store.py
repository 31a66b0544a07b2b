"""Prepared features as trials open them: memory-mapped, and only the sessions that they name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.corpus.layout import MocapStream
from harness.corpus.utterances import CLASSES, Emotion, Happiness, Utterance, class_of, parse_utterance_id
from harness.errors import FeatureError, one_line
from harness.features.functionals import NUM_FUNCTIONALS, compute_functionals, functionals_of
from harness.features.manifest import PREPARE_AGAIN, UTTERANCES_NAME, ArrayRecord, Manifest, read_utterances
from harness.features.mocap import NUM_MOCAP_COLUMNS, NUM_WINDOWS
from harness.features.own import OwnFeatures
from harness.features.scaling import (
    BACKGROUND_SECONDS,
    BACKGROUND_TURNS,
    BACKGROUND_WINDOWS,
    ColumnScaling,
    Moments,
    SpeakerMoments,
    TurnMoments,
    Turns,
    chunks,
)
from harness.features.speech import SpeechSettings
from harness.files import read_npy
from harness.splits.protocol import Protocol, SpeakerScaling, SpeechSource, is_tested, search_sessions

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.integer] | Sequence[int]
#: The arrays of a session by name; those of a user's own frames are ``JoinedFrames``.
Block = Mapping[str, Any]


class JoinedFrames:
    """The frames of utterances that stand one after the other, read as if each had the same number of them."""

    def __init__(self, frames: Floats, lengths: npt.NDArray[np.int64]) -> None:
        self._frames = frames
        self._ends = np.cumsum(lengths)
        self._lengths = lengths

    def __getitem__(self, place: tuple[int | npt.NDArray[np.int64], slice]) -> Floats:
        """Return the first frames, to the end of the slice, of one row or of some.

        Returns:
            float32 (num_frames, num_columns) for one row, no more than it has; for some (num_rows, num_frames,
            num_columns), 0 beyond a row's length
        """
        rows, steps = place
        if np.ndim(rows) == 0:
            end = int(self._ends[rows])
            return self._frames[end - int(self._lengths[rows]) : end][steps]
        gathered = np.zeros((np.size(rows), steps.stop, self._frames.shape[1]), dtype=np.float32)
        for number, row in enumerate(np.asarray(rows)):
            found = self[row, steps]
            gathered[number, : len(found)] = found
        return gathered


@dataclass(frozen=True, eq=False)
class Features:
    """Features of some utterances, in the order of the request; the large arrays are read on demand.

    They are unscaled, but for speech (and for motion, by ``scale_mocap``) where ``FeatureStore.speaker_scaling`` says
    otherwise. Where each turn is scaled by the speaker's turns so far, ``against`` must say first what the first ones
    begin from.

    Attributes:
        speech_lengths: int64 (num_utterances,), frames that are there; 0 where there is no sound
        mocap_rows: int64 (num_utterances,), rows of the face file; 0 where there is no motion
        speech_columns: the names of a frame's numbers
        happiness: decides the classes
        prepared_dir: the folder that they were loaded from; None for features given as arrays
        text_features: a user's file that stands for the words; None where words are read
        text_lengths: int64 (num_utterances,), its frames that are there; 0 without such a file
    """

    utterances: tuple[Utterance, ...]
    speech_lengths: npt.NDArray[np.int64]
    mocap_rows: npt.NDArray[np.int64]
    speech_settings: SpeechSettings
    speech_columns: tuple[str, ...]
    _blocks: tuple[Block, ...] = field(repr=False)
    _block_of: npt.NDArray[np.int64] = field(repr=False)
    _row_of: npt.NDArray[np.int64] = field(repr=False)
    happiness: Happiness = Happiness.EXCITED
    prepared_dir: Path | None = None
    text_features: OwnFeatures | None = None
    text_lengths: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    _load_dialogues: Callable[[Sequence[str]], Features] | None = field(default=None, repr=False)
    _speakers: SpeakerMoments | None = field(default=None, repr=False)
    _background: ColumnScaling | None = field(default=None, repr=False)

    @classmethod
    def from_arrays(
        cls,
        utterances: Sequence[Utterance],
        speech_settings: SpeechSettings,
        speech_columns: Sequence[str],
        arrays: Block,
        happiness: Happiness = Happiness.EXCITED,
        text_features: OwnFeatures | None = None,
    ) -> Features:
        """Hold arrays that are in memory already.

        Args:
            arrays: ``speech``, ``speech_lengths``, ``mocap``, ``mocap_rows``, as a session's files have them but for
                frames of the same number in every row; a missing modality has none. With ``text_features`` also
                ``text`` and ``text_lengths``
        """
        nothing = np.zeros(len(utterances), dtype=np.int64)
        return cls(
            utterances=tuple(utterances),
            speech_lengths=arrays.get("speech_lengths", nothing),
            mocap_rows=arrays.get("mocap_rows", nothing),
            speech_settings=speech_settings,
            speech_columns=tuple(speech_columns),
            _blocks=(arrays,),
            _block_of=nothing,
            _row_of=np.arange(len(utterances)),
            happiness=happiness,
            text_features=text_features,
            text_lengths=arrays.get("text_lengths", nothing),
        )

    def __len__(self) -> int:
        return len(self.utterances)

    @cached_property
    def emotions(self) -> npt.NDArray[np.int64]:
        """int64 (num_utterances,), each utterance's class as an index into ``CLASSES``; -1 for another label."""
        numbers = {emotion: number for number, emotion in enumerate(CLASSES)}
        classes = [class_of(utterance.emotion, self.happiness) for utterance in self.utterances]
        return np.array([-1 if emotion is None else numbers[emotion] for emotion in classes], dtype=np.int64)

    @cached_property
    def activation(self) -> Floats:
        """float32 (num_utterances,), the raters' mean, 1 (calm) to 5 (excited); NaN where there is none."""
        return np.array([utterance.activation for utterance in self.utterances], dtype=np.float32)

    @cached_property
    def valence(self) -> Floats:
        """float32 (num_utterances,), the raters' mean, 1 (negative) to 5 (positive); NaN where there is none."""
        return np.array([utterance.valence for utterance in self.utterances], dtype=np.float32)

    @cached_property
    def vote_shares(self) -> Floats:
        """float32 (num_utterances, 4), the share of the raters' votes for each class; NaN where none is for any.

        A rater has one vote, in equal parts for the labels that he named. Parts for labels of no class do not count.
        """
        numbers = {emotion: number for number, emotion in enumerate(CLASSES)}
        shares = np.zeros((len(self), len(CLASSES)))
        for row, utterance in enumerate(self.utterances):
            for vote in utterance.votes:
                for label in vote:
                    emotion = class_of(label, self.happiness)
                    if emotion is not None:
                        shares[row, numbers[emotion]] += 1.0 / len(vote)
        totals = shares.sum(axis=1, keepdims=True)
        np.divide(shares, totals, out=shares, where=totals > 0)
        shares[totals[:, 0] == 0] = np.nan
        return shares.astype(np.float32)

    @property
    def utterance_ids(self) -> tuple[str, ...]:
        """The ids, in the order of the request."""
        return tuple(utterance.utterance_id for utterance in self.utterances)

    def select(self, utterance_ids: Sequence[str]) -> Features:
        """Keep some of the utterances, in the order of the request.

        Raises:
            FeatureError: an id is not among them
        """
        row_of = {name: row for row, name in enumerate(self.utterance_ids)}
        for name in utterance_ids:
            if name not in row_of:
                raise FeatureError(
                    f"utterance {name!r}: not among the {len(self)} utterances of these features; expected one of them"
                )
        rows = np.array([row_of[name] for name in utterance_ids], dtype=np.int64)
        return replace(
            self,
            utterances=tuple(self.utterances[row] for row in rows),
            speech_lengths=self.speech_lengths[rows],
            mocap_rows=self.mocap_rows[rows],
            text_lengths=self.text_lengths[rows],
            _block_of=self._block_of[rows],
            _row_of=self._row_of[rows],
        )

    @property
    def transcripts(self) -> tuple[str | None, ...]:
        """The words of each utterance; None where the corpus has no transcript."""
        return tuple(utterance.transcript for utterance in self.utterances)

    @cached_property
    def all_turns(self) -> Features:
        """The features of every turn, whatever its label, of the dialogues of these utterances.

        Features that were given as arrays are whole dialogues already. No session is opened that was not opened
        for the utterances themselves.

        Raises:
            FeatureError: a file is missing, damaged or contradicts the manifest
        """
        if self._load_dialogues is None:
            return self
        return replace(self._load_dialogues(self.utterance_ids), _background=self._background)

    def scale_by(self, recordings: Iterable[Floats]) -> Features:
        """Return the same features, with all speech scaled as that of one speaker.

        Args:
            recordings: of the speaker, each float32 (num_frames, num_columns), unscaled; they are overwritten
        """
        known = list(recordings)
        moments, functionals = self._measure(frames.copy() for frames in known), self._no_functionals()
        scaling = moments.finish(self.speech_columns)
        for frames in known:
            if len(frames):
                scaling.scale(frames)
                found = functionals_of(frames[None].astype(np.float64), np.array([len(frames)]))
                functionals.add(found.astype(np.float32))
        return replace(
            self,
            _speakers=SpeakerMoments(
                lambda utterance: moments, lambda utterance: None, lambda utterance: functionals, is_past=False
            ),
        )

    def scale_by_turns(
        self, speakers: Sequence[str], *, is_past: bool, recordings: Iterable[Floats] = ()
    ) -> Features:
        """Return the same features; their speakers' turns among them scale the speech and the motion of each one.

        Half of a speaker's turns in the corpus show how the partner moves while listening: motion is scaled by the
        turns during which the same actor is marked.

        Args:
            speakers: of the utterances, which are in the order of time
            is_past: whether only the turns up to and including each one count for it; ``against`` and ``scale_mocap``
                say what precedes the first ones
            recordings: of what each speaker has said before, each float32 (num_frames, num_columns), unscaled; they are
                overwritten
        """
        return replace(self, _speakers=self._measure_turns(speakers, is_past, self._measure(recordings)))

    def _measure_turns(self, speakers: Sequence[str], is_past: bool, before: Moments) -> SpeakerMoments:
        ids = self.utterance_ids
        speaker_of = dict(zip(ids, speakers, strict=True))

        def rows_of(utterance: Utterance) -> list[int]:
            return [row for row, name in enumerate(ids) if speaker_of[name] == speaker_of[utterance.utterance_id]]

        def read_speech(utterance: Utterance) -> Iterator[Turns]:
            rows = rows_of(utterance)
            pieces = [[row] for row in rows]
            if not is_past:
                rows.sort(key=lambda row: ids[row])
                pieces = [[rows[place] for place in some] for some in chunks(len(rows), math.prod(self.speech_shape))]
            for some in pieces:
                frames = [self.unscaled_speech([row], self.speech_lengths[row])[0] for row in some]
                yield [ids[row] for row in some], np.concatenate(frames)

        def read_motion(utterance: Utterance) -> Iterator[Turns]:
            for row in rows_of(utterance):
                if self.utterances[row].name.marked_actor == utterance.name.marked_actor:
                    yield [ids[row]], self.mocap([row])[0]

        def read_functionals(utterance: Utterance) -> Iterator[Turns]:
            rows = sorted(rows_of(utterance), key=lambda row: ids[row])
            spoken = np.array([row for row in rows if self.speech_lengths[row]], dtype=np.int64)
            found = [compute_functionals(replace(self, _speakers=speakers_of_turns), spoken)] if len(spoken) else []
            empty = np.zeros((0, NUM_FUNCTIONALS * len(self.speech_columns)))
            yield [ids[row] for row in rows], np.concatenate([empty, *found]).astype(np.float32)

        speakers_of_turns = SpeakerMoments(
            speech=TurnMoments(read_speech, before, is_past),
            motion=TurnMoments(read_motion, Moments(NUM_MOCAP_COLUMNS), is_past),
            functionals=TurnMoments(read_functionals, self._no_functionals(), is_past),
            is_past=is_past,
        )
        return speakers_of_turns

    def _no_functionals(self) -> Moments:
        return Moments(NUM_FUNCTIONALS * len(self.speech_columns))

    def _measure(self, recordings: Iterable[Floats]) -> Moments:
        moments = Moments(len(self.speech_columns))
        for frames in recordings:
            moments.add(frames)
        return moments

    @property
    def needs_background(self) -> bool:
        """True where ``against`` must be called before speech is read."""
        return self._speakers is not None and self._speakers.is_past and self._background is None

    def against(self, background: ColumnScaling | None) -> Features:
        """Return the same features; each speaker's turns so far are preceded by ``BACKGROUND_SECONDS`` of training.

        Anything that is not scaled by turns so far stays as it is.

        Args:
            background: mean and deviation of the training utterances' unscaled frames; None where no speech is read
        """
        if self._speakers is None or not self._speakers.is_past or background is None:
            return self
        return replace(self, _background=background)

    @cached_property
    def is_marked(self) -> npt.NDArray[np.bool_]:
        """bool (num_utterances,), whether the motion is the speaker's own."""
        return np.array([utterance.is_marked for utterance in self.utterances], dtype=bool)

    @property
    def speech_shape(self) -> tuple[int, int]:
        """Most frames of an utterance, and numbers of a frame."""
        return self.speech_settings.max_frames, len(self.speech_columns)

    @property
    def mocap_shape(self) -> tuple[int, int]:
        """Windows of an utterance, and columns of a window."""
        return NUM_WINDOWS, NUM_MOCAP_COLUMNS

    @property
    def is_scaled_by_speaker(self) -> bool:
        """True where ``speech`` gives frames that are scaled by their speaker's own mean and deviation."""
        return self._speakers is not None

    def speech(self, rows: Rows, num_frames: int | None = None) -> Floats:
        """Copy the frames of some utterances, the first ``num_frames`` or all, scaled where speakers are.

        Returns:
            float32 (num_rows, num_frames, num_columns), 0 beyond an utterance's length

        Raises:
            FeatureError: the corpus has no speech; or it is scaled by turns so far, and ``against`` was not called
        """
        if self.needs_background:
            raise FeatureError(
                "speech is scaled by each speaker's turns so far (speaker_scaling 'past'), and nothing says what the "
                "first ones begin from; expected the statistics of the training utterances"
            )
        frames = self.unscaled_speech(rows, num_frames)
        if self._speakers is not None:
            for place, row in enumerate(rows):
                utterance = self.utterances[row]
                if utterance.utterance_id not in self._scalings:
                    self._scalings[utterance.utterance_id] = self._finish(self._speakers.speech(utterance))
                self._scalings[utterance.utterance_id].scale(frames[place, : self.speech_lengths[row]])
        return frames

    def speaker_functionals(self, rows: Rows, background: Floats) -> Floats:
        """Return the mean functionals of the turns of each utterance's speaker, those that scale his or her speech.

        The mean of training counts as that of ``BACKGROUND_TURNS`` more turns; where no speaker is known, it is used
        alone. It is all 0 for an utterance without speech, whose functionals are 0 too.

        Args:
            background: float32 (NUM_FUNCTIONALS * num_columns,), the mean functionals of training

        Returns:
            float32 (num_rows, NUM_FUNCTIONALS * num_columns)

        Raises:
            FeatureError: speech is scaled by each speaker's turns so far
        """
        means = np.zeros((len(rows), len(background)), dtype=np.float32)
        if self._speakers is not None and self._speakers.is_past:
            raise FeatureError(
                "functionals: speech is scaled by each speaker's turns so far; expected all turns, whose functionals "
                "have a mean"
            )
        for place, row in enumerate(rows):
            if self.speech_lengths[row] and self._speakers is None:
                means[place] = background
            elif self.speech_lengths[row] and self._speakers is not None:
                moments = self._speakers.functionals(self.utterances[row])
                means[place] = moments.shrink_mean(background, BACKGROUND_TURNS)
        return means

    @cached_property
    def _scalings(self) -> dict[str, ColumnScaling]:
        """Those of the speech that was read, by utterance id."""
        return {}

    def _finish(self, moments: Moments) -> ColumnScaling:
        if self._background is None:
            return moments.finish(self.speech_columns)
        return moments.shrink(self._background, BACKGROUND_SECONDS / self.speech_settings.hop, self.speech_columns)

    def unscaled_speech(self, rows: Rows, num_frames: int | None = None) -> Floats:
        """As ``speech``, in the units of the prepared features."""
        shape = (self.speech_shape[0] if num_frames is None else num_frames, self.speech_shape[1])
        return self._gather("speech", rows, shape)

    def text_frames(self, rows: Rows, num_frames: int) -> Floats:
        """Copy the first frames of the file that stands for the words, unscaled.

        Returns:
            float32 (num_rows, num_frames, num_columns), 0 beyond an utterance's ``text_lengths``

        Raises:
            FeatureError: there is no such file
        """
        num_columns = 0 if self.text_features is None else self.text_features.num_columns
        return self._gather("text", rows, (num_frames, num_columns))

    def mocap(self, rows: Rows) -> Floats:
        """Copy the windows of some utterances.

        Returns:
            float32 (num_rows, 200, 189), NaN where a marker was lost or the window has no row

        Raises:
            FeatureError: the corpus has no mocap
        """
        return self._gather("mocap", rows, self.mocap_shape)

    def scale_mocap(self, rows: Rows, windows: Floats, background: ColumnScaling) -> None:
        """Scale the windows of some utterances in place: by their speakers where speakers are, else by training.

        Args:
            windows: float32 (num_rows, 200, 189), as ``mocap`` gives them, of the same rows; NaN stays NaN
            background: mean and deviation of the training utterances
        """
        if self._speakers is None:
            background.scale(windows)
            return
        count = BACKGROUND_WINDOWS if self._speakers.is_past else 0
        for place, row in enumerate(rows):
            moments = self._speakers.motion(self.utterances[row])
            scaling = background if moments is None else moments.shrink(background, count)
            scaling.scale(windows[place])

    def _gather(self, name: str, rows: Rows, shape: tuple[int, int]) -> Floats:
        asked = np.asarray(rows, dtype=np.int64)
        gathered = np.empty((len(asked), *shape), dtype=np.float32)
        blocks = self._block_of[asked]
        for block in np.unique(blocks):
            if name not in self._blocks[block]:
                raise FeatureError(
                    f"prepared features: hold no {name}, for the corpus has none; expected a system that does not "
                    "read it"
                )
            is_here = blocks == block
            gathered[is_here] = self._blocks[block][name][self._row_of[asked[is_here]], : shape[0]]
        return gathered


@dataclass(frozen=True)
class FeatureStore:
    """A folder of prepared features. Opening it reads the manifest alone.

    Attributes:
        happiness: decides which utterances are of the four classes
        speaker_scaling: the turns that speech and motion are scaled by
    """

    prepared_dir: Path
    manifest: Manifest
    happiness: Happiness = Happiness.EXCITED
    speaker_scaling: SpeakerScaling = SpeakerScaling.NONE
    _utterances: dict[int, tuple[Utterance, ...]] = field(default_factory=dict, repr=False, compare=False)
    _arrays: dict[int, Block] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, prepared_dir: Path, happiness: Happiness = Happiness.EXCITED) -> FeatureStore:
        """Open prepared features; give the protocol's ``happiness`` wherever classes matter.

        Raises:
            FeatureError: there are none, or the manifest is damaged
        """
        return cls(prepared_dir, Manifest.read(prepared_dir), happiness)

    @classmethod
    def open_for(cls, protocol: Protocol, prepared_dir: Path) -> FeatureStore:
        """Open prepared features with the classes and the scaled speech that a protocol chooses.

        Raises:
            FeatureError: there are none, or the manifest is damaged
        """
        return cls(prepared_dir, Manifest.read(prepared_dir), protocol.happiness, protocol.speaker_scaling)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those of ``speech``, ``text`` and ``mocap`` of which the corpus has anything."""
        return self.manifest.modalities

    @property
    def corpus_hash(self) -> str:
        """SHA-256 over the corpus's content."""
        return self.manifest.corpus_hash

    @property
    def sessions(self) -> tuple[int, ...]:
        """The sessions that the corpus has."""
        return tuple(sorted(self.manifest.sessions))

    def session_dir(self, session: int) -> Path:
        """The folder of one session's files."""
        return session_dir(self.prepared_dir, session)

    def utterances(self, sessions: Iterable[int]) -> tuple[Utterance, ...]:
        """The four-class utterances of some sessions: those of ``turns`` that are scored.

        Raises:
            FeatureError: a session's list is missing or damaged
        """
        turns = self.turns(sessions)
        return tuple(turn for turn in turns if class_of(turn.emotion, self.happiness) is not None)

    def turns(self, sessions: Iterable[int]) -> tuple[Utterance, ...]:
        """The utterances of every label of some sessions, sorted by id; no other session's file is opened.

        Sessions that the corpus does not have are left out.

        Raises:
            FeatureError: a session's list is missing or damaged
        """
        return tuple(
            utterance
            for session in sorted(set(sessions) & set(self.sessions))
            for utterance in self._list(session)
        )

    def searchable_classes(self, protocol: Protocol) -> dict[str, Emotion]:
        """The class of each four-class utterance that a search may read under a protocol, by id and sorted by it.

        Raises:
            FeatureError: a session's list is missing or damaged
        """
        return {
            turn.utterance_id: emotion
            for turn in self.turns(search_sessions(protocol))
            if not is_tested(protocol, turn.utterance_id)
            and (emotion := class_of(turn.emotion, self.happiness)) is not None
        }

    def load(self, utterance_ids: Sequence[str]) -> Features:
        """Map the features of some utterances into memory; only their sessions' files are opened.

        Args:
            utterance_ids: of utterances of any label, in any order

        Raises:
            FeatureError: an id is unknown, or a file is missing, damaged or contradicts the manifest
        """
        session_of = [parse_utterance_id(utterance_id).session for utterance_id in utterance_ids]
        sessions = sorted(set(session_of))
        blocks = tuple(self._map(session) for session in sessions)
        places = {
            utterance.utterance_id: (block, row, utterance)
            for block, session in enumerate(sessions)
            for row, utterance in enumerate(self._list(session))
        }
        for utterance_id in utterance_ids:
            if utterance_id not in places:
                raise FeatureError(
                    f"utterance {utterance_id!r}: not among the utterances of "
                    f"{str(self.prepared_dir)!r}; expected an id of its {UTTERANCES_NAME}"
                )
        found = [places[utterance_id] for utterance_id in utterance_ids]
        block_of = np.array([block for block, _, _ in found], dtype=np.int64)
        row_of = np.array([row for _, row, _ in found], dtype=np.int64)
        return Features(
            utterances=tuple(utterance for _, _, utterance in found),
            speech_lengths=_gather_counts(blocks, "speech_lengths", block_of, row_of),
            mocap_rows=_gather_counts(blocks, "mocap_rows", block_of, row_of),
            speech_settings=self.manifest.speech_settings,
            speech_columns=self.manifest.speech_columns,
            _blocks=blocks,
            _block_of=block_of,
            _row_of=row_of,
            happiness=self.happiness,
            prepared_dir=self.prepared_dir,
            text_features=self.manifest.text_features,
            text_lengths=_gather_counts(blocks, "text_lengths", block_of, row_of),
            _load_dialogues=self._load_dialogues,
            _speakers=self._speakers,
        )

    @cached_property
    def _speakers(self) -> SpeakerMoments | None:
        """Measured by all turns of a speaker in the session, labelled or not; nobody else's are read."""
        if self.speaker_scaling is SpeakerScaling.NONE:
            return None
        sessions = lru_cache(self._measure_session)
        return SpeakerMoments(
            lambda utterance: sessions(utterance.name.session).speech(utterance),
            lambda utterance: sessions(utterance.name.session).motion(utterance),
            lambda utterance: sessions(utterance.name.session).functionals(utterance),
            self.speaker_scaling is SpeakerScaling.PAST,
        )

    def _measure_session(self, session: int) -> SpeakerMoments:
        turns = _order_in_time(self._list(session))
        features = replace(self, speaker_scaling=SpeakerScaling.NONE).load([turn.utterance_id for turn in turns])
        is_past = self.speaker_scaling is SpeakerScaling.PAST
        speakers = [turn.name.speaker for turn in turns]
        return features._measure_turns(speakers, is_past, Moments(len(self.manifest.speech_columns)))

    def _load_dialogues(self, utterance_ids: Sequence[str]) -> Features:
        names = [parse_utterance_id(utterance_id) for utterance_id in utterance_ids]
        dialogues = {name.dialogue_id for name in names}
        turns = self.turns({name.session for name in names})
        return self.load([turn.utterance_id for turn in turns if turn.name.dialogue_id in dialogues])

    def _list(self, session: int) -> tuple[Utterance, ...]:
        if session not in self._utterances:
            if session not in self.manifest.sessions:
                raise FeatureError(
                    f"prepared features {str(self.prepared_dir)!r}: there is no Session {session}; "
                    f"expected one of {list(self.sessions)}"
                )
            path = self.session_dir(session) / UTTERANCES_NAME
            utterances = read_utterances(path)
            expected = self.manifest.sessions[session].num_utterances
            if len(utterances) != expected:
                raise _differs(path, f"{len(utterances)} utterances", str(expected))
            self._utterances[session] = utterances
        return self._utterances[session]

    def _map(self, session: int) -> Block:
        self._list(session)
        if session not in self._arrays:
            records = self.manifest.sessions[session].arrays
            folder = self.session_dir(session)
            arrays: dict[str, Any] = {
                name: _open_array(folder / f"{name}.npy", record) for name, record in records.items()
            }
            for name in set(self.manifest.own_modalities) & set(arrays):
                lengths = arrays[f"{name}_lengths"]
                if len(arrays[name]) != lengths.sum() or (lengths < 0).any():
                    found = f"{len(arrays[name])} frames"
                    raise _differs(folder / f"{name}.npy", found, f"the {lengths.sum()} of {name}_lengths.npy")
                arrays[name] = JoinedFrames(arrays[name], lengths)
            self._arrays[session] = arrays
        return self._arrays[session]


def _order_in_time(turns: Iterable[Utterance]) -> list[Utterance]:
    """Order each speaker's turns in time; dialogues by id, for a corpus does not say when one was recorded.

    Speakers one after the other: a turn of unknown time, which has no place in an order, moves no other speaker's.
    """
    return sorted(turns, key=lambda turn: (turn.name.speaker, turn.name.dialogue_id, turn.start, turn.utterance_id))


def session_dir(prepared_dir: Path, session: int) -> Path:
    """The folder of one session's files."""
    return prepared_dir / f"Session{session}"


def require_modalities(
    store: FeatureStore,
    system_name: str,
    modalities: Iterable[str],
    streams: Iterable[MocapStream] = tuple(MocapStream),
) -> None:
    """Check that a corpus has every modality and motion stream that a system reads.

    Args:
        streams: those that the system reads of the motion; ignored without ``mocap``

    Raises:
        FeatureError: it lacks one; one sentence names the system, the modality or stream, and the corpus
    """
    needed = tuple(modalities)
    missing = [modality for modality in needed if modality not in store.modalities]
    if missing[:1] == ["mocap"] and not store.manifest.speech_settings.holds_motion:
        raise FeatureError(
            f"system {system_name!r} needs mocap, which {str(store.prepared_dir)!r} leaves out beside "
            f"{store.manifest.speech_settings.kind} of speech; expected features of another kind"
        )
    if missing[:1] == ["speech"] and store.manifest.speech_settings.source is SpeechSource.DIALOGUE_LEFT:
        missing = ["speech from recordings of whole dialogues"]
    if not missing and "mocap" in needed:
        missing = [f"the {stream}'s motion" for stream in streams if stream not in store.manifest.mocap_streams]
    if missing:
        raise FeatureError(
            f"system {system_name!r} needs {missing[0]}, which the corpus at "
            f"{store.manifest.corpus_path!r} does not have; expected a system that reads what it has"
        )


def _gather_counts(
    blocks: Sequence[Block],
    name: str,
    block_of: npt.NDArray[np.int64],
    row_of: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    counts = np.zeros(len(block_of), dtype=np.int64)
    for number, block in enumerate(blocks):
        if name in block:
            is_here = block_of == number
            counts[is_here] = block[name][row_of[is_here]]
    return counts


def _open_array(path: Path, record: ArrayRecord) -> npt.NDArray[Any]:
    try:
        array = read_npy(path, is_mapped=True)
    except (OSError, ValueError) as error:
        raise FeatureError(f"{str(path)!r}: cannot be read ({one_line(error)}); {PREPARE_AGAIN}") from error
    if (array.dtype.str, array.shape) != (record.dtype, record.shape):
        raise _differs(path, f"{array.dtype.str} {array.shape}", f"{record.dtype} {record.shape}")
    return array


def _differs(path: Path, found: str, expected: str) -> FeatureError:
    return FeatureError(f"{str(path)!r}: found {found}; the manifest expects {expected}; {PREPARE_AGAIN}")
