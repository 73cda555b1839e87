"""Configuration explorer: what fits on which GPUs, how fast it is, and what it costs, before anything is deployed.

Pure: no network, no torch. Data flows one way: a model and a GPU (``models``, ``gpus``) with flags (``configuration``)
-> memory (``weights``, ``activation``, ``kv_cache``, ``memory``) -> verdict (``placement``, ``validation``)
-> speed (``roofline``) -> cost and ranking (``explore``) -> tables, JSON, HTML, scenario files.
"""
