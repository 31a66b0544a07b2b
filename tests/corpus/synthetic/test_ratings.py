from harness.corpus.irregularities import IrregularityKind
from harness.corpus.labels import read_annotations
from harness.corpus.synthetic.plan import Damage, annotated_end, plan_corpus
from harness.corpus.synthetic.settings import SyntheticSettings
from harness.corpus.synthetic.text import encode_label_file

SETTINGS = SyntheticSettings()


def test_the_file_reads_back_as_planned(tmp_path):
    num_duplicates = 0
    for dialogue in plan_corpus(SETTINGS).dialogues:
        path = tmp_path / f"{dialogue.dialogue_id}.txt"
        path.write_bytes(encode_label_file(SETTINGS, dialogue))
        turns, irregularities = read_annotations(path)
        assert [(turn.utterance_id, turn.emotion, turn.start, turn.end) for turn in turns] == [
            (utterance.utterance_id, utterance.emotion, utterance.start, annotated_end(dialogue, utterance))
            for utterance in dialogue.utterances
        ]
        assert all(1 <= value <= 5 for turn in turns for value in turn.vad)
        assert {found.kind for found in irregularities} <= {IrregularityKind.DUPLICATE_TURN}
        duplicates = {found.utterance_id for found in irregularities}
        planned = {one.utterance_id for one in dialogue.utterances if one.damage is Damage.DUPLICATE_TURN}
        assert duplicates == planned
        num_duplicates += len(duplicates)
    assert num_duplicates == 1


def test_the_file_has_raters_self_reports_and_attributes():
    dialogue = plan_corpus(SETTINGS).dialogues[0]
    lines = encode_label_file(SETTINGS, dialogue).decode().split("\n")
    assert lines[:2] == ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    block = lines[2 : lines.index("", 2)]
    letter = dialogue.utterances[0].speaker_letter
    assert [line.split("\t")[0] for line in block[1:]] == [
        "C-E2:", "C-E3:", "C-E4:", f"C-{letter}1:", "A-E3:", "A-E4:", f"A-{letter}1:",
    ]  # fmt: skip
