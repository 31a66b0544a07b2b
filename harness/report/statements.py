"""Sentences that a reader needs before believing a number, for the terminal, the page and the model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.corpus.utterances import Emotion, Happiness
from harness.features.context import Context, ContextTurns
from harness.features.fitted import NO_TEXT
from harness.models.systems import SYSTEMS, has_recogniser, name_system
from harness.report.findings import MIN_TRIALS_OF_CURVE, Findings
from harness.scoring.calibration import measure_calibration, scale_predictions
from harness.scoring.statistics import bootstrap_error, wilson_interval
from harness.splits.protocol import (
    SEALED_SESSION,
    ClassWeights,
    EpochChoice,
    FinalLength,
    KeptWeights,
    Recordings,
    Scenes,
    SpeakerScaling,
    SplitRule,
    TestedSpeakers,
    Vocabulary,
    adapts_to_speakers,
)
from harness.store.records import FoldedExperimentRow, Prediction, ScoreKind, TestOpeningRow, TrialStatus
from harness.wording import ADAPTED_SENTENCE, SYNTHETIC_SENTENCE, note_last_epoch, plural, write_time

_CLASS_NAMES = {"ang": "anger", "exc": "excitement", "neu": "neutral", "sad": "sadness"}

#: Source: the paper, Table 5, and the logs that its authors published with their code.
_PUBLISHED_RIGHT, _PUBLISHED_TEST_UTTERANCES = 780, 1098


@dataclass(frozen=True)
class Statement:
    """One sentence or two under a heading of a few words.

    Attributes:
        is_warning: whether it takes something away from the numbers beside it
    """

    heading: str
    text: str
    is_warning: bool = False


def percent(share: float) -> str:
    """Write a share as per cent.

    Example:
        >>> percent(0.7104)
        '71.0 %'
    """
    return f"{100 * share:.1f} %"


def name_class(emotion: Emotion) -> str:
    """Return a class's name in words."""
    return _CLASS_NAMES.get(emotion, str(emotion))


def write_score(findings: Findings, score: float | None) -> str:
    """Write a trial's score: per cent where it is an accuracy, empty where there is none."""
    if score is None:
        return ""
    return percent(score) if findings.scores_are_accuracies else f"{score:.4g}"


def name_ranked(findings: Findings) -> str:
    """Name the trials that the best trials and the importance of hyperparameters are of."""
    return "finished or pruned" if findings.counts_pruned and findings.num_pruned else "finished"


def mark_synthetic(text: str, is_synthetic: bool) -> str:
    """Add the sentence that must stand beside every score on the synthetic corpus."""
    return f"{text} {SYNTHETIC_SENTENCE}" if is_synthetic else text


#: The same sentence by itself.
_SYNTHETIC = Statement("Synthetic corpus", SYNTHETIC_SENTENCE, is_warning=True)


def note_adaptation(protocol_name: str) -> str:
    """Return what must stand beside every score of a model that is adapted to the test speakers; empty for another.

    Example:
        >>> note_adaptation("paper+speaker_scaling=own")
        ' Adapted to the test speakers without labels.'
    """
    return f" {ADAPTED_SENTENCE}" if adapts_to_speakers(protocol_name) else ""


def describe_progress(findings: Findings) -> str:
    """Say how far the search is."""
    experiment = findings.experiment
    counts = [f"{findings.count(TrialStatus.FINISHED)} of {plural(experiment.num_samples, 'trial')} finished"]
    running = findings.count(TrialStatus.RUNNING)
    failed = sum(trial.status.is_failure for trial in findings.trials)
    stopped = findings.count(TrialStatus.STOPPED)
    if findings.num_pruned:
        counts.append(f"{findings.num_pruned} pruned")
    if running:
        counts.append(f"{running} running" if findings.is_running else f"{running} left unfinished")
    if failed:
        counts.append(f"{failed} failed")
    if stopped:
        counts.append(f"{stopped} stopped")
    state = "the search is still running" if findings.is_running else f"the search {experiment.status}"
    if experiment.status == "interrupted":
        state = "the search was interrupted"
    return f"{', '.join(counts)}; {state}."


