"""The engine in virtual time: no clock, no socket, so every figure is exact."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest

from pytest_llmdbench.simulator.config import SimulatorConfig, Spread
from pytest_llmdbench.simulator.engine import Engine
from pytest_llmdbench.simulator.prompt import make_prompt
from pytest_llmdbench.simulator.sequence import Sequence


class Run:
    """Feeds an engine with sequences at given times and notes when each token came."""

    def __init__(self, **config: Any) -> None:
        self.config = SimulatorConfig(**config)
        self.engine = Engine(self.config)
        self.times: dict[Sequence, list[float]] = defaultdict(list)
        self.step_times: list[float] = []

    def sequence(self, prompt: int | list[int], length: int, at: float = 0.0) -> Sequence:
        tokens = list(range(1000, 1000 + prompt)) if isinstance(prompt, int) else prompt
        return Sequence(make_prompt(tokens, self.config.block_size, self.config.prefix_caching), length, at)

    def submit(self, *sequences: Sequence) -> None:
        for sequence in sequences:
            self.engine.submit(sequence)
        self.engine.wake(max(sequence.arrival for sequence in sequences))

    def advance(self, late: float = 0.0) -> bool:
        due = self.engine.deadline()
        if due is None:
            return False
        progress = self.engine.advance(due + late)
        for sequence in progress.tokens:
            self.times[sequence].append(progress.due)
        if progress.is_step:
            self.step_times.append(progress.step_time)
        return True

    def until(self, time: float) -> None:
        while (due := self.engine.deadline()) is not None and due <= time:
            self.advance()

    def to_the_end(self) -> None:
        while self.advance():
            assert self.engine.cache.used <= self.config.num_kv_blocks


def distinct(start: int, length: int) -> list[int]:
    return list(range(start * 100_000, start * 100_000 + length))


def test_a_lone_request_gets_its_first_token_after_ttft_and_the_others_every_itl() -> None:
    run = Run(ttft=0.05, itl=0.01)
    sequence = run.sequence(20, length=4, at=3.0)
    run.submit(sequence)
    run.to_the_end()
    assert run.times[sequence] == pytest.approx([3.05, 3.06, 3.07, 3.08])
    assert sequence.finish_reason == "length"


def test_requests_in_full_swing_keep_their_ttft_exactly_and_their_mean_gap() -> None:
    run = Run(ttft=0.05, itl=0.01, max_num_seqs=64)
    first = run.sequence(distinct(1, 5), length=200)
    run.submit(first)
    others = [run.sequence(distinct(number, 5), 50, at=0.3 + number * 0.0037) for number in range(2, 32)]
    for other in others:
        run.until(other.arrival)
        run.submit(other)
    run.to_the_end()
    assert [run.times[other][0] - other.arrival for other in others] == pytest.approx([0.05] * 30)
    gaps = [run.times[other][1] - run.times[other][0] for other in others]
    assert all(0.005 - 1e-9 <= gap <= 0.015 + 1e-9 for gap in gaps)
    later = [late - early for other in others for early, late in pairwise(run.times[other][1:])]
    assert later == pytest.approx([0.01] * len(later))


def test_a_step_takes_base_plus_sequences_plus_prefilled_tokens() -> None:
    run = Run(itl=0.010, itl_per_sequence=0.001, prefill_per_token=0.0001)
    run.submit(run.sequence(distinct(1, 100), 3), run.sequence(distinct(2, 50), 3))
    run.to_the_end()
    assert run.step_times == pytest.approx([0.010 + 2 * 0.001 + 150 * 0.0001, 0.012, 0.012])


def test_a_long_prompt_is_prefilled_in_chunks_and_others_go_on_meanwhile() -> None:
    run = Run(itl=0.0, prefill_per_token=0.001, max_num_batched_tokens=100, max_num_seqs=8)
    short, long, last = (run.sequence(distinct(number, size), 9) for number, size in ((1, 10), (2, 250), (3, 60)))
    run.submit(short, long, last)
    run.to_the_end()
    # The first prompt and 90 tokens, 99 beside one decoding sequence, the last 61 and 38 of the third, then its 22.
    assert run.step_times[:4] == pytest.approx([0.100, 0.099, 0.099, 0.022])
    assert run.times[long][0] == pytest.approx(0.298)
    assert run.times[short][:3] == pytest.approx([0.100, 0.199, 0.298])


def test_no_more_than_max_num_seqs_run_and_the_others_wait_in_order() -> None:
    run = Run(itl=0.01, max_num_seqs=2)
    sequences = [run.sequence(distinct(number, 5), 3) for number in range(5)]
    run.submit(*sequences)
    assert (len(run.engine.running), len(run.engine.waiting)) == (2, 3)
    run.to_the_end()
    assert [run.times[sequence][0] for sequence in sequences] == pytest.approx([0.01, 0.01, 0.04, 0.04, 0.07])
    assert sequences[4].scheduled_at == pytest.approx(0.06)


def test_ttft_of_a_request_that_had_to_wait_counts_from_when_there_was_room() -> None:
    run = Run(ttft=0.05, itl=0.01, max_num_seqs=1)
    first, second = run.sequence(distinct(1, 5), 2), run.sequence(distinct(2, 5), 2)
    run.submit(first, second)
    run.to_the_end()
    assert run.times[second][0] == pytest.approx(run.times[first][-1] + 0.05)


def test_without_a_free_block_the_newest_is_preempted_and_still_gets_every_token() -> None:
    run = Run(itl=0.01, block_size=4, num_kv_blocks=16, max_model_len=64, prefix_caching=False)
    sequences = [run.sequence(distinct(number, 16), 20) for number in range(3)]
    run.submit(*sequences)
    run.to_the_end()
    assert run.engine.preemptions > 0
    assert sequences[0].preemptions == 0
    assert sequences[2].preemptions > 0
    assert [len(run.times[sequence]) for sequence in sequences] == [20, 20, 20]
    assert run.engine.cache.used == 0


def test_a_preempted_request_waits_for_the_next_step_before_those_that_came_later() -> None:
    sizes = {"block_size": 4, "num_kv_blocks": 16, "max_model_len": 64, "max_num_batched_tokens": 8, "max_num_seqs": 2}
    run = Run(itl=0.01, prefix_caching=False, **sizes)
    first, second, third = (run.sequence(distinct(number, 8), 40) for number in range(3))
    run.submit(first, second, third)
    while not run.engine.preemptions:
        run.advance()
    assert list(run.engine.waiting) == [second, third]
    run.to_the_end()
    assert run.times[second][-1] < run.times[third][-1]


def test_a_request_that_does_not_fit_beside_others_waits_for_blocks() -> None:
    run = Run(itl=0.01, block_size=4, num_kv_blocks=16, max_model_len=64, prefix_caching=False)
    first, second = run.sequence(distinct(1, 40), 4), run.sequence(distinct(2, 40), 4)
    run.submit(first, second)
    run.advance()
    assert list(run.engine.waiting) == [second]
    run.to_the_end()
    assert len(run.times[second]) == 4


def test_a_shared_prefix_costs_no_prefill() -> None:
    run = Run(itl=0.0, prefill_per_token=0.001, block_size=16)
    prefix = distinct(1, 160)
    first, second = run.sequence([*prefix, 1, 2], 1), run.sequence([*prefix, 3, 4, 5], 1, at=10.0)
    run.submit(first)
    run.to_the_end()
    run.submit(second)
    run.to_the_end()
    assert run.times[first][0] == pytest.approx(0.162)
    assert run.times[second][0] - 10.0 == pytest.approx(0.003)
    assert (run.engine.prefix_queries, run.engine.prefix_hits) == (162 + 163, 160)


def test_requests_of_one_step_share_a_prefix_too() -> None:
    run = Run(itl=0.01, block_size=16)
    run.submit(run.sequence(100, 2), run.sequence(100, 2))
    assert run.engine.prefix_hits == 96
    assert run.engine.cache.used == 8


def test_the_same_prompt_again_still_computes_its_last_token() -> None:
    run = Run(itl=0.01, block_size=16)
    run.submit(run.sequence(32, 2))
    run.to_the_end()
    run.submit(run.sequence(32, 2, at=1.0))
    assert run.engine.prefix_hits == 16


def test_the_next_turn_of_a_chat_hits_the_answer_before_it() -> None:
    run = Run(itl=0.01, block_size=4)
    words = [str(number) for number in range(9)]
    first = Sequence(make_prompt(["hello", "there"], 4), 9, 0.0, answer=lambda count: words[:count])
    run.submit(first)
    run.to_the_end()
    run.submit(Sequence(make_prompt(["hello", "there", *words, "and", "now"], 4), 1, 1.0))
    assert run.engine.prefix_hits == 8


def test_without_prefix_caching_nothing_is_shared() -> None:
    run = Run(itl=0.01, prefix_caching=False)
    run.submit(run.sequence(100, 2), run.sequence(100, 2))
    assert run.engine.prefix_hits == 0
    assert run.engine.cache.used == 14


def test_an_aborted_request_leaves_room_for_the_next() -> None:
    run = Run(itl=0.01, max_num_seqs=1)
    first, second = run.sequence(distinct(1, 100), 1000), run.sequence(distinct(2, 5), 1)
    run.submit(first, second)
    run.until(0.05)
    run.engine.abort(first)
    run.to_the_end()
    assert len(run.times[first]) == 5
    assert len(run.times[second]) == 1
    assert first.finish_reason == "abort"
    assert run.engine.cache.used == 0


def test_a_waiting_request_can_be_aborted() -> None:
    run = Run(itl=0.01, max_num_seqs=1)
    first, second = run.sequence(5, 3), run.sequence(5, 3)
    run.submit(first, second)
    run.engine.abort(second)
    run.engine.abort(second)
    run.to_the_end()
    assert not run.times[second]
    assert len(run.times[first]) == 3


def test_a_late_wake_up_does_not_shift_the_following_steps() -> None:
    run = Run(itl=0.01)
    sequence = run.sequence(5, 5)
    run.submit(sequence)
    run.advance(late=0.004)
    run.to_the_end()
    assert run.times[sequence] == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])
    assert run.engine.lost_s == 0


def test_a_wake_up_more_than_a_step_late_sets_the_clock_forward_and_says_so() -> None:
    run = Run(itl=0.01)
    sequence = run.sequence(5, 3)
    run.submit(sequence)
    run.advance(late=0.5)
    run.to_the_end()
    assert run.times[sequence] == pytest.approx([0.01, 0.52, 0.53])
    assert run.engine.lost_s == pytest.approx(0.5)


def test_a_stall_puts_off_all_that_is_due_in_it() -> None:
    run = Run(itl=0.01)
    sequence = run.sequence(5, 4)
    run.submit(sequence)
    run.engine.stall(0.015, 2.0)
    run.to_the_end()
    assert run.times[sequence] == pytest.approx([0.01, 2.0, 2.01, 2.02])


def test_the_same_seed_gives_the_same_times_and_another_one_gives_others() -> None:
    def times(seed: int) -> list[float]:
        run = Run(itl=0.01, seed=seed, step_spread=Spread("gamma", cv=0.3))
        sequence = run.sequence(5, 50)
        run.submit(sequence)
        run.to_the_end()
        return run.times[sequence]

    assert times(1) == times(1)
    assert times(1) != times(2)


def test_under_random_pressure_every_request_gets_exactly_its_tokens() -> None:
    config = {
        "block_size": 4,
        "num_kv_blocks": 40,
        "max_model_len": 80,
        "max_num_seqs": 9,
        "max_num_batched_tokens": 32,
    }
    run = Run(itl=0.01, ttft=0.02, **config)
    lengths = [(7 + 13 * number % 41, 1 + 17 * number % 37) for number in range(120)]
    sequences = [
        run.sequence(distinct(number % 5, prompt), length, at=number * 0.011)
        for number, (prompt, length) in enumerate(lengths)
    ]
    for number, sequence in enumerate(sequences):
        run.until(sequence.arrival)
        run.submit(sequence)
        if number % 10 == 9:
            run.engine.abort(sequences[number - 3])
    run.to_the_end()
    for sequence in sequences:
        if sequence.finish_reason != "abort":
            assert len(run.times[sequence]) == sequence.length
            assert run.times[sequence] == sorted(run.times[sequence])
    assert run.engine.preemptions > 0
    assert run.engine.cache.used == 0
    assert not run.engine.running
    assert not run.engine.waiting
