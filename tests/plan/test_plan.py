"""The plan is the product of what was asked for, and a mistake in it is found before anything starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.asked import Given
from pytest_llmdbench.case import Case
from pytest_llmdbench.declared.places import Places, shipped_root
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.inference_perf import InferencePerf
from pytest_llmdbench.harnesses.registry import Harnesses
from pytest_llmdbench.plan import Plan
from pytest_llmdbench.planned_slo import unprovable
from pytest_llmdbench.refused import Refused
from tests.plan.planned import possible

PlanMaker = Callable[..., Plan]


class AskedFor:
    """Options as if they had been given on the command line."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings

    def get(self, word: str, default: Any = None) -> Any:
        return self._settings.get(word, default)

    def given(self, word: str) -> list[Given]:
        value = self._settings.get(word, [])
        return [Given(2, f"--llmd-{word}", one) for one in (value if isinstance(value, list) else [value])]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlanMaker:
    monkeypatch.chdir(tmp_path)

    def make(**settings: Any) -> Plan:
        if "treatments" in settings:
            (tmp_path / "t.yaml").write_text(settings["treatments"])
            settings["treatments"] = "t.yaml"
        (tmp_path / "local.yaml").write_text("deploy: local\n")
        return Plan(Places([tmp_path, shipped_root()]), AskedFor(settings), Harnesses(), ("local",))

    return make


def test_the_cases_are_scenarios_by_setups_by_workloads_by_runs(plan: PlanMaker) -> None:
    made = plan(
        scenario=["local", "local-slow"],
        treatments="setup: {factors: {simulator.itl: [0.01, 0.02]}}\nrun: {factors: {rate: [2, 5, 8]}}\n",
    )
    ids = [case.id for case in possible(made.cases(["chatbot_synthetic", "sanity_random"]))]
    assert len(ids) == len(set(ids)) == 2 * 2 * 2 * 3
    assert ids[0] == "local-itl0.01-inference-perf-chatbot_synthetic-rate2"


def test_without_treatments_an_id_is_scenario_harness_and_workload(plan: PlanMaker) -> None:
    (case,) = possible(plan().cases(["chatbot_synthetic"]))
    assert case.id == "local-inference-perf-chatbot_synthetic"


def test_setup_treatments_change_the_stack_and_run_treatments_the_load(plan: PlanMaker) -> None:
    made = plan(treatments="setup: {factors: {simulator.itl: [0.02]}}\nrun: {factors: {rate: [7]}}\n")
    (case,) = possible(made.cases(["sanity_random"]))
    assert case.stack.scenario.simulator.itl == 0.02
    assert [stage.rate for stage in case.load.stages] == [7]


def test_a_quick_scenario_scales_the_load_down_and_options_still_win(plan: PlanMaker) -> None:
    (quick,) = possible(plan().cases(["chatbot_synthetic"]))
    assert {stage.duration_s for stage in quick.load.stages} == {7}
    (full,) = possible(plan(set=["load.size=full"]).cases(["chatbot_synthetic"]))
    assert {stage.duration_s for stage in full.load.stages} == {120}
    (given,) = possible(plan(overrides=["duration=3"]).cases(["chatbot_synthetic"]))
    assert {stage.duration_s for stage in given.load.stages} == {3}


