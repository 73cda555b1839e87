"""Events of a cluster: which are about what, in which order. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


def moment(of: Any) -> datetime | None:
    """A time of Kubernetes (``2026-01-31T12:00:00Z``), or when an event was last seen; None where it is not said."""
    if isinstance(of, Mapping):
        of = (
            of.get("lastTimestamp")
            or (of.get("series") or {}).get("lastObservedTime")
            or of.get("eventTime")
            or of["metadata"].get("creationTimestamp")
        )
    return datetime.fromisoformat(of) if isinstance(of, str) else None


def ordered(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Events by the time they were last seen, and in their own order within a second."""
    return sorted(
        events, key=lambda one: (str(moment(one) or "")[:19], int(one["metadata"].get("resourceVersion") or 0))
    )


def about(thing: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events about one object, in order."""
    uid = thing["metadata"].get("uid")
    return ordered([one for one in events if (one.get("involvedObject") or {}).get("uid") == uid])


def latest(events: Sequence[Mapping[str, Any]], *reasons: str) -> Mapping[str, Any] | None:
    """The last one with such a reason."""
    return next((one for one in reversed(events) if one.get("reason") in reasons), None)


def line(event: Mapping[str, Any]) -> str:
    """One event in one line: time, type, reason, object, how often, message."""
    of, when = event.get("involvedObject") or {}, moment(event)
    count = event.get("count") or (event.get("series") or {}).get("count") or 1
    often = f" (x{count})" if count > 1 else ""
    message = " ".join(str(event.get("message") or "").split())
    told = f"{of.get('kind')}/{of.get('name')}{often}: {message}"
    time = when.isoformat(timespec="seconds") if when else "-"
    return f"{time:<25}  {event.get('type', ''):<7}  {event.get('reason', ''):<22}  {told}"