def describe_own_features(note: str | None) -> list[Statement]:
    """Say which files of a user's own features were read, and which utterances they lack; nothing without one."""
    return [] if note is None else [Statement("Features of one's own", note)]


def describe_search(findings: Findings) -> list[Statement]:
    """Say what the validation scores are scores of, and what they share with training."""
    experiment, protocol = findings.experiment, findings.protocol
    statements = []
    if experiment.is_synthetic:
        statements.append(_SYNTHETIC)
    if experiment.corpus_note is not None:
        statements.append(Statement("Corpus", experiment.corpus_note, is_warning=True))
    statements += describe_own_features(experiment.features_note)
    if experiment.shortened:
        statements.append(Statement("Shortened", experiment.shortened, is_warning=True))
    if findings.folds is not None:
        statements.append(describe_fold(findings.folds.folded))
    if experiment.protocol_name:
        name = f"Protocol '{experiment.protocol_name}' ({experiment.protocol_hash})."
        split = describe_split(protocol, experiment.is_on_iemocap)
        statements.append(Statement("Protocol", " ".join([name, *split, describe_seal(protocol)])))
    else:
        text = "The search runs a script of its own, so its training and scored utterances are not known here."
        statements.append(Statement("Protocol", text, is_warning=True))
    statements += describe_speakers(protocol)
    if experiment.protocol_name:
        known = findings.environment
        recorded = ((), ()) if known is None else (known.scene_groups, known.validated_scenes)
        statements.append(describe_scenes(protocol, *recorded))
    statements.append(_describe_epoch_choice(findings))
    if findings.num_pruned:
        pruned = plural(findings.num_pruned, "trial")
        text = f"{pruned} ended early, without a score, because others were better at that epoch"
        if findings.counts_pruned:
            text += (
                ". As `--pruned` asks for, the best validation accuracy that each came to stands for it in the list of "
                "the best trials, the importance and the pictures of hyperparameters; the best trial and the expected "
                "best are of the finished trials alone."
            )
        else:
            text += ": importance and the expected best are of the finished trials alone, which are the better ones."
        if json.loads(experiment.settings).get("seeds_per_trial", 1) > 1:
            text += " Their first seeds were compared, with no others; a trial that went on trained with every seed."
            text += " The accuracy that stands for a score is of the first seed." if findings.counts_pruned else ""
        statements.append(Statement("Early stopping", text))
    best = findings.best
    if best is not None and best.score_spread is not None:
        text = (
            f"Each trial trained with {len(best.seed_scores)} seeds, and its score is the mean of theirs; its curve, "
            "its epoch and its predictions are of the first. Of the best trial the scores are "
            f"{', '.join(write_score(findings, score) for score in best.seed_scores)}, with a standard deviation of "
            f"{write_score(findings, best.score_spread)}."
        )
        statements.append(Statement("Seeds", text))
    if best is not None and (text := note_last_epoch(best.best_epoch, experiment.max_epochs, experiment.shortened)):
        statements.append(Statement("Last epoch", f"Trial {best.trial_index} is the best. {text}", is_warning=True))
    if best is not None:
        statements += describe_temperature(best.temperature, findings.predictions)
    if protocol.get("vocabulary") == Vocabulary.EVERYTHING_OPENED:
        text = "The vocabulary is also fitted on the scored utterances, as in the published code."
        statements.append(Statement("Vocabulary", text, is_warning=True))
    baseline = findings.baseline
    if baseline is not None:
        text = (
            f"Always answering '{name_class(baseline.emotion)}', the largest class of the validation utterances, "
            f"scores {percent(baseline.share)} ({baseline.num_utterances} of {len(findings.predictions)})."
        )
        statements.append(Statement("Baseline", text))
    return statements


