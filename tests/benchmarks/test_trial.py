"""The measurement of an epoch runs from end to end at its smallest."""

import statistics

import pytest

from benchmarks.floor import EpochWork
from benchmarks.measured_models import MEASURED
from benchmarks.trial import Measurement, main, report
from benchmarks.trial_setting import Epoch


def test_report_says_which_targets_are_met(capsys):
    epochs = {
        "ours": [Epoch(9.0, 1.0, 18.0)] * 3,
        "plain": [Epoch(100.0, 20.0, 120.0), Epoch(110.0, 20.0, 120.0), Epoch(120.0, 20.0, 120.0)],
        "torch": [Epoch(14.0, 1.0, 27.0)] * 3,
    }
    measurement = Measurement(epochs, peak_operations=[1e11] * 3, peak_functions=[1e9] * 3)
    work = EpochWork({"text": 5e11}, {"text": 1e11}, functions=1e9)
    report(MEASURED["fusion-paper"].targets, measurement, work, gigabytes=2.5)
    printed = capsys.readouterr().out
    assert "plain / ours: 13.00 times (12.00 to 14.00); asked: at least 9: met" in printed
    assert "torch / ours: 1.50 times (1.50 to 1.50); asked: at least 2: MISSED" in printed
    assert "torch / ours, the processor's time: 1.50 times (1.50 to 1.50)\n" in printed
    assert "ours / floor: 1.67 times (1.67 to 1.67); asked: at most 2.2: met" in printed
    assert "memory of ours 2.50 GB; asked: below 2 GB: MISSED" in printed


@pytest.mark.parametrize(("seconds", "verdict"), [(59.0, "met"), (60.0, "MISSED")])
def test_compared_system_is_judged_by_its_epoch(capsys, seconds, verdict):
    measurement = Measurement({"ours": [Epoch(seconds, 1.0, 80.0)]})
    report(MEASURED["acnn"].targets, measurement, None, gigabytes=1.0)
    printed = capsys.readouterr().out
    assert f"an epoch of ours: asked: at most 60 s: {verdict}\n" in printed
    assert "80 s (80 to 80) of the processor" in printed and "floor" not in printed


def test_floor_with_functions_at_their_own_speed():
    measurement = Measurement({}, peak_operations=[1e11], peak_functions=[1e9])
    work = EpochWork({"text": 4e11}, {"text": 1e11}, functions=1e9)
    assert statistics.median(measurement.floor(work).seconds) == pytest.approx(5.0)
    assert measurement.floor_with_functions(work).median == pytest.approx(4.8 + 1.0)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_smallest_measurement_runs(capsys):
    pytest.importorskip("torch")
    main(["--quick", "--rounds", "1", "--models", "text2", "mocap1", "--profile"])
    printed = capsys.readouterr().out
    assert printed.count("plain / ours") == printed.count("torch / ours: ") == 2


@pytest.mark.long
@pytest.mark.timeout(600)
def test_smallest_measurement_of_compared_systems_runs(capsys):
    pytest.importorskip("torch")
    main(["--quick", "--rounds", "1", "--models", "dnn_elm", "recogniser", "uni_svm", "--profile"])
    printed = capsys.readouterr().out
    assert printed.count("torch / ours: ") == 2
    assert printed.count("peak private memory of ours") == 3
    assert "plain" not in printed and "floor" not in printed
