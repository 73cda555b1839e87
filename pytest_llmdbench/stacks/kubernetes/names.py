"""How the objects of a run are called and labelled, so that two runs in one namespace never touch each other. Pure."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "pytest-llmdbench"
RUN: Final = "llmdbench/run"
STACK: Final = "llmdbench/stack"
ROLE: Final = "llmdbench/role"
#: On the anchor of a run that is over and whose stacks stay.
KEPT: Final = "llmdbench/kept"
#: On the record of a kept stack: the run that uses it at the moment.
USED_BY: Final = "llmdbench/used-by"
#: Selects everything that any run of ours made.
OURS: Final = {MANAGED_BY: MANAGER}

#: No letters that are taken for digits, no vowels that make words.
_LETTERS: Final = "bcdfghjkmnpqrstvwxz"


def new_run() -> str:
    """A short id for one run's objects: a letter first, as names of Kubernetes want."""
    return secrets.choice(_LETTERS) + "".join(secrets.choice(_LETTERS + "23456789") for _ in range(5))


def slug(key: str, limit: int = 20) -> str:
    """A stack's key as part of a name: ``[a-z0-9-]``, at most ``limit`` long, different for different keys."""
    plain = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")
    if plain == key and len(plain) <= limit and plain[:1].isalpha():
        return plain
    mark = hashlib.sha256(key.encode()).hexdigest()[:4]
    return f"{('s-' + plain if not plain[:1].isalpha() else plain)[: limit - 5].strip('-')}-{mark}"


@dataclass(frozen=True, slots=True)
class Names:
    """The names and labels of one stack's objects.

    ``run`` is the run's short id, ``stack`` the stack's :func:`slug`; ``owner`` is the ownerReference that every object
    gets, None where nothing owns them (a rendering without a cluster).
    """

    run: str
    stack: str
    namespace: str
    owner: Mapping[str, Any] | None = None

    @property
    def base(self) -> str:
        """``h100-x7k2m9``: what every name begins with; at most 27 long."""
        return f"{self.stack}-{self.run}"

    def name(self, part: str) -> str:
        """The name of one object: ``h100-x7k2m9-decode``."""
        return f"{self.base}-{part}"

    @property
    def labels(self) -> dict[str, str]:
        """The labels of every object of the stack."""
        return {**OURS, RUN: self.run, STACK: self.stack}

    def selector(self, role: str) -> dict[str, str]:
        """The labels that tell the pods of one role from all others."""
        return {RUN: self.run, STACK: self.stack, ROLE: role}

    def metadata(self, part: str, **more: Any) -> dict[str, Any]:
        """``metadata`` of an object: name, namespace, labels, owner; ``more`` comes on top."""
        made: dict[str, Any] = {"name": self.name(part), "namespace": self.namespace, "labels": self.labels}
        if self.owner is not None:
            made["ownerReferences"] = [dict(self.owner)]
        return made | more

    def owned(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """A manifest that somebody else wrote, with our namespace, labels and owner; its own name stays."""
        metadata = dict(manifest.get("metadata") or {})
        metadata["namespace"] = self.namespace
        metadata["labels"] = {**(metadata.get("labels") or {}), **self.labels}
        if self.owner is not None:
            metadata["ownerReferences"] = [dict(self.owner)]
        return {**manifest, "metadata": metadata}
