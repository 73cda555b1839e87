"""Scenario files: short, strict, and merged from known places in a known order."""

from pathlib import Path

import pytest

from pytest_llmdbench.declared.layers import Layers
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.declared.source import parse_yaml
from pytest_llmdbench.declared.strict import read_model
from pytest_llmdbench.errors import DeclarationError

SHIPPED = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))


def read(text: str) -> Scenario:
    layers = Layers()
    layers.add_source(parse_yaml(text, "s.yaml"))
    return read_model(Scenario, layers)


def test_an_empty_scenario_is_the_simulator_with_documented_defaults() -> None:
    scenario = read("")
    assert scenario.deploy == "local"
    assert scenario.load.size == "full"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_scenario_is_valid_and_fits_on_a_screen(path: Path) -> None:
    text = path.read_text()
    assert read(text).description
    assert len(text.splitlines()) <= 60


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("deploy: local\nmodle: {name: x}\n", r"s\.yaml:2: no key 'modle'; did you mean 'model'"),
        ("model:\n  nmae: x\n", r"s\.yaml:2: no key 'model\.nmae'; did you mean 'name'"),
        ("simulator:\n  itll: 0.1\n", r"s\.yaml:2: no key 'simulator\.itll'; did you mean 'itl'"),
        ("simulator:\n  faults:\n    eror_rate: 0.1\n", r"s\.yaml:3: .*did you mean 'error_rate'"),
        ("simulator:\n  itl: fast\n", r"s\.yaml:2: 'simulator\.itl': should be a valid number.*\(given: 'fast'\)"),
        ("simulator:\n  seed: 1\n  itl: -1\n", r"s\.yaml:3: 'simulator\.itl': .*itl is -1"),
        ("simulator:\n  faults:\n    cut_rate: 7\n", r"s\.yaml:3: 'simulator\.faults\.cut_rate': .* is 7"),
        ("slo: ttft.p99 <= 1s\n", r"s\.yaml:1: 'slo': should be a list"),
        ("model: x\n", r"s\.yaml:1: 'model': should be keys and values \(given: 'x'\)"),
        ("load:\n  size: huge\n", r"s\.yaml:2: 'load\.size': should be 'full' or 'quick' \(given: 'huge'\)"),
        ("timeouts: {standup_s: 0}\n", r"s\.yaml:1: 'timeouts\.standup_s': should be greater than 0"),
        ("- a list\n", r"s\.yaml:1: expected keys and values, found a list"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_the_nearest_key(text: str, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        read(text)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(DeclarationError) as caught:
        read("modle: 1\nload: {size: huge}\n")
    assert len(str(caught.value).splitlines()) == 2


def test_a_later_layer_wins_and_is_remembered_as_the_origin() -> None:
    layers = Layers()
    layers.add_source(parse_yaml("model:\n  name: a\n  tokenizer: t\nslo: [x]\n", "s.yaml"))
    layers.put("model.name", "b", "$LLMDBENCH_MODEL")
    layers.put("slo", ["y"], "--llmd-set")
    assert layers.tree == {"model": {"name": "b", "tokenizer": "t"}, "slo": ["y"]}
    assert layers.origin(("model", "name")) == "$LLMDBENCH_MODEL"
    assert layers.origin(("model", "tokenizer")) == "s.yaml:3"
    assert layers.origin(("slo",)) == "--llmd-set"
    assert layers.origin(("timeouts", "standup_s")) == "default"


def test_null_brings_the_default_back() -> None:
    layers = Layers()
    layers.add_source(parse_yaml("model: {tokenizer: t}\nsimulator: {itl: 5}\n", "s.yaml"))
    layers.put("model.tokenizer", None, "--llmd-set")
    layers.put("simulator.itl", None, "--llmd-set")
    scenario = read_model(Scenario, layers)
    assert (scenario.model.tokenizer, scenario.simulator.itl) == (None, 0.01)


def test_what_a_gpu_brings_to_the_simulator_says_so_and_what_was_said_keeps_its_place() -> None:
    layers = Layers()
    layers.add_source(
        parse_yaml("model: {name: Qwen/Qwen3-8B}\nsimulator:\n  ttft: 0.05\n  max_num_seqs: 64\n", "s.yaml")
    )
    layers.put("simulator.like", "h100", "--llmd-set")
    simulator = read_model(Scenario, layers).simulator
    assert (simulator.ttft, simulator.max_num_seqs) == (0.03, 64)
    told = {key: layers.origin(("simulator", key)) for key in ("like", "ttft", "max_num_seqs", "max_model_len", "seed")}
    assert told == {
        "like": "--llmd-set",
        "ttft": "simulator.like: h100",
        "max_num_seqs": "s.yaml:4",
        "max_model_len": "simulator.like: h100",
        "seed": "default",
    }


def test_a_tokenizer_s_folder_that_is_not_there_is_refused_where_the_load_runs_here() -> None:
    with pytest.raises(
        DeclarationError, match=r"s\.yaml:2: 'model\.tokenizer': there is no folder /nope/tok; .*Hugging"
    ):
        read("model:\n  tokenizer: /nope/tok\n")
    elsewhere = "deploy: standalone\nmodel: {name: org/model, tokenizer: /nope/tok}\n"
    assert read(elsewhere).model.tokenizer == "/nope/tok"
    with pytest.raises(DeclarationError, match="no folder /nope/tok"):
        read(f"{elsewhere}load: {{where: here}}\n")


def test_a_tokenizer_s_folder_may_be_named_from_where_the_user_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tok").mkdir()
    assert read("model: {tokenizer: ./tok}\n").model.tokenizer == str(tmp_path / "tok")
    assert read("model: {tokenizer: org/tok}\n").model.tokenizer == "org/tok"


def test_the_simulated_model_has_one_name() -> None:
    with pytest.raises(DeclarationError, match=r"the simulator serves model\.name; say model: \{name: other\}"):
        read("simulator: {model: other}\n")
