"""A saved model on another corpus: every four-class utterance is scored once, and the scores are put on record.

This is no test evaluation. No utterance of that corpus had a part in the search, the training or the number of
epochs, so none of it has to be sealed. What is a test session of this results folder's own experiments stays so.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.corpus.utterances import CLASSES, Utterance
from harness.errors import FeatureError, ModelError
from harness.features.speech import SpeechSettings, speech_settings
from harness.features.store import Features, FeatureStore, require_modalities
from harness.files import hash_file
from harness.final.answers import predict_mean, predict_seed, refuse_own_features
from harness.final.baselines import FinalBaselines, fit_baselines
from harness.final.saved_model import ModelRecord, name_in_results
from harness.final.test_session import compare_transcripts
from harness.provenance import user_name
from harness.search.corpus import CorpusFeatures, Progress, prepare_features
from harness.store.evaluations import read_evaluations, record_evaluation
from harness.store.records import Evaluation, EvaluationRow, ScoreKind, TestScores
from harness.store.store import ResultsStore
from harness.training.recipe import load_auxiliary, open_parts, score_predictions


@dataclass(frozen=True)
class Evaluated:
    """The outcome of ``evaluate``.

    Attributes:
        left_out: a sentence for each thing that could not stand beside the model's scores
        is_new: False where the same had been scored before and was read from the record
    """

    evaluation: EvaluationRow
    left_out: tuple[str, ...]
    is_new: bool


def evaluate(
    results: ResultsStore,
    model_dir: Path,
    corpus: Path,
    sessions: Sequence[int] = (),
    command: str = "",
    progress: Progress = lambda doing, done, total: None,
) -> Evaluated:
    """Score every seed of a saved model on another corpus, and record the scores in results.db.

    The corpus's features are prepared beside results.db as the model's own were. The baselines are fitted on what the
    model was trained on, where the prepared features of that corpus are there too. The same model on the same
    sessions is scored once: what is on record is returned.

    Args:
        corpus: a folder in the layout of the release
        sessions: of the corpus that are scored; empty for all
        command: as the user typed it, for the record

    Raises:
        ModelError: the model is missing or damaged, or was trained on this corpus
        CorpusError, ExperimentFileError: there is no corpus
        FeatureError: it lacks what the model reads, has nothing to score, or a session of it is sealed here
        StoreError: the scores cannot be recorded
    """
    record = ModelRecord.read(model_dir)
    refuse_own_features(model_dir, record, "for another corpus")
    results_dir = results.path.parent
    training = find_training_features(results_dir, record)
    prepared = prepare_features(corpus, _settings_of(record, training), results_dir, progress)
    store = FeatureStore.open_for(record.protocol, prepared.prepared_dir)
    chosen = _choose_sessions(results, record, store, sessions)
    evaluation = _describe(results, model_dir, record, prepared, chosen, command)
    unusable = _find_unusable_auxiliary(record)
    missing = _describe_missing(record, training, unusable)
    known = _find_known(results, evaluation, wants_baselines=missing is None, wants_transcripts=training is not None)
    if known is not None:
        return Evaluated(known, () if missing is None or _has_baselines(known) else (missing,), is_new=False)
    scored = store.load([utterance.utterance_id for utterance in store.utterances(chosen)])
    trained_on = None if training is None else training.load(open_parts(record.protocol, training).trained_on)
    if trained_on is not None:
        _refuse_copies(store, scored, trained_on)
    scores = _score_seeds(model_dir, record, scored, progress)
    baselines = FinalBaselines({}, () if missing is None else (missing,))
    if trained_on is not None and missing is None:
        progress("fitting the baselines", 0, 1)
        baselines = fit_baselines(store, trained_on, record.seeds, record.recipe())
    others = None if trained_on is None or unusable is not None else load_auxiliary(record.recipe())
    is_seen = {} if trained_on is None else compare_transcripts(trained_on, scored, others)
    evaluation_id = record_evaluation(results, evaluation, [*scores, *baselines.score(scored)], is_seen)
    (row,) = [row for row in read_evaluations(results) if row.evaluation_id == evaluation_id]
    return Evaluated(row, baselines.left_out, is_new=True)


def _describe(
    results: ResultsStore,
    model_dir: Path,
    record: ModelRecord,
    prepared: CorpusFeatures,
    sessions: tuple[int, ...],
    command: str,
) -> Evaluation:
    return Evaluation(
        eid=_find_experiment(results, model_dir, record),
        model=_name_model(results.path.parent, model_dir),
        model_hash=hash_file(model_dir / "model.json"),
        system=record.named_system,
        protocol_name=record.protocol.name,
        trained_on_hash=record.corpus_hash,
        is_trained_on_synthetic=record.is_synthetic,
        corpus_hash=prepared.corpus_hash,
        corpus_path=prepared.corpus_path,
        is_synthetic=prepared.is_synthetic,
        sessions=sessions,
        seeds=record.seeds,
        command=command,
        host=platform.node(),
        user=user_name(),
    )


def find_training_features(results_dir: Path, record: ModelRecord) -> FeatureStore | None:
    """Find the prepared features of the corpus that a model was trained on; None where they are not in the folder.

    A model that hears nothing may have any speech features beside what it reads, for its baselines; those that leave
    out the motion come last. Features of a user's own are never taken: no other corpus has them.

    Args:
        results_dir: searches prepare their corpora in ``results_dir / "prepared"``
    """
    settings = record.speech_settings
    wanted = None if settings is None else SpeechSettings.from_json(settings)
    found = []
    for folder in sorted((results_dir / "prepared").glob("*")):
        try:
            store = FeatureStore.open_for(record.protocol, folder)
        except FeatureError:
            # None yet, of another version, or damaged: as good as none.
            continue
        is_same = store.corpus_hash == record.corpus_hash and wanted in (None, store.manifest.speech_settings)
        is_read_here = set(record.modalities) <= set(store.modalities) and not store.manifest.own_modalities
        if is_same and is_read_here:
            found.append(store)
    return min(found, key=lambda store: not store.manifest.speech_settings.holds_motion, default=None)


def _settings_of(record: ModelRecord, training: FeatureStore | None) -> SpeechSettings:
    """Return how the model's frames were made; one that hears nothing takes those that a baseline was fitted on."""
    if record.speech_settings is not None:
        return SpeechSettings.from_json(record.speech_settings)
    return speech_settings(record.protocol) if training is None else training.manifest.speech_settings


