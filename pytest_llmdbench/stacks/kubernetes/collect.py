"""Takes the files that a program left in a pod: one stream, checked by its checksum, unpacked with care."""

from __future__ import annotations

import hashlib
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.streams import stream_from

#: How often it is tried.
_TRIES: Final = 3
#: Seconds from one try to the next.
_PAUSE_S: Final = 1.0
#: Runs in the pod: the folder is its first argument, the others are entries that stay there. The checksum of what went
#: out comes on standard error, last.
_SCRIPT: Final = """
import hashlib, os, sys, tarfile
class Out:
    def __init__(self):
        self.sum = hashlib.sha256()
    def write(self, data):
        self.sum.update(data)
        sys.stdout.buffer.write(data)
        return len(data)
out = Out()
folder, *left = sys.argv[1:]
with tarfile.open(fileobj=out, mode="w|", bufsize=1 << 20, dereference=True) as tar:
    for name in sorted(set(os.listdir(folder)) - set(left)):
        tar.add(os.path.join(folder, name), name)
sys.stdout.buffer.flush()
print("sha256", out.sum.hexdigest(), file=sys.stderr)
"""


@dataclass(frozen=True, slots=True)
class Collected:
    """How much was taken, in bytes, and how long that took, in seconds."""

    size: int
    seconds: float

    def __str__(self) -> str:
        rate = self.size / 1e6 / self.seconds if self.seconds > 0 else 0.0
        return f"{self.size / 1e6:.1f} MB in {self.seconds:.1f} s ({rate:.0f} MB/s)"


def collect(
    cluster: Cluster, pod: str, container: str, inside: str, folder: Path, leave: Sequence[str] = ()
) -> Collected:
    """Bring the content of a pod's folder ``inside`` into ``folder`` here, except the entries to leave there.

    Raises:
        HarnessError: it did not come through whole, tried several times.
    """
    folder.mkdir(parents=True, exist_ok=True)
    packed = folder / ".results.tar"
    begun, reason = time.monotonic(), ""
    try:
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE_S)
            try:
                size = _fetch(cluster, pod, container, ["python3", "-c", _SCRIPT, inside, *leave], packed)
                with tarfile.open(packed) as tar:
                    tar.extractall(folder, filter="data")
                return Collected(size, time.monotonic() - begun)
            except (ClusterError, _Damaged, tarfile.TarError, OSError) as error:
                reason = str(error)
    finally:
        packed.unlink(missing_ok=True)
    raise HarnessError(
        f"the results of pod {pod} did not come through, tried {_TRIES} times: {reason}. For large results there is "
        "load.results_pvc: they are written to that claim as well"
    )


class _Damaged(Exception):
    """What came is not what was sent."""


def _fetch(cluster: Cluster, pod: str, container: str, argv: Sequence[str], packed: Path) -> int:
    """Write what the command sends into a file, and see that it is that; gives its size."""
    errors: list[str] = []
    ended: list[int] = []
    came, size = hashlib.sha256(), 0
    with packed.open("wb") as file:
        for data in stream_from(cluster, pod, container, argv, errors=errors, ended=ended):
            file.write(data)
            came.update(data)
            size += len(data)
    said = "".join(errors).split()
    if ended != [0]:
        raise _Damaged(f"packing them ended with exit code {ended[0]}: {' '.join(said)[-300:]}")
    if said[-2:] != ["sha256", came.hexdigest()]:
        raise _Damaged(f"{size} bytes came, and their checksum is not that of what was sent")
    return size
