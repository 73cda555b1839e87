"""aiperf, NVIDIA's load generator: how it is installed, told what to send, and read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses import aiperf_files, aiperf_profile, aiperf_requests, paced
from pytest_llmdbench.harnesses.environments import Environment
from pytest_llmdbench.harnesses.harness import STDOUT, Command, Place, PlannedStage, Profile, Progress
from pytest_llmdbench.harnesses.locks import lock
from pytest_llmdbench.harnesses.streams import unseen_without
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Purpose, Result
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.spec import Endpoint

#: The version that runs where none is asked for.
DEFAULT: Final = "0.13.0"
#: Where a profile has no seed: two runs of one profile send the same prompts.
SEED: Final = 42
#: How far apart the seeds of programs side by side are.
SEEDS_APART: Final = 1000
#: Flags that a run fills in, whatever a profile says.
OURS: Final[Mapping[str, Any]] = {
    "ui-type": "none",
    "export-level": "records",
    "no-gpu-telemetry": True,
    "no-server-metrics": True,
}
#: Flags that may name a local file or folder, which has to be brought along to where the program runs; and to where.
LOCAL: Final = ("tokenizer", "input-file", "request-rate-series")
INPUTS: Final = "inputs"

_STARTED: Final = re.compile(rb"Phase profiling\b.* started \|")
#: Not those that the program gave up on purpose.
_FAILED: Final = re.compile(rb'\},"error":\{(?!"code":499,"type":"RequestCancellationError")')


class Aiperf:
    """aiperf; see :class:`~pytest_llmdbench.harnesses.harness.Harness`."""

    name = "aiperf"
    purpose: Purpose = "load"
    clock: Literal["epoch", "monotonic"] = "epoch"
    filled: tuple[str, ...] = (
        "url",
        *("output-artifact-dir", "artifact-dir", "profile-export-prefix", "profile-export-file"),
        *("ui-type", "ui", "export-level", "profile-export-level", "no-gpu-telemetry", "no-server-metrics"),
    )

    def __init__(self, version: str | None = None) -> None:
        self.version = version or DEFAULT
        locked = lock(self.name, self.version)
        self.environment = Environment(self.name, self.version, locked, python=">=3.11,<3.14", size="850 MB")
        #: Every flag of this version.
        self.known_keys = aiperf_profile.known_keys(self.version)

    def stages(self, profile: Profile) -> Sequence[PlannedStage]:
        """The one stage a profile will run. Raises DeclarationError."""
        return aiperf_profile.stages(profile, self.version)

    def expected_seconds(self, profile: Profile) -> float | None:
        """Wall seconds from start to end, about; None for replays, and for closed loops of a number of requests."""
        return aiperf_profile.expected_seconds(profile, self.version)

    def at_rate(self, profile: Profile, rate: float, seconds: float) -> Profile:
        """The same load at one rate for some seconds. Raises DeclarationError where it is sent at no rate."""
        return paced.aiperf(profile, rate, seconds, self.version)

    def unmeasured(self, profile: Profile) -> Mapping[str, str]:
        """Times of tokens where the profile does not stream its answers."""
        streamed = "streaming" in aiperf_profile.told(profile, self.version)
        return {} if streamed else unseen_without("streaming: true")

    def prepare(self, say: Say) -> None:
        """Install the program if it is not there yet. Raises HarnessError with the way out."""
        self.environment.prepare(say)

    def command(self, profile: Profile, endpoint: Endpoint, place: Place) -> Command:
        """Say how to start the program: all it is told is on its command line. Raises DeclarationError."""
        flags = _told(aiperf_profile.told(profile, self.version), endpoint, place)
        env = {"PYTHONPATH": "", "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false", "COLUMNS": "120"}
        if Path(str(flags["tokenizer"])).is_dir():
            # Told to be offline, the program asks for a folder as if it were a model's name, and refuses it.
            env |= {"HF_HUB_OFFLINE": "", "TRANSFORMERS_OFFLINE": ""}
        reads = _brought(flags, place)
        program = self.name if place.programs == "path" else str(self.environment.program(self.name))
        return Command((program, "profile", *aiperf_profile.arguments(flags)), place.folder.absolute(), env, reads)

    def watch(self, folder: Path) -> Callable[[], Progress]:
        """A function that reads on in the program's log and in its file of requests, which grows while it runs."""
        started, failed = _counter(folder / STDOUT, _STARTED), _counter(folder / aiperf_requests.REQUESTS, _FAILED)
        return lambda: Progress(0 if started() else None, failed())

    def follow(self, folder: Path) -> Callable[[], Sequence[Request]]:
        """A function that reads on in its file of requests; see :class:`~pytest_llmdbench.harnesses.live.Live`."""
        return aiperf_requests.follow(folder)

    def read(self, folder: Path) -> Result:
        """What the program's summary in ``folder`` says. Raises HarnessError naming file and field."""
        return aiperf_files.read(folder, self.version)

    def requests(self, folder: Path, own: Result) -> Iterator[Request] | None:  # noqa: ARG002 - of the protocol
        """The requests of its ``profile_export.jsonl``. Raises HarnessError."""
        return aiperf_requests.requests(folder)


def _counter(path: Path, pattern: re.Pattern[bytes]) -> Callable[[], int]:
    """A function that counts the lines of a growing file that hold a pattern."""
    offset = count = 0

    def look() -> int:
        nonlocal offset, count
        try:
            with path.open("rb") as file:
                file.seek(offset)
                text = file.read()
        except OSError:
            return count
        lines = text[: text.rfind(b"\n") + 1]
        offset += len(lines)
        count += len(pattern.findall(lines))
        return count

    return look


def _told(declared: Mapping[str, Any], endpoint: Endpoint, place: Place) -> dict[str, Any]:
    """A profile's flags, with what only the run knows, and with our defaults where it is silent."""
    # Tokens are those that the server counts; pieces of a stream are not tokens.
    defaults = {"model-names": endpoint.model, "tokenizer": endpoint.tokenizer, "use-server-token-count": True}
    flags: dict[str, Any] = {**defaults, "random-seed": SEED, **declared, **OURS}
    # A profile that names the model means its tokenizer, which need not have the model's name.
    if flags["tokenizer"] == endpoint.model:
        flags["tokenizer"] = endpoint.tokenizer
    if place.index:
        flags["random-seed"] = int(flags["random-seed"]) + place.index * SEEDS_APART
    flags.pop("profile-export-prefix", None)
    return flags | {"url": endpoint.url, "output-artifact-dir": str(place.inside)}


def _brought(flags: dict[str, Any], place: Place) -> dict[str, Path]:
    """The local files that flags name, made absolute here; for elsewhere, brought along and named as they will be."""
    found: dict[str, Path] = {}
    for flag in LOCAL:
        path = Path(str(flags.get(flag) or ""))
        there = flag in flags and path.exists()
        if there and place.programs == "path":
            name = f"{INPUTS}/{flag}{path.suffix if path.is_file() else ''}"
            found[name] = path.absolute()
            flags[flag] = str(place.inside / PurePosixPath(name))
        elif there:
            flags[flag] = str(path.absolute())
        elif flag in flags and flag != "tokenizer" and place.programs == "prepared":
            raise DeclarationError(f"'{flag}': there is no file {path}")
    return found
