"""Environment variables that are secrets by their name, which have no place in a file that is kept with results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

#: Whole words at the end of a name: ``HF_TOKEN``, and neither ``TOKENIZERS_PARALLELISM`` nor ``MAX_TOKENS``.
_SECRET: Final = re.compile(
    r"(?i)(?:.*_)?(?:TOKEN|PASSWORD|PASSWD|SECRET|API_KEY|APIKEY|ACCESS_KEY|CREDENTIALS?)", re.DOTALL
)


def refuse_secrets(env: Mapping[str, str], way_out: str) -> Mapping[str, str]:
    """The same environment, if no name in it is that of a secret.

    Raises:
        ValueError: one is; names it, without its value, and the way out.
    """
    for name in env:
        if _SECRET.fullmatch(name):
            raise ValueError(f"{name} looks like a secret, which must not be written here: {way_out}")
    return env
