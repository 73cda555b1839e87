"""Cost and energy of a load: from the scenario's price or a dated table, and from the power that GPUs report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_llmdbench.declared.cluster import Accelerator
from pytest_llmdbench.declared.metrics import METRICS
from pytest_llmdbench.declared.objective import parse_objective
from pytest_llmdbench.declared.prices import SHIPPED, countable, price_of
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.results.economy import economy, energy, together
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Requests, Result, Stage
from pytest_llmdbench.results.server_metrics.exposition import parse
from pytest_llmdbench.results.server_metrics.names import sample_names
from pytest_llmdbench.results.server_metrics.scraped import Target
from pytest_llmdbench.results.server_metrics.summary import Watched, summary
from pytest_llmdbench.results.table import TABLE, write_table
from pytest_llmdbench.verdicts.judged import judge_objective

H100 = "NVIDIA-H100-80GB-HBM3"
BEGAN = 1_795_741_700.0


def measured(seconds: float | None = 1800.0, tokens: int | None = 2_000_000, **more: Any) -> Result:
    return Result("guidellm", "0.8.1", Stage(Requests(100), duration_s=seconds, output_tokens=tokens), **more)


def table(path: Path, **entry: Any) -> str:
    known = {"names": [H100], "per_hour": 10, "date": "2026-11", "source": "our contract"} | entry
    path.write_text(yaml.safe_dump({"currency": "EUR", "prices": {"ours": known}}))
    return str(path)


def test_a_load_costs_gpus_times_price_times_its_time() -> None:
    found = economy(measured(), Accelerator(price_per_hour=2.0), {"gpus": 8})
    assert found == {"gpus": 8, "price_per_hour": 2.0, "cost": 8.0, "cost_per_1m_output_tokens": 4.0}


def test_without_a_word_on_the_price_it_is_that_of_the_product_in_the_table() -> None:
    price = price_of(Accelerator(product=H100))
    assert price is not None
    assert (price.per_hour, price.currency, price.date) == (2.95, "USD", "2026-05-20")
    assert price.source
    assert economy(measured(), Accelerator(product=H100), {"gpus": 2})["cost"] == pytest.approx(2.95)


@pytest.mark.parametrize("scenario", ["h100", "h200", "a100", "gke", "cks", "openshift"])
def test_the_table_knows_the_gpus_of_the_scenarios_that_come_along(scenario: str) -> None:
    path = Path(__file__).parents[2] / "scenarios" / f"{scenario}.yaml"
    product = yaml.safe_load(path.read_text())["accelerator"]["product"]
    assert price_of(Accelerator(product=product)) is not None


def test_the_scenario_s_price_is_nearer_than_the_table_s() -> None:
    price = price_of(Accelerator(product=H100, price_per_hour=1.25))
    assert price is not None
    assert (price.per_hour, price.source, price.date) == (1.25, "accelerator.price_per_hour", None)


def test_every_price_that_comes_along_has_a_date_and_a_source() -> None:
    prices = yaml.safe_load(SHIPPED.read_text())["prices"]
    assert len(prices) > 10
    for product, one in prices.items():
        price = price_of(Accelerator(product=product))
        assert price is not None
        assert price.date is not None
        assert price.date[:4] == str(one["date"])[:4] == str(date(2026, 1, 1).year)
        assert len(price.source) > 10


def test_a_table_of_one_s_own_replaces_the_one_that_comes_along(tmp_path: Path) -> None:
    own = table(tmp_path / "prices.yaml")
    price = price_of(Accelerator(product=H100.lower(), prices=own))
    assert price is not None
    assert (price.per_hour, price.currency, price.date, price.source) == (10.0, "EUR", "2026-11", "our contract")
    assert price_of(Accelerator(product="NVIDIA-L4", prices=own)) is None


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"per_hour": "free"}, "prices.ours.per_hour"),
        ({"per_hour": float("nan")}, "prices.ours.per_hour"),
        ({"per_hour": -1}, "prices.ours.per_hour"),
        ({"date": "yesterday"}, "prices.ours.date"),
        ({"source": ""}, "prices.ours.source"),
        ({"pre_hour": 2}, "no key 'prices.ours.pre_hour'"),
    ],
)
def test_a_table_that_is_wrong_names_file_line_and_key(tmp_path: Path, entry: dict[str, Any], said: str) -> None:
    own = table(tmp_path / "prices.yaml", **entry)
    with pytest.raises(DeclarationError, match=said) as raised:
        price_of(Accelerator(prices=own))
    assert "prices.yaml:" in str(raised.value)


@pytest.mark.parametrize("text", ["", "[1]", "currency: USD", "currency: USD\nprices: {}\n", "a: b: c", "\x00"])
def test_a_file_that_is_no_table_is_one_error_of_the_user(tmp_path: Path, text: str) -> None:
    (tmp_path / "prices.yaml").write_text(text)
    with pytest.raises(DeclarationError):
        price_of(Accelerator(prices=str(tmp_path / "prices.yaml")))
    with pytest.raises(DeclarationError, match="cannot be read"):
        price_of(Accelerator(prices=str(tmp_path / "nowhere.yaml")))


def test_two_prices_for_one_product_are_refused(tmp_path: Path) -> None:
    entry = {"names": ["h100"], "per_hour": 1, "date": "2026", "source": "x"}
    own = tmp_path / "prices.yaml"
    own.write_text(yaml.safe_dump({"currency": "USD", "prices": {"one": entry, "H100": entry}}))
    with pytest.raises(DeclarationError, match="two prices are for 'h100'"):
        price_of(Accelerator(prices=str(own)))


@pytest.mark.parametrize(
    ("accelerator", "deployed"),
    [
        (Accelerator(), {}),
        (Accelerator(), {"gpus": 8}),
        (Accelerator(product="a GPU nobody knows"), {"gpus": 8}),
        (Accelerator(product=H100), {"gpus": 0}),
        (Accelerator(price_per_hour=2.0), {}),
    ],
    ids=["nothing", "no price", "unknown product", "no GPUs", "nobody knows how many"],
)
def test_what_is_not_known_is_absent(accelerator: Accelerator, deployed: dict[str, Any]) -> None:
    assert not set(economy(measured(), accelerator, deployed)) & set(METRICS)


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ({}, "say accelerator.gpus"),
        ({"accelerator": {"price_per_hour": 2}}, "say accelerator.gpus"),
        ({"accelerator": {"gpus": 2}}, "no word on which GPUs; say accelerator.price_per_hour"),
        ({"deploy": "standalone", "accelerator": {"product": "abacus"}}, "no price of 'abacus'"),
        ({"accelerator": {"price_per_hour": 2, "gpus": 2}}, None),
        ({"deploy": "modelservice", "accelerator": {"product": H100}}, None),
    ],
)
def test_a_cost_that_will_not_be_known_is_told_before_the_load(scenario: dict[str, Any], said: str | None) -> None:
    found = countable(Scenario.model_validate(scenario))
    assert found is None if said is None else said in str(found)


def test_a_stand_in_without_gpus_costs_what_the_scenario_says() -> None:
    assert economy(measured(), Accelerator(price_per_hour=3.0, gpus=2), {})["cost"] == 3.0


def test_a_load_without_tokens_or_time_has_no_cost_of_them() -> None:
    accelerator = Accelerator(price_per_hour=3.0, gpus=2)
    assert "cost_per_1m_output_tokens" not in economy(measured(tokens=None), accelerator, {})
    assert "cost_per_1m_output_tokens" not in economy(measured(tokens=0), accelerator, {})
    assert "cost" not in economy(measured(seconds=None), accelerator, {})


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("cost <= 8", "PASS"),
        ("cost_per_1m_output_tokens <= 3.99", "FAIL"),
        ("energy_per_1m_output_tokens <= 1kWh", "NOT REPORTED"),
    ],
)
def test_cost_and_energy_are_objectives(text: str, outcome: str) -> None:
    result = replace(measured(), economy=economy(measured(), Accelerator(price_per_hour=2.0), {"gpus": 8}))
    assert judge_objective(parse_objective(text, "here"), result, None).outcome == outcome


def test_several_runs_cost_their_sum_and_a_million_tokens_their_mean() -> None:
    one = measured(economy={"gpus": 8.0, "price_per_hour": 2.0, "cost": 8.0, "energy": 5.0})
    other = measured(tokens=6_000_000, economy={"gpus": 8.0, "price_per_hour": 2.0, "cost": 8.0})
    assert together([one, other]) == {
        "gpus": 8.0, "price_per_hour": 2.0, "cost": 16.0, "cost_per_1m_output_tokens": 2.0
    }  # fmt: skip
    assert together([one, one])["energy_per_1m_output_tokens"] == 2.5
    assert together([]) == {}


def scraped(lines: Sequence[str], at: Sequence[float] = (0, 10, 20, 30, 40)) -> dict[str, Any]:
    """What is kept of a server and of the exporter of its node, which says ``lines``; read as live text is."""
    server = Watched(Target("decode-0", "decode", "http://10.0.0.1/metrics", "decode-0"))
    exporter = Watched(Target("dcgm", "gpu", "http://10.0.0.2/metrics", "dcgm-0"))
    for number, seconds in enumerate(at):
        engine = f'vllm:generation_tokens_total{{engine="0"}} {seconds * 100}\n'
        # 400 W each, and the counter in millijoules.
        gpus = "\n".join(lines).replace("{mJ}", str(5_000_000 + seconds * 400_000)).replace("{W}", "400")
        server.window.add(number, BEGAN + seconds, parse(engine, sample_names()))
        exporter.window.add(number, BEGAN + seconds, parse(gpus + "\n", sample_names()))
    return summary([server, exporter], 10.0)


ENERGY = [f'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{gpu="{gpu}",pod="decode-0"}} {{mJ}}' for gpu in (0, 1)]
POWER = [f'DCGM_FI_DEV_POWER_USAGE{{gpu="{gpu}",pod="decode-0"}} {{W}}' for gpu in (0, 1)]
NODE = [one.replace("decode-0", "") for one in POWER]


@pytest.mark.parametrize("lines", [ENERGY, POWER, ENERGY + POWER], ids=["counters", "power", "both"])
@pytest.mark.parametrize("gpus", [2, None])
def test_energy_is_what_the_stack_s_gpus_took_while_the_load_ran(lines: list[str], gpus: int | None) -> None:
    assert energy(scraped(lines), (BEGAN + 5, BEGAN + 35), gpus) == pytest.approx(2 * 400 * 30)


def test_an_exporter_of_a_whole_node_counts_only_where_all_its_gpus_are_the_stack_s() -> None:
    window = (BEGAN, BEGAN + 40)
    assert energy(scraped(NODE), window, 2) == pytest.approx(2 * 400 * 40)
    assert energy(scraped(NODE), window, 1) is None
    assert energy(scraped(NODE), window, None) is None


def test_gpus_that_nobody_reports_make_the_energy_unknown() -> None:
    assert energy(scraped(ENERGY), (BEGAN, BEGAN + 40), 8) is None


def test_readings_that_miss_much_of_the_load_make_the_energy_unknown() -> None:
    assert energy(scraped(POWER), (BEGAN - 30, BEGAN + 40), 2) is None
    assert energy(scraped(POWER, [0]), (BEGAN, BEGAN + 40), 2) is None
    assert energy(scraped(POWER), (BEGAN - 1, BEGAN + 41), 2) == pytest.approx(2 * 400 * 42)


def test_without_power_there_is_no_energy() -> None:
    assert energy(scraped([]), (BEGAN, BEGAN + 40), 2) is None
    assert energy({}, (BEGAN, BEGAN + 40), 2) is None


def test_the_time_of_the_load_is_that_of_its_requests(tmp_path: Path) -> None:
    request = Request(0, BEGAN + 10, BEGAN + 30, "completed", None, 10, 5, 5, 1.0, 0.1)
    write_table(tmp_path / TABLE, [(0, request)])
    result = measured(20.0, 4_000, server={"metrics": scraped(POWER)}, table=tmp_path / TABLE)
    found = economy(result, Accelerator(), {"gpus": 2})
    assert found["energy"] == pytest.approx(2 * 400 * 20)
    assert found["energy_per_1m_output_tokens"] == pytest.approx(2 * 400 * 20 / 4_000 * 1e6)


def test_without_single_requests_the_power_is_that_while_the_servers_were_at_work() -> None:
    found = economy(measured(40.0, 4_000, server={"metrics": scraped(POWER)}), Accelerator(), {"gpus": 2})
    assert found["energy"] == pytest.approx(2 * 400 * 40)
