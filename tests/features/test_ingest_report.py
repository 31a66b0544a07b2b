import csv

import pytest

from harness.corpus.irregularities import Irregularity, IrregularityKind
from harness.errors import FeatureError
from harness.features.report import IngestReport, count_utterances, write_irregularities
from tests.features.invented import make_utterance


def make_report(folder, differences=()):
    row = {"ang": 1, "exc": 2, "neu": 3, "sad": 4, "hap": 5, "all labels": 20}
    return IngestReport(
        corpus_path="corpus",
        prepared_dir=str(folder),
        corpus_hash="0" * 64,
        counts={1: row, 5: row},
        differences=differences,
        num_present={"speech": 3, "text": 0, "mocap": 1},
        num_with_stream={"face": 1, "hand": 0, "head": 1},
        irregularities={IrregularityKind.MACOS_FILE: 2, IrregularityKind.CRLF_LINE_ENDS: 1},
        num_dialogues=2,
        num_read=1,
    )


def test_what_was_written_is_read(tmp_path):
    report = make_report(tmp_path, ("Session 1 is small.",))
    report.write()
    found = IngestReport.read(tmp_path)
    assert found == report
    assert list(found.irregularities) == list(report.irregularities)


def test_sums_follow_from_the_counts(tmp_path):
    report = make_report(tmp_path)
    assert (report.num_four_class, report.num_utterances) == (20, 40)
    assert report.modalities == ("speech", "mocap")
    assert report.mocap_streams == ("face", "head")
    assert report.is_complete


def test_a_missing_report_is_rejected(tmp_path):
    with pytest.raises(FeatureError, match="ingest.json': cannot be read .*; run harness prepare again$"):
        IngestReport.read(tmp_path)


def test_counts_that_differ_from_the_release_are_sentences():
    counts, differences = count_utterances((make_utterance("Ses02F_impro01_F000"),))
    assert counts == {2: {"ang": 0, "exc": 0, "neu": 1, "sad": 0, "hap": 0, "all labels": 1}}
    assert "Session 2 has 1 utterance labelled neu, but the complete corpus has 362." in differences
    assert len(differences) == 30


def test_the_table_of_irregularities_survives_commas_and_line_ends(tmp_path):
    found = Irregularity(
        IrregularityKind.NOT_UTF8, "Ses01F_impro01", None, "a,b.txt", 'says "no"\nand \udcff'
    )
    path = tmp_path / "irregularities.csv"
    write_irregularities(path, [found])
    with path.open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert row["path"] == "a,b.txt"
    assert row["detail"] == 'says "no"\nand ?'
    assert row["utterance_id"] == ""
