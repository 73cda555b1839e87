"""Prints the flags of ``aiperf profile`` as JSON; run by the Python of aiperf's own environment.

``bare`` are flags without a value, ``one`` take one value, ``many`` take several. Names of one flag stand together, the
program's own first.
"""

from __future__ import annotations

import json

from aiperf.cli import app  # type: ignore[import-not-found]

flags: dict[str, list[str]] = {"bare": [], "one": [], "many": []}
for argument in app["profile"].assemble_argument_collection(parse_docstring=False):
    names = [
        name.removeprefix("--") for name in argument.names if name.startswith("--") and name not in argument.negatives
    ]
    if argument.parse and argument.show and names:
        count, several = argument.token_count()
        flags["many" if several else "one" if count else "bare"].append(" ".join(names))
        flags["bare"] += [name.removeprefix("--") for name in argument.negatives]
print(json.dumps({kind: sorted(found) for kind, found in flags.items()}))
