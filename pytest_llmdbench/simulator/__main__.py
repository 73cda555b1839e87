"""``python -m pytest_llmdbench.simulator``: the command line of the simulated server."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from pytest_llmdbench.simulator.config import SimulatorConfig
from pytest_llmdbench.simulator.config_file import parse_config
from pytest_llmdbench.simulator.service import serve

DESCRIPTION = """\
A simulated inference server: vLLM's protocol and metrics, an engine's timing, no model and no GPU.

It prints one line of JSON when it listens: {"event": "listening", "url": ..., "pid": ...}.
GET /sim/stats tells the true latencies and whether the machine kept up; POST /sim/faults changes what goes wrong.
It ends with status 0 on SIGTERM or SIGINT."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status: 0 ended by a signal, 1 no port, 2 wrong configuration."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        config = _config(options.config)
        if options.model is not None:
            config = dataclasses.replace(config, model=options.model)
    except (OSError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    try:
        serve(config, options.host, options.port)
    except OSError as error:
        print(f"{parser.prog}: cannot listen on {options.host}:{options.port}: {error}", file=sys.stderr)
        return 1
    return 0


def _config(path: str | None) -> SimulatorConfig:
    if path is None:
        return SimulatorConfig()
    return parse_config(SimulatorConfig, sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes())


def _parser() -> argparse.ArgumentParser:
    keys = "\n".join(f"  {item.name:<24} {item.metadata['help']}" for item in dataclasses.fields(SimulatorConfig))
    parser = argparse.ArgumentParser(
        prog="python -m pytest_llmdbench.simulator",
        description=DESCRIPTION,
        epilog=f"keys of the configuration:\n{keys}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", help="configuration as JSON; - reads it from stdin")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any free one)")
    parser.add_argument("--model", metavar="NAME", help="served model name, instead of the configuration's")
    return parser


if __name__ == "__main__":
    sys.exit(main())
