"""Attempts at trials between their beginning and their end."""

from pathlib import Path

from harness.search.cluster.flights import Flight, Flights
from harness.search.cluster.order import JobStarted
from harness.search.trial_job import TrialJob


def flights_of(num_trials: int) -> Flights:
    flights = Flights()
    for index in range(num_trials):
        flights.begin(TrialJob(index + 1, index, index + 1, {}, Path("1.json"), Path("1.0.out")))
    return flights


def ask_next(flights: Flights, key: str) -> Flight:
    flight = flights.next_waiting()
    assert flight is not None
    flights.ask(flight, key)
    return flight


def test_what_is_taken_back_waits_first_in_the_line_and_its_old_key_is_nobodys() -> None:
    flights = flights_of(3)
    first = ask_next(flights, "a")
    flights.take_back(first)
    assert (flights.of_key("a"), flights.num_asked, len(flights)) == (None, 0, 3)
    assert ask_next(flights, "b") is first
    assert ask_next(flights, "c").trial.trial_index == 1


def test_what_was_called_off_does_not_wait() -> None:
    flights = flights_of(2)
    for flight in flights:
        if flight.trial.trial_index == 0:
            flight.called_off = 1.0
    assert ask_next(flights, "a").trial.trial_index == 1
    assert flights.next_waiting() is None


def test_a_loss_counts_for_what_was_lost_alone() -> None:
    flights = flights_of(2)
    first, second = ask_next(flights, "a"), ask_next(flights, "b")
    flights.count_losses(["a", "another search's"])
    flights.take_back(first)
    flights.count_losses(["a"])
    assert (first.num_losses, second.num_losses) == (1, 0)


def test_a_flight_that_landed_is_nowhere_whether_it_was_asked_for_or_not() -> None:
    flights = flights_of(2)
    asked = ask_next(flights, "a")
    for flight in flights:
        flights.land(flight)
    assert (len(flights), flights.num_asked, flights.next_waiting()) == (0, 0, None)
    assert flights.of_trial(asked.trial.trial_id) is None


def test_only_the_latest_execution_is_heard() -> None:
    flight = ask_next(flights_of(1), "a")
    assert not flight.is_heard("first")
    assert flight.begins(JobStarted(1, "first", "host", 1, None))
    assert not flight.begins(JobStarted(1, "first", "host", 1, None))
    assert flight.begins(JobStarted(1, "second", "host", 2, None))
    assert (flight.is_heard("first"), flight.is_heard("second")) == (False, True)
