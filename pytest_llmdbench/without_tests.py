"""What options do in place of running tests: print or render the plan, stand stacks up, take them down, clean up."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdbench.errors import counted
from pytest_llmdbench.stacks.ownership import stacks_of

if TYPE_CHECKING:
    from pytest_llmdbench.bench import Bench
    from pytest_llmdbench.planned_stack import PlannedStack
    from pytest_llmdbench.reports.plan_lines import PlannedTest


def shown(bench: Bench, tests: Sequence[PlannedTest]) -> Iterator[str]:
    """The plan; then the manifests and values of every stack, printed, or written under ``--llmd-render-to``.

    Raises DeclarationError for what cannot be rendered.
    """
    from pytest_llmdbench.reports.plan_lines import plan_lines
    from pytest_llmdbench.stacks.kubernetes.rendering import files, write

    yield ""
    yield from plan_lines(tests)
    folder = bench.settings.get("render_to")
    for stack in _stacks(tests):
        key = stack.spec.key
        if folder:
            written = write(Path(folder).expanduser(), key, stack.scenario)
            where = written[0].parent if written else None
            yield f"stack {key}: {counted(len(written), 'file')}" + (f" in {where}" if where else " to deploy it")
        else:
            for name, text in files(key, stack.scenario):
                yield f"--- # stack {key}: {name}"
                yield from text.splitlines()


def stood_up(bench: Bench, tests: Sequence[PlannedTest]) -> Iterator[str]:
    """Stand every stack up and say how to use and end it. Raises StandupError."""
    from pytest_llmdbench.stacks.kubernetes.steps import how_to_use
    from pytest_llmdbench.stacks.kubernetes.ways import WAYS

    source: Any = stacks_of(bench.config)
    keep_s = bench.keep_s or 0.0
    for stack in _stacks(tests):
        key = stack.spec.key
        if stack.spec.deploy not in WAYS:
            yield f"stack {key}: 'deploy: {stack.spec.deploy}' leaves nothing standing; it is for tests alone"
            continue
        endpoint = source.acquire(stack.spec)
        source.release(key)
        yield from how_to_use(key, endpoint, keep_s, _options(bench))


def compared(bench: Bench) -> tuple[list[str], bool]:
    """What ``--llmd-compare`` prints, and whether anything got worse; with ``--llmd-results`` also a file there.

    Raises DeclarationError, ResultsError.
    """
    from pytest_llmdbench.reports.compare import comparisons, lines_of, write_comparison

    results = bench.compared
    found = comparisons(results, bench.margin)
    lines = list(lines_of(results, found))
    if folder := bench.settings.get("results"):
        lines.append(f"written to {write_comparison(Path(folder).expanduser(), results, found)}")
    return lines, any(one.outcome == "REGRESSION" for several in found for one in several)


def teardown(bench: Bench) -> Iterator[str]:
    """Take down the kept stacks of the scenarios asked for. Raises DeclarationError, ClusterError, StandupError."""
    from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
    from pytest_llmdbench.stacks.kubernetes.steps import teardown as end
    from pytest_llmdbench.stacks.kubernetes.ways import WAYS

    for stack in bench.plan.stacks:
        if stack.spec.deploy not in WAYS:
            yield f"stack {stack.spec.key}: 'deploy: {stack.spec.deploy}' keeps nothing"
            continue
        place = stack.scenario.cluster
        yield from end(Cluster(place.context, place.namespace), [(stack.spec.key, stack.scenario)])


def cleanup(bench: Bench) -> Iterator[str]:
    """List and clean the namespaces of the scenarios asked for. Raises DeclarationError, ClusterError."""
    from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
    from pytest_llmdbench.stacks.kubernetes.steps import cleanup as clean

    places = {(stack.scenario.cluster.context, stack.scenario.cluster.namespace) for stack in bench.plan.stacks}
    for context, namespace in sorted(places, key=str):
        yield from clean(Cluster(context, namespace))


def _stacks(tests: Sequence[PlannedTest]) -> list[PlannedStack]:
    return list({one.case.stack.spec.key: one.case.stack for one in tests}.values())


def _options(bench: Bench) -> str:
    """The options of this command that choose the same stacks in another one."""
    from pytest_llmdbench.results.provenance import redact

    words = redact(bench.command_line)[1:]
    kept: list[str] = []
    follows = False
    for word in words:
        chooses = word.partition("=")[0] in ("--scenario", "--treatments", "--llmd-set", "--llmd-namespace",
                                             "--llmd-context", "--llmd-model")  # fmt: skip
        if chooses or follows:
            kept.append(word)
        follows = chooses and "=" not in word
    return shlex.join(kept)
