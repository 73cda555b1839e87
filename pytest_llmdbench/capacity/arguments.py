"""What ``llmdbench-explore`` takes: commands and options, and what they mean as values of this package."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final, NoReturn

from pytest_llmdbench.capacity.asked import Asked
from pytest_llmdbench.capacity.configuration import DEFAULT_VERSION, Configuration
from pytest_llmdbench.capacity.corrections import check_file, corrected, default_file
from pytest_llmdbench.capacity.estimators import estimator
from pytest_llmdbench.capacity.free_flags import whole_number
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.load_options import add_load, load_of, within
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.declared.objective import parse_objectives
from pytest_llmdbench.errors import DeclarationError

PROGRAM: Final = "llmdbench-explore"
_MODEL: Final = "name on the Hugging Face hub, or a folder with a config.json"
_CORRECTIONS: Final = "what 'compare --store' keeps (among the user's data)"
_HUB: Final = "ask the Hugging Face hub for a model that is not known here; nothing else uses the network"


class _Parser(argparse.ArgumentParser):
    """One that says what is wrong in one line, as all errors here."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; {self.prog} --help tells what there is\n")


def _size(text: str) -> int:
    try:
        return whole_number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


#: vLLM's own flags: name, type, what it is.
_FLAGS: Final = (
    ("tensor-parallel-size", int, "GPUs that share each layer (1)"),
    ("pipeline-parallel-size", int, "groups of layers, one after the other (1)"),
    ("data-parallel-size", int, "copies of the model (1)"),
    ("max-model-len", _size, "longest prompt and answer together, tokens (the model's own)"),
    ("max-num-seqs", _size, "requests in a batch (vLLM's default for the GPU)"),
    ("max-num-batched-tokens", _size, "tokens in a step (vLLM's default for the GPU)"),
    ("gpu-memory-utilization", float, "share of the GPU's memory that vLLM takes (0.92)"),
    ("block-size", int, "tokens in a block of the KV cache (16)"),
    ("cpu-offload-gb", float, "GiB of a GPU's weights in the host's memory (0)"),
    ("dtype", str, "type of the weights (the model's own)"),
    ("kv-cache-dtype", str, "type of the KV cache, as in fp8 (what the checkpoint asks for, or that of the weights)"),
)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = _Parser(
        prog=PROGRAM,
        description="What fits on which GPUs, how fast it is and what it costs, before anything is deployed. All "
        "answers are estimates, made on this machine: no GPU, no network.",
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="will this engine start, and which flag mends it")
    check.add_argument("model", metavar="MODEL", nargs="?", help=_MODEL)
    _engine(check)
    add_load(check)
    check.add_argument(
        "--scenario",
        metavar="FILE",
        help="check the engines of a scenario, file or name, in place of a model (--gpu: on this GPU)",
    )
    find = commands.add_parser("recommend", help="the cheapest or fastest GPUs and flags for a model and a load")
    find.add_argument("model", metavar="MODEL", help=_MODEL)
    add_load(find)
    _search(find)
    rehearse = commands.add_parser("rehearse", help="a scenario for the simulator at the speed of this engine")
    rehearse.add_argument("model", metavar="MODEL", help=_MODEL)
    _engine(rehearse)
    rehearse.add_argument("--slo", action="append", default=[], metavar="OBJECTIVE", help="put into the scenario")
    rehearse.add_argument("--write", metavar="FILE", help="write the scenario here, not to the terminal")
    compare = commands.add_parser("compare", help="what a start-up log of vLLM says, beside the estimate")
    compare.add_argument("log", metavar="LOG", help="the log of an engine's start")
    compare.add_argument("model", metavar="MODEL", help=_MODEL)
    _engine(compare)
    compare.add_argument("--store", action="store_true", help="keep the difference as a correction for this engine")
    for name, what in (("models", "the models that are known by name"), ("gpus", "the GPUs that are known")):
        commands.add_parser(name, help=what)
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="print JSON, in seconds, tokens, GiB and FLOP/s")
    return made


def _engine(command: argparse.ArgumentParser) -> None:
    command.add_argument("--gpu", metavar="GPU", help="as in H100, L40S, MI300X, or a node label")
    flags = command.add_argument_group("flags of vLLM")
    for name, kind, text in _FLAGS:
        flags.add_argument(f"--{name}", type=kind, metavar=name.rpartition("-")[2].upper(), help=text)
    flags.add_argument("--enable-expert-parallel", action="store_true", help="spread experts over all GPUs")
    flags.add_argument("--enforce-eager", action="store_true", help="no CUDA graphs")
    flags.add_argument("--no-enable-chunked-prefill", action="store_true", help="a prompt is one step")
    flags.add_argument("--quantization", metavar="HOW", help="how weights are quantized at start-up, as in fp8")
    known = "that of the log, or " if command.prog.endswith(" compare") else ""
    flags.add_argument("--vllm", metavar="VERSION", help=f"its release ({known}{DEFAULT_VERSION})")
    command.add_argument("--hub", action="store_true", help=_HUB)
    command.add_argument("--corrections", metavar="FILE", help=_CORRECTIONS)
    flags.add_argument("--gpu-memory", type=float, metavar="GIB", help="memory as the driver reports it")


