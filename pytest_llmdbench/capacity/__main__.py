"""``python -m pytest_llmdbench.capacity``: the same as ``llmdbench-explore``."""

import sys

from pytest_llmdbench.capacity.main import main

sys.exit(main())
