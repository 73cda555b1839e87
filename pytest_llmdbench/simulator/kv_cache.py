"""Which KV blocks are in use, which are kept for their prefix, and which are free.

Blocks without a name are only counted; a named block is its hash. That is all a scheduler can see of a cache.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import takewhile


class KvCache:
    """``num_blocks`` blocks; named ones that nobody uses stay until their room is needed, oldest use first."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._anonymous = 0
        self._users: dict[int, int] = {}
        self._kept: OrderedDict[int, None] = OrderedDict()

    @property
    def used(self) -> int:
        """Blocks held by sequences."""
        return self._anonymous + len(self._users)

    @property
    def available(self) -> int:
        """Blocks that can be taken, counting kept ones that would be evicted."""
        return self.num_blocks - self.used

    @property
    def usage(self) -> float:
        """Share of blocks held by sequences, 0 to 1."""
        return self.used / self.num_blocks

    def lookup(self, hashes: Iterable[int]) -> list[int]:
        """The leading ``hashes`` that are in the cache, in use or kept."""
        return list(takewhile(lambda name: name in self._users or name in self._kept, hashes))

    def can_take(self, count: int, sharing: Iterable[int] = ()) -> bool:
        """Whether ``count`` blocks can be taken together with the named blocks ``sharing``."""
        kept = sum(1 for name in sharing if name in self._kept)
        return count + kept <= self.available

    def share(self, hashes: Iterable[int]) -> None:
        """Use cached blocks (as ``lookup`` gave them) once more."""
        for name in hashes:
            self._kept.pop(name, None)
            self._users[name] = self._users.get(name, 0) + 1

    def take(self, count: int) -> None:
        """Take ``count`` nameless blocks; the caller has asked ``can_take``."""
        self._anonymous += count
        while self.used + len(self._kept) > self.num_blocks:
            self._kept.popitem(last=False)

    def name(self, block: int) -> None:
        """Name one nameless block in use ``block``, so that others can share it; merged with one of that name."""
        self._anonymous -= 1
        self.share((block,))

    def release(self, named: Iterable[int], anonymous: int) -> None:
        """Stop using blocks. Named ones without a user are kept, the end of a sequence to be evicted first."""
        self._anonymous -= anonymous
        for name in reversed(list(named)):
            users = self._users[name] - 1
            if users:
                self._users[name] = users
            else:
                del self._users[name]
                self._kept[name] = None

    def drop_kept(self) -> bool:
        """Forget all kept blocks; False, with nothing done, while any block is in use (as vLLM answers)."""
        if self.used:
            return False
        self._kept.clear()
        return True
