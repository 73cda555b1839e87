"""lm-eval, EleutherAI's evaluation of language models: how good the answers of a stack are, not how fast."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

import yaml

from pytest_llmdbench.declared.places import shipped_root
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses import lm_eval_files, lm_eval_profile
from pytest_llmdbench.harnesses.environments import Environment
from pytest_llmdbench.harnesses.harness import STDERR, Command, Place, PlannedStage, Profile, Progress
from pytest_llmdbench.harnesses.locks import lock
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Purpose, Result
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.spec import Endpoint

#: The version that runs where none is asked for.
DEFAULT: Final = "0.4.13"
#: What the program is told, in the folder of the case.
CONFIG: Final = "lm-eval.yaml"
#: The program's name for itself.
PROGRAM: Final = "lm_eval"
#: The folder of local tasks in the folder of the case: their files of questions are named from there (``tasks/...``).
TASKS: Final = "tasks"
TOKENIZER: Final = "inputs/tokenizer"

_ASKING: Final = b"Requesting API"


class LmEval:
    """lm-eval; see :class:`~pytest_llmdbench.harnesses.harness.Harness`."""

    name = "lm-eval"
    purpose: Purpose = "accuracy"
    clock: Literal["epoch", "monotonic"] = "epoch"
    filled: tuple[str, ...] = ()
    known_keys = lm_eval_profile.KEYS

    def __init__(self, version: str | None = None) -> None:
        self.version = version or DEFAULT
        locked = lock(self.name, self.version)
        self.environment = Environment(self.name, self.version, locked, python=">=3.11,<3.14", size="680 MB")

    def stages(self, profile: Profile) -> Sequence[PlannedStage]:
        """The one stage a profile will run. Raises DeclarationError."""
        return lm_eval_profile.stages(profile)

    def expected_seconds(self, profile: Profile) -> float | None:  # noqa: ARG002 - of the protocol
        """Nothing: nobody knows how many questions a task has before it is loaded."""
        return None

    def prepare(self, say: Say) -> None:
        """Install the program if it is not there yet. Raises HarnessError with the way out."""
        self.environment.prepare(say)

    def command(self, profile: Profile, endpoint: Endpoint, place: Place) -> Command:
        """Write the program's configuration into the folder and say how to start it. Raises DeclarationError."""
        folder = place.folder.absolute()
        reads: dict[str, Path] = {}
        config = _configuration(profile, endpoint, place.inside)
        if "include_path" in config:
            reads[TASKS] = _copied_tasks(config["include_path"], folder / TASKS)
            config["include_path"] = str(place.inside / TASKS)
        local = Path(str(config["model_args"].get("tokenizer") or ""))
        if local.is_absolute() and local.is_dir() and place.programs == "path":
            reads[TOKENIZER] = local
            config["model_args"]["tokenizer"] = str(place.inside / TOKENIZER)
        reads[CONFIG] = folder / CONFIG
        reads[CONFIG].write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        env = {"PYTHONPATH": "", "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
        program = PROGRAM if place.programs == "path" else str(self.environment.program(PROGRAM))
        argv = (program, "run", "--config", str(place.inside / CONFIG))
        return Command(argv, folder, env, reads if place.programs == "path" else {})

    def watch(self, folder: Path) -> Callable[[], Progress]:
        """A function that says whether the program asks the server yet."""
        return lambda: Progress(0 if _holds(folder / STDERR, _ASKING) else None)

    def read(self, folder: Path) -> Result:
        """The scores in ``folder``. Raises HarnessError naming file and field, or why there are none."""
        return lm_eval_files.read(folder, self.version)

    def requests(self, folder: Path, own: Result) -> Iterator[Request] | None:  # noqa: ARG002 - of the protocol
        """None: the program keeps answers, and no times."""
        return None


def _configuration(profile: Profile, endpoint: Endpoint, inside: PurePosixPath) -> dict[str, Any]:
    """The profile in the program's own form, with what only the run knows, and with our defaults where it is silent."""
    lm_eval_profile.check(profile)
    told = {key: value for key, value in profile.items() if value is not None}
    config = {"model": lm_eval_profile.MODEL, "batch_size": 1, "log_samples": True}
    config |= {key: value for key, value in told.items() if key in lm_eval_profile.RUN_KEYS}
    config |= {"tasks": lm_eval_profile.tasks(profile), "output_path": str(inside / lm_eval_files.OUTPUT)}
    url = endpoint.url + lm_eval_profile.MODELS[str(config["model"])]
    # Without a tokenizer texts are sent as they are, which is all that a task with generated answers needs.
    arguments = {"model": endpoint.model, "base_url": url, "tokenizer_backend": "None"}
    arguments |= {key: value for key, value in told.items() if key in lm_eval_profile.MODEL_KEYS}
    # A profile that names the model means its tokenizer, which need not have the model's name.
    named = arguments.get("tokenizer") in (None, endpoint.model)
    if named and arguments["tokenizer_backend"] == "huggingface":
        arguments["tokenizer"] = endpoint.tokenizer
    return config | {"model_args": arguments}


def _copied_tasks(given: Any, to: Path) -> Path:
    """Local tasks as they are when the run begins, from a folder given by its path, or by its name among the workloads.

    As for workloads a path is absolute or starts with a dot; a name is looked up in the project, then in the plugin.
    """
    name = str(given)
    is_path = name.startswith(("/", "./", "../", "~"))
    roots = (Path(), shipped_root())
    places = [Path(name).expanduser()] if is_path else [root / "workloads" / LmEval.name / name for root in roots]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise DeclarationError(
            f"'include_path': there is no folder {name}"
            + ("" if is_path else f" in workloads/{LmEval.name}/")
            + "; it is a path that starts with / or ., or a name there"
        )
    shutil.copytree(found, to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return to


def _holds(log: Path, word: bytes) -> bool:
    try:
        with log.open("rb") as lines:
            return any(word in line for line in lines)
    except OSError:
        return False
