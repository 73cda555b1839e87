"""What an lm-eval profile means before it runs: a flat map of the program's settings and of its model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pytest_llmdbench.errors import DeclarationError, nearest
from pytest_llmdbench.harnesses.harness import PlannedStage, Profile

#: Settings of a run, by the names that the program's own configuration file has for them.
RUN_KEYS: Final = frozenset(
    {
        *("tasks", "model", "num_fewshot", "limit", "samples", "batch_size", "gen_kwargs", "include_path", "seed"),
        *("apply_chat_template", "fewshot_as_multiturn", "system_instruction", "log_samples", "metadata"),
        *("trust_remote_code", "confirm_run_unsafe_code"),
    }
)
#: Settings of how the server is asked, which go into the program's ``model_args``.
MODEL_KEYS: Final = frozenset(
    {
        *("num_concurrent", "max_retries", "timeout", "max_gen_toks", "max_length", "truncate", "eos_string"),
        *("tokenizer", "tokenizer_backend", "tokenized_requests", "add_bos_token", "custom_prefix_token_id"),
        *("verify_certificate", "ca_cert_path"),
    }
)
KEYS: Final = RUN_KEYS | MODEL_KEYS
#: How the server is asked -> the path below its URL.
MODELS: Final[Mapping[str, str]] = {
    "local-completions": "/v1/completions",
    "local-chat-completions": "/v1/chat/completions",
}
MODEL: Final = "local-completions"
_SECRETS: Final = frozenset({"auth_token", "header", "api_key"})
_COUNTS: Final = ("num_concurrent", "max_retries", "batch_size")


def stages(profile: Profile) -> Sequence[PlannedStage]:
    """The one stage a profile will run: so many questions at once. Raises DeclarationError for what cannot run."""
    check(profile)
    return (PlannedStage(concurrency=profile.get("num_concurrent") or 1),)


def tasks(profile: Profile) -> list[str]:
    """The names of the tasks, which may be a list or a text with commas."""
    declared = profile.get("tasks")
    names = declared.split(",") if isinstance(declared, str) else declared
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DeclarationError(f"'tasks' must be names of tasks (given: {declared!r})")
    found = [name.strip() for name in names if name.strip()]
    if not found:
        raise DeclarationError("'tasks' must name at least one task of lm-eval, or of the folder 'include_path'")
    return found


def check(profile: Profile) -> None:
    """Raise DeclarationError for a key that is none, a value of a wrong kind, or a secret; names the key."""
    for key, value in profile.items():
        if key in _SECRETS:
            raise DeclarationError(f"'{key}': a workload holds no secrets; a key goes into the variable OPENAI_API_KEY")
        if key not in KEYS:
            raise DeclarationError(f"lm-eval has no setting '{key}'; {nearest(str(key), KEYS)}")
        if key in _COUNTS and value is not None and not _is_count(value, least=1):
            raise DeclarationError(f"'{key}' must be a whole number, 1 or more (given: {value!r})")
    tasks(profile)
    model = profile.get("model") or MODEL
    if model not in MODELS:
        raise DeclarationError(f"'model' {model!r} is no way to ask a server; {nearest(str(model), MODELS)}")
    fewshot, limit = profile.get("num_fewshot"), profile.get("limit")
    if fewshot is not None and not _is_count(fewshot, least=0):
        raise DeclarationError(f"'num_fewshot' must be a whole number, 0 or more (given: {fewshot!r})")
    if limit is not None and not (_is_count(limit, least=1) or (isinstance(limit, float) and 0 < limit < 1)):
        raise DeclarationError(
            f"'limit' must be a number of samples a task, or a share of them below 1 (given: {limit!r})"
        )


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
