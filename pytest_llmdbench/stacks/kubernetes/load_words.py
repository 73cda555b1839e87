"""What a load program in a pod says, brought into a file here while it says it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from pytest_llmdbench.harnesses.harness import STDOUT
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.load_manifest import COLLECTOR, WORKSPACE
from pytest_llmdbench.stacks.kubernetes.streams import stream_from

#: Seconds until the next try when the stream breaks; it goes on where it was.
_AGAIN_S: Final = 1.0
#: Seconds for which a program may say nothing until the stream is made anew.
_SILENCE_S: Final = 600.0


class Words:
    """Keeps ``stdout.log`` in a folder up to date from a pod's, until :meth:`stop`. What fails here fails in silence:
    all of it comes with the results.
    """

    def __init__(self, cluster: Cluster, pod: str, folder: Path) -> None:
        self._cluster, self._pod, self._file = cluster, pod, folder / STDOUT
        self._stopped = threading.Event()
        self._writing = threading.Lock()
        self._file.write_bytes(b"")
        threading.Thread(target=self._follow, name=f"words-{pod}", daemon=True).start()

    def stop(self) -> None:
        """Write no more. Returns at once."""
        with self._writing:
            self._stopped.set()

    def _follow(self) -> None:
        came = 0
        while not self._stopped.is_set():
            argv = ["tail", "-c", f"+{came + 1}", "-f", f"{WORKSPACE}/{STDOUT}"]
            try:
                for data in stream_from(
                    self._cluster, self._pod, COLLECTOR, argv, errors=[], ended=[], silence_s=_SILENCE_S
                ):
                    with self._writing:
                        if self._stopped.is_set():
                            return
                        with self._file.open("ab") as file:
                            file.write(data)
                    came += len(data)
            except (ClusterError, OSError):
                pass
            self._stopped.wait(_AGAIN_S)
