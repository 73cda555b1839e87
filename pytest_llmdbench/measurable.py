"""Whether a load program can measure what is asked of it: found before anything is deployed. Pure."""

from __future__ import annotations

from pytest_llmdbench.declared.metrics import METRICS
from pytest_llmdbench.declared.objective import Objective
from pytest_llmdbench.errors import nearest
from pytest_llmdbench.harnesses.harness import Harness, Judgeable, Limited, Profile


def cannot_measure(objective: Objective, harness: Harness, profile: Profile, pods: int) -> str | None:
    """Why an objective can never be judged of a load, with what there is; None if it can, or nobody knows.

    ``pods`` is in how many load pods it runs; 0: it runs on this machine.
    """
    known = harness.metrics if isinstance(harness, Judgeable) else _of_purpose(harness)
    unmeasured = harness.unmeasured(profile) if isinstance(harness, Limited) else {}
    what = f"objective '{objective.text}' ({objective.origin})"
    for metric in (objective.metric, *(metric for metric, _ in objective.parts)):
        if metric not in known:
            there = ", ".join(name for name in METRICS if name in known)
            return (
                f"{what}: {harness.name} does not measure {metric}; there is {there}. If it is meant for other "
                "loads, it belongs in their workloads or in the scenario"
            )
        if metric in unmeasured:
            return f"{what}: {harness.name} will not measure {metric} of this load: {unmeasured[metric]}"
    if objective.metric == "score" and isinstance(harness, Judgeable):
        names = harness.scores(profile, pods)
        if objective.name not in names:
            return f"{what}: this load has no score '{objective.name}'; {nearest(objective.name or '', names)}"
    return None


def _of_purpose(harness: Harness) -> frozenset[str]:
    return frozenset(name for name, metric in METRICS.items() if harness.purpose in metric.purposes)
