"""Which service or pod the beginning of a name means, and which port of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_llmdbench.errors import StandupError, nearest

Thing = Mapping[str, Any]


def choose(wanted: str, services: Sequence[Thing], pods: Sequence[Thing], namespace: str) -> Thing:
    """The service or pod of exactly that name, else the only service that begins so, else a pod that does.

    Of several pods one that is ready is taken, if any is.

    Raises:
        StandupError: nothing is called so, or several services begin so.
    """
    called = {_name(one): one for one in services}
    if wanted in called:
        return called[wanted]
    exact = [one for one in pods if _name(one) == wanted]
    fits = sorted(name for name in called if name.startswith(wanted))
    if len(fits) > 1 and not exact:
        raise StandupError(
            f"several services of namespace {namespace} begin with {wanted}: {', '.join(fits)}; say the whole name of "
            "one (endpoint.stack)"
        )
    if fits and not exact:
        return called[fits[0]]
    found = serving(exact or [one for one in pods if _name(one).startswith(wanted)])
    if found is not None:
        return found
    known = [*called, *map(_name, pods)]
    hint = nearest(wanted, known) if known else "there is none at all"
    raise StandupError(f"no service and no running pod of namespace {namespace} is called {wanted}; {hint}")


def serving(pods: Iterable[Thing]) -> Thing | None:
    """The first pod that is ready, else the first that runs; none that is about to end."""
    running = sorted((one for one in pods if _runs(one)), key=_name)
    return next((one for one in running if _ready(one)), running[0] if running else None)


def service_port(service: Thing, wanted: int | None) -> Thing:
    """The port of a service: the wanted one, or its first. Raises StandupError if there is none such."""
    ports: list[Thing] = list(service["spec"].get("ports") or ())
    if not ports:
        raise StandupError(
            f"service {_name(service)} has no ports: name another one, or a pod behind it (endpoint.stack)"
        )
    for one in ports:
        if wanted in (None, one["port"]):
            return one
    known = _listed((one, one["port"]) for one in ports)
    raise StandupError(f"service {_name(service)} has no port {wanted} (endpoint.port); it has {known}")


def pod_port(pod: Thing, wanted: int | None) -> int:
    """The port of a pod: the wanted one, or the first that it names. Raises StandupError if it names none."""
    ports = _ports(pod)
    if wanted is None and not ports:
        raise StandupError(f"pod {_name(pod)} names no port: say endpoint.port")
    return int(ports[0]["containerPort"] if wanted is None else wanted)


def target_port(service: Thing, port: Thing, pod: Thing) -> int:
    """The port of a pod behind a service's port. Raises StandupError if that is a name that the pod does not have."""
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int) or target.isdecimal():
        return int(target)
    ports = _ports(pod)
    for one in ports:
        if one.get("name") == target:
            return int(one["containerPort"])
    known = _listed((one, one["containerPort"]) for one in ports)
    raise StandupError(
        f"service {_name(service)} sends port {port['port']} to the port {target!r} of its pods, and pod {_name(pod)} "
        f"names none so; it has {known}. Name the pod itself in endpoint.stack, with endpoint.port"
    )


def _name(one: Thing) -> str:
    return str(one["metadata"]["name"])


def _runs(pod: Thing) -> bool:
    status = pod.get("status") or {}
    there = status.get("phase") == "Running" and status.get("podIP")
    return bool(there) and not pod["metadata"].get("deletionTimestamp")


def _ready(pod: Thing) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _ports(pod: Thing) -> list[Thing]:
    """The ports that a pod names, of its servers first: a sidecar may be an init container."""
    spec = pod["spec"]
    boxes = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return [one for box in boxes for one in box.get("ports") or ()]


def _listed(ports: Iterable[tuple[Thing, int]]) -> str:
    """``80 (http), 9090``."""
    return ", ".join(f"{number} ({one['name']})" if one.get("name") else str(number) for one, number in ports) or "none"