def _choose_sessions(
    results: ResultsStore, record: ModelRecord, store: FeatureStore, asked: Sequence[int]
) -> tuple[int, ...]:
    """Return the sessions to score, after everything has been refused that cannot be scored or must not be read."""
    name = f"corpus {store.manifest.corpus_path!r}"
    if store.corpus_hash == record.corpus_hash:
        raise ModelError(
            f"{name}: is the corpus that the model was trained on; expected another one; its test session is scored by "
            "`harness retrain-best --test`"
        )
    require_modalities(store, record.system, record.modalities, record.streams)
    chosen = tuple(sorted(set(asked))) or store.sessions
    missing = [session for session in chosen if session not in store.sessions]
    if missing:
        raise FeatureError(f"{name}: has no Session {missing[0]}; expected some of {list(store.sessions)}")
    _refuse_sealed(results, store, chosen)
    if not store.utterances(chosen):
        raise FeatureError(
            f"{name}: has no utterance of the classes {', '.join(CLASSES)} in Session {', '.join(map(str, chosen))}; "
            "expected at least one"
        )
    return chosen


def _refuse_sealed(results: ResultsStore, store: FeatureStore, chosen: Sequence[int]) -> None:
    """Keep sealed what is the test session of an experiment: only a test evaluation may read it."""
    owners = {
        json.loads(experiment.protocol).get("test_session"): experiment
        for experiment in reversed(results.experiments())
        if experiment.corpus_hash == store.corpus_hash
    }
    for session in chosen:
        if session in owners:
            experiment = owners[session]
            others = [f"--session {other}" for other in store.sessions if other not in owners]
            remedy = f"score the others with {' '.join(others)}" if others else "all its sessions are sealed"
            raise FeatureError(
                f"corpus {store.manifest.corpus_path!r}: its Session {session} is the test session of experiment "
                f"{experiment.eid} ({experiment.name!r}) in '{results.path}', and is sealed except for test "
                f"evaluations; {remedy}"
            )