def describe_split(protocol: dict[str, object], is_on_iemocap: bool) -> list[str]:
    """Say which recordings are used, and what trains and what validates; ``protocol`` as JSON has it.

    Args:
        is_on_iemocap: whether the corpus is the complete IEMOCAP, whose counts are given then
    """
    sentences = []
    if protocol.get("recordings") == Recordings.IMPROVISED:
        sentences.append("Only improvised dialogues are used.")
    if protocol.get("recordings") == Recordings.SCRIPTED:
        sentences.append("Only scripted dialogues are used.")
    if protocol.get("class_weights") == ClassWeights.BALANCED:
        sentences.append("Every class weighs the same in the loss, whatever its number of training utterances.")
    is_merged = protocol.get("happiness") == Happiness.MERGED
    if is_merged:
        counts = ": 5531 utterances of the complete corpus, not 4936" if is_on_iemocap else ""
        sentences.append(f"Happiness is merged into excitement{counts}.")
    if protocol.get("split_rule") == SplitRule.LAST_SESSION:
        sentences.append("The last session besides the test session validates, and the others train.")
    if protocol.get("split_rule") == SplitRule.HOLDOUT_BY_ID:
        counts = "3353 and 937" if is_merged else "3000 and 838"
        is_counted = is_on_iemocap and name_test_set(protocol) == "Session 5"
        complete = f" ({counts} of the complete corpus)" if is_counted else ""
        others = "other utterances" if _tests_one_speaker(protocol) else "other sessions' utterances"
        sentences.append(
            f"Of the {others}, sorted by id, the first 78 % train and the last 22 % validate{complete}."
        )
    return sentences


def name_test_set(protocol: dict[str, object]) -> str:
    """Return the test set as a sentence names it, as ``Protocol.test_set`` does; ``protocol`` as JSON has it."""
    session = protocol.get("test_session", SEALED_SESSION)
    return f"Speaker Ses0{session}{protocol['test_speaker']}" if _tests_one_speaker(protocol) else f"Session {session}"


def _tests_one_speaker(protocol: dict[str, object]) -> bool:
    return protocol.get("test_speaker", TestedSpeakers.BOTH) != TestedSpeakers.BOTH


def describe_seal(protocol: dict[str, object]) -> str:
    """Say what no search reads; ``protocol`` as JSON has it."""
    if _tests_one_speaker(protocol):
        return f"{name_test_set(protocol)} is the test set, and the search reads none of the speaker's turns."
    return f"{name_test_set(protocol)} is the test set, and the search does not open it."


def describe_fold(folded: FoldedExperimentRow) -> Statement:
    """Say that a search or a model is one of several folds, and where all of them stand."""
    text = (
        f"One of the {len(folded.folds)} folds of experiment {folded.name!r}. `harness report` shows all of them and "
        "their pooled score; with a fold's number in `--experiment`, it shows that fold."
    )
    return Statement("Fold", text)


def describe_adaptation(protocol: dict[str, object]) -> list[Statement]:
    """Say that the test speakers' own turns scale what is read of them, where they do; ``protocol`` as JSON has it."""
    scaling = protocol.get("speaker_scaling", SpeakerScaling.NONE)
    if scaling == SpeakerScaling.NONE:
        return []
    turns = "all of his or her own turns of the session, whatever their label"
    if scaling == SpeakerScaling.PAST:
        turns = "his or her own turns of the session up to the scaled one, whatever their label; no later turn is read"
    text = (
        f"{ADAPTED_SENTENCE} Speech, and motion where it is read, of every speaker, the test speakers too, are scaled "
        f"by the mean and the deviation of {turns}. The baselines read the same speech. "
        "Do not compare such a score with one of a model that meets its speakers for the first time."
    )
    return [Statement("Adapted", text, is_warning=True)]


