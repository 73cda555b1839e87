"""What a stack is made from, and what its borrower gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class StackSpec:
    """One stack to stand up: a scenario with one setup treatment applied.

    ``key`` is what people read (``local``, ``local-tp2``) and is unique in a session; ``config`` is the merged scenario
    as JSON-able data, so that a spec crosses process borders.
    """

    key: str
    deploy: str
    config: Mapping[str, Any] = field(hash=False, compare=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a running stack answers.

    ``url`` is the base without ``/v1``; ``tokenizer`` a name or a local folder that harnesses load the tokenizer from;
    ``facts`` is what the deployment wants to have stored with every result (engine version, replicas, image digests).
    ``site`` is where in a cluster the load runs (a ``LoadSite`` as JSON-able data); None: on this machine.
    """

    url: str
    model: str
    tokenizer: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    site: Mapping[str, Any] | None = None
