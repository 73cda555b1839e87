"""What the terminal says of a recommendation: plain words, and only what there is something to say about."""

from __future__ import annotations

import pytest

from pytest_llmdbench.capacity.main import main

LOAD = ("--input-tokens", "1000", "--output-tokens", "500")


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    main(["recommend", *words])
    return capsys.readouterr().out


def test_the_headline_counts_engines(capsys: pytest.CaptureFixture[str]) -> None:
    assert "4 of 4 engines can do what is asked for" in shown(capsys, "Qwen/Qwen3-8B", "--gpu", "H100", *LOAD)


def test_a_table_has_the_cost_of_both_kinds_of_tokens_and_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(capsys, "Qwen/Qwen3-8B", "--gpu", "H100", *LOAD)
    head = next(line for line in said.splitlines() if "replicas x one replica" in line)
    assert head.split()[-9:] == ["$/1M", "in", "$/1M", "out", "$", "all/1M", "out", "a", "month"]
    assert "share the cost by the time that prompts and answers take" in said


def test_prices_in_another_currency_are_headed_by_it(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(capsys, "Qwen/Qwen3-8B", "--gpu", "H100", *LOAD, "--price-per-hour", "3")
    assert "cost/1M out" in said
    assert "$" not in said
    assert "H100-SXM-80GB: 3 a GPU-hour (the price that was given)" in said


def test_what_has_no_price_has_no_words_on_cost(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(capsys, "Qwen/Qwen3-8B", "--gpu", "T4", *LOAD)
    assert "1M in and 1M out share" not in said
    assert "*" not in said
    assert "GPU-hour" not in said


def test_what_does_not_fit_says_with_how_many_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    assert "not on L4: with tp8: weights (" in shown(capsys, "meta-llama/Llama-3.1-405B", "--gpu", "L4", *LOAD)


def test_replicas_for_a_rate_are_told_with_what_is_spared(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("Qwen/Qwen3-8B", "--gpu", "H100", *LOAD)
    assert "at most 85% of what it carries when full" in shown(capsys, *words, "--rate", "6")
    assert "85%" not in shown(capsys, *words)