def describe_partner(protocol: dict[str, object]) -> list[Statement]:
    """Say what training knows of a test set that is one speaker; ``protocol`` as JSON has it."""
    if not _tests_one_speaker(protocol):
        return []
    text = (
        "One speaker is the test set, as in older papers: the partner's turns of the same dialogues train or validate. "
        "Training has seen these dialogues and, where the tested speaker wears the markers, his or her motion while "
        "the partner speaks. Do not compare such a score with one of a whole session."
    )
    return [Statement("The partner's turns", text, is_warning=True)]


def describe_speakers(protocol: dict[str, object]) -> list[Statement]:
    """Say whether training and validation share speakers; ``protocol`` as JSON has it."""
    partner = [*describe_partner(protocol), *describe_adaptation(protocol)]
    if protocol.get("split_rule") == SplitRule.LAST_SESSION:
        return [Statement("Speakers", "No speaker of the validation utterances is heard in training."), *partner]
    if protocol.get("split_rule") == SplitRule.HOLDOUT_BY_ID:
        text = (
            "Training and validation share speakers: the split cuts through a session, and even a dialogue. Validation "
            "accuracy therefore overestimates the accuracy on new speakers."
        )
        return [Statement("Speakers", text, is_warning=True), *partner]
    return partner


def describe_scenes(
    protocol: dict[str, object],
    groups: Sequence[Sequence[str]],
    validated: Sequence[str] = (),
    searched: Scenes = Scenes.DISJOINT,
) -> Statement:
    """Say whether training has read the scenes that are scored; ``protocol`` as JSON has it.

    Args:
        groups: of scenes, where they are disjoint and on record
        validated: the group that validates in the search, where it is on record
        searched: the choice of the search's own protocol; ``--scenes`` trains its best trial again without the scenes
    """
    if protocol.get("scenes", Scenes.SHARED) == Scenes.SHARED:
        text = (
            "Every session plays the same scenes, so training has read each scene that is scored. Part of a score "
            "comes from recognising the scene; with \"scenes\": \"disjoint\" it does not."
        )
        return Statement("Scenes", text, is_warning=True)
    text = "Scenes are disjoint: the search trains without one group of scenes and validates on it, and in"
    if searched == Scenes.SHARED:
        text = "The search shared scenes, and chose hyperparameters and epochs so. These models do not: in"
    text += " the test set each utterance is scored by the model that has not read its scene. "
    text += "Unweighted accuracy comes first."
    if groups:
        text += f" The groups: {'; '.join(', '.join(group) for group in groups)}."
    if validated:
        text += f" Validation uses {', '.join(validated)}."
    return Statement("Scenes", text)


#: What distinguishes the epoch whose weights are kept, where that is not the highest validation accuracy.
_EPOCH_RULES = {
    KeptWeights.SMOOTHED: "Of its epochs the one is kept whose validation accuracy, averaged over it and its "
    "neighbours, is highest; the score is that epoch's own accuracy.",
    KeptWeights.LOSS: "Of its epochs the one with the lowest validation loss is kept; the score is its accuracy.",
    KeptWeights.AVERAGE: "What is scored and kept is a moving average of the weights over the training steps.",
}


def describe_kept_weights(protocol: dict[str, object]) -> str:
    """Say which weights a training keeps; ``protocol`` as JSON has it. Empty for those of the best epoch.

    Example:
        >>> describe_kept_weights({"kept_weights": "loss"})
        'Of its epochs the one with the lowest validation loss is kept; the score is its accuracy.'
        >>> describe_kept_weights({})
        ''
    """
    return _EPOCH_RULES.get(KeptWeights(str(protocol.get("kept_weights", KeptWeights.BEST_EPOCH))), "")


def name_final_length(protocol: dict[str, object], best_epoch: int | None) -> str:
    """Say where the number of epochs of a final training comes from; ``protocol`` as JSON has it.

    Example:
        >>> name_final_length({}, 7)
        'the number that validation chose'
        >>> name_final_length({"final_length": "updates"}, 9)
        'about as many training steps as until epoch 9 in the search, which validation chose'
    """
    if protocol.get("final_length", FinalLength.EPOCHS) == FinalLength.EPOCHS:
        return "the number that validation chose"
    until = "the best epoch" if best_epoch is None else f"epoch {best_epoch}"
    return f"about as many training steps as until {until} in the search, which validation chose"


