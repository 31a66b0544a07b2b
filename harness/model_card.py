"""The model card: what a saved model is, for people who did not train it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.files import write_then_rename
from harness.saved_model import ModelRecord
from harness.splits import Protocol
from harness.store.records import TestScores

SYNTHETIC_SENTENCE = (
    "**Trained on the synthetic corpus, not on IEMOCAP: no score on it is a score on IEMOCAP.**"
)


def write_model_card(model_dir: Path, record: ModelRecord, scores: Sequence[TestScores] = ()) -> None:
    """Write ``MODEL_CARD.md`` beside the models.

    Args:
        scores: those of the test session, where it has been opened for these models
    """
    with write_then_rename(model_dir / "MODEL_CARD.md") as stream:
        stream.write(describe_card(record, scores).encode("utf-8"))


def describe_card(record: ModelRecord, scores: Sequence[TestScores] = ()) -> str:
    """Return the card as Markdown."""
    choices = "\n".join(f"| {name} | {value} |" for name, value in sorted(record.hyperparameters.items()))
    seeds = ", ".join(str(seed) for seed in record.seeds)
    return f"""# {record.system}: an emotion classifier for acted, dyadic speech

{SYNTHETIC_SENTENCE if record.is_synthetic else ""}

Best trial {record.trial_index} of experiment {record.eid}, trained again on train + validation
({record.num_train_utterances} utterances) for {record.num_epochs} epochs, the number that validation chose,
with {len(record.seeds)} seed(s): {seeds}. Predictions average their probabilities.

- **Input:** {", ".join(record.modalities)}
- **Output:** probabilities of {", ".join(record.classes)}, in this order
- **Protocol:** `{record.protocol.name}` ({record.protocol.protocol_hash})
- **Corpus:** content hash `{record.corpus_hash}`
- **Made:** {record.created_at}, {", ".join(f"{name} {version}" for name, version in record.versions.items())}

## Hyperparameters

| name | value |
|---|---|
{choices}

## Test session

{_describe_scores(record.protocol, scores)}

## Use and limits

For research on emotion recognition. The corpus holds ten actors who speak American English in a studio, in
scripted and improvised scenes; four of its eleven labels are modelled, and `exc` is excitement without happiness.
Expect other voices, languages, microphones and real feelings to score lower. Not for decisions about people.
"""


def _describe_scores(protocol: Protocol, scores: Sequence[TestScores]) -> str:
    if not scores:
        return f"Session {protocol.test_session} has not been opened for these models."
    rows = "\n".join(
        f"| {score.seed} | {score.kind} | {score.epoch} | {100 * score.weighted_accuracy:.2f} "
        f"| {100 * score.unweighted_accuracy:.2f} | {100 * score.macro_f1:.2f} |"
        for score in scores
    )
    return f"""Scores on Session {protocol.test_session}, in per cent:

| seed | epoch chosen by | epoch | weighted accuracy | unweighted accuracy | macro F1 |
|---|---|---|---|---|---|
{rows}"""
