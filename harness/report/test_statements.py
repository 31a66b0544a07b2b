"""What must be known before the scores on the test set are believed, in words."""

from __future__ import annotations

from harness.corpus.disclaimer import SYNTHETIC_SENTENCE
from harness.report.findings import Findings
from harness.report.sentences import Statement, plural
from harness.report.test_session import name_opening
from harness.scoring.assessment import name_baseline
from harness.scoring.breakdown import Division
from harness.scoring.scored_opening import ScoredOpening
from harness.scoring.statistics import MIN_DIALOGUES
from harness.store.records import ScoreKind


def describe_test_session(findings: Findings) -> list[Statement]:
    """Say what the opening scored that speaks for the experiment's model; nothing before there is one."""
    return [] if findings.scored_opening is None else describe_scores(findings.scored_opening)


def describe_scores(scored: ScoredOpening) -> list[Statement]:
    """Say what one opening scored, how its numbers came about, and what they leave out."""
    assessment = scored.assessment
    synthetic = f" {SYNTHETIC_SENTENCE}" if scored.opening.is_synthetic else ""
    when = scored.opening.opened_at[:19].replace("T", " ")
    scores = [
        Statement(
            "What was scored",
            f"{name_opening(scored)}{synthetic} Opened {when} UTC with `{scored.opening.command}`: "
            f"{plural(assessment.num_utterances, 'utterance')} of {plural(assessment.num_dialogues, 'dialogue')}.",
            is_warning=bool(scored.opening.is_synthetic),
        ),
        _describe_epoch_choice(scored),
        _describe_intervals(scored),
    ]
    missing = _describe_missing_baselines(scored)
    return [*scores, missing] if missing else scores


def _describe_epoch_choice(scored: ScoredOpening) -> Statement:
    if scored.assessment.kind is ScoreKind.TEST_MAXIMUM:
        sentences = ["The test set itself chose the epoch that it scores: such a score is optimistic."]
    else:
        sentences = ["Validation chose the number of epochs; the test set had no part in that choice."]
    if scored.was_open_in_training:
        sentences.append(
            "The test session was open while these models trained: it scored their every epoch, for the maximum over "
            "them, and what is fitted before training, such as a vocabulary, may know its utterances."
        )
    if scored.other_ids:
        numbers = ", ".join(map(str, scored.other_ids))
        others = f"opening {numbers}" if len(scored.other_ids) == 1 else f"openings {numbers}"
        sentences.append(f"The test set has scored models of these seeds in {others} too.")
    elif not scored.was_open_in_training:
        sentences.append("It scored each of these models once.")
    is_warning = scored.was_open_in_training or bool(scored.other_ids)
    return Statement("Who chose the epoch", " ".join(sentences), is_warning)


def _describe_intervals(scored: ScoredOpening) -> Statement:
    assessment = scored.assessment
    if assessment.num_dialogues < MIN_DIALOGUES:
        return Statement(
            "What the intervals mean",
            f"With {plural(assessment.num_dialogues, 'dialogue')}, fewer than {MIN_DIALOGUES}, a bootstrap over "
            "dialogues says little: utterances are drawn instead. Those of a dialogue resemble each other, so every "
            "interval is too narrow.",
            is_warning=True,
        )
    speakers = [score for score, _ in assessment.groups if score.group.division is Division.SPEAKER]
    return Statement(
        "What the intervals mean",
        f"95 % percentile bootstrap, 10 000 draws of {assessment.num_dialogues} dialogues with replacement: how far "
        f"the mean over the seeds would move with other dialogues of these {plural(len(speakers), 'speaker')}. How far "
        "it would move with other speakers they cannot say. Where a group has fewer than "
        f"{MIN_DIALOGUES} dialogues, its utterances are drawn, and a star says so.",
    )


def _describe_missing_baselines(scored: ScoredOpening) -> Statement | None:
    known = {found.kind for found in scored.assessment.comparisons}
    missing = [name_baseline(kind) for kind in ScoreKind if kind.is_baseline and kind not in known]
    if not missing:
        return None
    if not known:
        text = "This opening scored no baseline: nothing stands beside the model."
        return Statement("Baselines", text, is_warning=True)
    text = (
        f"Not scored in this opening: {', '.join(missing)} (the corpus lacks what they read, or the command "
        "ended before)."
    )
    return Statement("Baselines left out", text, is_warning=True)
