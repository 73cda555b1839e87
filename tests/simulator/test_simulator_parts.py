"""The simulator's parts that need no server: configuration, words, cache, histograms, metrics, answer plans."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from pytest_llmdbench.simulator.answer_plan import Planner
from pytest_llmdbench.simulator.config import Faults, SimulatorConfig, Spread
from pytest_llmdbench.simulator.config_file import parse_config
from pytest_llmdbench.simulator.engine import Engine
from pytest_llmdbench.simulator.fault_plan import FaultPlan
from pytest_llmdbench.simulator.histogram import LogHistogram
from pytest_llmdbench.simulator.kv_cache import KvCache
from pytest_llmdbench.simulator.metrics import Metrics, token_bounds
from pytest_llmdbench.simulator.openai_request import parse_generation
from pytest_llmdbench.simulator.spread import factors
from pytest_llmdbench.simulator.words import CHAT_TEMPLATE, Wording, count_tokens, token_id, vocabulary


class Scenario(BaseModel):
    simulator: SimulatorConfig = SimulatorConfig()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"ttft": -1}, "ttft is -1.0, it must be a number of seconds"),
        ({"faults": {"error_rate": 1.5}}, "faults.error_rate is 1.5"),
        ({"faults": {"error_rate": 0.6, "reject_rate": 0.6}}, "at most 1"),
        ({"step_spread": {"distribution": "table", "table": [0.0]}}, "not all 0"),
        ({"step_spread": {"distribution": "constant", "table": [1.0]}}, "empty when distribution is constant"),
        ({"max_num_batched_tokens": 100}, "at least max_num_seqs (256)"),
        ({"num_kv_blocks": 10}, "at least max_model_len (32768)"),
        ({"tokens_per_event": 0}, "a whole number of at least 1"),
        ({"model": " "}, "it must be a name"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Scenario.model_validate({"simulator": keys})
    assert said in str(caught.value)


def test_a_scenario_embeds_the_configuration_and_refuses_unknown_keys() -> None:
    scenario = Scenario.model_validate({"simulator": {"ttft": 0.05, "itl": 0.01, "faults": {"cut_rate": 0.1}}})
    assert scenario.simulator == SimulatorConfig(ttft=0.05, itl=0.01, faults=Faults(cut_rate=0.1))
    with pytest.raises(ValidationError, match="tftt"):
        Scenario.model_validate({"simulator": {"tftt": 0.05}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "the configuration must be a mapping"),
        ('{"tftt": 1}', "unknown key tftt, did you mean ttft?"),
        ('{"faults": {"error_rat": 1}}', "unknown key faults.error_rat, did you mean error_rate?"),
        ('{"ttft": "fast"}', "ttft must be a float, not str 'fast'"),
        ('{"seed": true}', "seed must be a int, not bool True"),
        ('{"step_spread": {"table": 1}}', "step_spread.table must be a list"),
        ('{"step_spread": {"distribution": "zipf"}}', "one of constant, normal, lognormal, gamma, table"),
    ],
)
def test_a_wrong_configuration_file_gets_one_clear_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="simulator: ") as caught:
        parse_config(SimulatorConfig, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_configuration_file_says_the_same_as_a_scenario() -> None:
    keys = '{"ttft": 1, "step_spread": {"distribution": "table", "table": [1, 2]}, "faults": {"cut_rate": 1}}'
    assert parse_config(SimulatorConfig, keys) == Scenario.model_validate_json(f'{{"simulator": {keys}}}').simulator


@pytest.mark.parametrize("distribution", ["constant", "normal", "lognormal", "gamma"])
def test_factors_have_mean_1_and_the_spread_that_was_asked_for(distribution: Any) -> None:
    draw = factors(Spread(distribution, cv=0.25), 1)
    drawn = [draw() for _ in range(20_000)]
    assert statistics.fmean(drawn) == pytest.approx(1, rel=0.01)
    assert statistics.stdev(drawn) == pytest.approx(0 if distribution == "constant" else 0.25, rel=0.05)
    assert min(drawn) >= 0


def test_a_table_of_measured_values_is_drawn_from_with_mean_1() -> None:
    draw = factors(Spread("table", table=(10.0, 10.0, 40.0)), 1)
    assert {round(draw(), 6) for _ in range(100)} == {0.5, 2.0}


def test_the_vocabulary_is_stable_unique_and_as_long_as_asked() -> None:
    words = vocabulary()
    assert (len(words), len(set(words))) == (4096, 4096)
    assert {len(word) for word in words} == {4}
    assert words[:3] == ["baba", "beba", "biba"]
    assert vocabulary(10) == words[:10]
    assert len(set(vocabulary(9000))) == 9000
    with pytest.raises(ValueError, match="1 to"):
        vocabulary(0)


def test_an_answer_splits_into_exactly_its_tokens_however_it_is_cut() -> None:
    wording = Wording(123456789)
    pieces = [wording.text(number, number + 1) for number in range(50)]
    assert "".join(pieces) == wording.text(0, 50) == " ".join(wording.words(50))
    assert count_tokens("".join(pieces)) == 50
    assert wording.text(0, 7) + wording.text(7, 50) == wording.text(0, 50)


def test_words_and_ids_agree_for_the_vocabulary_and_are_stable_for_other_words() -> None:
    assert [token_id(word) for word in vocabulary()[:5]] == [0, 1, 2, 3, 4]
    assert token_id("Zebra") == token_id("Zebra") >= 4096


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "one two"}],
        [{"role": "system", "content": "be brief"}, {"role": "user", "content": " hi  there\n"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}, {"role": "user", "content": "b"}],
        [{"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url"}, {"type": "text"}]}],
    ],
)
def test_the_chat_template_renders_as_many_words_as_the_server_counts(messages: list[Any]) -> None:
    jinja2 = pytest.importorskip("jinja2")
    rendered = jinja2.Environment(autoescape=False).from_string(CHAT_TEMPLATE).render(messages=messages)
    request = parse_generation({"messages": messages}, True, SimulatorConfig())
    assert count_tokens(rendered) == request.questions[0].prompt.length


def plan(config: SimulatorConfig | None = None, **fields: Any) -> Any:
    config = config or SimulatorConfig()
    request = parse_generation({"prompt": "to be or not to be", **fields}, False, config)
    return Planner(config).plan(request, request.questions[0], 0)


def test_an_answer_has_max_tokens_unless_the_model_is_to_end_earlier() -> None:
    assert (plan(max_tokens=77).length, plan(max_tokens=77).finish_reason) == (77, "length")
    talkative = SimulatorConfig(answer_tokens=20)
    assert (plan(talkative, max_tokens=77).length, plan(talkative, max_tokens=77).finish_reason) == (20, "stop")
    assert plan(talkative, max_tokens=77, ignore_eos=True).length == 77
    assert plan(talkative, max_tokens=77, min_tokens=50).length == 50
    assert plan(talkative, max_tokens=10).finish_reason == "length"


def test_a_stop_sequence_ends_the_answer_where_it_is_first_complete() -> None:
    words = plan(max_tokens=50).wording.words(50)
    stop = f"{words[9]} {words[10][:2]}"
    found = plan(max_tokens=50, stop=["nowhere!", stop])
    assert (found.length, found.finish_reason, found.stop_reason) == (11, "stop", stop)
    assert found.text(0, 11) == " ".join(words[:9]) + " "
    assert found.text(0, 5) + found.text(5, 10) + found.text(10, 11) == found.text(0, 11)
    kept = plan(max_tokens=50, stop=stop, include_stop_str_in_output=True)
    assert kept.text(0, 11) == " ".join(words[:9]) + " " + stop
    assert plan(max_tokens=50, min_tokens=11, stop=stop).length == 50


def test_blocks_that_nobody_uses_are_evicted_oldest_first_and_never_those_in_use() -> None:
    cache = KvCache(4)
    cache.take(3)
    for name in (1, 2, 3):
        cache.name(name)
    cache.release([1, 2], 0)
    assert (cache.used, cache.available, cache.usage) == (1, 3, 0.25)
    assert cache.lookup([1, 2, 3]) == [1, 2, 3]
    cache.take(2)
    assert cache.lookup([1]) == [1]
    assert cache.lookup([2]) == []
    assert not cache.can_take(2)
    assert not cache.can_take(1, [1])
    assert not cache.drop_kept()
    cache.release([3], 2)
    assert cache.drop_kept()
    assert cache.lookup([1]) == []


def test_quantiles_are_within_one_percent_and_the_mean_is_exact() -> None:
    histogram = LogHistogram()
    values = [1.001**number * 0.003 for number in range(3000)]
    for value in values:
        histogram.observe(value)
    for share in (0.5, 0.9, 0.99):
        assert histogram.quantile(share) == pytest.approx(values[int(share * 3000) - 1], rel=0.011)
    assert histogram.mean == pytest.approx(statistics.fmean(values))
    histogram.observe(0.0, 10_000)
    assert histogram.quantile(0.5) == 0.0
    assert LogHistogram().summary()["mean"] is None


def test_metrics_carry_vllm_s_labels_types_and_buckets() -> None:
    config = SimulatorConfig(model='odd "name"', max_model_len=3000)
    metrics = Metrics(config)
    metrics.first_token.observe(0.05, 3)
    metrics.generation_tokens = 2_500_000
    text = metrics.render(Engine(config))
    label = 'engine="0",model_name="odd \\"name\\""'
    assert "# TYPE vllm:time_to_first_token_seconds histogram" in text
    assert 'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.04",model_name="odd \\"name\\""} 0.0' in text
    assert 'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.06",model_name="odd \\"name\\""} 3.0' in text
    assert 'vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="odd \\"name\\""} 3.0' in text
    assert f"vllm:time_to_first_token_seconds_count{{{label}}} 3.0" in text
    assert "# TYPE vllm:generation_tokens_total counter" in text
    assert f"vllm:generation_tokens_total{{{label}}} 2.5e+06" in text
    assert "# TYPE vllm:generation_tokens_created gauge" in text
    assert 'vllm:request_success_total{engine="0",finished_reason="length",' in text
    assert 'num_gpu_blocks="32768"' in text
    assert token_bounds(3000) == (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


def test_faults_strike_the_share_of_requests_that_was_asked_for_and_the_same_ones_each_time() -> None:
    def fates(seed: int) -> list[int]:
        plan = FaultPlan(Faults(error_rate=0.2, reject_rate=0.1, retry_after_s=1.5), seed)
        return [refusal.status if (refusal := plan.refusal()) else 200 for _ in range(2000)]

    assert fates(1) == fates(1) != fates(2)
    assert fates(1).count(500) / 2000 == pytest.approx(0.2, abs=0.03)
    assert fates(1).count(429) / 2000 == pytest.approx(0.1, abs=0.03)
    assert math.isclose(sum(FaultPlan(Faults(cut_rate=1.0), 1).cuts() for _ in range(10)), 10)