def _describe_epoch_choice(findings: Findings) -> Statement:
    if not findings.scores_are_accuracies:
        return Statement("Who chose the epoch", "Each trial's score is defined by its script.")
    num_finished = findings.count(TrialStatus.FINISHED)
    text = (
        "In the search, validation chooses each trial's epoch, and each trial is scored by that epoch's "
        "validation accuracy."
    )
    if kept := describe_kept_weights(findings.protocol):
        text += f" {kept}"
    if num_finished > 1:
        text += (
            f" The best score of {num_finished} trials is also the luckiest: expect the same hyperparameters to score "
            "lower when trained again with another seed."
        )
    if findings.protocol.get("epoch_choice") == EpochChoice.TEST_MAXIMUM:
        text += (
            " In a final training, this protocol takes the best epoch on the test set, as the published code does: "
            "such a score is optimistic, and labelled as such."
        )
        return Statement("Who chose the epoch", text, is_warning=True)
    return Statement("Who chose the epoch", text)


def describe_expected_best(findings: Findings) -> str:
    """Say what the second half of the trials brought, beside the error of a validation accuracy."""
    found, num_trials = findings.expected_best, len(findings.finished)
    if found is None:
        return f"This needs {MIN_TRIALS_OF_CURVE} finished trials; {num_trials} finished so far."
    half = max(1, num_trials // 2)
    before, after = (
        write_score(findings, float(found.expected[np.searchsorted(found.num_trials, count)]))
        for count in (half, num_trials)
    )
    # Or else it could be "-0.0 points".
    points = round(100 * found.from_half, 1) or 0.0
    gain = f"{points:.1f} points" if findings.scores_are_accuracies else f"{found.from_half:.3g}"
    text = (
        f"Going from {half} to {num_trials} trials brought an expected {gain} ({before} to {after}). These trials "
        "cannot show how much the gain would differ in another search."
    )
    if findings.scores_are_accuracies and findings.predictions and findings.best is not None:
        error, drawn = bootstrap_error(findings.predictions)
        text += (
            f" For comparison: one standard error of the best trial's accuracy on the {len(findings.predictions)} "
            f"validation utterances, from a bootstrap over {drawn}, is {100 * error:.1f} points."
        )
    return text


def describe_temperature(temperature: float | None, predictions: Sequence[Prediction]) -> list[Statement]:
    """Say what temperature scaling brought on the validation utterances that it was fitted on; empty without it.

    Args:
        predictions: of the trial on validation, before the temperature
    """
    if temperature is None or not predictions:
        return []
    before, after = (
        measure_calibration(found).expected_calibration_error
        for found in (predictions, scale_predictions(predictions, temperature))
    )
    text = (
        f"The log probabilities of the model are divided by {temperature:.3f}, fitted on the validation predictions of "
        f"the trial. Their calibration error there is {percent(before)} before and {percent(after)} after; the second "
        "figure is optimistic, because the number was fitted on the same utterances. No answer changes by it."
    )
    return [Statement("Temperature", text)]


def describe_openings(findings: Findings) -> list[Statement]:
    """Say how often the test set has been scored, when and by what, over all experiments of the folder."""
    openings = findings.openings
    if not openings:
        return [Statement("Test set", "The test set has never been scored from this results folder.")]
    text = f"{count_openings(openings)} from this results folder; all of them stay listed here."
    statements = [Statement("Test set", text, is_warning=len(openings) > 1)]
    statements += [
        Statement(f"Test evaluation {opening.opening_id}", _describe_opening(opening), opening.completed_at is None)
        for opening in openings
    ]
    if any(opening.is_synthetic for opening in openings):
        statements.append(_SYNTHETIC)
    if any(score.kind is ScoreKind.TEST_MAXIMUM for opening in openings for score in opening.scores):
        text = (
            "A 'maximum over test epochs' was chosen by looking at the test set: it is what the published code "
            "reports, not what the model scores on new speakers."
        )
        statements.append(Statement("Optimistic scores", text, is_warning=True))
    return statements


def count_openings(openings: Sequence[TestOpeningRow]) -> str:
    """Write how many test evaluations there have been, as the beginning of a sentence."""
    return f"There {'has' if len(openings) == 1 else 'have'} been {plural(len(openings), 'test evaluation')}"


def _describe_opening(opening: TestOpeningRow) -> str:
    when = write_time(opening.opened_at)
    text = (
        f"{when} UTC, by {opening.user} on {opening.host} with `{opening.command}`, protocol "
        f"'{opening.protocol}', {plural(len(opening.seeds), 'seed')}"
    )
    text += f" (experiment {opening.eid})." if opening.eid is not None else "."
    if opening.completed_at is None:
        num_scored = len({score.seed for score in opening.scores})
        # Of several experiments the scores are on record with their trials.
        counted = "" if opening.eid is None else f" ({num_scored} of {len(opening.seeds)})"
        text += f" It ended before every seed was scored{counted}; it still counts."
    return text


def describe_published() -> Statement:
    """Take the paper's number apart, so that nobody sets an honest one against it unlabelled.

    Source:
        The authors' published logs: 780 of 1098 at the best of 30 test epochs; those two runs end at 67.3
        and 70.0 %.
    """
    low, high = wilson_interval(_PUBLISHED_RIGHT, _PUBLISHED_TEST_UTTERANCES)
    return Statement(
        "The published 71.04 %",
        f"The paper's {100 * _PUBLISHED_RIGHT / _PUBLISHED_TEST_UTTERANCES:.2f} % is {_PUBLISHED_RIGHT} of "
        f"{_PUBLISHED_TEST_UTTERANCES} test utterances at the best of thirty epochs, which the test set itself chose "
        f"(95 % Wilson interval {100 * low:.1f} to {100 * high:.1f} %). The two runs behind it end at 67.3 % and "
        "70.0 %. Compare it with a score whose epoch validation chose only if you say so.",
        is_warning=True,
    )


def title_model(system: str, hyperparameters: Mapping[str, Any]) -> str:
    """Say in a title what a model is, its context included.

    Example:
        >>> title_model("chain", {"context": "past"})
        'chain (past): an emotion classifier for acted, dyadic speech'
    """
    return f"{name_system(system, hyperparameters)}: an emotion classifier for acted, dyadic speech"


def describe_source(system: str, embedding_source: str | None) -> list[Statement]:
    """Say how words became numbers, or where the layers of a recogniser came from; nothing of a system without either.

    Args:
        embedding_source: of the trial's result
    """
    if embedding_source is None or embedding_source == NO_TEXT:
        return []
    if not has_recogniser(system):
        return [Statement("Words", f"In that trial: {embedding_source}.")]
    text = f"In that trial: {embedding_source}. Each model's `fitted.json` says what it has taken over itself."
    return [Statement("Speech recogniser", text)]


def describe_context(system: str, hyperparameters: Mapping[str, Any]) -> list[Statement]:
    """Say which turns of its dialogue an answer depends on; nothing of a system of single utterances.

    Args:
        hyperparameters: complete, plain values by name
    """
    if system not in SYSTEMS or not SYSTEMS[system].contexts:
        return []
    context = Context(hyperparameters["context"])
    read = {
        Context.NONE: "an answer depends on the utterance alone",
        Context.PAST: "an answer depends on the words and sounds of the turns so far, never on their labels",
        Context.DIALOGUE: "an answer depends on the words and sounds of all turns of the dialogue, including later "
        "ones, never on their labels",
    }
    note = ContextTurns(hyperparameters["turns"]).note
    text = f"`{context}`: {read[context]}." + (f" {note}" if note else "")
    return [Statement("Context", text, is_warning=note is not None)]
