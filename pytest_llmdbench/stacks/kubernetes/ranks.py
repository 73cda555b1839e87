"""How the pods of one replica find each other when data parallel copies are spread over several (wide EP). Pure."""

from __future__ import annotations

from typing import Any, Final

from pytest_llmdbench.declared.pods import Pods

#: The port on which the copies of one replica agree.
RPC_PORT: Final = 5555
#: The place of a pod's first copy is its index times the copies in a pod; neither Kubernetes nor vLLM multiplies.
_START: Final = """
import os, sys
first = int(os.environ["LWS_WORKER_INDEX"]) * int(sys.argv[1])
os.execvp(sys.argv[2], [*sys.argv[2:], f"--data-parallel-start-rank={first}"])
"""


def with_ranks(container: dict[str, Any], pods: Pods) -> dict[str, Any]:
    """The engine's container of a pod in a LeaderWorkerSet, started with its place among the others.

    Each pod answers requests itself, for its own copies.
    """
    local = pods.vllm.data_parallel_size_local or pods.vllm.data_parallel_size // pods.workers
    among = [
        "--data-parallel-hybrid-lb",
        "--data-parallel-address=$(LWS_LEADER_ADDRESS)",
        f"--data-parallel-rpc-port={RPC_PORT}",
    ]
    return {
        **container,
        "command": ["python3", "-c", _START],
        "args": [str(local), *container["command"], *container["args"], *among],
    }