def _refuse_copies(store: FeatureStore, scored: Features, trained_on: Features) -> None:
    """Refuse a corpus that is the training corpus but for some of its files: its content hash is another one."""
    known = {_identify(utterance) for utterance in trained_on.utterances}
    copies = [utterance.utterance_id for utterance in scored.utterances if _identify(utterance) in known]
    if copies:
        raise ModelError(
            f"corpus {store.manifest.corpus_path!r}: {len(copies)} of its {len(scored)} utterances, such as "
            f"{copies[0]!r}, have the same id, times and words as a training utterance of the model; expected another "
            "corpus"
        )


def _identify(utterance: Utterance) -> tuple[object, ...]:
    return utterance.utterance_id, utterance.start, utterance.end, utterance.transcript


def _find_experiment(results: ResultsStore, model_dir: Path, record: ModelRecord) -> int | None:
    """Return the experiment that a model of this results folder comes from; None for a model from elsewhere."""
    is_here = _lies_in(results.path.parent, model_dir)
    known = {experiment.eid: experiment.corpus_hash for experiment in results.experiments()}
    return record.eid if is_here and known.get(record.eid) == record.corpus_hash else None


def _name_model(results_dir: Path, model_dir: Path) -> str:
    folder = model_dir.resolve()
    return name_in_results(folder) if _lies_in(results_dir, folder) else folder.name


def _lies_in(results_dir: Path, model_dir: Path) -> bool:
    return model_dir.resolve().parent == results_dir.resolve() / "models"


def _find_known(
    results: ResultsStore, evaluation: Evaluation, *, wants_baselines: bool, wants_transcripts: bool
) -> EvaluationRow | None:
    """Return the latest evaluation of the same model on the same utterances.

    Args:
        wants_baselines: whether one without baselines will not do, for they can be fitted now
        wants_transcripts: whether one that compared no transcripts will not do, for they can be compared now
    """
    for row in reversed(read_evaluations(results)):
        is_same = all(
            getattr(row, name) == getattr(evaluation, name) for name in ("model_hash", "corpus_hash", "sessions")
        )
        has_all = (_has_baselines(row) or not wants_baselines) and (row.is_seen or not wants_transcripts)
        if is_same and has_all:
            return row
    return None


def _has_baselines(row: EvaluationRow) -> bool:
    return len(row.of_model) < len(row.scores)


def _score_seeds(
    model_dir: Path, record: ModelRecord, scored: Features, progress: Progress
) -> list[TestScores]:
    if record.members:
        progress("scoring", 0, 1)
        probabilities = predict_mean(model_dir, record, scored)
        return [score_predictions(record.seeds[0], ScoreKind.ENSEMBLE, scored, probabilities, epoch=None)]
    scores = []
    for number, seed in enumerate(record.seeds):
        progress("scoring", number, len(record.seeds))
        probabilities = predict_seed(model_dir, record, seed, scored)
        kind = ScoreKind.VALIDATION_CHOSEN
        scores.append(score_predictions(seed, kind, scored, probabilities, record.num_epochs))
    return scores


def _describe_missing(record: ModelRecord, training: FeatureStore | None, unusable: str | None) -> str | None:
    """Say in a sentence why no baseline can be fitted; None where they can.

    Args:
        unusable: as ``_find_unusable_auxiliary`` returns it
    """
    if training is None:
        return (
            "The baselines and the share of known transcripts are left out: the prepared features of the training "
            f"corpus, {record.corpus_hash[:8]}, are not in the results folder."
        )
    if record.word_vectors is not None and not record.word_vectors.is_file():
        return (
            f"The baselines are left out: the word vectors of the model's turn model, '{record.word_vectors}', are no "
            "longer there, and one baseline is that turn model."
        )
    if unusable is not None:
        return (
            "The baselines are left out, and transcripts of the auxiliary corpora count as not seen, because the "
            f"model's auxiliary corpora cannot be used: {unusable}."
        )
    return None


def _find_unusable_auxiliary(record: ModelRecord) -> str | None:
    """Say why the auxiliary corpora of a model cannot be read as in its training; None where they can.

    Their prepared features may be missing, damaged, of another version or of other content: an evaluation does without.
    """
    if record.auxiliary is None:
        return None
    try:
        record.auxiliary.check_content()
    except FeatureError as error:
        return str(error)
    return None
