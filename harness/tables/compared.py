"""The systems that the paper compares with: their published figures, and the protocols that those come from.

Source: the papers named in each title, and the public code of some; what neither says is called unknown here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from harness.corpus.utterances import Happiness
from harness.splits.protocol import Recordings, SpeakerScaling


class OwnFolds(StrEnum):
    """The test sets of a published protocol."""

    SESSION_FIVE = "Session 5"
    SESSIONS = "each session tests once"
    SPEAKERS = "each speaker tests once, the partner's turns train"
    PARTNER_VALIDATES = "each speaker tests once, the partner chooses the epoch"


@dataclass(frozen=True)
class OwnProtocol:
    """The protocol of a published figure, as far as it can be followed here.

    Attributes:
        choices: hyperparameters of this protocol alone
        departs: where it differs from the published one, a clause, or empty
    """

    folds: OwnFolds
    happiness: Happiness = Happiness.EXCITED
    recordings: Recordings = Recordings.ALL
    speaker_scaling: SpeakerScaling = SpeakerScaling.NONE
    choices: Mapping[str, Any] = field(default_factory=dict)
    departs: str = ""


@dataclass(frozen=True)
class ComparedSystem:
    """One published figure, and the system here that stands for it.

    Attributes:
        title: authors, year, and which of their systems where there are several
        system: by its name here, also where nobody has built it yet
        percent: as printed
        measure: one of ``METRICS``; empty where it is not known which
        classes, split: in words
        num_seeds: over which the figure is a mean
        own: the published protocol, or why it is not followed
        test_chose_epoch: whether public code of it takes the best test epoch
        remark: what one must know beside the figure: sentences
        choices: hyperparameters of all columns that are not the system's defaults
    """

    title: str
    system: str
    percent: float
    measure: str
    classes: str
    split: str
    own: OwnProtocol | str
    remark: str = ""
    num_seeds: int = 1
    test_chose_epoch: bool = False
    choices: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown_measure(self) -> str:
        """The measure that our scores stand beside the figure in."""
        return self.measure or "weighted accuracy"


WEIGHTED, MACRO_F1 = "weighted accuracy", "macro F1"
_OURS = "anger, excitement, neutral, sadness"
_MERGED = "anger, happiness with excitement, neutral, sadness"
#: That the paper does not say whether excitement is in "happy" is said beside the figure.
_UNSAID = "anger, happiness, neutral, sadness"

_LEE_FOLDS = "improvised only; 5 folds: of the held-out session one speaker tunes, the other is the test"
_LEE_PROTOCOL = OwnProtocol(
    OwnFolds.PARTNER_VALIDATES,
    Happiness.MERGED,
    Recordings.IMPROVISED,
    departs="10 folds: which speaker tests is not said; excitement is merged by choice",
)
_CHERNYKH_SPLIT = "all 4936 utterances, 5 folds by session, averaged"
_PORIA_SPLIT = "Sessions 1-4 against Session 5, 1208 test utterances"
_PORIA_WORDS = (
    "TF-IDF and functionals of 34 numbers a frame stand for its text CNN on word2vec and its openSMILE functionals; "
    "softmax answers in place of its support vector machine. With video it prints {} %."
)
_PORIA_PROTOCOL = OwnProtocol(
    OwnFolds.SESSION_FIVE, Happiness.MERGED, choices={"turns": "labelled-only"}, departs="33 test utterances more"
)

COMPARED: tuple[ComparedSystem, ...] = (
    ComparedSystem(
        "Han et al. 2014, DNN and kernel ELM",
        "dnn_elm",
        54.3,
        WEIGHTED,
        "five: excitement, frustration, happiness, neutral, and surprise by its text or sadness by its figure",
        "8 speakers train and tune, 2 test; one split",
        "not built: its five classes are not our four",
        "Unweighted accuracy 48.2 %, of another set of classes.",
        choices={"decision": "kelm"},
    ),
    ComparedSystem(
        "Han et al. 2014, as scored by Lee and Tashev 2015",
        "dnn_elm",
        57.91,
        WEIGHTED,
        _UNSAID,
        _LEE_FOLDS,
        _LEE_PROTOCOL,
        "Unweighted accuracy 52.13 %, with the 30 % of the segments that have the most energy.",
        choices={"decision": "kelm", "segment_share": 0.3},
    ),
    ComparedSystem(
        "Lee and Tashev 2015, BLSTM with Null and kernel ELM",
        "blstm_null",
        62.85,
        WEIGHTED,
        _UNSAID,
        _LEE_FOLDS,
        _LEE_PROTOCOL,
        "Unweighted accuracy 63.89 %. Whether excitement is in its happiness is not said.",
    ),
    ComparedSystem(
        "Chernykh and Prikhodko 2018, framewise",
        "speech_framewise",
        45.0,
        WEIGHTED,
        _OURS,
        _CHERNYKH_SPLIT,
        OwnProtocol(OwnFolds.SESSIONS),
        "Mean over classes 41 %.",
    ),
    ComparedSystem(
        "Chernykh and Prikhodko 2018, one label",
        "one_label",
        51.0,
        WEIGHTED,
        _OURS,
        _CHERNYKH_SPLIT,
        OwnProtocol(OwnFolds.SESSIONS),
        "Mean over classes 49 %.",
    ),
    ComparedSystem(
        "Chernykh and Prikhodko 2018, CTC",
        "ctc",
        54.0,
        WEIGHTED,
        _OURS,
        _CHERNYKH_SPLIT,
        OwnProtocol(OwnFolds.SESSIONS),
        "Mean over classes 54 %. Its public code splits at random, which its text does not.",
    ),
    ComparedSystem(
        "Neumann and Vu 2017, attentive CNN",
        "acnn",
        56.10,
        WEIGHTED,
        _MERGED,
        "all 5531 utterances, each session left out once; some of the 8 training speakers' turns tune",
        OwnProtocol(OwnFolds.SESSIONS, Happiness.MERGED, speaker_scaling=SpeakerScaling.OWN),
        "Its frames are scaled by each speaker's own mean and deviation, also of the test speakers; under strict ours "
        "are scaled by the training utterances.",
        num_seeds=6,
    ),
    ComparedSystem(
        "Lakomkin et al. 2017",
        "asr_transfer",
        56.0,
        "",
        "not known",
        "split not known",
        "not built: its protocol is not known to us",
        "A stand-in: its speech recogniser was trained on LibriSpeech, ours on transcribed turns of the training "
        "sessions alone.",
    ),
    ComparedSystem(
        "Poria et al. 2018 as cited, by Cambria et al. 2017",
        "uni_svm",
        71.59,
        MACRO_F1,
        _MERGED,
        "all utterances, 10 folds by speaker",
        OwnProtocol(OwnFolds.SPEAKERS, Happiness.MERGED),
        "Cited as the bc-LSTM's accuracy; most likely it is the macro F of a support vector machine without context "
        "over text, audio and video, as which it is printed in 2017. The text of 2018 was not seen. Motion capture "
        "stands for video here.",
        choices={"vectors": "text+speech+mocap"},
    ),
    ComparedSystem(
        "Poria et al. 2017, uni-SVM, text and audio",
        "uni_svm",
        70.1,
        WEIGHTED,
        _MERGED,
        _PORIA_SPLIT,
        OwnProtocol(OwnFolds.SESSION_FIVE, Happiness.MERGED, departs="33 test utterances more"),
        "With video it prints 72.5 %.",
    ),
    ComparedSystem(
        "Poria et al. 2017, sc-LSTM, text and audio",
        "sc_lstm",
        75.2,
        WEIGHTED,
        _MERGED,
        _PORIA_SPLIT,
        _PORIA_PROTOCOL,
        _PORIA_WORDS.format(74.2),
        test_chose_epoch=True,
        choices={"vectors": "both"},
    ),
    ComparedSystem(
        "Poria et al. 2017, bc-LSTM, text and audio",
        "bc_lstm",
        75.6,
        WEIGHTED,
        _MERGED,
        _PORIA_SPLIT,
        _PORIA_PROTOCOL,
        _PORIA_WORDS.format(76.1),
        test_chose_epoch=True,
        choices={"vectors": "both"},
    ),
)
