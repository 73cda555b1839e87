"""Configuration explorer: what fits on which GPUs, how fast it is, and what it costs, before anything is deployed.

No torch, and no network but where ``hub`` is asked for. Data flows one way: a model and a GPU (``models``, ``gpus``)
with flags (``configuration``) -> memory (``weights``, ``overhead``, ``kv_cache``, ``memory``) -> verdict
(``placement``, ``validation``) -> speed under a load (``load``, ``roofline``, ``speed``, ``nodes``, ``split``) ->
search and ranking (``asked``, ``variants``, ``explore``, ``split_search``, ``expected``, ``cost``, ``ranking``) ->
tables, JSON, HTML, scenario files (``texts``, ``answers``, ``page``, ``scenario_file``).

Before and after a standup: which GPU it is where no scenario says so (``products``), what will not start
(``preflight``; ``processors`` where there is no GPU), and what the engines then said (``engines``, ``started``).
"""

from __future__ import annotations

from typing import Final

#: The fact of a stack that says how its engines started: what :mod:`.started` keeps there.
FACT: Final = "capacity"
