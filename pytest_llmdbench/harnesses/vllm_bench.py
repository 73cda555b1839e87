"""``vllm bench serve``, the load program that comes with vLLM: how it is installed, told what to send, and read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses import paced, vllm_bench_files, vllm_bench_profile, vllm_bench_requests
from pytest_llmdbench.harnesses.harness import STDOUT, Command, Place, PlannedStage, Profile, Progress
from pytest_llmdbench.harnesses.vllm_bench_files import RESULTS
from pytest_llmdbench.harnesses.vllm_bench_profile import BACKEND, ENDPOINTS, FROM_FILE
from pytest_llmdbench.harnesses.vllm_environment import VllmEnvironment
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Purpose, Result
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.spec import Endpoint

#: Where a profile has no seed: two runs of one profile send the same prompts at the same times.
SEED: Final = 42
#: How far apart the seeds of programs side by side are.
SEEDS_APART: Final = 1000
#: The latencies that the program sums up, and at which percentiles where the profile does not say.
METRICS: Final = "ttft,tpot,itl,e2el"
PERCENTILES: Final = "0.1,1,5,10,25,50,75,90,95,99,99.9"
#: Where local files are brought to for a program that runs elsewhere.
INPUTS: Final = "inputs"
#: Keys that may name a local file or folder.
LOCAL: Final = ("tokenizer", "dataset-path")
#: What only a run can say. ``host`` and ``port`` are another way to name the server.
FILLED: Final = (
    "base-url", "host", "port", "result-dir", "result-filename", "save-result", "save-detailed", "append-result",
    "percentile-metrics",
)  # fmt: skip

_STARTED: Final = b"Starting main benchmark run"


class VllmBench:
    """vllm-benchmark; see :class:`~pytest_llmdbench.harnesses.harness.Harness`."""

    name = "vllm-benchmark"
    purpose: Purpose = "load"
    clock: Literal["epoch", "monotonic"] = "monotonic"
    filled: tuple[str, ...] = FILLED

    def __init__(self, version: str | None = None) -> None:
        self.environment = VllmEnvironment(version)
        self.version = self.environment.version
        self.known_keys = vllm_bench_profile.known_keys()

    def stages(self, profile: Profile) -> Sequence[PlannedStage]:
        """The one stage a profile will run. Raises DeclarationError."""
        return vllm_bench_profile.stages(profile)

    def expected_seconds(self, profile: Profile) -> float | None:
        """Wall seconds from start to end, about; None for closed loops, traces and rising rates."""
        return vllm_bench_profile.expected_seconds(profile)

    def at_rate(self, profile: Profile, rate: float, seconds: float) -> Profile:
        """The same load at one rate for some seconds. Raises DeclarationError where it is sent at no rate."""
        return paced.vllm_bench(profile, rate, seconds)

    def prepare(self, say: Say) -> None:
        """Install vLLM for the CPU if it is not there yet. Raises HarnessError with the way out."""
        self.environment.prepare(say)

    def command(self, profile: Profile, endpoint: Endpoint, place: Place) -> Command:
        """How to start the program; it takes all it is told from its command line. Raises DeclarationError."""
        self.stages(profile)
        told = _told(profile, endpoint, place)
        reads = _brought(told, place) if place.programs == "path" else {}
        env = dict(self.environment.variables)
        if Path(endpoint.tokenizer).is_dir() and told.get("dataset-name") != "hf":
            env["HF_HUB_OFFLINE"] = "1"
        program = "vllm" if place.programs == "path" else str(self.environment.program("vllm"))
        argv = (program, "bench", "serve", *vllm_bench_profile.arguments(told))
        return Command(argv, place.folder.absolute(), env, reads)

    def watch(self, folder: Path) -> Callable[[], Progress]:
        """A function that says whether the load has begun; failures are told at the end only."""
        return _watch(folder / STDOUT)

    def read(self, folder: Path) -> Result:
        """What the program's summary in ``folder`` says. Raises HarnessError naming file and field."""
        return vllm_bench_files.read(folder, self.name, self.version)

    def requests(self, folder: Path, own: Result) -> Iterator[Request] | None:
        """The requests in its result file. Raises HarnessError."""
        return vllm_bench_requests.requests(folder, own)


def _told(profile: Profile, endpoint: Endpoint, place: Place) -> dict[str, Any]:
    """The profile, with what only the run knows, and with our defaults where it is silent."""
    told = {
        key: value for key, value in profile.items() if value is not None and value is not False and key not in FILLED
    }
    # A profile that names the model means its tokenizer, which need not have the model's name.
    if told.get("tokenizer") == endpoint.model:
        del told["tokenizer"]
    for key, value in {
        "model": endpoint.model,
        "tokenizer": endpoint.tokenizer,
        "endpoint": ENDPOINTS[told.get("backend") or BACKEND],
        "metric-percentiles": PERCENTILES,
        "seed": SEED,
        # A line that is written anew ten times a second, for nobody.
        "disable-tqdm": True,
    }.items():
        told.setdefault(key, value)
    told["seed"] = int(told["seed"]) + place.index * SEEDS_APART
    _find_data(told, place)
    return told | {
        "base-url": endpoint.url,
        "result-dir": str(place.inside),
        "result-filename": RESULTS,
        "save-result": True,
        "save-detailed": True,
        "percentile-metrics": METRICS,
    }


def _find_data(told: dict[str, Any], place: Place) -> None:
    """Make the path of a data set absolute, for the program runs in another folder."""
    if told.get("dataset-name") not in FROM_FILE:
        return
    path = Path(str(told["dataset-path"])).expanduser()
    if path.is_file():
        told["dataset-path"] = str(path.absolute())
    elif place.programs == "prepared":
        raise DeclarationError(
            f"'dataset-path': there is no file {path}; 'dataset-name: {told['dataset-name']}' is read from one. "
            "Name it with --llmd-dataset FILE, or --llmd-overrides dataset-path=FILE"
        )


def _brought(told: dict[str, Any], place: Place) -> dict[str, Path]:
    """The local files that the program reads, to be brought along; it is told where they will be."""
    found: dict[str, Path] = {}
    for key in LOCAL:
        path = Path(str(told.get(key) or ""))
        if path.is_absolute() and path.exists():
            # Some data sets are told apart by the ending of their file's name.
            name = f"{INPUTS}/{key}{path.suffix if path.is_file() else ''}"
            found[name] = path
            told[key] = str(place.inside / name)
    return found


def _watch(log: Path) -> Callable[[], Progress]:
    begun = False

    def look() -> Progress:
        nonlocal begun
        if not begun:
            with suppress(OSError):
                begun = _STARTED in log.read_bytes()
        return Progress(0 if begun else None)

    return look
