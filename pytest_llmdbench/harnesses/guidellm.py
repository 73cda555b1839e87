"""guidellm, the load generator of the vLLM project: how it is installed, told what to send, and read."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

import yaml

from pytest_llmdbench.harnesses import guidellm_files, guidellm_profile, guidellm_requests, paced
from pytest_llmdbench.harnesses.environments import Environment
from pytest_llmdbench.harnesses.guidellm_keys import KINDS, known_keys
from pytest_llmdbench.harnesses.guidellm_report import RESULTS
from pytest_llmdbench.harnesses.guidellm_spec import mapping_at, merged
from pytest_llmdbench.harnesses.guidellm_tokenizer import for_prompts
from pytest_llmdbench.harnesses.harness import STDERR, Command, Place, PlannedStage, Profile, Progress
from pytest_llmdbench.harnesses.locks import lock
from pytest_llmdbench.harnesses.sections import default, subsection
from pytest_llmdbench.harnesses.streams import unseen_without
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Purpose, Result
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.spec import Endpoint

#: The version that runs where none is asked for.
DEFAULT: Final = "0.8.1"
#: What the program is told, in the folder of the case.
SCENARIO: Final = "guidellm.yaml"
INPUTS: Final = "inputs"
#: Where a profile has no seed: two runs of one profile send the same prompts.
SEED: Final = 42
#: How far apart the seeds of programs side by side are: each stage of a load takes the one after the last.
SEEDS_APART: Final = 1000
#: How many requests the program allows at once where a profile does not say, which its queue is a share of.
AT_ONCE: Final = 10240
#: For how many seconds of an open load prompts are made in advance; and at least so many.
AHEAD_S: Final = 5
AHEAD: Final = 32
#: The share of the requests at once that a queue may hold, in the program itself.
QUEUED: Final = 0.5
#: Prompts that a data loader with processes of its own makes in advance, of the releases that can be told.
PREFETCH: Final = 64

#: It uses torch as a loader of data alone: what stands in for it, and the word to a library that there is none.
WITHOUT_TORCH: Final[Mapping[str, str]] = {
    "PYTHONPATH": str(Path(__file__).with_name("torch_shim")),
    "USE_TORCH": "0",
}

_PROGRESS: Final = re.compile(rb"Benchmark (\d+) \(.*?errored=(\d+)")


class Guidellm:
    """guidellm; see :class:`~pytest_llmdbench.harnesses.harness.Harness`."""

    name = "guidellm"
    purpose: Purpose = "load"
    clock: Literal["epoch", "monotonic"] = "epoch"
    filled: tuple[str, ...] = ("spec.backend.target", "spec.outputs")

    def __init__(self, version: str | None = None) -> None:
        self.version = version or DEFAULT
        self.environment = Environment(self.name, self.version, lock(self.name, self.version), size="450 MB")
        #: Every key of the program's scenario files.
        self.known_keys = known_keys(self.version)

    def stages(self, profile: Profile) -> Sequence[PlannedStage]:
        """The stages a profile will run; none for a search, which makes its own. Raises DeclarationError."""
        return guidellm_profile.stages(profile, self.version)

    def expected_seconds(self, profile: Profile) -> float | None:
        """Wall seconds from start to end, about; None for closed loops without a duration, replays and searches."""
        return guidellm_profile.expected_seconds(profile, self.version)

    def at_rate(self, profile: Profile, rate: float, seconds: float) -> Profile:
        """The same load at one rate for some seconds. Raises DeclarationError where it is sent at no rate."""
        return paced.guidellm(profile, rate, seconds)

    def unmeasured(self, profile: Profile) -> Mapping[str, str]:
        """The gaps of a stream; times of tokens where the profile does not stream its answers."""
        streamed = mapping_at(merged(profile), "backend", "spec.").get("stream", True)
        found = {} if streamed else unseen_without("spec.backend.stream: true")
        return {**found, "itl": "it keeps no single gaps; tpot is their mean for each request"}

    def prepare(self, say: Say) -> None:
        """Install the program if it is not there yet. Raises HarnessError with the way out."""
        self.environment.prepare(say)

    def command(self, profile: Profile, endpoint: Endpoint, place: Place) -> Command:
        """Write the program's scenario file into the folder and say how to start it. Raises DeclarationError."""
        planned = self.stages(profile)
        scenario = _scenario(profile, endpoint, place, self.known_keys)
        spec = scenario["spec"]
        env = {
            "PYTHONUNBUFFERED": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "GUIDELLM__MAX_WORKER_PROCESSES": str(_workers(place.processors)),
            "GUIDELLM__MP_MAX_PENDING_BUFFER_PERCENT": f"{_queued(spec, planned):.9f}",
        }
        if place.programs == "prepared":
            env |= WITHOUT_TORCH
        else:
            env["PYTHONPATH"] = ""
        if Path(str(spec["tokenizer"]["model"])).is_dir():
            env["HF_HUB_OFFLINE"] = "1"
        reads = _brought(spec, place.inside) if place.programs == "path" else {}
        file = place.folder.absolute() / SCENARIO
        file.write_text(yaml.safe_dump(scenario, sort_keys=False), encoding="utf-8")
        program = self.name if place.programs == "path" else str(self.environment.program(self.name))
        argv = (program, "run", "--scenario", str(place.inside / SCENARIO), "--disable-console-interactive")
        return Command(argv, place.folder.absolute(), env, {SCENARIO: file, **reads})

    def watch(self, folder: Path) -> Callable[[], Progress]:
        """A function that reads on in the log: the stage it is in, the failures it counted. 0.7 logs neither."""
        return _watch(folder / STDERR)

    def read(self, folder: Path) -> Result:
        """What the program's report in ``folder`` says. Raises HarnessError naming file and field."""
        return guidellm_files.read(folder, self.version)

    def requests(self, folder: Path, own: Result) -> Iterator[Request] | None:
        """The requests of its report. Raises HarnessError."""
        return guidellm_requests.requests(folder, own)


