"""The options: each is a command-line flag, an ini key and an ``LLMDBENCH_*`` variable; the first that is set wins."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal

import pytest

from pytest_llmdbench.asked import Given
from pytest_llmdbench.errors import DeclarationError

#: ``names``: repeatable and comma-separated; ``texts``: repeatable, commas belong to the text.
Kind = Literal["names", "texts", "text", "number", "flag"]


@dataclass(frozen=True, slots=True)
class Option:
    """One option. ``flag`` gives the other names: ``--llmd-dry-run``, ``llmd_dry_run``, ``LLMDBENCH_DRY_RUN``."""

    flag: str
    kind: Kind
    help: str
    metavar: str | None = None

    @property
    def word(self) -> str:
        """What all names have in common."""
        return self.flag.removeprefix("--").removeprefix("llmd-").replace("-", "_")

    @property
    def dest(self) -> str:
        """Attribute of ``config.option``; also the ini key."""
        return f"llmd_{self.word}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"LLMDBENCH_{self.word.upper()}"


OPTIONS: Final = (
    Option("--scenario", "names", "What to deploy: a name in scenarios/ or a path; repeatable. Default: local", "NAME"),
    Option("--treatments", "text", "What to vary: a treatments file with factors or listed treatments", "FILE"),
    Option("--llmd-workload", "names", "Run these loads in place of those the benchmarks name", "NAME"),
    Option(
        "--llmd-harness", "names", "The load programs to use, side by side: guidellm, aiperf@0.13.0, or 'all'", "NAME"
    ),
    Option("--llmd-model", "text", "The model to serve, in place of the scenario's", "NAME"),
    Option(
        "--llmd-slo", "texts", "Objectives, as in 'ttft.p99<=500ms,error_rate<=0.1%%'; nearer than all others", "SLO"
    ),
    Option("--llmd-allow", "names", "Verdicts that do not fail a test: inconclusive, invalid; never shown as passed"),
    Option("--llmd-overrides", "texts", "Change the load: rate=5,duration=60 or load.stages.0.rate=5", "KEY=VALUE,..."),
    Option(
        "--llmd-set", "texts", "Set any scenario key: model.name=facebook/opt-125m; over everything", "KEY=VALUE,..."
    ),
    Option(
        "--llmd-dataset", "text", "The file or folder of data that workloads with a data set of their own send", "PATH"
    ),
    Option("--llmd-results", "text", "Where results go. Default: llmdbench-results", "DIR"),
    Option("--llmd-export", "names", "Write all results as one table: FILE.csv, .parquet, .json or .yaml", "FILE"),
    Option(
        "--llmd-from-results", "text", "Judge recorded runs anew, in place of running tests: ours or upstream's", "DIR"
    ),
    Option(
        "--llmd-baseline", "text", "Compare with this: a name in baselines/, its file, or a folder of results", "NAME"
    ),
    Option("--llmd-margin", "text", "How much worse than the baseline a metric may be. Default: 5%%", "SHARE"),
    Option("--llmd-save-baseline", "text", "Add what the cases measure to this baseline in baselines/", "NAME"),
    Option("--llmd-aa", "number", "Measure the noise: run each load 2N times, as two arms of the same thing", "N"),
    Option(
        "--llmd-compare", "names", "Compare results or baselines with the first named, print tables, and stop", "DIR"
    ),
    Option("--llmd-repeats", "number", "Run each load N times, each from a cold cache, and judge them together", "N"),
    Option("--llmd-extend-inconclusive", "number", "Run a load up to N times more, as long as nobody can tell", "N"),
    Option("--llmd-abort-doomed", "flag", "Give a load up as soon as it is proven that it cannot pass"),
    Option("--llmd-prices", "text", "A price table of GPUs, in place of the one that comes along", "FILE"),
    Option(
        "--llmd-store-corrections",
        "flag",
        "Keep by how much engines started with more or less KV cache than estimated, for later estimates",
    ),
    Option("--llmd-summary", "text", "Write a summary in Markdown, as GitHub and GitLab show it beside a job", "FILE"),
    Option("--llmd-max-stacks", "number", "How many stacks may be up at once; -n auto starts no more workers", "N"),
    Option("--llmd-namespace", "text", "Namespace of the cluster. Default: the kubeconfig context's own", "NAME"),
    Option("--llmd-context", "text", "Context of the kubeconfig. Default: its current one", "NAME"),
    Option("--llmd-endpoint", "text", "Benchmark what answers at this URL already; nothing is deployed", "URL"),
    Option("--llmd-stack", "text", "Benchmark a service or pod of the namespace, by the beginning of its name", "NAME"),
    Option("--llmd-wait-for-gpus", "flag", "Wait while GPUs are taken, in place of failing"),
    Option("--llmd-parallelism", "number", "Pods that send the load side by side, each as it is; in a cluster", "N"),
    Option("--llmd-debug-pod", "flag", "Hold the pod that would send the load, say how to get in, and skip the test"),
    Option("--llmd-standup-only", "flag", "Stand the stacks up, say how to use and end them, and stop; they expire"),
    Option("--llmd-keep-stack", "flag", "Leave the stacks standing when the tests are over; they expire"),
    Option("--llmd-keep-for", "text", "How long kept stacks stay: 30m, 4h, 2d. Default: 4h", "TIME"),
    Option("--llmd-reuse-stack", "flag", "Use a kept stack that is deployed alike, if there is one"),
    Option("--llmd-teardown-only", "flag", "Take down the kept stacks of these scenarios, and stop"),
    Option("--llmd-cleanup", "flag", "List the runs in the namespace, remove what expired ones left, and stop"),
    Option("--llmd-render-to", "text", "Write the manifests and Helm values of every stack there, and stop", "DIR"),
    Option("--llmd-dry-run", "flag", "Print the plan (cases, stacks, load, manifests) and start nothing"),
    Option("--llmd-explain", "flag", "Print the merged scenario with where each value came from, and stop"),
)


def add_options(parser: pytest.Parser) -> None:
    """Register every option with pytest, as flag and as ini key."""
    group = parser.getgroup("llmdbench", "benchmarks of LLM serving (llmdbench)")
    for option in OPTIONS:
        text = f"{option.help} [{option.variable}]"
        if option.kind == "flag":
            group.addoption(option.flag, dest=option.dest, action="store_true", default=None, help=text)
        else:
            action = "append" if option.kind in ("names", "texts") else "store"
            group.addoption(
                option.flag, dest=option.dest, action=action, default=None, metavar=option.metavar, help=text
            )
        ini: Any = {"flag": "bool", "names": "linelist", "texts": "linelist"}.get(option.kind, "string")
        parser.addini(option.dest, option.help.replace("%%", "%"), type=ini, default=None)


class Settings:
    """The options' values by word (``dry_run``), from ini file, environment and command line.

    What is wrong in the environment is kept in ``problems`` rather than raised: variables of ours may stand around a
    project that has no benchmarks.
    """

    def __init__(self, config: pytest.Config, environ: Mapping[str, str] = os.environ) -> None:
        self._given: dict[str, list[Given]] = {}
        self.problems: list[str] = []
        folder = config.inipath.parent if config.inipath else config.rootpath
        for option in OPTIONS:
            found = _from_ini(option, config.getini(option.dest), folder)
            try:
                found += _from_variable(option, environ.get(option.variable))
            except DeclarationError as error:
                self.problems.append(str(error))
            found += _from_command_line(option, getattr(config.option, option.dest, None))
            if found:
                self._given[option.word] = found

    @property
    def explicit(self) -> bool:
        """Whether anything stands on the command line or in the ini file."""
        return any(one.nearness != 1 for given in self._given.values() for one in given)

    @property
    def any(self) -> bool:
        """Whether anybody asked for anything."""
        return any(given[-1].value for given in self._given.values())

    def given(self, word: str) -> Sequence[Given]:
        """Every value that was given, the nearest last; only repeatable texts add up, of others the nearest counts."""
        return self._given.get(word, [])

    def get(self, word: str, default: Any = None) -> Any:
        """The nearest value, or the default where nobody set one."""
        given = self._given.get(word)
        return given[-1].value if given else default


#: What all our variables begin with, and those of llm-d-benchmark's shell scripts as well.
_BEGIN: Final = "LLMDBENCH_"
#: What may follow in a variable that is ours and no option's.
_FURTHER: Final = ("CACHE_DIR", "GUARD")
#: What may follow in one that others read: those scripts, then this project's own tests and tools.
_OF_OTHERS: Final = (
    "BASE64_", "CLUSTER_", "CONTROL_", "CURRENT_", "DEPLOY_", "DEPLOYER_", "FMPERF_", "GATEWAY_", "HARNESS_", "HF_",
    "IGNORE_", "IMAGE_", "INFRA_", "LLMD_", "LWS_", "OPENSHIFT_", "RUN_", "SCENARIO_FULL_PATH", "USER_", "VLLM_",
    "WVA_", "TEST_", "CHART_",
)  # fmt: skip


def unknown_variables(environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """A sentence for each variable that is named like ours and that nobody reads: mostly it is misspelt."""
    known = {option.variable.removeprefix(_BEGIN) for option in OPTIONS} | set(_FURTHER)
    words = {name.removeprefix(_BEGIN) for name in environ if name.startswith(_BEGIN)}
    for word in sorted(words - known):
        if not word.startswith(_OF_OTHERS):
            alike = get_close_matches(word, sorted(known), n=1)
            way_out = f"did you mean ${_BEGIN}{alike[0]}?" if alike else "pytest --help names them all"
            yield f"${_BEGIN}{word} is no variable of an option and changes nothing; {way_out}"


def _from_command_line(option: Option, value: Any) -> list[Given]:
    if value is None:
        return []
    if option.kind == "number":
        value = _number(str(value), option.flag)
    return _made(option, 2, option.flag, value)


def _from_variable(option: Option, text: str | None) -> list[Given]:
    origin = f"${option.variable}"
    if text is None or not text.strip():
        return []
    value: Any = text
    if option.kind == "flag":
        value = _flag(text, origin)
    elif option.kind == "number":
        value = _number(text, origin)
    elif option.kind in ("names", "texts"):
        value = [text]
    return _made(option, 1, origin, value)


def _from_ini(option: Option, value: Any, folder: Path) -> list[Given]:
    origin = f"ini key {option.dest}"
    if not value:
        return []
    if option.kind == "number":
        value = _number(value, origin)
    elif option.word in ("treatments", "results", "render_to", "from_results", "dataset", "prices", "summary"):
        value = str(folder / Path(value).expanduser())
    elif option.kind == "names":
        # Paths in an ini file are relative to it; names stay names.
        value = [str(folder / name) if name.startswith(("./", "../")) else name for name in value]
    return _made(option, 0, origin, value)


def _made(option: Option, nearness: int, origin: str, value: Any) -> list[Given]:
    """Each text is a value of its own; names are one list, each once, in the order given."""
    if option.kind == "texts":
        return [Given(nearness, origin, text) for text in value]
    if option.kind == "names":
        value = list(dict.fromkeys(name.strip() for part in value for name in part.split(",") if name.strip()))
        if not value:
            raise DeclarationError(f"{origin}: no name given")
    if option.word == "export":
        _check_tables(value, origin)
    return [Given(nearness, origin, value)]


def _check_tables(names: Sequence[str], origin: str) -> None:
    """Hours of load are not lost for a table that nobody can write."""
    from pytest_llmdbench.results.export import writer

    for name in names:
        try:
            writer(Path(name))
        except DeclarationError as error:
            raise DeclarationError(f"{origin}: {error}") from error


def _flag(text: str, origin: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    try:
        return words[text.strip().lower()]
    except KeyError:
        raise DeclarationError(f"{origin}: expected true or false, found {text!r}") from None


def _number(text: str, origin: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise DeclarationError(f"{origin}: expected a whole number of at least 1, found {text!r}")
    return int(text)
