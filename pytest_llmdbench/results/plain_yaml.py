"""Plain data as YAML: word for word what PyYAML's dumper writes, in less than half of its time.

A sweep is a thousand reports of some 500 values. For each of them PyYAML keeps account of objects that stand twice, and
looks up twice how its text would be read; here nothing is referred to, and of a text that was met before it is known.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import yaml
from yaml.representer import SafeRepresenter
from yaml.resolver import Resolver

try:
    from yaml import CSafeDumper as _Dumper
except ImportError:  # PyYAML built without libyaml: slower, same text
    from yaml import SafeDumper as _Dumper  # type: ignore[assignment]


class _Representer(SafeRepresenter):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


_REPRESENTER: Final[Any] = _Representer()
_RESOLVER: Final[Any] = Resolver()


def plain_yaml(tree: Any) -> str:
    """Objects of fields, lists and single values as one document, fields in their order."""
    events: list[yaml.Event] = [yaml.StreamStartEvent(), yaml.DocumentStartEvent(explicit=False)]
    _add(events, tree)
    events += [yaml.DocumentEndEvent(explicit=False), yaml.StreamEndEvent()]
    text: str = yaml.emit(events, Dumper=_Dumper, allow_unicode=True)
    return text


def _add(events: list[yaml.Event], tree: Any) -> None:
    if isinstance(tree, str):
        events.append(_text(tree))
    elif isinstance(tree, dict):
        events.append(yaml.MappingStartEvent(None, None, implicit=True, flow_style=False))
        for key, value in tree.items():
            _add(events, key)
            _add(events, value)
        events.append(yaml.MappingEndEvent())
    elif isinstance(tree, list | tuple):
        events.append(yaml.SequenceStartEvent(None, None, implicit=True, flow_style=False))
        for value in tree:
            _add(events, value)
        events.append(yaml.SequenceEndEvent())
    else:
        events.append(_single(tree))


def _single(value: Any) -> yaml.ScalarEvent:
    """A value with whether it is read as what it is without its tag: bare, and between quotes."""
    node = _REPRESENTER.represent_data(value)
    bare, quoted = (_RESOLVER.resolve(yaml.ScalarNode, node.value, one) for one in ((True, False), (False, True)))
    return yaml.ScalarEvent(None, node.tag, (bare == node.tag, quoted == node.tag), node.value, style=node.style)


_text = lru_cache(maxsize=1024)(_single)
