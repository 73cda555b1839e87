"""Single steps outside a run: what to say of a stack that was only stood up, taking kept ones down, cleaning up."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from pytest_llmdbench.declared.duration import shown
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks.kubernetes.anchor import who
from pytest_llmdbench.stacks.kubernetes.anchor_job import anchor_name
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.kept import leftovers, records, runs, sweep, verify_gone
from pytest_llmdbench.stacks.kubernetes.names import OURS, RUN, STACK, slug
from pytest_llmdbench.stacks.kubernetes.session import GONE_S
from pytest_llmdbench.stacks.spec import Endpoint


def how_to_use(key: str, endpoint: Endpoint, keep_s: float, options: str) -> Iterator[str]:
    """What a person needs to know of a stack that was only stood up; ``options`` choose it again."""
    facts = endpoint.facts
    forward = f"kubectl -n {facts['namespace']} port-forward service/{facts['service']} 8000:{facts['port']}"
    until = datetime.fromtimestamp(time.time() + keep_s, UTC).astimezone()
    yield f"stack {key} is up: {endpoint.url}, model {endpoint.model}"
    yield f"  expires:       {until:%Y-%m-%d %H:%M} (in {shown(keep_s)}); then the cluster deletes it by itself"
    if ".svc:" in endpoint.url:
        yield f"  from here:     {forward}"
    yield f"  benchmark it:  pytest benchmarks {options} --llmd-reuse-stack"
    yield f"  end it:        pytest {options} --llmd-teardown-only"


def teardown(cluster: Cluster, stacks: Iterable[tuple[str, Scenario]]) -> Iterator[str]:
    """Take down the runs of ours that hold these stacks and are kept; a line for each.

    Those of others, and those in use, are only named.

    Raises:
        ClusterError, StandupError: also for what stays, once all else is done.
    """
    holders = {run.id: run.holder for run in runs(cluster)}
    staying = []
    for key, _ in stacks:
        found = records(cluster, {STACK: slug(key)})
        if not found:
            yield f"stack {key}: none is kept in namespace {cluster.namespace}"
        users = {one.run: user for one in found if (user := one.user(cluster)) is not None}
        for run in dict.fromkeys(one.run for one in found):
            if run in users:
                staying.append(f"stack {key}: run {run} is in use by run {users[run]}; wait for that to end")
                continue
            if holders.get(run) != who():
                end = f"kubectl -n {cluster.namespace} delete job/{anchor_name(run)}"
                staying.append(f"stack {key}: run {run} was kept by {holders.get(run)}; to end it all the same: {end}")
                continue
            together = sorted({one.key for one in records(cluster, {RUN: run})} - {key})
            yield from _end(cluster, run)
            others = f", and with it {', '.join(together)}" if together else ""
            yield f"stack {key}: run {run} is taken down{others}"
    if staying:
        raise StandupError("\n".join(staying))


def _end(cluster: Cluster, run: str) -> Iterator[str]:
    """Delete a run's anchor and see that all that it owned is gone."""
    cluster.delete("batch/v1", "Job", anchor_name(run))
    verify_gone(cluster, {**OURS, RUN: run}, GONE_S)
    for line in sweep(cluster):
        yield f"{line} deleted"


def cleanup(cluster: Cluster) -> Iterator[str]:
    """List the runs that are alive, delete what others left; a line for each. Raises ClusterError."""
    yield f"namespace {cluster.namespace}:"
    alive = runs(cluster)
    for run in alive:
        held = ", ".join(run.stacks) or "no stack yet"
        left = (run.good_until - datetime.now(UTC)).total_seconds() if run.good_until else None
        until = "" if left is None else f"; ends by itself in {left:.0f} s unless it is told to go on"
        yield f"  run {run.id} of {run.holder} is {'kept' if run.kept else 'alive'}: {held}{until}"
    if not alive:
        yield "  no run is alive"
    before = list(leftovers(cluster))
    for line in sweep(cluster):
        yield f"  deleted {line}"
    if not before:
        yield "  no expired run left anything"
    for claim in cluster.objects("v1", "PersistentVolumeClaim", OURS):
        name = claim["metadata"]["name"]
        yield f"  kept on purpose: claim {name} (models); delete it with kubectl if it is not needed"
