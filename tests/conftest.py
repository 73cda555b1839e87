"""With xdist (``-n 2``): all that runs on the cluster stays on one worker, first and in turn; all else goes beside it.

A test on a cluster waits most of its time, so that two workers take about as long as the longer of both.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pytest

#: Tests of one of these folders are for one worker: one cluster, one engine at a time.
_TOGETHER: Final = ("tests/kubernetes", "tests/engine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, where others can go beside it."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: not item.nodeid.startswith(_TOGETHER[0]))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whole files, and the folders above whole, in the order in which they were collected."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return next((folder for folder in _TOGETHER if file.startswith(folder)), file)

    config.option.loadscopereorder = False
    return Scheduling(config, log)
