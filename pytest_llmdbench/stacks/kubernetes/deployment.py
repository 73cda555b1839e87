"""One stack on Kubernetes, from preflight to verified gone; what it is made of is the renderers' business."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.harnesses.nop import LOGS, STANDUP
from pytest_llmdbench.harnesses.tokenizer import simulator_tokenizer
from pytest_llmdbench.results.server_metrics.scraped import Look
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.kubernetes import diagnose, startup_logs
from pytest_llmdbench.stacks.kubernetes.anchor import Anchor
from pytest_llmdbench.stacks.kubernetes.anchor_job import Bounds, Image
from pytest_llmdbench.stacks.kubernetes.check import check
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.facts import facts
from pytest_llmdbench.stacks.kubernetes.kept import FINGERPRINT, end_loads, fingerprint, of_stack, records, sweep
from pytest_llmdbench.stacks.kubernetes.live import LiveStack
from pytest_llmdbench.stacks.kubernetes.names import Names, slug
from pytest_llmdbench.stacks.kubernetes.preflight import Preflight
from pytest_llmdbench.stacks.kubernetes.session import KubernetesSession, deployed_part
from pytest_llmdbench.stacks.kubernetes.watchman import Watchman
from pytest_llmdbench.stacks.kubernetes.ways import render
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec


class KubernetesDeployment:
    """One stack; see :class:`~pytest_llmdbench.stacks.deployment.Deployment`. Interruptible."""

    def __init__(self, spec: StackSpec, say: Say, session: KubernetesSession) -> None:
        self._key = spec.key
        self._say = say
        self._session = session
        self._scenario = Scenario.model_validate(spec.config)
        self._interrupted = threading.Event()
        self._stack: LiveStack | None = None
        self._watchman: Watchman | None = None
        self._up = False
        #: Where it was there before, and so is left there: for how many seconds it is kept again.
        self._borrowed_s: float | None = None
        #: What the load's objects hang on: this run's own anchor, whoever's the stack is.
        self._load_owner: Mapping[str, Any] = {}

    def up(self) -> Endpoint:
        """Stand the stack up, or take one that was kept.

        Raises:
            StandupError: with the cause, and the folder of the diagnostics.
        """
        try:
            cluster = self._session.cluster(self._scenario, self._say)
            kept = self._kept(cluster) if self._session.wishes.reuse else None
            self._stack = stack = kept or self._new(cluster)
            # Only now: GPUs may have been waited for.
            began = time.monotonic()
            deadline = began + self._scenario.standup_s
            stack.wait_for_anchor(deadline)
            if kept is None:
                stack.create(deadline)
            check(stack, deadline)
            if kept is None:
                cluster.apply(stack.record.manifest(stack.names))
            self._watchman = Watchman(cluster, stack.rendered.expected)
            endpoint = self._endpoint(stack, self._start(stack, began) if kept is None else {})
        except (StandupError, ClusterError) as error:
            saved = self._diagnose()
            where = f"\n  states, events and logs are in {saved}" if saved else ""
            text = str(error) if self._key in str(error) else f"stack {self._key}: {error}"
            raise StandupError(text + where) from error
        self._up = True
        return endpoint

    def interrupt(self) -> None:
        """Make :meth:`up` give up within a second or so."""
        self._interrupted.set()

    def reset(self) -> str | None:
        """Forget the prefix caches and begin a new window, on every serving pod."""
        stack = self._there
        end_loads(stack.cluster, self._session.run, slug(self._key))
        return stack.reset()

    def look(self) -> Look:
        """The metrics of its pods, asked for from inside."""
        return self._there.look()

    def observe(self) -> Mapping[str, Any]:
        """What the engines say of themselves since :meth:`reset`."""
        return self._there.observe()

    def trouble(self) -> str | None:
        """What has happened to a serving pod, or to the anchor, since the stack is up."""
        lost = self._stack.anchor.lost() if self._stack else None
        trouble = lost or (self._watchman.trouble() if self._watchman else None)
        if trouble is not None:
            saved = self._diagnose()
            return f"{trouble}\n  states, events and logs are in {saved}" if saved else trouble
        return None

    def down(self) -> None:
        """Delete all of the stack and see that it is gone; one that is kept, or was there before, stays."""
        if self._watchman is not None:
            self._watchman.stop()
        stack, self._stack = self._stack, None
        if stack is None:
            return
        borrowed = self._borrowed_s is not None
        keep = not borrowed and self._up and self._session.wishes.keep_s is not None
        try:
            end_loads(stack.cluster, self._session.run, slug(self._key))
            if self._borrowed_s is not None:
                stack.anchor.keep(self._borrowed_s)
                stack.record.give_back(stack.cluster)
            elif not keep:
                stack.delete(self._scenario.timeouts.teardown_s)
        finally:
            self._session.leave(stack.cluster, keep=keep)
        if keep:
            self._say(f"stack {self._key}: kept as {stack.names.base} in namespace {stack.names.namespace}")

    @property
    def _there(self) -> LiveStack:
        if self._stack is None:
            raise StandupError(f"stack {self._key} is not there")
        return self._stack

    def _new(self, cluster: Cluster) -> LiveStack:
        """Names and owner of a new stack; nothing of it is there yet but the anchor."""
        session, stack = self._session, slug(self._key)
        planned = render(self._scenario, Names(session.run, stack, cluster.namespace))
        wait = session.wishes.wait_for_gpus
        Preflight(cluster, self._scenario, planned, self._say, self._interrupted, wait).check(self._key)
        for line in sweep(cluster):
            self._say(f"an earlier run left {line}; deleted")
        anchor = session.join(cluster, self._scenario, self._say)
        self._load_owner = anchor.owner
        names = Names(session.run, stack, cluster.namespace, anchor.owner)
        return self._live(cluster, anchor, names)

    def _kept(self, cluster: Cluster) -> LiveStack | None:
        """A stack that was kept, is deployed alike and is free, if there is one; it is ours until :meth:`down`."""
        load, timeouts = self._scenario.load, self._scenario.timeouts
        for found in records(cluster, {FINGERPRINT: fingerprint(deployed_part(self._scenario))}):
            # The load, and the claim on the stack, go with this run and not with the kept one.
            own = self._session.join(cluster, self._scenario, self._say)
            bounds = Bounds(timeouts.lease_s, timeouts.run_s)
            anchor = Anchor(cluster, found.run, Image(load.image or ""), bounds)
            try:
                kept_s = anchor.adopt() if found.claim(cluster, self._session.run) else None
            except ClusterError:
                self._session.leave(cluster, keep=False)
                raise
            if kept_s is not None:
                self._borrowed_s = self._session.wishes.keep_s or kept_s
                self._load_owner = own.owner
                names = Names(found.run, found.stack, cluster.namespace, anchor.owner)
                self._say(f"stack {self._key}: using {names.base}, which was kept")
                return self._live(cluster, anchor, names)
            self._session.leave(cluster, keep=False)
        self._say(f"stack {self._key}: no kept one is deployed alike and free; standing one up")
        return None

    def _live(self, cluster: Cluster, anchor: Anchor, names: Names) -> LiveStack:
        rendered = render(self._scenario, names)
        return LiveStack(
            self._key,
            self._scenario,
            cluster,
            anchor,
            names,
            rendered,
            self._say,
            self._interrupted,
            self._session.wishes.wait_for_gpus,
        )

    def _start(self, stack: LiveStack, began: float) -> dict[str, Any]:
        """What is kept of how a new stack started: seconds and, of an engine that tells, its log."""
        standup_s = time.monotonic() - began
        if self._scenario.engine.kind != "vllm":
            return {STANDUP: standup_s}
        folder = self._session.wishes.folder / "startup" / stack.names.stack
        kept = startup_logs.save(stack.cluster, stack.rendered, folder, self._say)
        nodes = startup_logs.products(stack.cluster, self._scenario, kept)
        logs = {role: one.file for role, one in kept.items()}
        compared = startup_logs.compared(self._key, self._scenario, logs, self._say, nodes)
        return {STANDUP: standup_s, LOGS: logs, **compared}

    def _endpoint(self, stack: LiveStack, start: Mapping[str, Any]) -> Endpoint:
        from pytest_llmdbench.stacks.kubernetes.load_site import LoadSite

        scenario = self._scenario
        own = str(simulator_tokenizer()) if scenario.engine.kind == "simulator" else scenario.model.name
        names = Names(self._session.run, slug(self._key), stack.names.namespace, self._load_owner)
        site = LoadSite.of(scenario, stack.cluster, names)
        known = {**facts(stack), **start}
        return Endpoint(stack.url, scenario.model.name, scenario.model.tokenizer or own, known, site.to_json())

    def _diagnose(self) -> Path | None:
        """The folder with all that can be known of the stack now; None where there is nothing to know."""
        if self._stack is None:
            return None
        names = self._stack.names
        folder = self._session.wishes.folder / "diagnostics" / names.stack
        with contextlib.suppress(Exception):  # what went wrong before matters more
            return diagnose.save(self._stack.cluster, of_stack(names.run, names.stack), folder, self._say)
        return None
