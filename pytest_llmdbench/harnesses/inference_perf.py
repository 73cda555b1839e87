"""inference-perf, the load generator of the Kubernetes project: how it is installed, told what to send, and read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import yaml

from pytest_llmdbench.declared.tokens import DATASET_OPTION
from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses import inference_perf_files, inference_perf_profile, inference_perf_requests, paced
from pytest_llmdbench.harnesses.environments import Environment
from pytest_llmdbench.harnesses.harness import STDOUT, Command, Place, PlannedStage, Profile, Progress
from pytest_llmdbench.harnesses.inference_perf_config import brought, configuration, from_hub
from pytest_llmdbench.harnesses.inference_perf_keys import NEWEST, known_keys
from pytest_llmdbench.harnesses.locks import lock
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Purpose, Result
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.spec import Endpoint

#: What the program is told, in the folder of the case.
CONFIG: Final = "inference-perf.yaml"

_STAGE_STARTED: Final = re.compile(rb"Stage (\d+) - (?:session-based )?run started")
#: Logged once for each request that got no whole answer; an answer with an HTTP error status is not logged.
_FAILED: Final = re.compile(
    rb"ERROR - (?:Client error during request|Request timed out|Unexpected error during request)"
)


class InferencePerf:
    """inference-perf; see :class:`~pytest_llmdbench.harnesses.harness.Harness`."""

    name = "inference-perf"
    purpose: Purpose = "load"
    clock: Literal["epoch", "monotonic"] = "monotonic"
    filled = (
        "server.base_url",
        "storage",
        *(f"report.request_lifecycle.{key}" for key in ("summary", "per_stage", "per_request")),
    )

    def __init__(self, version: str | None = None) -> None:
        self.version = version or NEWEST
        #: Every key of the program's configuration.
        self.known_keys = known_keys(self.version)
        self.environment = Environment(self.name, self.version, lock(self.name, self.version), size="640 MB")

    def stages(self, profile: Profile) -> Sequence[PlannedStage]:
        """The stages a profile will run; none for a sweep, which makes its own. Raises DeclarationError."""
        return inference_perf_profile.stages(profile, self.version)

    def expected_seconds(self, profile: Profile) -> float | None:
        """Wall seconds from start to end, about; None for closed loops, replays and sweeps."""
        return inference_perf_profile.expected_seconds(profile, self.version)

    def at_rate(self, profile: Profile, rate: float, seconds: float) -> Profile:
        """The same load at one rate for some seconds. Raises DeclarationError where it is sent at no rate."""
        return paced.inference_perf(profile, rate, seconds)

    def unmeasured(self, profile: Profile) -> Mapping[str, str]:
        """Times of tokens where the profile does not stream its answers."""
        return inference_perf_profile.unmeasured(profile)

    def prepare(self, say: Say) -> None:
        """Install the program if it is not there yet. Raises HarnessError with the way out."""
        self.environment.prepare(say)

    def command(self, profile: Profile, endpoint: Endpoint, place: Place) -> Command:
        """Write the program's configuration into the folder and say how to start it. Raises DeclarationError."""
        config = configuration(profile, self.stages(profile), self.version, endpoint, place)
        # The program's Python must find the program's packages, not those that PYTHONPATH holds for ours.
        env = {"PYTHONPATH": "", "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
        if Path(str(config["tokenizer"]["pretrained_model_name_or_path"])).is_dir() and not from_hub(config):
            env["HF_HUB_OFFLINE"] = "1"
        reads = brought(config, place.inside) if place.programs == "path" else {}
        file = place.folder.absolute() / CONFIG
        file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        program = self.name if place.programs == "path" else str(self.environment.program(self.name))
        argv = (program, "--config_file", str(place.inside / CONFIG))
        return Command(argv, place.folder.absolute(), env, {CONFIG: file, **reads})

    def watch(self, folder: Path) -> Callable[[], Progress]:
        """A function that reads on in the program's log: the stage it is in, the requests that got no whole answer."""
        return _watch(folder / STDOUT)

    def read(self, folder: Path) -> Result:
        """What the program's summaries in ``folder`` say. Raises HarnessError naming file and field."""
        try:
            return inference_perf_files.read(folder, self.version)
        except HarnessError as error:
            if (folder / inference_perf_files.SUMMARY).exists() or not _told_of_hub(folder / CONFIG):
                raise
            hint = f"Its data set is on the Hugging Face hub: {DATASET_OPTION} names a copy of it on this machine"
            raise HarnessError(f"{error}\n  {hint}") from error

    def requests(self, folder: Path, own: Result) -> Iterator[Request] | None:
        """The requests of its ``per_request`` file. Raises HarnessError."""
        return inference_perf_requests.requests(folder, own)


def _watch(log: Path) -> Callable[[], Progress]:
    offset = failed = 0
    stage: int | None = None

    def look() -> Progress:
        nonlocal offset, failed, stage
        try:
            with log.open("rb") as file:
                file.seek(offset)
                text = file.read()
        except OSError:
            return Progress(stage, failed)
        lines = text[: text.rfind(b"\n") + 1]
        offset += len(lines)
        failed += len(_FAILED.findall(lines))
        for match in _STAGE_STARTED.finditer(lines):
            stage = int(match[1])
        return Progress(stage, failed)

    return look


def _told_of_hub(config: Path) -> bool:
    try:
        return from_hub(yaml.safe_load(config.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, yaml.YAMLError):
        return False