def _watch(log: Path) -> Callable[[], Progress]:
    offset = 0
    failed: dict[int, int] = {}

    def look() -> Progress:
        nonlocal offset
        try:
            with log.open("rb") as file:
                file.seek(offset)
                text = file.read()
        except OSError:
            text = b""
        lines = text[: text.rfind(b"\n") + 1]
        offset += len(lines)
        for match in _PROGRESS.finditer(lines):
            failed[int(match[1])] = int(match[2])
        return Progress(max(failed) - 1 if failed else None, sum(failed.values()))

    return look


def _scenario(profile: Profile, endpoint: Endpoint, place: Place, known: frozenset[str]) -> dict[str, Any]:
    """The profile, with what only the run knows, and with our defaults where it is silent."""
    scenario: dict[str, Any] = {key: deepcopy(value) for key, value in profile.items() if value is not None}
    spec = subsection(scenario, "spec")
    for key in ("backend", "tokenizer", "data_loader", "seed", "metrics"):
        section = subsection(spec, key)
        spec[key] = {"kind": section.pop("kind", None) or KINDS[key], **section}
    backend, tokenizer = spec["backend"], spec["tokenizer"]
    backend["target"] = endpoint.url
    default(backend, {"model": endpoint.model})
    default(tokenizer, {"model": endpoint.tokenizer})
    # A profile that names the model means its tokenizer, which need not have the model's name.
    if tokenizer["model"] == endpoint.model:
        tokenizer["model"] = endpoint.tokenizer
    tokenizer["model"] = for_prompts(str(tokenizer["model"]), place.folder.absolute())
    loader = {"prefetch_factor": PREFETCH} if "prefetch_factor" in known else {}
    default(spec["data_loader"], {"num_workers": 1, **loader})
    default(spec["seed"], {"value": SEED})
    if place.index:
        spec["seed"]["value"] = int(spec["seed"]["value"]) + place.index * SEEDS_APART
    # Prompts and answers would make most of the report.
    default(spec["metrics"], {"sample_size": 0})
    spec["outputs"] = [{"kind": "json", "path": str(place.inside / RESULTS)}]
    return scenario


def _brought(spec: Mapping[str, Any], inside: PurePosixPath) -> dict[str, Path]:
    """The local files that a scenario names, to be brought along; it is told where they will be."""
    found: dict[str, Path] = {}
    named = [(spec["tokenizer"], "model", "tokenizer")]
    for index, one in enumerate(spec["data"]):
        source = one["source"] if isinstance(one.get("source"), dict) else one
        named += [(source, key, f"data.{index}") for key in ("path", "source")]
    for section, key, name in named:
        path = Path(str(section.get(key) or ""))
        if path.is_absolute() and path.exists():
            found[f"{INPUTS}/{name}{path.suffix}"] = path
            section[key] = str(inside / f"{INPUTS}/{name}{path.suffix}")
    return found


def _queued(spec: Mapping[str, Any], planned: Sequence[PlannedStage]) -> float:
    """The share of the requests at once that wait ready-made in the program's queue.

    The program fills its queue before the load and while it runs, of an open load with thousands of prompts that are
    thrown away in the end; some seconds' worth will do.
    """
    rates = [stage.rate for stage in planned if stage.rate is not None]
    if not rates:
        return QUEUED
    ahead = max(AHEAD, math.ceil(max(rates) * AHEAD_S))
    return min(QUEUED, (ahead + 0.5) / (spec["profile"].get("max_concurrency") or AT_ONCE))


def _workers(own: int | None) -> int:
    """Processes that send: all processors but one, or half of them where the stack may be here too; 8 are enough."""
    return min(8, max(1, (os.cpu_count() or 1) // 2 if own is None else own - 1))
