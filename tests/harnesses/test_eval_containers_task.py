"""The program that runs in a load pod of eval-containers, really started, with made-up images of one task."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.harnesses import eval_containers_task
from pytest_llmdbench.harnesses.eval_containers import EvalContainers
from pytest_llmdbench.harnesses.eval_containers_task import give_time
from pytest_llmdbench.harnesses.reading import read_run
from tests.harnesses import made_up_eval
from tests.harnesses.inference_perf_runs import MODEL, Counted, simulator
from tests.harnesses.test_eval_containers_command import PROFILE, command

TEMPLATE = """{
  "providers": {
    "anthropic": {"network_config": {"base_url": "${A}", "allow_private_network": true}},
    "openai": {"network_config": {"base_url": "${B}", "allow_private_network" : true}}
  }
}
"""


def started(folder: Path, image: list[str], url: str = "http://127.0.0.1:1", task: int = 4) -> subprocess.Popen[bytes]:
    """The pod's program in ``folder`` with an image that is ``image``, below ``folder`` in place of ``/``."""
    folder.mkdir(parents=True)
    made = command(PROFILE, folder, task, url)
    config: dict[str, Any] = json.loads((folder / "eval-containers.json").read_text(encoding="utf-8"))
    config |= {
        "entrypoint": image,
        "output": str(folder.parent / "output"),
        "verifier": str(folder.parent / "verifier"),
    }
    (folder / "eval-containers.json").write_text(json.dumps(config), encoding="utf-8")
    argv = [sys.executable, "-I", eval_containers_task.__file__, str(folder / "eval-containers.json")]
    env = {**os.environ, **made.env, "EVAL_MODEL": MODEL, "OLDPWD": str(folder.parent)}
    return subprocess.Popen(argv, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def said(process: subprocess.Popen[bytes]) -> str:
    return process.communicate(timeout=60)[0].decode()


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_a_made_up_image_of_one_task_is_run_and_its_files_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "pod"
    image = [sys.executable, made_up_eval.__file__, str(tmp_path / "output"), str(tmp_path / "verifier")]
    with simulator(tmp_path) as url:
        process = started(folder, image, url)
        words = said(process)
        assert process.returncode == 0, words
        counted = Counted.at(url)
    result = read_run(EvalContainers(), [folder], folder)
    whole = result.whole
    assert counted == Counted(2, whole.prompt_tokens or 0, whole.output_tokens or 0)
    assert (whole.requests.completed, whole.output_tokens) == (2, 16)
    assert (result.scores["pass_rate"], result.scores["cpp.pass_rate"]) == (1, 1)
    assert "task 4: ended after" in words
    # The image's own working directory is where the agent begins; a link it made is left where it is.
    assert (folder / "agent" / "stdout.log").read_text(encoding="utf-8") == f"in {tmp_path}\n"
    assert not (folder / "agent" / "a link").exists()


def test_a_made_up_image_that_reaches_no_model_is_no_reward_of_0(tmp_path: Path) -> None:
    folder = tmp_path / "pod"
    image = [sys.executable, made_up_eval.__file__, str(tmp_path / "output"), str(tmp_path / "verifier")]
    with simulator(tmp_path, model="another") as url:
        assert "exit code 0" in said(started(folder, image, url))
    result = read_run(EvalContainers(), [folder], folder)
    assert (result.scores, result.whole.requests.failed) == ({}, {"404": 2})


def test_the_exit_code_of_a_made_up_image_is_noted_and_given(tmp_path: Path) -> None:
    process = started(tmp_path / "pod", python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    said(process)
    assert process.returncode == 139
    assert json.loads((tmp_path / "pod" / "eval-task.json").read_text(encoding="utf-8"))["exit_code"] == 139


def test_an_image_that_is_none_of_eval_containers_says_which_ones_are(tmp_path: Path) -> None:
    process = started(tmp_path / "pod", ["/no/entrypoint.sh"])
    assert "load.image must be an image of eval-containers" in said(process)
    assert process.returncode == 1
    assert not (tmp_path / "pod" / "eval-task.json").exists()


def test_told_to_end_it_ends_a_made_up_image_and_keeps_what_that_has_left(tmp_path: Path) -> None:
    output = tmp_path / "output"
    text = (
        f"import os, time; os.makedirs({str(output)!r}); open({str(output / 'half')!r}, 'w').write('x'); time.sleep(60)"
    )
    process = started(tmp_path / "pod", python(text))
    deadline = time.monotonic() + 30
    while not (output / "half").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said(process)
    assert process.returncode == 128 + signal.SIGTERM
    assert (tmp_path / "pod" / "half").exists()


def test_what_a_made_up_image_leaves_running_is_ended_with_it(tmp_path: Path) -> None:
    text = "import subprocess, sys; print('child', subprocess.Popen(['sleep', '60']).pid)"
    words = said(started(tmp_path / "pod", python(text)))
    child = int(next(line for line in words.splitlines() if line.startswith("child")).split()[1])
    deadline = time.monotonic() + 10
    while (gone := not _runs(child)) is False and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone


def _runs(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_names_of_ours_are_not_overwritten_by_a_made_up_image_s_files(tmp_path: Path) -> None:
    output = tmp_path / "output"
    text = f"import os; os.makedirs({str(output)!r}); open({str(output / 'eval-containers.json')!r}, 'w').write('x')"
    said(started(tmp_path / "pod", python(text)))
    assert (tmp_path / "pod" / "eval-containers.json").read_text(encoding="utf-8") != "x"


def test_the_gateway_is_given_time_in_every_provider_of_its_template(tmp_path: Path) -> None:
    template = tmp_path / "config.json.template"
    template.write_text(TEMPLATE, encoding="utf-8")
    assert give_time(template, 600) == "the gateway gives a request 600 s (in 2 places of its template)"
    providers = json.loads(template.read_text(encoding="utf-8"))["providers"]
    told = [one["network_config"]["default_request_timeout_in_seconds"] for one in providers.values()]
    assert told == [600, 600]


@pytest.mark.parametrize(
    "text", [TEMPLATE.replace('"${A}"', '"${A}", "default_request_timeout_in_seconds": 30'), '{"providers": {}}']
)
def test_a_template_that_says_a_time_or_is_of_another_form_is_left_as_it_was(text: str, tmp_path: Path) -> None:
    template = tmp_path / "config.json.template"
    template.write_text(text, encoding="utf-8")
    assert "keeps its own request timeout" in give_time(template, 600)
    assert template.read_text(encoding="utf-8") == text


def test_a_template_that_cannot_be_written_whole_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = tmp_path / "config.json.template"
    template.write_text(TEMPLATE, encoding="utf-8")
    whole, room = Path.write_text, iter((20, len(TEMPLATE)))

    def write_text(path: Path, text: str, encoding: str) -> int:
        return whole(path, text[: next(room)], encoding=encoding)

    monkeypatch.setattr(Path, "write_text", write_text)
    assert give_time(template, 600).endswith("its template cannot be written")
    assert template.read_text(encoding="utf-8") == TEMPLATE


def test_an_image_without_such_a_gateway_runs_as_it_is(tmp_path: Path) -> None:
    assert "its template cannot be read" in give_time(tmp_path / "none", 600)
