"""The images that tests on a cluster run; the cluster's nodes have them, or can pull them."""

from __future__ import annotations

import os
from typing import Final

SIMULATOR_IMAGE: Final = os.environ.get("LLMDBENCH_TEST_SIMULATOR_IMAGE", "llmdbench.local/simulator:test")
HARNESS_IMAGE: Final = os.environ.get("LLMDBENCH_TEST_HARNESS_IMAGE", "llmdbench.local/harness:test")
