"""The program of eval-containers: runs one task of a benchmark of agents as its image does, and keeps what it left.

It runs in a load pod, by its path, and needs nothing but Python: ``eval_containers_task.py CONFIG``, with the
configuration that :mod:`~pytest_llmdbench.harnesses.eval_containers` writes; which task it is stands in the environment
(``EVAL_TASK_ID``), where the image looks for it. Into its working directory go the files that the image's own pipeline
wrote (``task/result.json``, ``traces.jsonl``, ...), what its grader wrote (``logs/verifier``), and ``NOTES``: when the
task ran, and how it ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NOTES = "eval-task.json"
#: Where what the grader wrote is kept.
VERIFIER = "logs/verifier"
#: Seconds that the image's pipeline gets to end by itself when it is told to.
_GRACE_S = 5
#: What every provider in the gateway's template has, and the setting that goes beside it.
_PROVIDER = re.compile(r'"allow_private_network"\s*:\s*true')
_SETTING = "default_request_timeout_in_seconds"


def main(config: dict[str, Any], folder: Path) -> int:
    """Run the task, keep its files in ``folder``, and give its exit code."""
    gateway = give_time(Path(config["gateway"]["template"]), config["gateway"]["timeout_s"])
    print(f"task {config['task_id']}; {gateway}", flush=True)
    started, begun = time.time(), time.monotonic()
    code = run(config["entrypoint"], folder)
    seconds = time.monotonic() - begun
    print(f"task {config['task_id']}: ended after {seconds:.0f} s with exit code {code}", flush=True)
    verifier = Path(config["verifier"])
    keep(Path(config["output"]), folder)
    keep(verifier, folder / VERIFIER)
    notes = {"version": 1, "task_id": config["task_id"], "started": started, "seconds": seconds, "exit_code": code}
    notes |= {"verifier": verifier.is_dir(), "gateway": gateway}
    (folder / NOTES).write_text(json.dumps(notes), encoding="utf-8")
    return code


def give_time(template: Path, seconds: int) -> str:
    """Raise the time that the gateway beside the agent gives one request; gives a sentence on it.

    Its own 30 s are less than a model takes that reasons before it answers. The template is left as it was where it
    says a time already, is of another form, or cannot be written whole.
    """
    keeps = "the gateway keeps its own request timeout"
    try:
        before = template.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return f"{keeps}: its template cannot be read: {error}"
    after, providers = _PROVIDER.subn(lambda found: f'{found[0]}, "{_SETTING}": {seconds}', before)
    if _SETTING in before or not providers:
        return f"{keeps}: its template says one, or is of an unknown form"
    try:
        template.write_text(after, encoding="utf-8")
        written = template.read_text(encoding="utf-8") == after
    except OSError:
        written = False
    if written:
        return f"the gateway gives a request {seconds} s (in {providers} places of its template)"
    with contextlib.suppress(OSError):
        template.write_text(before, encoding="utf-8")
    return f"{keeps}: its template cannot be written"


def run(argv: Sequence[str], folder: Path) -> int:
    """Run the image's pipeline to its end in the image's own working directory; gives the exit code, as a shell does.

    Whatever it has started is ended with it. Told to end (SIGTERM) this tells the pipeline, and kills it if need be.
    """
    try:
        process = subprocess.Popen(argv, cwd=_home(folder), start_new_session=True)
    except OSError as error:
        sys.exit(
            f"{argv[0]}: {error}; load.image must be an image of eval-containers, as in "
            "ghcr.io/exgentic/evals/BENCHMARK--AGENT-standalone"
        )

    def end(*_: object) -> None:
        _tell(process.pid, signal.SIGTERM)
        signal.signal(signal.SIGALRM, lambda *_: _tell(process.pid, signal.SIGKILL))
        signal.alarm(_GRACE_S)

    signal.signal(signal.SIGTERM, end)
    code = process.wait()
    signal.alarm(0)
    _tell(process.pid, signal.SIGKILL)
    return code if code >= 0 else 128 - code


def keep(source: Path, target: Path) -> None:
    """Copy the files below ``source``; links and whatever else an agent may make are left, as are names in use."""
    for place, _, names in os.walk(source):
        below = target / Path(place).relative_to(source)
        for name in names:
            path = Path(place, name)
            try:
                if stat.S_ISREG(path.lstat().st_mode) and not (below / name).exists():
                    below.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, below / name)
            except OSError as error:
                print(f"{path}: not kept: {error}", file=sys.stderr, flush=True)


def _home(folder: Path) -> Path:
    """The image's working directory: the shell that went from there into ours has left its name behind."""
    left = Path(os.environ.get("OLDPWD") or "/")
    return left if left.is_dir() and left != folder else Path("/")


def _tell(group: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, what)


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path.cwd()))
