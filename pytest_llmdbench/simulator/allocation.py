"""Which KV blocks a sequence holds: taken as it grows, named as they fill, given back when it leaves the batch."""

from __future__ import annotations

from pytest_llmdbench.simulator.config import SimulatorConfig
from pytest_llmdbench.simulator.kv_cache import KvCache
from pytest_llmdbench.simulator.prompt import continued_hashes
from pytest_llmdbench.simulator.sequence import Sequence


class Allocation:
    """Hands out the blocks of ``cache`` to sequences."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.cache = KvCache(config.num_kv_blocks)
        self._block_size = config.block_size
        self._prefix_caching = config.prefix_caching

    def admit(self, sequence: Sequence, budget: int) -> int:
        """Take what a waiting sequence needs for its first chunk of at most ``budget`` tokens.

        Returns how many tokens that chunk has, after the cached ones; 0, with nothing taken, when there is no room.
        """
        block_size = self._block_size
        total = sequence.remaining
        hashes = sequence.prompt.hashes
        if sequence.generated and hashes:
            hashes = continued_hashes(sequence.prompt, sequence.answer(sequence.generated), block_size)
        # At least one token must be computed to get the next one, so a hit never covers the whole prompt.
        hits = self.cache.lookup(hashes[: (total - 1) // block_size])
        cached = len(hits) * block_size
        tokens = min(total - cached, budget)
        blocks = -(-(cached + tokens) // block_size) - len(hits)
        if not self.cache.can_take(blocks, hits):
            return 0
        self.cache.share(hits)
        self.cache.take(blocks)
        sequence.named_blocks = hits
        sequence.anonymous_blocks = blocks
        sequence.capacity = (len(hits) + blocks) * block_size
        sequence.computed = cached
        self.name_prompt(sequence, tokens)
        return tokens

    def grow(self, sequence: Sequence, tokens: int) -> bool:
        """Take blocks for ``tokens`` more tokens; False, with nothing taken, when there is no room."""
        blocks = -(-(sequence.computed + tokens - sequence.capacity) // self._block_size)
        if blocks > 0:
            if not self.cache.can_take(blocks):
                return False
            self.cache.take(blocks)
            sequence.anonymous_blocks += blocks
            sequence.capacity += blocks * self._block_size
        return True

    def name_prompt(self, sequence: Sequence, tokens: int) -> None:
        """Let others share the prompt's blocks that are full once ``tokens`` more are computed."""
        full = (sequence.computed + tokens) // self._block_size
        self._name(sequence, sequence.prompt.hashes[len(sequence.named_blocks) : full])

    def release(self, sequence: Sequence) -> None:
        """Give all blocks back. Full ones stay cached, those of the answer too: the next turn of a chat begins so."""
        full = sequence.computed // self._block_size
        if self._prefix_caching and full > len(sequence.named_blocks):
            answer = sequence.answer(sequence.generated)
            hashes = continued_hashes(sequence.prompt, answer, self._block_size)
            self._name(sequence, hashes[len(sequence.named_blocks) : full])
        self.cache.release(sequence.named_blocks, sequence.anonymous_blocks)
        sequence.named_blocks = []
        sequence.anonymous_blocks = 0

    def _name(self, sequence: Sequence, hashes: tuple[int, ...]) -> None:
        for block in hashes:
            self.cache.name(block)
            sequence.named_blocks.append(block)
        sequence.anonymous_blocks -= len(hashes)