def _search(command: argparse.ArgumentParser) -> None:
    command.add_argument("--hub", action="store_true", help=_HUB)
    command.add_argument("--gpu", action="append", default=[], metavar="GPU", help="only this one (may be repeated)")
    command.add_argument("--slo", action="append", default=[], metavar="OBJECTIVE", help="as in 'ttft.p90 <= 500ms'")
    command.add_argument(
        "--rank", choices=("cost", "latency", "throughput"), default="cost", help="what is best (cost)"
    )
    command.add_argument(
        "--max-gpus", type=int, metavar="N", help="GPUs of one engine, at most (one node; several if it takes them)"
    )
    command.add_argument(
        "--max-model-len",
        type=_size,
        metavar="LEN",
        help="longest request (that of the load, or a fifth above its means)",
    )
    command.add_argument(
        "--fp8", action="store_true", help="also try FP8 weights and KV cache: answers change a little"
    )
    command.add_argument("--no-split", action="store_true", help="no prefill and decode on engines of their own")
    command.add_argument("--quantization", metavar="HOW", help="how weights are quantized at start-up, as in fp8")
    command.add_argument("--vllm", default=DEFAULT_VERSION, metavar="VERSION", help=f"its release ({DEFAULT_VERSION})")
    command.add_argument("--corrections", metavar="FILE", help=_CORRECTIONS)
    command.add_argument("--prices", metavar="FILE", help="a price table of your own")
    command.add_argument("--price-per-hour", type=float, metavar="PRICE", help="price of one GPU, whichever it is")
    command.add_argument("--top", type=int, default=10, metavar="N", help="lines of the table (10)")
    command.add_argument("--write-scenario", metavar="FILE", help="write the best as a scenario for --scenario")
    command.add_argument("--html", metavar="FILE", help="write the explored space as a page that needs no network")


def only_a_scenario(given: argparse.Namespace) -> None:
    """Whether nothing is said beside a scenario that it says itself. Raises DeclarationError."""
    plain = vars(parser().parse_args([given.command]))
    for name, value in vars(given).items():
        if value != plain[name] and name not in ("scenario", "gpu", "json"):
            said = "MODEL" if name == "model" else f"--{name.replace('_', '-')}"
            raise DeclarationError(f"{said}: the engines are those of the scenario; leave it out, or --scenario")


def engine_of(given: argparse.Namespace, version: str | None = None) -> Configuration:
    """The engine that the options describe, of this release where they say none. Raises DeclarationError."""
    if not given.model or not given.gpu:
        raise DeclarationError(
            f"a model and a GPU are needed, as in: {PROGRAM} {given.command} Qwen/Qwen3-8B --gpu L40S"
        )
    said = {name.replace("-", "_"): getattr(given, name.replace("-", "_")) for name, _, _ in _FLAGS}
    config = Configuration(
        find_model(given.model, given.quantization, hub=given.hub),
        find_gpu(given.gpu),
        **{name: value for name, value in said.items() if value is not None},
        enable_expert_parallel=given.enable_expert_parallel,
        enforce_eager=given.enforce_eager,
        enable_chunked_prefill=not given.no_enable_chunked_prefill,
        memory_gib=given.gpu_memory,
        version=given.vllm if given.vllm is not None else version or DEFAULT_VERSION,
    )
    return corrected(config, corrections_of(given))


def corrections_of(given: argparse.Namespace) -> Path:
    """The file of corrections. Raises DeclarationError: one was named that is none."""
    if not given.corrections:
        return default_file()
    file = Path(given.corrections).expanduser()
    check_file(file, new=given.command == "compare" and given.store)
    return file


def asked_of(given: argparse.Namespace) -> Asked:
    """The search that the options describe. Raises DeclarationError."""
    within(given, "max-gpus", 1, 64)
    within(given, "top", 1, 1000)
    if given.price_per_hour is not None and not 0 < given.price_per_hour < 1e6:
        raise DeclarationError(f"--price-per-hour: {given.price_per_hour} is not possible; it is a number above 0")
    model = find_model(given.model, given.quantization, hub=given.hub)
    length = given.max_model_len
    if length is not None and not 1 <= length <= model.max_positions:
        raise DeclarationError(
            f"--max-model-len: {length} is not possible; {model.name} has 1 to {model.max_positions}"
        )
    load = load_of(given)
    if load is not None and length is not None and length < load.longest:
        which = "the longest " if load.varies else ""
        raise DeclarationError(
            f"--max-model-len: {length} is less than {which}prompt and answer of the load together, "
            f"{load.longest:.0f} tokens"
        )
    if load is None:
        raise DeclarationError("the load is needed: --workload NAME, or --input-tokens N and --output-tokens N")
    amount = given.workload or given.rate is not None or given.concurrency is not None
    return Asked(
        model=model,
        load=load,
        objectives=parse_objectives(given.slo, "--slo"),
        gpus=list(dict.fromkeys(find_gpu(name) for name in given.gpu)),
        max_model_len=given.max_model_len,
        small_types=given.fp8,
        version=given.vllm,
        prices=given.prices,
        price_per_hour=given.price_per_hour,
        most_gpus=given.max_gpus,
        rate=load.rate,
        concurrency=load.concurrency if amount else None,
        corrections=corrections_of(given),
        splits=not given.no_split,
        estimate=estimator(given.estimator),
    )
