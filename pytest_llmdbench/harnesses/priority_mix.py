"""priority-mix: a load of weighted traffic classes, to see whom a router lets wait.

A class is told to llm-d's router by two headers, its objective and its fairness ID. The program is a part of this
project, :mod:`~pytest_llmdbench.harnesses.priority_mix_client`. In its results each class is a stage, in the order of
the profile, so ``ttft.p99@stage0`` is about the first class; they run side by side.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pytest_llmdbench import __version__
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses import paced, priority_mix_client, priority_mix_files
from pytest_llmdbench.harnesses.harness import Command, Place, PlannedStage, Profile, Progress
from pytest_llmdbench.harnesses.priority_mix_files import CONFIG
from pytest_llmdbench.harnesses.priority_mix_profile import KEYS, mix
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Purpose, Result
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.spec import Endpoint

#: How far apart the numbers of requests are that programs side by side begin with: each sends other prompts.
APART: Final = 1_000_000
#: Seconds from the program's start to its first request, and for the last answer.
START_S: Final = 2.0


class PriorityMix:
    """priority-mix; see :class:`~pytest_llmdbench.harnesses.harness.Harness`. It has the version of this project."""

    name = "priority-mix"
    version = __version__
    purpose: Purpose = "load"
    clock: Literal["epoch", "monotonic"] = "epoch"
    known_keys = KEYS
    filled: tuple[str, ...] = ("endpoint_url",)

    def __init__(self, version: str | None = None) -> None:
        if version not in (None, self.version):
            raise DeclarationError(f"harness '{self.name}' is there in version {self.version}, not {version}")

    def stages(self, profile: Profile) -> Sequence[PlannedStage]:
        """One for each traffic class, in the order of the profile. Raises DeclarationError."""
        return mix(profile).stages

    def expected_seconds(self, profile: Profile) -> float | None:
        """Wall seconds from start to end, where the server keeps up."""
        return mix(profile).duration_s + START_S

    def at_rate(self, profile: Profile, rate: float, seconds: float) -> Profile:
        """The same load at one rate for some seconds. Raises DeclarationError where it is sent at no rate."""
        return paced.priority_mix(profile, rate, seconds)

    def prepare(self, say: Say) -> None:
        """There is nothing to install."""

    def command(self, profile: Profile, endpoint: Endpoint, place: Place) -> Command:
        """Write what the program is told into the folder. Raises DeclarationError."""
        told = mix(profile)
        folder = place.folder.absolute()
        sent = Counter(priority_mix_client.turns([one.weight for one in told.classes], told.requests))
        config: dict[str, Any] = {
            "url": endpoint.url.rstrip("/") + told.path,
            "model": profile.get("model") or endpoint.model,
            "chat": told.chat,
            "rate": told.rate,
            "requests": told.requests,
            "first": place.index * APART,
            "max_in_flight": told.max_in_flight,
            "timeout_s": told.timeout_s,
            "classes": [
                {
                    "name": one.name,
                    "weight": one.weight,
                    "requests": sent[index],
                    "headers": dict(one.headers),
                    "prompt": one.prompt,
                    "repeat": one.repeat,
                    "max_tokens": one.max_tokens,
                }
                for index, one in enumerate(told.classes)
            ],
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")
        program = Path(priority_mix_client.__file__).absolute()
        # By its path and isolated: it runs in the folder of the case, and imports nothing of ours.
        if place.programs == "path":
            argv = ("python3", "-I", str(place.inside / program.name), str(place.inside / CONFIG))
            return Command(argv, folder, reads={CONFIG: folder / CONFIG, program.name: program})
        return Command((sys.executable, "-I", str(program), str(folder / CONFIG)), folder)

    def watch(self, folder: Path) -> Callable[[], Progress]:  # noqa: ARG002
        """All classes run from the beginning to the end: there is no stage to tell of."""
        return Progress

    def read(self, folder: Path) -> Result:
        """The counts of each class. Raises HarnessError naming file and field."""
        return priority_mix_files.read(folder, self.name, self.version)

    def requests(self, folder: Path, own: Result) -> Iterator[Request] | None:
        """The requests that the program noted. Raises HarnessError."""
        return priority_mix_files.requests(folder, own)
