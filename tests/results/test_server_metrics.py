"""What servers counted over a load: increases of counters, gauges as series, histograms, rates, totals."""

from __future__ import annotations

import pytest

from pytest_llmdbench.results.server_metrics.names import BY_NAME, METRICS
from pytest_llmdbench.results.server_metrics.summary import Watched
from tests.results.server_metrics_made import BEGIN, STEP, engine, sample, told, truth, watched, window

SERVERS = ["vllm-0.32.0", "simulator"]


@pytest.mark.parametrize("server", SERVERS)
def test_what_a_server_counted_over_a_load_is_what_the_client_counted(server: str) -> None:
    totals = told(watched("server", [sample(server, when) for when in ("first", "during", "last")]))["totals"]
    client = truth(server)
    assert totals["requests_finished"] == totals["requests_finished.length"] == client["requests"]
    assert totals["prompt_tokens"] == client["prompt_tokens"]
    assert totals["generation_tokens"] == client["completion_tokens"]
    assert totals["requests_finished.abort"] == totals["preemptions"] == totals["restarts"] == 0


@pytest.mark.parametrize("server", SERVERS)
def test_the_first_request_of_a_servers_life_is_not_of_the_load(server: str) -> None:
    last = window([sample(server, "last")])
    assert sum(one.increase for one in last.series(BY_NAME["vllm:request_success_total"])) == 0
    assert "vllm:request_success_total" in sample(server, "first")


@pytest.mark.parametrize("server", SERVERS)
def test_the_servers_own_latencies_are_of_the_loads_requests_alone(server: str) -> None:
    component = told(watched("server", [sample(server, when) for when in ("first", "last")]))["components"][0]
    for name in ("ttft", "e2e", "tpot"):
        histogram = component["aggregate"][name]
        assert histogram["count"] == truth(server)["requests"]
        assert histogram["unit"] == "s"
        assert 0 < histogram["mean"] == pytest.approx(histogram["sum"] / histogram["count"])
        assert histogram["p50"] <= histogram["p99"]
    assert component["aggregate"]["ttft"]["mean"] < component["aggregate"]["e2e"]["mean"]


@pytest.mark.parametrize("server", SERVERS)
def test_the_hit_rate_is_of_the_window_and_not_since_the_servers_start(server: str) -> None:
    totals = told(watched("server", [sample(server, when) for when in ("during", "last")]))["totals"]
    assert totals["prefix_cache_hit_rate"] == totals["prefix_cache_hits"] / totals["prefix_cache_queries"]
    assert 0.5 < totals["prefix_cache_hit_rate"] < 1
    # Nobody asked the other cache.
    assert "external_prefix_cache_hit_rate" not in totals


@pytest.mark.parametrize("server", SERVERS)
def test_gauges_are_of_the_time_of_the_load(server: str) -> None:
    texts = [sample(server, when) for when in ("first", "first", "during", "last", "last")]
    data = told(watched("server", texts))
    running = data["components"][0]["aggregate"]["running"]
    # Idle before and after: the one look in between counts.
    assert data["loaded"] == [BEGIN + 2 * STEP, BEGIN + 2 * STEP]
    assert (running["mean"], running["min"], running["max"], running["count"]) == (8, 8, 8, 1)
    assert [point[1] for point in data["components"][0]["series"]["running"]["points"]] == [0, 0, 8, 0, 0]
    assert data["totals"]["running.max"] == 8


def test_a_load_between_two_scrapes_leaves_gauges_unknown_and_not_zero() -> None:
    before = engine(num_requests_running=0, generation_tokens_total=5)
    after = engine(num_requests_running=0, generation_tokens_total=105)
    data = told(watched("server", [before, after]))
    assert data["totals"]["generation_tokens"] == 100
    assert "running.max" not in data["totals"]
    assert "running" not in data["components"][0]["aggregate"]


def test_a_server_that_restarts_loses_nothing_that_was_seen_and_is_told_of() -> None:
    texts = [engine(generation_tokens_total=value) for value in (100, 150, 20, 60)]
    data = told(watched("server", texts))
    assert data["totals"]["generation_tokens"] == 50 + 20 + 40
    assert data["totals"]["restarts"] == data["targets"][0]["restarts"] == 1


