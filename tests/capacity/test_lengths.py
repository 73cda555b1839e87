"""Lengths that spread around their means: what has a place, what must fit, and what a percentile is judged by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_llmdbench.capacity.asked import Asked
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.expected import met
from pytest_llmdbench.capacity.explore import explore
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.lengths import Spread
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.main import main
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.speed import places, speed
from pytest_llmdbench.declared.objective import parse_objective
from pytest_llmdbench.errors import DeclarationError

FIXED = Load(1000, 500, concurrency=8)
SPREAD = replace(FIXED, prompt=Spread(300), output=Spread(400, 1600))
ENGINE = Configuration(find_model("Qwen/Qwen3-8B"), find_gpu("L4"), max_model_len=8192)


def test_long_answers_stay_longer_so_fewer_requests_have_a_place() -> None:
    assert places(ENGINE, SPREAD) < places(ENGINE, FIXED)
    assert SPREAD.resident == pytest.approx(1000 + (500 + 400**2 / 500) / 2)


def test_a_mix_of_two_lengths_has_in_the_cache_what_is_counted() -> None:
    # Answers of 100 and of 900, as many of each: nine of ten that are under way are long.
    mixed = replace(FIXED, output=Spread(400, 900))
    assert mixed.resident == pytest.approx(1000 + (0.1 * 100 + 0.9 * 900) / 2)


def test_prompts_of_other_lengths_take_no_more_room_on_average() -> None:
    assert places(ENGINE, replace(FIXED, prompt=Spread(300))) == places(ENGINE, FIXED)


def test_the_longest_request_has_to_fit() -> None:
    assert SPREAD.longest == 1000 + 3 * 300 + 1600
    assert Asked(ENGINE.model, SPREAD).length == 3584
    assert Asked(ENGINE.model, FIXED).length == 2048
    with pytest.raises(DeclarationError, match="fewer than the longest prompt and answer of the load, 3500"):
        speed(replace(ENGINE, max_model_len=3000), SPREAD)


def test_a_load_whose_longest_request_the_model_does_not_take_is_refused() -> None:
    with pytest.raises(DeclarationError, match="up to 51500 tokens is longer than the 40960 positions"):
        explore(Asked(ENGINE.model, replace(FIXED, output=Spread(100, 50500))))


LONG_PROMPTS, LONG_ANSWERS = replace(FIXED, prompt=Spread(300)), replace(FIXED, output=Spread(300))


@pytest.mark.parametrize(
    ("objective", "missed", "kept"),
    [("ttft.p90 <= {ttft}s", LONG_PROMPTS, LONG_ANSWERS), ("e2e.p90 <= {e2e}s", LONG_ANSWERS, LONG_PROMPTS)],
)
def test_a_high_percentile_is_judged_by_the_length_of_that_percentile(objective: str, missed: Load, kept: Load) -> None:
    found = speed(ENGINE, FIXED)
    # Just met by the far end of the estimate, were all lengths alike.
    bounds = {"ttft": found.ttft_range[1] * 1.01, "e2e": found.e2e * (1 + found.tpot_error) * 1.01}
    asked = parse_objective(objective.format(**bounds), "test")
    assert met(asked, found, FIXED)
    assert met(asked, found, kept)
    assert not met(asked, found, missed)


@pytest.mark.parametrize("objective", ["ttft.p50 <= {}s", "ttft.mean <= {}s"])
def test_the_median_and_the_mean_are_those_of_the_mean_length(objective: str) -> None:
    found = speed(ENGINE, FIXED)
    asked = parse_objective(objective.format(found.ttft * 1.01), "test")
    assert met(asked, found, replace(FIXED, prompt=Spread(900)))


def test_the_maximum_is_that_of_the_longest() -> None:
    found = speed(ENGINE, FIXED)
    asked = parse_objective(f"ttft.max <= {found.ttft_range[1] * 1.5}s", "test")
    assert met(asked, found, replace(FIXED, prompt=Spread(100, 1400)))
    assert not met(asked, found, replace(FIXED, prompt=Spread(100, 1600)))


def test_no_percentile_is_longer_than_the_longest() -> None:
    assert Spread(400, 600).at(99, 500) == 600
    assert Spread(400).at(90, 500) == pytest.approx(500 + 1.2816 * 400, rel=1e-3)
    assert Spread(400, 2000).at(100, 500) == 2000
    assert Spread().at(99.9, 500) == 500


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--input-stddev", "-1"), "--input-stddev"),
        (("--output-stddev", "nan"), "--output-stddev"),
        (("--output-max", "100"), "the longest (100 tokens) is shorter than the mean (500)"),
    ],
)
def test_a_spread_that_nobody_can_mean_is_refused_in_a_sentence(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], reason: str
) -> None:
    load = ("--input-tokens", "1000", "--output-tokens", "500")
    assert main(["check", "Qwen/Qwen3-8B", "--gpu", "H100", *load, *words]) == 2
    assert reason in capsys.readouterr().err


def test_a_spread_needs_the_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "Qwen/Qwen3-8B", "--gpu", "H100", "--input-stddev", "100"]) == 2
    assert "--input-stddev needs the lengths" in capsys.readouterr().err