def test_set_wins_over_the_scenario_and_over_other_options(plan: PlanMaker) -> None:
    made = plan(model="from-option", set=["model.name=from-set,simulator.max_num_seqs=9"])
    (stack,) = made.stacks
    assert (stack.scenario.model.name, stack.scenario.simulator.max_num_seqs) == ("from-set", 9)
    assert stack.layers.origin(("model", "name")) == "--llmd-set"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scenario": ["locl"]}, "no scenario 'locl' in scenarios/; did you mean 'local'"),
        ({"set": ["simulator.itll=1"]}, "--llmd-set: no key 'simulator.itll'; did you mean 'itl'"),
        ({"set": ["deploy=lokal"]}, "--llmd-set: no way to deploy 'lokal'; did you mean 'local'"),
        ({"set": ["harness=guidelm"], "_cases": True}, "guidelm"),
        (
            {"workload": ["chatbt_synthetic"], "_cases": True},
            "no workload 'chatbt_synthetic'.*did you mean 'chatbot_synthetic'",
        ),
        (
            {"overrides": ["rte=5"], "_cases": True},
            "--llmd-overrides: 'rte' matches nothing in inference-perf/chatbot_synthetic; .*'rate'",
        ),
        ({"overrides": ["server.base_url=http://x"], "_cases": True}, "'server.base_url' is filled in by the run"),
        (
            {"treatments": "run: {factors: {load.stages.0.session_rate: [1, 2]}}\n", "_cases": True},
            r"chatbot_synthetic\.yaml, t\.yaml:1: inference-perf has no key 'load\.stages\.0\.session_rate'",
        ),
        (
            {"overrides": ["rate=fast"], "_cases": True},
            r"chatbot_synthetic\.yaml, --llmd-overrides: 'load.stages.0.rate' must be",
        ),
        ({"harness": ["nope"], "_cases": True}, "no harness 'nope'; did you mean 'nop'"),
        ({"scenario": ["local", "./local.yaml"]}, "two stacks would be called 'local'"),
        ({"slo": ["tftf.p99<=1s"], "_slo": True}, "no metric 'tftf'; did you mean 'ttft'"),
        (
            {"treatments": "setup: {factors: {simulator.itl: [1, 2]}}\n", "set": ["simulator={itl: 3}"]},
            r"t\.yaml:1: treatments 'itl1' and 'itl2' make the same stack from .*an option sets what they vary",
        ),
        (
            {
                "treatments": "run: {factors: {rate: [1, 2]}}\n",
                "overrides": ["load.stages.0.rate=3,load.stages.1.rate=3,load.stages.2.rate=3,load.stages.3.rate=3"],
                "_cases": True,
            },
            r"t\.yaml:1: treatments 'rate1' and 'rate2' make the same load of chatbot_synthetic",
        ),
        (
            {"treatments": "setup: {factors: {simulatr.itl: [1]}}\n"},
            r"t\.yaml:1: no key 'simulatr'; did you mean 'simulator'",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_way_out(
    plan: PlanMaker, settings: dict[str, Any], message: str
) -> None:
    cases, slo = settings.pop("_cases", False), settings.pop("_slo", False)
    with pytest.raises(DeclarationError, match=message):
        made = plan(**settings)
        if cases:
            possible(made.cases(["chatbot_synthetic"]))
        elif slo:
            assert made.option_objectives
        else:
            assert made.stacks


def test_what_fits_one_workload_and_not_another_leaves_the_one_as_it_is(plan: PlanMaker) -> None:
    made = plan(overrides=["load.stages.3.rate=5"])
    fits, does_not = made.cases(["chatbot_synthetic", "sanity_random"])
    assert (fits.id, isinstance(fits, Refused)) == ("local-inference-perf-chatbot_synthetic", False)
    assert does_not.id == "local-inference-perf-sanity_random"
    assert isinstance(does_not, Refused)
    assert "'load.stages.3.rate' matches nothing in inference-perf/sanity_random" in does_not.reason


def test_a_treatment_that_does_not_fit_leaves_the_others_as_they_are(plan: PlanMaker) -> None:
    made = plan(treatments="run: {factors: {rate: [2, fast]}}\n")
    fits, does_not = made.cases(["sanity_random"])
    assert isinstance(fits, Case)
    assert isinstance(does_not, Refused)
    assert does_not.id == "local-inference-perf-sanity_random-ratefast"
    assert "'load.stages.0.rate' must be a number above 0 (given: 'fast')" in does_not.reason


def test_a_data_set_that_is_not_there_is_refused_before_anything_is_collected(plan: PlanMaker) -> None:
    with pytest.raises(DeclarationError, match="--llmd-dataset nope: there is no such file or folder"):
        plan(dataset="nope").check()


def test_a_wrong_key_in_a_workload_is_named_with_its_line(plan: PlanMaker, tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text("load:\n  stages: [{rate: 1, duration: 5}]\n  stage: 1\n")
    (refused,) = plan(workload=["./w.yaml"]).cases()
    assert isinstance(refused, Refused)
    assert refused.reason.startswith("w.yaml:3: inference-perf has no key 'load.stage'; did you mean ")


def test_energy_that_nobody_measures_is_refused_of_the_case(plan: PlanMaker) -> None:
    made = plan(slo=["energy_per_1m_output_tokens<=3kWh"])
    (case,) = possible(made.cases(["sanity_random"]))
    with pytest.raises(DeclarationError, match=r"--llmd-slo: objective 'energy_\S+ <= 3 kWh': energy is read from"):
        made.objectives(case, ())


def test_a_benchmark_without_a_workload_says_how_to_name_one(plan: PlanMaker) -> None:
    with pytest.raises(DeclarationError, match=r"test_x names no workload: .*pytest\.mark\.workload"):
        plan().cases([], asked_by="test_x")


def test_a_profile_of_llm_d_benchmark_loads_as_it_is(plan: PlanMaker, tmp_path: Path) -> None:
    profile = tmp_path / "upstream.yaml.in"
    profile.write_text(
        "load: {type: constant, stages: [{rate: 1, duration: 30}]}\n"
        "api: {type: completion, streaming: true}\n"
        "server:\n  type: vllm\n  model_name: REPLACE_ENV_LLMDBENCH_DEPLOY_CURRENT_MODEL\n"
        "  base_url: REPLACE_ENV_LLMDBENCH_HARNESS_STACK_ENDPOINT_URL\n"
        "tokenizer: {pretrained_model_name_or_path: REPLACE_ENV_LLMDBENCH_DEPLOY_CURRENT_TOKENIZER}\n"
        "data:\n  type: random\n  input_distribution: {min: 1, max: 9, mean: 5, std_dev: 1, total_count: 10}\n"
        "  output_distribution: {min: 1, max: 9, mean: 5, std_dev: 1, total_count: 10}\n"
        "storage: {local_storage: {path: /workspace}}\n"
    )
    (case,) = possible(plan(workload=[str(profile)]).cases())
    assert case.load.workload.name == "upstream"
    assert case.load.stages[0].requests == 30


def test_an_objective_on_a_stage_that_the_load_does_not_have_is_refused(plan: PlanMaker) -> None:
    made = plan(slo=["ttft.p99@stage9<=1s"])
    (case,) = possible(made.cases(["chatbot_synthetic"]))
    with pytest.raises(DeclarationError, match="the last stage of chatbot_synthetic is stage3"):
        made.objectives(case, ())


@pytest.mark.parametrize(
    ("experiment", "workload", "runs"),
    [("optimized-baseline", "shared_prefix_synthetic", 9), ("tiered-prefix-cache", "shared_prefix_synthetic", 6)],
)
def test_the_run_treatments_of_an_experiment_change_the_load(
    plan: PlanMaker, experiment: str, workload: str, runs: int
) -> None:
    text = (Path(__file__).parents[1] / "data" / "experiments" / f"{experiment}.yaml").read_text()
    run_part = text[: text.index("setup:")] + text[text.index("\ntreatments:") :]
    cases = possible(plan(treatments=run_part).cases([workload]))
    assert len({str(case.load.profile) for case in cases}) == runs


@pytest.fixture
def two_programs(tmp_path: Path) -> None:
    """Workloads of two harnesses: both have a chat, under different names; one has a sum."""
    files = {
        "workloads/inference-perf/talk.yaml": "llmdbench: {use_case: chat}\nload: {stages: [{rate: 1, duration: 5}]}\n",
        "workloads/inference-perf/sum.yaml": "load: {stages: [{rate: 1, duration: 5}]}\n",
        "workloads/other/small_talk.yaml": "llmdbench: {use_case: chat}\nload: {stages: [{rate: 2, duration: 5}]}\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def both(tmp_path: Path, two_programs: None, monkeypatch: pytest.MonkeyPatch) -> PlanMaker:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "local.yaml").write_text("deploy: local\n")

    class Other(InferencePerf):
        name = "other"

        def __init__(self) -> None:
            super().__init__()

    # Its lock is looked for by name.
    monkeypatch.setattr("pytest_llmdbench.harnesses.inference_perf.lock", lambda name, version: Path(__file__))
    added = Harnesses([Other()])
    return lambda **settings: Plan(
        Places([tmp_path]), AskedFor({"scenario": ["./local.yaml"], **settings}), added, ("local",)
    )


def test_a_use_case_is_each_harnesss_own_workload_for_it(both: PlanMaker) -> None:
    made = both(harness=["inference-perf", "other"])
    assert [case.id for case in possible(made.cases(["chat"]))] == [
        "local-inference-perf-talk",
        "local-other-small_talk",
    ]


def test_a_workload_that_one_of_the_harnesses_has_runs_with_that_one(both: PlanMaker) -> None:
    assert [case.id for case in possible(both(harness=["inference-perf", "other"]).cases(["sum"]))] == [
        "local-inference-perf-sum"
    ]
    assert both(harness=["other"]).cases(["sum"]) == []


def test_a_workload_that_no_harness_has_is_refused_even_when_several_are_asked_for(both: PlanMaker) -> None:
    with pytest.raises(DeclarationError, match=r"no workload 'sun'.*did you mean 'sum'"):
        both(harness=["inference-perf", "other"]).cases(["sun"])


def test_versions_of_a_harness_stand_side_by_side_and_are_told_apart(plan: PlanMaker) -> None:
    made = plan(harness=["inference-perf", "inference-perf@0.7.0"])
    assert [case.id for case in possible(made.cases(["sanity_random"]))] == [
        "local-inference-perf-sanity_random",
        "local-inference-perf-0.7.0-sanity_random",
    ]


def test_a_version_that_cannot_be_installed_is_refused_with_those_that_can(plan: PlanMaker) -> None:
    with pytest.raises(DeclarationError, match=r"inference-perf 0\.1 has no lock file here; there is .*0\.7\.0"):
        plan(harness=["inference-perf@0.1"]).check()


def test_a_smoke_load_leaves_out_what_it_cannot_prove_of_the_scenario(plan: PlanMaker, tmp_path: Path) -> None:
    made = plan(scenario=["./strict.yaml"])
    (tmp_path / "strict.yaml").write_text("deploy: local\nslo: [ttft.p99 <= 1s, error_rate <= 1%]\n")
    load = "api: {streaming: true}\nload: {stages: [{rate: 1, duration: 10}]}\n"
    for name, header in (("smoke", "llmdbench: {smoke: true}\n"), ("real", "")):
        path = tmp_path / "workloads/inference-perf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(header + load)
    (smoke,) = possible(made.cases(["smoke"]))
    assert [one.text for one in made.objectives(smoke, ())] == ["error_rate <= 1%"]
    (real,) = possible(made.cases(["real"]))
    said = unprovable(real, made.objectives(real, ())) or ""
    assert said.startswith("strict-inference-perf-real: objective 'ttft.p99 <= 1 s'")
    assert "takes 299 requests" in said
    assert unprovable(smoke, made.objectives(smoke, ())) is None
