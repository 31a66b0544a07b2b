"""Carrying out small tables as the command does."""

from harness.tables.experiments import lacking_modalities
from harness.tables.plan import distinct_experiments, plan_rows
from harness.tables.results import TablesReader
from harness.tables.trainings import plan_experiments, record_tables_opening
from harness.training.runner import Execution, carry_out


class Recorder:
    """A view that keeps what it was told."""

    def __init__(self, stop_at=None):
        self.begun, self.epochs, self.sentences = [], [], []
        self.stop_at = stop_at

    def begin(self, num_trainings, num_finished):
        self.begun.append((num_trainings, num_finished))

    def training(self, title, seed):
        if (title, seed) == self.stop_at:
            raise KeyboardInterrupt

    def epoch(self, stage, epoch, max_epochs):
        self.epochs.append((stage, epoch, max_epochs))
        if (stage, epoch) == self.stop_at:
            raise KeyboardInterrupt

    def ended(self, title, seed, sentence):
        self.sentences.append((title, seed, sentence))


def carry_out_rows(settings, facts, store, results, stop_at=None):
    """Return the number of failures and what the view was told."""
    experiments = distinct_experiments(plan_rows(settings))
    return carry_out_experiments(experiments, settings, facts, store, results, stop_at)


def carry_out_experiments(experiments, settings, facts, store, results, stop_at=None):
    view = Recorder(stop_at)
    opening_id = record_tables_opening(results, settings, facts, "harness tables")
    experiments = [found for found in experiments if not lacking_modalities(store, found)]
    planned = plan_experiments(settings, facts, experiments)
    return carry_out(Execution(results, view, 1, opening_id), planned), view


def read_rows(settings, facts, store, results):
    """Return the rows that are trained here, by table and name."""
    reader = TablesReader(settings, facts, results)
    return {(row.table, row.name): reader.read(row) for row in plan_rows(settings) if row.name}
