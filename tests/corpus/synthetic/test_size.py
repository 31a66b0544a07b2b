from collections import namedtuple

import pytest

from harness.corpus.synthetic.plan import plan_corpus
from harness.corpus.synthetic.settings import SyntheticSettings
from harness.corpus.synthetic.writer import CorpusSize, measure_plan, require_free_disk
from harness.errors import HarnessError

Usage = namedtuple("Usage", "total used free")


def test_the_size_is_known_beforehand(written):
    paths = [path for path in written.layout.root.rglob("*") if path.is_file()]
    size = measure_plan(written.plan)
    assert size.num_files == len(paths) - 1  # but for the marker file
    assert size.num_bytes == pytest.approx(sum(path.stat().st_size for path in paths), rel=0.03)


def test_the_real_durations_and_rate_give_the_real_size():
    settings = SyntheticSettings(scale=1.0, seconds_per_utterance=4.6, mocap_rate=119.9)
    assert 12e9 < measure_plan(plan_corpus(settings)).num_bytes < 16e9


def test_a_disk_that_is_too_small_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**12, 10**12, 50_000_000))
    folder = tmp_path / "new" / "corpus"
    size = CorpusSize(num_files=1000, num_bytes=1_500_000_000)
    with pytest.raises(HarnessError) as raised:
        require_free_disk(folder, size)
    assert str(raised.value) == (
        f"synthetic corpus {str(folder)!r}: needs 1.5 GB and the disk has 50 MB free; free some, "
        "or choose a smaller scale, shorter utterances or a lower mocap rate"
    )


def test_a_disk_that_is_large_enough_is_not(tmp_path):
    require_free_disk(tmp_path / "new" / "corpus", CorpusSize(num_files=1, num_bytes=1))
