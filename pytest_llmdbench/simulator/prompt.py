"""What the engine needs to know of a prompt: its length, and which blocks it could share with others."""

from __future__ import annotations

from collections.abc import Sequence as Ordered
from dataclasses import dataclass

_ROOT = 0


@dataclass(frozen=True, slots=True)
class Prompt:
    """A tokenised prompt without its text, so that thousands of long ones fit in little memory.

    ``hashes[i]`` names the tokens up to the end of block ``i``; ``rest`` are the tokens after the last full block.
    """

    length: int
    hashes: tuple[int, ...]
    rest: tuple[str | int, ...]


def make_prompt(tokens: Ordered[str | int], block_size: int, shareable: bool = True) -> Prompt:
    """Describe ``tokens`` (words or token ids); without ``shareable`` no block is named, so none is ever shared."""
    length = len(tokens)
    if not shareable:
        return Prompt(length, (), ())
    hashes = chain_hashes(_ROOT, tokens, block_size)
    return Prompt(length, hashes, tuple(tokens[len(hashes) * block_size :]))


def chain_hashes(parent: int, tokens: Ordered[str | int], block_size: int) -> tuple[int, ...]:
    """The hash of each full block of ``tokens``, each depending on all tokens before it."""
    hashes = []
    for end in range(block_size, len(tokens) + 1, block_size):
        parent = hash((parent, *tokens[end - block_size : end]))
        hashes.append(parent)
    return tuple(hashes)


def continued_hashes(prompt: Prompt, answer: list[str], block_size: int) -> tuple[int, ...]:
    """The hashes of all full blocks of ``prompt`` with ``answer`` appended: what the next turn of a chat can hit."""
    parent = prompt.hashes[-1] if prompt.hashes else _ROOT
    return prompt.hashes + chain_hashes(parent, [*prompt.rest, *answer], block_size)