def test_a_restart_is_seen_by_the_start_of_the_process_even_where_no_counter_went_back() -> None:
    texts = [
        engine(generation_tokens_total=10) + "process_start_time_seconds 1.0\n",
        engine(generation_tokens_total=90) + "process_start_time_seconds 2.0\n",
    ]
    totals = told(watched("server", texts))["totals"]
    assert totals["generation_tokens"] == 90
    assert totals["restarts"] == 1


def test_one_counter_that_goes_back_tells_that_all_began_again() -> None:
    texts = [
        engine(generation_tokens_total=100, prompt_tokens_total=10),
        engine(generation_tokens_total=5, prompt_tokens_total=12),
    ]
    totals = told(watched("server", texts))["totals"]
    assert (totals["generation_tokens"], totals["prompt_tokens"]) == (5, 12)


def test_a_series_that_appears_within_the_load_counts_from_0() -> None:
    first = 'vllm:request_success_total{finished_reason="length"} 7\n'
    second = first + 'vllm:request_success_total{finished_reason="abort"} 2\n'
    totals = told(watched("server", [first, second, second]))["totals"]
    assert totals["requests_finished"] == totals["requests_finished.abort"] == 2


def test_a_pod_that_comes_up_within_the_load_counts_from_its_start() -> None:
    fresh = Watched(watched("late", []).target, window([None, engine(generation_tokens_total=30)], fresh=True))
    old = watched("old", [engine(generation_tokens_total=5), engine(generation_tokens_total=7)])
    assert told(old, fresh)["totals"]["generation_tokens"] == 32


def test_series_that_differ_in_labels_are_kept_apart() -> None:
    def ranks(*values: float) -> str:
        return "".join(f'vllm:num_requests_running{{engine="{rank}"}} {value}\n' for rank, value in enumerate(values))

    data = told(watched("server", [ranks(0, 0), ranks(2, 4), ranks(6, 0)]))
    running = data["components"][0]["aggregate"]["running"]
    assert (running["mean"], running["max"]) == (6, 6)
    assert [(one["labels"], one["max"]) for one in running["by"]] == [({"engine": "0"}, 6), ({"engine": "1"}, 4)]
    series = data["components"][0]["series"]["running"]
    assert [point[1] for point in series["points"]] == [0, 6, 6]
    assert [point[1] for point in series["by"][1]["points"]] == [0, 4, 0]


def test_a_share_is_averaged_over_pods_and_its_bounds_are_of_single_pods() -> None:
    pods = [
        watched(name, [engine(kv_cache_usage_perc=share, num_requests_running=1)], pod=name)
        for name, share in (("a", 0.2), ("b", 0.9))
    ]
    totals = told(*pods)["totals"]
    assert totals["kv_cache_usage.mean"] == pytest.approx(0.55)
    assert (totals["kv_cache_usage.min"], totals["kv_cache_usage.max"]) == (0.2, 0.9)
    assert totals["running.max"] == 2


def test_a_pod_that_cannot_be_read_once_is_not_missed_in_the_sum() -> None:
    busy = engine(num_requests_running=3)
    totals = told(watched("a", [busy, busy, busy]), watched("b", [busy, None, busy]))["totals"]
    assert totals["running.min"] == 6


def test_prefill_and_decode_pods_are_told_apart() -> None:
    def pod(role: str, tokens: int) -> Watched:
        return watched(role, [engine(prompt_tokens_total=0), engine(prompt_tokens_total=tokens)], role, role)

    data = told(pod("prefill", 10), pod("decode", 12))
    assert data["totals"]["prompt_tokens"] == 22
    assert {role: totals["prompt_tokens"] for role, totals in data["roles"].items()} == {"prefill": 10, "decode": 12}


