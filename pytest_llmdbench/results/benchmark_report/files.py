"""Which files of a folder are Benchmark Reports that count."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

#: How files of reports begin, the newer form first; where a run has one in both forms, that of the newer one counts.
_NEWER: Final = "benchmark_report_v0.2,_"
_OLDER: Final = "benchmark_report,_"
#: Reports that are about sessions alone, beside the one on the same stage's requests.
_SESSIONS: Final = "_session_lifecycle_metrics.json.yaml"


def reports(names: Collection[str]) -> list[str]:
    """Those of the names in one folder that are reports, each stage of a run once, in order."""
    return [
        name
        for name in sorted(names)
        if name.endswith(".yaml")
        and not name.endswith(_SESSIONS)
        and (name.startswith(_NEWER) or (name.startswith(_OLDER) and name.replace(_OLDER, _NEWER, 1) not in names))
    ]
