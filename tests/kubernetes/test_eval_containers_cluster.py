"""Tasks of agents in load pods of a real cluster, with a made-up image's pipeline that really asks a simulator."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_llmdbench.harnesses.eval_containers import EvalContainers
from pytest_llmdbench.harnesses.harness import Command, Place, Profile
from pytest_llmdbench.send import Load, send
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.spec import Endpoint
from tests.harnesses import made_up_eval
from tests.kubernetes.test_load_cluster import endpoint, nothing_left, offered, simulator, site

pytestmark = pytest.mark.cluster

__all__ = ["simulator"]


class MadeUpImage(EvalContainers):
    """The real harness, but for what its image begins with: a program that is brought into the pod as well."""

    def command(self, profile: Profile, endpoint: Endpoint, place: Place) -> Command:
        made, program = super().command(profile, endpoint, place), Path(made_up_eval.__file__)
        told = made.reads["eval-containers.json"]
        config = json.loads(told.read_text(encoding="utf-8"))
        # The test's image need not let anybody write below its root: what the driver writes to is open to all.
        config |= {name: f"/run/llmdbench/{name}" for name in ("output", "verifier")}
        config["entrypoint"] = ["python3", str(place.inside / program.name), config["output"], config["verifier"]]
        told.write_text(json.dumps(config), encoding="utf-8")
        return replace(made, reads={**made.reads, program.name: program})


def test_two_pods_of_a_made_up_image_run_a_task_each_and_give_one_result(
    cluster: Cluster, simulator: str, tmp_path: Path
) -> None:
    profile = {"benchmark": "aider-polyglot", "tasks": 225, "task_ids": [200, 3], "env": {"EVAL_MADE_UP_CALLS": 3}}
    load = Load(MadeUpImage(), profile, endpoint(simulator, site(cluster, parallelism=2)), tmp_path, "the tasks")
    result = send(load, timeout_s=90, say=lambda line: None, trouble=lambda: None)
    assert result.whole.requests.completed == result.whole.requests.offered == 6 == offered(cluster)
    assert result.whole.output_tokens == 48
    scores = result.scores
    assert (scores["pass_rate"], scores["rust.pass_rate"], scores["cpp.pass_rate"]) == (0.5, 1, 0)
    assert (scores["tasks"], scores["ungraded"]) == (2, 0)
    assert result.exit_code == 0
    kept = {path.relative_to(tmp_path / "pod-0").as_posix() for path in (tmp_path / "pod-0").rglob("*")}
    assert {"eval-task.json", "traces.jsonl", "task/result.json", "agent/stdout.log", "stdout.log"} <= kept
    assert nothing_left(cluster)
