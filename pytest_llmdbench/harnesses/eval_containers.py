"""eval-containers, Exgentic's images of agents' benchmarks: whether agents solve their tasks with a stack's model.

An image holds an agent, a gateway between it and the model, and the benchmark's grader; one load pod runs it for one
task, and as many pods run as many tasks at once. Their calls to the model are the requests of the result.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pytest_llmdbench import __version__
from pytest_llmdbench.declared.metrics import METRICS
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses import (
    eval_containers_files,
    eval_containers_image,
    eval_containers_profile,
    eval_containers_task,
)
from pytest_llmdbench.harnesses.eval_containers_files import CONFIG
from pytest_llmdbench.harnesses.harness import Command, Place, PlannedStage, Profile, Progress
from pytest_llmdbench.results.agentic import together
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Purpose, Result
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.spec import Endpoint

#: What every image has: what it begins with, its pipeline, where that writes, and where the grader does.
ENTRYPOINT: Final = ("/entrypoint.sh", "/usr/local/bin/run")
OUTPUT: Final = "/output"
VERIFIER: Final = "/logs/verifier"
#: What the gateway in the image is configured from.
GATEWAY: Final = "/opt/gateway/data/config.json.template"
#: The gateway asks for a key and the stack for none.
_NO_KEY: Final = "none"
#: What the calls in the gateway's trace do not tell, and an engine's start, which is another harness's.
_UNMEASURED: Final = ("ttft", "tpot", "itl", "startup")
_IN_PODS_ALONE: Final = (
    "eval-containers runs in load pods of a cluster alone, for its program is a container image: take a scenario whose "
    "load runs there (load.where: cluster) and name the benchmark's image in load.image, as "
    "--scenario=agentic-evaluation does"
)


class EvalContainers:
    """eval-containers; see :class:`~pytest_llmdbench.harnesses.harness.Harness`.

    It has the version of this project: that of the image is the image's own.
    """

    name = "eval-containers"
    version = __version__
    purpose: Purpose = "accuracy"
    clock: Literal["epoch", "monotonic"] = "epoch"
    known_keys = eval_containers_profile.KEYS
    filled: tuple[str, ...] = ("model", "endpoint")
    metrics = frozenset(METRICS).difference(_UNMEASURED)

    def __init__(self, version: str | None = None) -> None:
        if version not in (None, self.version):
            raise DeclarationError(
                f"harness '{self.name}' is there in version {self.version}, not {version}; the version of the "
                "benchmark is that of load.image"
            )

    def stages(self, profile: Profile) -> Sequence[PlannedStage]:
        """The one stage of a load pod: an agent at its task. Raises DeclarationError."""
        eval_containers_profile.check(profile)
        return (PlannedStage(concurrency=1),)

    def expected_seconds(self, profile: Profile) -> float | None:  # noqa: ARG002 - of the protocol
        """Nothing: nobody knows how long an agent works."""
        return None

    def prepare(self, say: Say) -> None:
        """There is nothing to install: the image has everything."""

    def check_pods(self, profile: Profile, pods: int, image: str | None) -> None:
        """Whether so many load pods of an image can run a profile; 0 is a load on this machine, which cannot.

        Raises:
            DeclarationError: they cannot, with the way out.
        """
        if not pods:
            raise DeclarationError(_IN_PODS_ALONE)
        eval_containers_profile.task_of(profile, pods - 1)
        if image is not None:
            eval_containers_image.check(image, profile.get("benchmark"))

    def scores(self, profile: Profile, pods: int) -> Collection[str]:
        """The names of all scores that a profile can come to in so many load pods."""
        return eval_containers_profile.scores(profile, pods)

    def command(self, profile: Profile, endpoint: Endpoint, place: Place) -> Command:
        """Write what the pod's program is told. Raises DeclarationError: no pod, or no task for it."""
        eval_containers_profile.check(profile)
        if place.programs != "path":
            raise DeclarationError(_IN_PODS_ALONE)
        folder, task = place.folder.absolute(), eval_containers_profile.task_of(profile, place.index)
        seconds = profile.get("gateway_timeout_s") or eval_containers_profile.GATEWAY_TIMEOUT_S
        config: dict[str, Any] = {
            "task_id": task,
            "benchmark": profile.get("benchmark"),
            "entrypoint": ENTRYPOINT,
            "output": OUTPUT,
            "verifier": VERIFIER,
            "gateway": {"template": GATEWAY, "timeout_s": seconds},
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")
        env = {
            "OPENAI_API_BASE": endpoint.url.rstrip("/").removesuffix("/v1"),
            "OPENAI_API_KEY": _NO_KEY,
            "EVAL_MODEL": endpoint.model,
            "EVAL_TASK_ID": str(task),
        }
        program = Path(eval_containers_task.__file__).absolute()
        argv = ("python3", "-I", str(place.inside / program.name), str(place.inside / CONFIG))
        reads = {CONFIG: folder / CONFIG, program.name: program}
        return Command(argv, folder, eval_containers_profile.environment(profile) | env, reads)

    def watch(self, folder: Path) -> Callable[[], Progress]:  # noqa: ARG002 - of the protocol
        """An agent tells nobody how far it is."""
        return Progress

    def read(self, folder: Path) -> Result:
        """One task's scores and calls. Raises HarnessError naming file and field."""
        return eval_containers_files.read(folder, self.name, self.version)

    def requests(self, folder: Path, own: Result) -> Iterator[Request] | None:  # noqa: ARG002 - of the protocol
        """The agent's calls to the model. Raises HarnessError."""
        return eval_containers_files.requests(folder)

    def scores_together(self, parts: Sequence[Result]) -> Mapping[str, float]:
        """The scores of all tasks; none where not one of them was graded."""
        return together([one.scores for one in parts])
