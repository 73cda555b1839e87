"""``/metrics``: vLLM 0.32's names, types, labels and buckets, with values that were measured here."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pytest_llmdbench.simulator.config import SimulatorConfig
from pytest_llmdbench.simulator.engine import Engine
from pytest_llmdbench.simulator.histogram import BucketHistogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

LATENCY = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
FIRST_TOKEN = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560),
)
BETWEEN_TOKENS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80),
)
STEP_TOKENS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
CHOICES = (1, 2, 5, 10, 20)
PREEMPTIONS = (1, 2, 3, 4, 5, 10, 20)
FINISHED_REASONS = ("stop", "length", "abort", "error", "repetition")


def token_bounds(max_model_len: int) -> tuple[float, ...]:
    """vLLM's bounds for token counts: 1, 2, 5, 10, ... up to ``max_model_len``."""
    series = (mantissa * 10**exponent for exponent in range(len(str(max_model_len))) for mantissa in (1, 2, 5))
    return tuple(float(bound) for bound in series if bound <= max_model_len)


class Metrics:
    """What vLLM counts since its start. ``recorder`` fills it; the engine's own state is read when it is rendered."""

    def __init__(self, config: SimulatorConfig) -> None:
        tokens = token_bounds(config.max_model_len)
        self._config = config
        self._created = time.time()
        self.prompt_tokens = self.cached_tokens = self.generation_tokens = 0
        self.success = dict.fromkeys(FINISHED_REASONS, 0)
        #: Answers that were begun: (path, status class such as ``2xx``) -> how many.
        self.answers: dict[tuple[str, str], int] = {}
        self.request_prompt_tokens = BucketHistogram(tokens)
        self.request_generation_tokens = BucketHistogram(tokens)
        self.iteration_tokens = BucketHistogram(STEP_TOKENS)
        self.max_generation_tokens = BucketHistogram(tokens)
        self.params_n = BucketHistogram(CHOICES)
        self.params_max_tokens = BucketHistogram(tokens)
        self.first_token = BucketHistogram(FIRST_TOKEN)
        self.between_tokens = BucketHistogram(BETWEEN_TOKENS)
        self.per_output_token = BucketHistogram(BETWEEN_TOKENS)
        self.end_to_end = BucketHistogram(LATENCY)
        self.queue = BucketHistogram(LATENCY)
        self.inference = BucketHistogram(LATENCY)
        self.prefill = BucketHistogram(LATENCY)
        self.decode = BucketHistogram(LATENCY)
        self.preemptions = BucketHistogram(PREEMPTIONS)
        self.computed_tokens = BucketHistogram(tokens)

    def render(self, engine: Engine) -> str:
        """The text that Prometheus scrapes."""
        return "\n".join([*self._gauges(engine), *self._counters(engine), *self._http(), *self._histograms(), ""])

    def _gauges(self, engine: Engine) -> Iterator[str]:
        running, waiting = len(engine.running), len(engine.waiting)
        yield from _family("num_requests_running", "gauge", "Number of requests in model execution batches.")
        yield self._line("num_requests_running", running)
        yield from _family("num_requests_waiting", "gauge", "Number of requests waiting to be processed.")
        yield self._line("num_requests_waiting", waiting)
        yield from _family("num_requests_waiting_by_reason", "gauge", "Number of waiting requests by reason.")
        yield self._line("num_requests_waiting_by_reason", waiting, reason="capacity")
        yield self._line("num_requests_waiting_by_reason", 0, reason="deferred")
        yield from _family("kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.")
        yield self._line("kv_cache_usage_perc", engine.cache.usage)
        yield from _family("cache_config_info", "gauge", "Information of the LLMEngine CacheConfig")
        config = self._config
        info = {
            "block_size": config.block_size,
            "cache_dtype": "auto",
            "enable_prefix_caching": config.prefix_caching,
            "engine": 0,
            "gpu_memory_utilization": 0.92,
            "kv_cache_size_tokens": config.num_kv_blocks * config.block_size,
            "num_cpu_blocks": None,
            "num_gpu_blocks": config.num_kv_blocks,
            "num_gpu_blocks_override": None,
            "prefix_caching_hash_algo": "builtin",
            "sliding_window": None,
        }
        yield f"vllm:cache_config_info{_labels(info)} 1.0"

    def _counters(self, engine: Engine) -> Iterator[str]:
        yield from self._counter(
            "prefix_cache_queries", "Prefix cache queries, in queried tokens.", engine.prefix_queries
        )
        yield from self._counter("prefix_cache_hits", "Prefix cache hits, in cached tokens.", engine.prefix_hits)
        for kind in ("queries", "hits"):
            yield from self._counter(f"external_prefix_cache_{kind}", f"External prefix cache {kind}, in tokens.", 0)
        yield from self._counter(
            "num_preemptions", "Cumulative number of preemption from the engine.", engine.preemptions
        )
        yield from self._counter("prompt_tokens", "Number of prefill tokens processed.", self.prompt_tokens)
        sources = {
            "local_compute": self.prompt_tokens - self.cached_tokens,
            "local_cache_hit": self.cached_tokens,
            "external_kv_transfer": 0,
        }
        yield from self._labelled_counter("prompt_tokens_by_source", "Prompt tokens by source.", "source", sources)
        yield from self._counter("prompt_tokens_cached", "Number of cached prompt tokens.", self.cached_tokens)
        yield from self._counter("generation_tokens", "Number of generation tokens processed.", self.generation_tokens)
        help_text = "Count of successfully processed requests."
        yield from self._labelled_counter("request_success", help_text, "finished_reason", self.success)

    def _http(self) -> Iterator[str]:
        """What the web server in front of vLLM counts: every answer, also those that the engine never saw."""
        yield "# HELP http_requests_total Total number of requests by method, status and handler."
        yield "# TYPE http_requests_total counter"
        for (path, status), count in self.answers.items():
            labels = _labels({"handler": path, "method": "POST", "status": status})
            yield f"http_requests_total{labels} {_number(count)}"

    def _histograms(self) -> Iterator[str]:
        for name, help_text, histogram in (
            ("request_prompt_tokens", "Number of prefill tokens processed.", self.request_prompt_tokens),
            ("request_generation_tokens", "Number of generation tokens processed.", self.request_generation_tokens),
            ("iteration_tokens_total", "Number of tokens per engine_step.", self.iteration_tokens),
            ("request_max_num_generation_tokens", "Maximum requested generation tokens.", self.max_generation_tokens),
            ("request_params_n", "The n request parameter.", self.params_n),
            ("request_params_max_tokens", "The max_tokens request parameter.", self.params_max_tokens),
            ("time_to_first_token_seconds", "Time to first token in seconds.", self.first_token),
            ("inter_token_latency_seconds", "Inter-token latency in seconds.", self.between_tokens),
            ("request_time_per_output_token_seconds", "Time per output token per request.", self.per_output_token),
            ("e2e_request_latency_seconds", "E2e request latency in seconds.", self.end_to_end),
            ("request_queue_time_seconds", "Time spent in WAITING phase for request.", self.queue),
            ("request_inference_time_seconds", "Time spent in RUNNING phase for request.", self.inference),
            ("request_prefill_time_seconds", "Time spent in PREFILL phase for request.", self.prefill),
            ("request_decode_time_seconds", "Time spent in DECODE phase for request.", self.decode),
            ("request_num_preemptions", "The number of times a request was preempted.", self.preemptions),
            ("request_prefill_kv_computed_tokens", "New KV tokens computed during prefill.", self.computed_tokens),
        ):
            yield from _family(name, "histogram", "Histogram: " + help_text)
            below = 0
            for bound, count in zip((*map(_number, histogram.bounds), "+Inf"), histogram.counts, strict=True):
                below += count
                yield self._line(f"{name}_bucket", below, le=bound)
            yield self._line(f"{name}_count", below)
            yield self._line(f"{name}_sum", histogram.total)
            yield from self._creation(name, help_text)

    def _counter(self, name: str, help_text: str, value: int) -> Iterator[str]:
        yield from _family(f"{name}_total", "counter", help_text)
        yield self._line(f"{name}_total", value)
        yield from self._creation(name, help_text)

    def _labelled_counter(self, name: str, help_text: str, label: str, values: dict[str, int]) -> Iterator[str]:
        yield from _family(f"{name}_total", "counter", help_text)
        for key, value in values.items():
            yield self._line(f"{name}_total", value, **{label: key})
        yield from _family(f"{name}_created", "gauge", help_text)
        for key in values:
            yield self._line(f"{name}_created", self._created, **{label: key})

    def _creation(self, name: str, help_text: str) -> Iterator[str]:
        yield from _family(f"{name}_created", "gauge", help_text)
        yield self._line(f"{name}_created", self._created)

    def _line(self, name: str, value: float, **labels: str) -> str:
        return f"vllm:{name}{_labels({**labels, 'engine': 0, 'model_name': self._config.model})} {_number(value)}"


def _family(name: str, kind: str, help_text: str) -> tuple[str, str]:
    return f"# HELP vllm:{name} {help_text}", f"# TYPE vllm:{name} {kind}"


def _labels(labels: dict[str, object]) -> str:
    quoted = (f'{key}="{_escape(str(value))}"' for key, value in sorted(labels.items()))
    return "{" + ",".join(quoted) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    """A number as Prometheus' own client prints it: 1.0, 0.25, 1e+06."""
    text = repr(float(value))
    point = text.find(".")
    if value <= 0 or point <= 6 or "e" in text:
        return text
    mantissa = f"{text[0]}.{text[1:point]}{text[point + 1 :]}".rstrip("0.")
    return f"{mantissa}e+{point - 1:02d}"
