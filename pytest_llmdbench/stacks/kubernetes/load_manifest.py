"""The Job of a load: pods that start together, run a load program, and stay until its files have been taken. Pure."""

from __future__ import annotations

from typing import Any, Final

from pytest_llmdbench.harnesses.harness import CLOCK, STDERR, STDOUT
from pytest_llmdbench.stacks.kubernetes.load_inputs import COMMAND, Inputs
from pytest_llmdbench.stacks.kubernetes.load_site import LoadSite
from pytest_llmdbench.stacks.kubernetes.names import ROLE, RUN, STACK

#: The containers of a load pod.
LOAD: Final = "load"
COLLECTOR: Final = "collector"
#: The folder of the load program in its pod, what it is given, what the driver tells it, and the claim for results.
WORKSPACE: Final = "/workspace"
INPUTS: Final = "/etc/llmdbench"
SIGNALS: Final = "/run/llmdbench"
RESULTS: Final = "/results"
#: The file that the driver writes: the pod's index, and after how many seconds to begin.
GO: Final = f"{SIGNALS}/go"
#: The file that says which process in the container is the load program.
PID: Final = f"{GO}.pid"
#: Who does not end when told to is ended after so many seconds.
_GRACE_S: Final = 1

#: Starts the program of ``command.json``, in place of itself. Notes first how this machine's monotonic clock is set.
_START: Final = """
import json, os, sys, time
with open(sys.argv[2], "w") as file:
    print(time.time() - time.perf_counter(), file=file)
with open(sys.argv[1]) as file:
    told = json.load(file)
try:
    os.execvpe(told["argv"][0], told["argv"], {**os.environ, **told["env"]})
except OSError as error:
    sys.exit(f"{told['argv'][0]}: {error}; load.image must have the load programs on its PATH")
"""
#: ``$1`` workspace, ``$2`` inputs, ``$3`` the go-signal, ``$4`` the file of the clock, ``$5`` and ``$6`` those of the
#: program's words, ``$7`` a folder on a claim or nothing, ``$8`` what describes the command, ``$9`` what starts it.
_LOAD: Final = """
trap 'exit 143' TERM
cd "$1" || exit 125
until [ -e "$3" ]; do sleep 0.05; done
read -r index delay < "$3"
cp -RL "$2/$index/." . || exit 125
: > "$5"; : > "$6"
sleep "$delay"
python3 -c "$9" "$8" "$4" > "$5" 2> "$6" &
program=$!
echo "$program" > "$3.pid"
tail -f -n +1 "$5" &
tail -f -n +1 "$6" >&2 &
wait "$program"
code=$?
if [ -n "$7" ]; then
  { mkdir -p "$7/pod-$index" && cp -R . "$7/pod-$index/"; } 2>> "$6" \
    || echo "the results could not be written to the claim of load.results_pvc" >> "$6"
fi
exit "$code"
"""
#: For people: as the load, but nothing is started. ``$1`` workspace, ``$2`` inputs, ``$3`` seconds.
_HOLD: Final = """
trap 'exit 0' TERM
cp -RL "$2/0/." "$1" || exit 125
sleep "$3" & wait
"""
#: ``$1`` seconds for which results are kept for whoever takes them.
_COLLECT: Final = """
trap 'exit 0' TERM
sleep "$1" & wait
"""


def job(site: LoadSite, part: str, given: Inputs, pods: int, seconds: float, *, hold: bool = False) -> dict[str, Any]:
    """The Job of ``pods`` pods that are gone after so many seconds at the latest.

    ``part`` ends its name, and that of the ConfigMap of ``given``; ``hold``: the pods run nothing, for people to look.
    """
    names = site.names
    labels = {**names.labels, ROLE: LOAD}
    claim = f"{RESULTS}/{names.base}/{part}" if site.results_pvc else ""
    if hold:
        command = ["sh", "-c", _HOLD, LOAD, WORKSPACE, INPUTS, f"{seconds:.0f}"]
    else:
        files = [CLOCK, STDOUT, STDERR]
        command = ["sh", "-c", _LOAD, LOAD, WORKSPACE, INPUTS, GO, *files, claim, COMMAND, _START]
    mounts = [
        {"name": "workspace", "mountPath": WORKSPACE},
        {"name": "inputs", "mountPath": INPUTS, "readOnly": True},
        {"name": "signals", "mountPath": SIGNALS},
    ]
    results = [{"name": "results", "mountPath": RESULTS}] if site.results_pvc else []
    amounts = {"cpu": site.cpu, "memory": site.memory}
    common = {
        "image": site.image,
        "imagePullPolicy": site.pull_policy,
        "securityContext": {"allowPrivilegeEscalation": False},
    }
    load = {
        **common,
        "name": LOAD,
        "command": command,
        "env": [
            # An image's user may have no home of its own, and programs keep their caches there.
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 - in the pod
            {
                "name": "HF_TOKEN",
                "valueFrom": {"secretKeyRef": {"name": site.token_secret, "key": site.token_key, "optional": True}},
            },
        ],
        # A generator that is throttled reads as a slow server: it may use what processors there are.
        "resources": {"requests": amounts, "limits": {"memory": site.memory}},
        "volumeMounts": mounts + results,
    }
    collector = {
        **common,
        "name": COLLECTOR,
        "command": ["sh", "-c", _COLLECT, COLLECTOR, f"{seconds:.0f}"],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "volumeMounts": mounts,
    }
    volumes: list[dict[str, Any]] = [
        {"name": "workspace", "emptyDir": {}},
        {"name": "signals", "emptyDir": {}},
        # Optional only in name: a node that misses it while all of a run is being deleted holds the pod for minutes.
        {
            "name": "inputs",
            "configMap": {
                "name": names.name(part),
                "items": [dict(one) for one in given.items],
                "optional": True,
            },
        },
    ]
    if site.results_pvc:
        volumes.append({"name": "results", "persistentVolumeClaim": {"claimName": site.results_pvc}})
    around = {
        "nodeSelector": dict(site.node_selector),
        "tolerations": [dict(one) for one in site.tolerations],
        "imagePullSecrets": [{"name": name} for name in site.pull_secrets],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": _GRACE_S,
        "containers": [load, collector],
        "volumes": volumes,
        **{key: value for key, value in around.items() if value},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": names.metadata(part, labels=labels),
        "spec": {
            "parallelism": pods,
            "completions": pods,
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(seconds),
            "ttlSecondsAfterFinished": 600,
            "template": {"metadata": {"labels": {**labels, PART: part}}, "spec": pod},
        },
    }


#: The label that tells the pods of one load from those of others.
PART: Final = "llmdbench/load"


def selector(site: LoadSite, part: str) -> dict[str, str]:
    """Labels of the pods of one load."""
    return {RUN: site.run, STACK: site.stack, ROLE: LOAD, PART: part}
