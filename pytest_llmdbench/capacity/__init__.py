"""Configuration explorer: what fits on which GPUs, how fast it is, and what it costs, before anything is deployed.

Pure: no network, no torch. Data flows one way: a model and a GPU (``models``, ``gpus``) with flags (``configuration``)
-> memory (``weights``, ``activation``, ``kv_cache``, ``memory``) -> verdict (``placement``, ``validation``)
-> speed (``roofline``) -> cost and ranking (``explore``) -> tables, JSON, HTML, scenario files.
"""

from __future__ import annotations

from typing import Final

#: The fact of a stack that says how its engines started: what :mod:`.started` keeps there.
FACT: Final = "capacity"
