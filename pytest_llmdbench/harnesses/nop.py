"""nop: no load at all. Its result is how the engine started, from what the stack kept of that.

A stack says so in the facts of its endpoint: :data:`STANDUP` seconds until it answered, and :data:`LOGS`, role -> the
file on this machine that holds the engine's log until then. Its program, which always runs here, is
:mod:`~pytest_llmdbench.harnesses.startup_log`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pytest_llmdbench import __version__
from pytest_llmdbench.errors import DeclarationError, HarnessError, nearest
from pytest_llmdbench.harnesses import startup_log
from pytest_llmdbench.harnesses.fields import Fields
from pytest_llmdbench.harnesses.harness import STDOUT, Command, Place, PlannedStage, Profile, Progress
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Purpose, Requests, Result, Stage
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.spec import Endpoint

#: The facts of an endpoint that are read here: seconds, and a mapping of roles to files.
STANDUP: Final = "standup_s"
LOGS: Final = "startup_logs"
#: What was known when it ran, in the folder of the case, beside a copy of each log.
KNOWN: Final = "nop.json"
#: How long it takes, in seconds.
_SECONDS: Final = 1.0


class Nop:
    """nop; see :class:`~pytest_llmdbench.harnesses.harness.Harness`. It is part of this project and has its version."""

    name = "nop"
    version = __version__
    purpose: Purpose = "startup"
    clock: Literal["epoch", "monotonic"] = "epoch"
    #: Keys that workloads for llm-d have; they are names alone, and nothing depends on them.
    known_keys = frozenset(("model_name", "pvc_name"))
    filled: tuple[str, ...] = ()

    def __init__(self, version: str | None = None) -> None:
        if version not in (None, self.version):
            raise DeclarationError(f"harness 'nop' is there in version {self.version}, not {version}")

    def stages(self, profile: Profile) -> Sequence[PlannedStage]:
        """None: nothing is sent. Raises DeclarationError for a key that it has not."""
        for key in profile:
            if key not in self.known_keys:
                raise DeclarationError(f"nop has no key '{key}'; {nearest(str(key), self.known_keys)}")
        return ()

    def expected_seconds(self, profile: Profile) -> float | None:  # noqa: ARG002
        """A moment."""
        return _SECONDS

    def prepare(self, say: Say) -> None:
        """There is nothing to install."""

    def command(self, profile: Profile, endpoint: Endpoint, place: Place) -> Command:  # noqa: ARG002
        """Copy the logs into the folder, and say how they are read. Raises HarnessError for one that is gone."""
        folder = place.folder.absolute()
        facts = endpoint.facts
        known: dict[str, Any] = {}
        if facts.get(STANDUP) is not None:
            known[STANDUP] = facts[STANDUP]
        logs = facts.get(LOGS) or {}
        for role, path in logs.items():
            try:
                shutil.copyfile(path, folder / _file(role))
            except OSError as error:
                raise HarnessError(f"nop: the engine's log until it was ready cannot be read: {error}") from error
        (folder / KNOWN).write_text(json.dumps(known), encoding="utf-8")
        # By its path and isolated: it runs in the folder of the case, and imports nothing of ours.
        program = [str(Path(startup_log.__file__).absolute()), *(f"{role}={_file(role)}" for role in logs)]
        # A simulator keeps no log, and of none nothing is told.
        return Command((sys.executable, "-I", *(program if logs else ("-c", "print({})"))), folder)

    def watch(self, folder: Path) -> Callable[[], Progress]:  # noqa: ARG002
        """It is over before there is anything to see."""
        return Progress

    def read(self, folder: Path) -> Result:
        """Seconds, bytes and tokens of the start; of several roles each name begins with its own, ``decode.``.

        ``ready_s`` is from starting the stack to its first completion; all others are the log's, as
        :data:`~pytest_llmdbench.harnesses.startup_log.TABLE` names them, and ``transfer_bytes_per_second`` is weights
        through the seconds of loading them where the log itself does not say.

        Raises:
            HarnessError: a file is absent or cut short, or nothing is known of the start.
        """
        known = Fields.load(folder / KNOWN, f"{folder / KNOWN} is missing: nop was not started here")
        told = Fields.load(folder / STDOUT, f"{folder / STDOUT} is missing: nop did not run")
        startup = {"ready_s": ready} if (ready := known.number(STANDUP)) is not None else {}
        for role in told.data:
            of_role = told.below(role).below("values")
            named = {name: of_role.number(name) for name in of_role.data}
            values = _with_rate({name: value for name, value in named.items() if value is not None})
            startup |= {name if len(told.data) == 1 else f"{role}.{name}": value for name, value in values.items()}
        if not startup:
            raise HarnessError(
                "nop: nothing is known of how this stack started: it was there before. Let the run stand it up itself"
            )
        return Result(self.name, self.version, Stage(Requests(0)), purpose=self.purpose, startup=startup)

    def requests(self, folder: Path, own: Result) -> Iterator[Request] | None:  # noqa: ARG002
        """There are none."""
        return None


def _file(role: str) -> str:
    """Where the log of a role is in the folder of the case."""
    return f"engine-{role}.log"


def _with_rate(values: dict[str, float]) -> dict[str, float]:
    """With the rate at which weights came, bytes a second, where both are known and the log does not say it."""
    size, seconds = values.get("model_bytes"), values.get("load_weights_s")
    if size and seconds:
        return {"transfer_bytes_per_second": size / seconds} | values
    return values
