"""inferencemax: the load of the InferenceMAX benchmarks, whose program has the flags and the file of vLLM's own.

Its script, ``benchmark_serving.py``, is in no package: it is a copy of an earlier ``vllm bench serve``. Where a
profile's ``executable`` names such a script on this machine, that script runs, with the Python of vLLM's environment;
where not, ``vllm bench serve`` runs, which sends the same load. The version of a result says which of them it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from pytest_llmdbench.harnesses.harness import Command, Place, PlannedStage, Profile, Progress
from pytest_llmdbench.harnesses.vllm_bench import FILLED, INPUTS, VllmBench
from pytest_llmdbench.harnesses.vllm_bench_profile import EXECUTABLE
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Purpose, Result
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.spec import Endpoint

#: In the folder of a case: the name of the script that ran. Without it, ``vllm bench serve`` ran.
SCRIPT: Final = "inferencemax-script.txt"
#: The flag that we add and that earlier scripts have not: they keep single requests unasked.
NEWER: Final = "--save-detailed"


class InferenceMax:
    """inferencemax; see :class:`~pytest_llmdbench.harnesses.harness.Harness`."""

    name = "inferencemax"
    purpose: Purpose = "load"
    clock: Literal["epoch", "monotonic"] = "monotonic"
    filled: tuple[str, ...] = FILLED

    def __init__(self, version: str | None = None) -> None:
        self._bench = VllmBench(version)
        self.version = self._bench.version
        self.known_keys = self._bench.known_keys

    def stages(self, profile: Profile) -> Sequence[PlannedStage]:
        """The one stage a profile will run. Raises DeclarationError."""
        return self._bench.stages(profile)

    def expected_seconds(self, profile: Profile) -> float | None:
        """Wall seconds from start to end, about; None for closed loops, traces and rising rates."""
        return self._bench.expected_seconds(profile)

    def at_rate(self, profile: Profile, rate: float, seconds: float) -> Profile:
        """The same load at one rate for some seconds. Raises DeclarationError where it is sent at no rate."""
        return self._bench.at_rate(profile, rate, seconds)

    def prepare(self, say: Say) -> None:
        """Install vLLM for the CPU if it is not there yet. Raises HarnessError with the way out."""
        self._bench.prepare(say)

    def command(self, profile: Profile, endpoint: Endpoint, place: Place) -> Command:
        """How to start the script, or else ``vllm bench serve``. Raises DeclarationError."""
        command = self._bench.command(profile, endpoint, place)
        script = _script(profile)
        if script is None:
            return command
        (place.folder / SCRIPT).write_text(f"{script.name}\n", encoding="utf-8")
        python, where, reads = str(self._bench.environment.program("python")), str(script), dict(command.reads)
        if place.programs == "path":
            # With the modules beside it, which it imports.
            reads |= {f"{INPUTS}/{one.name}": one for one in sorted({script, *script.parent.glob("*.py")})}
            python, where = "python", str(place.inside / INPUTS / script.name)
        newer = NEWER in script.read_text(encoding="utf-8", errors="replace")
        flags = [word for word in command.argv[3:] if newer or word != NEWER]
        return replace(command, argv=(python, where, *flags), reads=reads)

    def watch(self, folder: Path) -> Callable[[], Progress]:
        """A function that says whether the load has begun."""
        return self._bench.watch(folder)

    def read(self, folder: Path) -> Result:
        """What the program's summary in ``folder`` says. Raises HarnessError naming file and field."""
        try:
            ran = (folder / SCRIPT).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            ran = f"vllm bench serve {self.version}"
        return replace(self._bench.read(folder), harness=self.name, harness_version=ran)

    def requests(self, folder: Path, own: Result) -> Iterator[Request] | None:
        """The requests in its result file; None where a script notes no times of them. Raises HarnessError."""
        return self._bench.requests(folder, own)


def _script(profile: Mapping[str, Any]) -> Path | None:
    """The script that a profile names, where it is on this machine."""
    path = Path(str(profile.get(EXECUTABLE) or "")).expanduser().absolute()
    return path if path.is_file() else None
