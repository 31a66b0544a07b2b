"""The facts of the systems that the paper compares with."""

import pytest

from harness.models.baselines import BASELINES
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.scoring.assessment import METRICS
from harness.splits.protocol import PROTOCOLS
from harness.tables.compared import COMPARED, OwnFolds, OwnProtocol
from harness.tables.published import PUBLISHED

BUILT = [each for each in COMPARED if each.system in SYSTEMS]


def test_every_figure_has_its_measure_its_classes_and_its_split_in_words():
    titles = [each.title for each in COMPARED]
    assert len(set(titles)) == len(titles)
    for each in COMPARED:
        assert each.measure in {*METRICS, ""} and each.classes and each.split
        # An unknown measure is of an unknown protocol, which nothing here can follow.
        assert each.measure or isinstance(each.own, str)


def test_the_figures_of_tables_two_and_five_are_those_of_the_systems_that_stand_for_them():
    of_others = {row.system: row.percent for row in PUBLISHED if row.table in (2, 5) and row.system not in SYSTEMS}
    of_others |= {row.system: row.percent for row in PUBLISHED if row.system in {each.system for each in COMPARED}}
    assert set(of_others) == {"blstm_null", "ctc", "acnn", "asr_transfer", "uni_svm"}
    for system, percent in of_others.items():
        assert percent in [each.percent for each in COMPARED if each.system == system]


def test_seventy_one_point_five_nine_is_called_a_macro_f():
    (found,) = [each for each in COMPARED if each.percent == 71.59]
    assert (found.measure, found.own.folds) == ("macro F1", OwnFolds.SPEAKERS)


@pytest.mark.parametrize("compared", BUILT, ids=lambda compared: compared.title)
def test_the_chosen_hyperparameters_are_some_of_its_system(compared):
    own = compared.own.choices if isinstance(compared.own, OwnProtocol) else {}
    read_hyperparameters(SYSTEMS[compared.system], {**compared.choices, **own}, PROTOCOLS["paper"])


@pytest.mark.parametrize("name", sorted({each.system for each in COMPARED} & {*BASELINES}))
def test_a_baseline_has_no_hyperparameters_to_choose(name):
    assert all(not each.choices for each in COMPARED if each.system == name)
