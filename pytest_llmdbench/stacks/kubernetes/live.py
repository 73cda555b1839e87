"""A stack that is in the cluster: created, questioned and deleted through its names."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import StandupError, counted
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.kubernetes.anchor import Anchor
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.helm import Helm
from pytest_llmdbench.stacks.kubernetes.interruptible import interruptibly
from pytest_llmdbench.stacks.kubernetes.kept import StackRecord, delete_all, fingerprint, of_stack, verify_gone
from pytest_llmdbench.stacks.kubernetes.names import Names
from pytest_llmdbench.stacks.kubernetes.pods_wanted import common_labels
from pytest_llmdbench.stacks.kubernetes.rendered import Manifest, Rendered
from pytest_llmdbench.stacks.kubernetes.scrape import InsideLook
from pytest_llmdbench.stacks.kubernetes.scrape_targets import ScrapeTarget, nodes_of, targets_of
from pytest_llmdbench.stacks.kubernetes.session import deployed_part
from pytest_llmdbench.stacks.kubernetes.vantage import Ask, ask
from pytest_llmdbench.stacks.kubernetes.wait import wait_job, wait_ready


@dataclass(eq=False)
class LiveStack:
    """One stack under its names; ``anchor`` is its run's. All methods raise StandupError or ClusterError."""

    key: str
    scenario: Scenario
    cluster: Cluster
    anchor: Anchor
    names: Names
    rendered: Rendered
    say: Say
    interrupted: threading.Event
    wait_for_gpus: bool = False
    vantage: str = ""
    #: Where a Gateway answers, once it is known.
    host: str = ""

    @property
    def url(self) -> str:
        """Where it answers, seen from inside the cluster."""
        one = self.rendered
        host = self.host or f"{one.service}.{self.names.namespace}.svc"
        return f"http://{host}:{one.port}"

    def create(self, deadline: float) -> None:
        """Make all objects and wait until every expected pod is Ready; ``deadline`` is of ``time.monotonic``."""
        cluster, rendered = self.cluster, self.rendered
        for claim in rendered.kept:
            if cluster.get(claim["apiVersion"], claim["kind"], claim["metadata"]["name"]) is None:
                self._make_claim(claim)
        for first in rendered.first:
            cluster.apply(first)
            name = first["metadata"]["name"]
            wait_job(cluster, name, deadline=deadline, say=self.say, interrupted=self.interrupted)
        for manifest in rendered.manifests:
            cluster.apply(manifest)
        for manifest in rendered.optional:
            if cluster.knows(manifest["apiVersion"], manifest["kind"]):
                self._make_optional(manifest)
        if rendered.releases:
            helm = Helm.find()
            for release in rendered.releases:
                install = partial(helm.install, release, self.names, cluster, self.say)
                interruptibly(install, self.interrupted, f"stack {self.key}")
        wait_ready(
            cluster,
            rendered.expected,
            deadline=deadline,
            say=self.say,
            interrupted=self.interrupted,
            wait_for_gpus=self.wait_for_gpus,
            name=f"stack {self.key}",
        )

    def wait_for_anchor(self, deadline: float) -> None:
        """Return when the run's anchor runs: until then nothing would end what holds GPUs if we were gone."""
        self.vantage = self.anchor.pod(deadline, self.say, self.interrupted)

    def _make_claim(self, claim: Manifest) -> None:
        try:
            self.cluster.create(claim)
        except ClusterError as error:
            if error.status != 409:  # another run made it meanwhile
                raise

    def _make_optional(self, manifest: Manifest) -> None:
        try:
            self.cluster.apply(manifest)
        except ClusterError as error:
            if error.status != 403:
                raise
            self.say(f"stack {self.key}: no {manifest['kind']} is made: {error}")

    def engines(self) -> list[str]:
        """The URL of every engine by its pod's address, read anew: pods may have been replaced."""
        urls = []
        for expected in self.rendered.expected:
            if expected.role in self.rendered.engine_ports:
                port = self.rendered.engine_ports[expected.role]
                pods = self.cluster.objects("v1", "Pod", expected.selector)
                alive = [one for one in pods if not one["metadata"].get("deletionTimestamp")]
                urls += [f"http://{one['status']['podIP']}:{port}" for one in alive if one["status"].get("podIP")]
        return urls

    def reset(self) -> str | None:
        """Forget the prefix caches and begin a new window, on every engine; gives which of them could not."""
        simulator = self.scenario.engine.kind == "simulator"
        path = "/sim/reset?prefix_cache=1" if simulator else "/reset_prefix_cache"
        warm = 0
        for answer in ask(self.cluster, self.vantage, [Ask(f"{url}{path}", {}) for url in self.engines()]):
            # vLLM has the path only in its development mode, llm-d-inference-sim never.
            if answer.status not in (200, 404, 405):
                text = f"{answer.status or 'no answer'} {answer.text.strip()[:200]}"
                raise StandupError(f"stack {self.key}: its caches could not be reset: {text}")
            warm += answer.status != 200
        return f"{counted(warm, 'engine')} cannot be told to forget the prefix cache" if warm else None

    def observe(self) -> Mapping[str, Any]:
        """What the simulators say of themselves since :meth:`reset`; with several, each under ``pods``."""
        if self.scenario.engine.kind != "simulator":
            return {}
        answers = ask(self.cluster, self.vantage, [Ask(f"{url}/sim/stats") for url in self.engines()])
        stats = [dict(answer.data) for answer in answers if answer.status == 200]
        if len(stats) == 1:
            return stats[0]
        late = [one.get("lateness") or {} for one in stats]
        worst = {
            "overloaded": any(one.get("overloaded") for one in late),
            **{key: max((one.get(key) or 0.0 for one in late), default=0.0) for key in ("late_p99_s", "lost_s")},
        }
        return {"lateness": worst, "pods": stats}

    def look(self) -> InsideLook:
        """How the metrics of all that takes the load are read, with those of the GPUs that it uses."""
        return InsideLook(self.cluster, self.vantage, self._targets)

    def _targets(self, cluster: Cluster) -> tuple[list[ScrapeTarget], frozenset[str]]:
        rendered = self.rendered
        pods = cluster.objects("v1", "Pod", common_labels(rendered.expected))
        return targets_of(rendered, pods), nodes_of(pods) if rendered.gpus else frozenset()

    @property
    def record(self) -> StackRecord:
        """By which another session finds this stack."""
        return StackRecord(self.key, self.names.run, self.names.stack, fingerprint(deployed_part(self.scenario)))

    def delete(self, seconds: float) -> None:
        """Delete everything of this stack and return when it is gone."""
        labels = of_stack(self.names.run, self.names.stack)
        try:
            if self.rendered.releases:
                helm = Helm.find()
                for release in reversed(self.rendered.releases):
                    helm.uninstall(release, self.names, self.cluster)
        finally:
            # Whatever helm says, the GPUs come back.
            delete_all(self.cluster, labels)
            verify_gone(self.cluster, labels, seconds)

    def max_model_len(self) -> int | None:
        """The longest request that the scenario asks for, tokens; None where it leaves that to the engine."""
        if self.scenario.engine.kind == "simulator":
            return self.scenario.simulator.max_model_len
        return self.scenario.role("pods" if self.scenario.deploy == "standalone" else "decode").vllm.max_model_len