def test_old_and_new_names_of_one_metric_are_one_and_counted_once() -> None:
    old = "vllm:gpu_cache_usage_perc 0.5\nvllm:num_requests_running 1\n"
    assert told(watched("server", [old]))["totals"]["kv_cache_usage.max"] == 0.5
    # A picker offers both while its names change.
    both = [
        f"llm_d_epp_request_total {value}\nllm_d_router_epp_request_total {value}\n"
        f"inference_objective_request_total {value}\n"
        for value in (1, 5)
    ]
    assert told(watched("picker", both, "picker"))["totals"]["picker_requests"] == 4


def test_no_two_metrics_share_a_name_and_every_canonical_name_is_there_once() -> None:
    names = [name for metric in METRICS for name in metric.names]
    assert len(names) == len(set(names))
    assert len(METRICS) == len({metric.canonical for metric in METRICS})


def test_a_percentile_above_the_highest_bound_is_unknown() -> None:
    def text(below: int, count: int) -> str:
        name = "vllm:time_to_first_token_seconds"
        buckets = f'{name}_bucket{{le="0.1"}} {below}\n{name}_bucket{{le="+Inf"}} {count}\n'
        return f"{buckets}{name}_count {count}\n{name}_sum 9\n"

    ttft = told(watched("server", [text(0, 0), text(60, 100)]))["components"][0]["aggregate"]["ttft"]
    assert ttft["p50"] == pytest.approx(0.1 * 50 / 60)
    assert "p99" not in ttft
    assert ttft["buckets"] == [[0.1, 60]]


def test_histograms_of_several_pods_are_one_and_those_with_other_bounds_are_not_mixed() -> None:
    def text(bound: str, count: int) -> str:
        name = "vllm:e2e_request_latency_seconds"
        return f'{name}_bucket{{le="{bound}"}} {count}\n{name}_count {count}\n{name}_sum {count * 0.5}\n'

    def pods(*bounds: str) -> dict[str, float]:
        made = (watched(str(n), [text(one, 0), text(one, 10)], pod=str(n)) for n, one in enumerate(bounds))
        totals: dict[str, float] = told(*made)["totals"]
        return totals

    assert pods("1.0", "1.0")["e2e.mean"] == pytest.approx(0.5)
    assert pods("1.0", "1.0")["e2e.p50"] == pytest.approx(0.5)
    assert "e2e.mean" not in pods("1.0", "2.0")


def test_a_hit_rate_as_a_series_is_of_each_interval() -> None:
    texts = [
        engine(prefix_cache_queries_total=q, prefix_cache_hits_total=h) for q, h in ((0, 0), (10, 5), (10, 5), (30, 25))
    ]
    component = told(watched("server", texts))["components"][0]
    rate = component["series"]["prefix_cache_hit_rate"]["points"]
    assert rate == [[BEGIN + STEP, 0.5], [BEGIN + 3 * STEP, 1.0]]
    assert component["aggregate"]["prefix_cache_hit_rate"]["mean"] == pytest.approx(25 / 30)


def test_a_long_load_keeps_256_points_a_series_and_statistics_of_all() -> None:
    texts = [engine(num_requests_running=number % 7 + 1) for number in range(2000)]
    component = told(watched("server", texts))["components"][0]
    points = component["series"]["running"]["points"]
    assert len(points) == 256
    assert (points[0][0], points[-1][0]) == (BEGIN, BEGIN + STEP * 1999)
    assert component["aggregate"]["running"]["count"] == 2000


def test_a_target_that_said_nothing_is_there_with_the_reason() -> None:
    silent = watched("pod-1", [None], pod="pod-1")
    silent.failed, silent.error = 3, "it answers 404 Not Found"
    data = told(silent, watched("pod-0", [engine(num_requests_running=1)], pod="pod-0"))
    assert data["targets"][0] | {"url": ""} == {
        "label": "pod-1", "role": "server", "pod": "pod-1", "url": "", "scrapes": 0, "restarts": 0, "failed": 3,
        "error": "it answers 404 Not Found",
    }  # fmt: skip
    assert [one["label"] for one in data["components"]] == ["pod-0"]


def test_a_password_in_an_address_is_not_kept() -> None:
    one = watched("server", [engine(num_requests_running=1)])
    one.target = type(one.target)("server", "server", "https://me:secret@host/metrics")
    assert told(one)["targets"][0]["url"] == "https://host/metrics"
