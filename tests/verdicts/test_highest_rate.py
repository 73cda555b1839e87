"""The search for the highest rate: few runs, near the truth, right on a cliff, honest where there is no answer."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import pytest

from pytest_llmdbench.verdicts.highest_rate import Probe, Span, Step, bracket, next_step
from tests.verdicts.curves import Stack, cliff, queue, search, steep

SPAN = Span(low=4, high=150, tolerance=0.05)


@pytest.mark.parametrize(
    "stack",
    [queue(80, 0.5), queue(80, 0.9), queue(20, 0.8, floor=0.5), cliff(80), cliff(33, below=0.95), steep(100, 8)],
    ids=["queue", "busy queue", "queue on a floor", "cliff", "cliff from near the bound", "steep"],
)
def test_the_rate_found_is_met_and_within_the_tolerance_of_the_truth(stack: Stack) -> None:
    known, probes = search(stack, SPAN)
    assert known.met
    assert known.met.full
    assert stack.highest / 1.051 <= known.met.rate <= stack.highest
    assert len(probes) <= 9


@pytest.mark.parametrize("highest", [4.1, 5, 12, 47, 140])
@pytest.mark.parametrize("make", [cliff, lambda highest: queue(highest, 0.7)])
def test_it_is_found_wherever_in_the_range_it_is(make: Callable[[float], Stack], highest: float) -> None:
    known, _ = search(make(highest), SPAN)
    assert known.met
    assert highest / 1.051 <= known.met.rate <= highest


@pytest.mark.parametrize("tolerance", [0.01, 0.02, 0.1, 0.3])
@pytest.mark.parametrize("stack", [queue(80, 0.8), cliff(80)], ids=["queue", "cliff"])
def test_any_tolerance_is_kept(stack: Stack, tolerance: float) -> None:
    known, _ = search(stack, Span(4, 150, tolerance))
    assert known.met
    assert 80 / (1 + tolerance) / 1.002 <= known.met.rate <= 80


def test_noise_does_not_keep_it_from_ending_and_few_runs_suffice() -> None:
    runs, errors = [], []
    for seed in range(200):
        known, probes = search(queue(60, 0.85, floor=0.3), SPAN, noise=0.05, seed=seed)
        assert known.met
        runs.append(len(probes))
        errors.append(known.met.rate / 60 - 1)
    assert statistics.mean(runs) <= 6.5
    assert math.sqrt(statistics.mean(error**2 for error in errors)) <= 0.04


def test_the_first_run_is_at_the_end_of_the_range_and_the_second_below_what_was_served_there() -> None:
    assert next_step(SPAN, []) == Step(150)
    assert next_step(SPAN, [Probe(150, False, 3.0, 100.0)]) == Step(88)
    # Where nobody knows what was served, half the way down, as factors go.
    assert next_step(SPAN, [Probe(150, False)]) == Step(24.49)


def test_a_range_whose_end_is_met_says_so_after_a_full_run_there() -> None:
    known, probes = search(queue(500, 0.8), SPAN)
    assert [(one.rate, one.full) for one in probes] == [(150, False), (150, True)]
    assert known.met == probes[1]
    assert known.missed is None


def test_a_range_whose_beginning_is_missed_says_so() -> None:
    known, probes = search(cliff(1), SPAN)
    assert known.met is None
    assert known.missed
    assert known.missed.rate == 4
    assert known.missed.full
    assert len(probes) <= 14


def test_rates_that_could_not_be_measured_are_searched_below() -> None:
    """As where the load program sends no more than 40 a second, and the stack would serve them."""
    probes: list[Probe] = []
    while (step := next_step(SPAN, probes)) is not None:
        sent = step.rate <= 40
        probes.append(Probe(step.rate, sent, -0.5 if sent else None, min(step.rate, 40.0), step.full))
        assert len(probes) < 20
    known = bracket(probes)
    assert known.met
    assert 40 / 1.051 <= known.met.rate <= 40


def test_of_two_runs_at_one_rate_the_longer_counts() -> None:
    short, full = Probe(10, True, -0.1), Probe(10, False, 0.02, full=True)
    assert bracket([short, full]).missed == full
    assert bracket([full, short]).missed == full


def test_a_rate_that_was_met_above_one_that_was_missed_counts_for_nothing() -> None:
    low, missed, chance = Probe(10, True, -0.2), Probe(12, False, 0.1), Probe(13, True, -0.01)
    known = bracket([chance, missed, low])
    assert (known.met, known.missed) == (low, missed)


def test_a_run_of_full_length_that_misses_sends_the_search_on_below() -> None:
    probes = [Probe(40, False, 2.0, 30.0), Probe(27, True, -0.1), Probe(28, False, 0.1)]
    assert next_step(SPAN, probes) == Step(27, full=True)
    step = next_step(SPAN, [*probes, Probe(27, False, 0.05, full=True)])
    assert step
    assert 4 < step.rate < 27
