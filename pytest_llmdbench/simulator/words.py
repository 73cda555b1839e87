"""The simulator's language: one whitespace-separated word is one token.

A word-level tokenizer with whitespace pre-tokenisation and ``CHAT_TEMPLATE`` counts exactly what the server counts.
"""

from __future__ import annotations

import zlib
from functools import cache
from itertools import islice, product

IMAGE_TOKENS = 256
"""What an image, audio or video part of a chat message counts for, in tokens."""

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}\n"
    "{% elif message['content'] %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}{{ '<media> ' * "
    + str(IMAGE_TOKENS)
    + " }}{% endif %}\n"
    "{% endfor %}{% endif %}{% endfor %}"
)
"""Jinja2: the contents of all messages, a line each. Roles add no token, so an answer that is sent back as part of the
next turn continues the very prefix that is cached, and a harness that counts contents alone counts right."""

MEDIA_WORD = "<media>"
PIECE_LENGTH = 5
"""Characters that each token of an answer adds: a space and four letters; the first one has no space."""
_CONSONANTS = "bcdfghjklmnprstv"
_VOWELS = "aeio"


@cache
def vocabulary(size: int = 4096) -> list[str]:
    """The first ``size`` words: unique, always the same, lower-case letters only; the first 4096 have four letters.

    The list is shared: do not change it. Raises ``ValueError`` when ``size`` is not from 1 to 262144.
    """
    if not 1 <= size <= 4096 * 64:
        raise ValueError(f"a vocabulary has 1 to {4096 * 64} words, not {size}")
    syllables = [consonant + vowel for consonant, vowel in product(_CONSONANTS, _VOWELS)]
    # The last syllable varies slowest, so that neighbours differ from their first letter on.
    short = (second + first for first, second in product(syllables, syllables))
    words = list(islice(short, size))
    longer = (word + syllable for syllable, word in product(syllables, list(words)))
    return words + list(islice(longer, size - len(words)))


def count_tokens(text: str) -> int:
    """How many tokens ``text`` is."""
    return len(text.split())


@cache
def _identities() -> dict[str, int]:
    return {word: index for index, word in enumerate(vocabulary())}


def token_id(word: str) -> int:
    """The id of a word: its place in the vocabulary, or a stable number from 4096 on for any other word."""
    known = _identities()
    return known[word] if word in known else len(known) + zlib.crc32(word.encode()) % 60000


class Wording:
    """The endless answer to one prompt: always the same for the same ``key``, unlike that of another key."""

    __slots__ = ("start", "stride")

    def __init__(self, key: int) -> None:
        # An odd stride walks through all words of the vocabulary before it comes back to the first.
        self.start = key & _MASK
        self.stride = (key >> _MASK.bit_length()) & _MASK | 1

    def words(self, count: int) -> list[str]:
        """The first ``count`` words."""
        listed = vocabulary()
        return [listed[(self.start + index * self.stride) & _MASK] for index in range(count)]

    def text(self, begin: int, end: int) -> str:
        """What the tokens from ``begin`` to ``end`` (not included) add to the answer."""
        listed = vocabulary()
        words = " ".join([listed[(self.start + index * self.stride) & _MASK] for index in range(begin, end)])
        return " " + words if begin and words else words


def pieces() -> list[bytes]:
    """What each word adds to an answer after its first token, as bytes, by the word's place in the vocabulary."""
    return [b" " + word.encode() for word in vocabulary()]


_MASK = len(vocabulary()) - 1
