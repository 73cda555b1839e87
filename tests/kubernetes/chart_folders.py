"""Where the llm-d charts are in the folder that ``.ci/charts`` makes."""

from __future__ import annotations

from typing import Final

FOLDERS: Final = {
    "infra": "llm-d-infra",
    "router": "llm-d-router-gateway",
    "router_standalone": "llm-d-router-standalone",
    "modelservice": "llm-d-modelservice",
}
