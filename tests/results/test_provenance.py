"""What is stored of a command line holds no secret."""

import pytest

from pytest_llmdbench.results.provenance import redact


@pytest.mark.parametrize(
    "words",
    [
        ["--llmd-set", "huggingface.token=hunter2"],
        ["--api-token", "hunter2"],
        ["--header=Authorization: Bearer hunter2"],
        ["-H", "authorization: hunter2"],
        ["--llmd-set=endpoint.url=https://user:hunter2@host/path"],
        ["HF_TOKEN=hunter2", "PASSWORD: hunter2"],
        ["--llmd-set=a.api_key=hunter2,b=1"],
    ],
    ids=str,
)
def test_a_secret_is_not_kept(words: list[str]) -> None:
    assert "hunter2" not in " ".join(redact(words))


def test_everything_else_is_kept_as_it_was() -> None:
    words = ["pytest", "benchmarks", "-k", "chatbot", "--llmd-slo=ttft.p99<=1s", "--llmd-overrides", "max_tokens=5"]
    assert redact(words)[:-1] == words[:-1]
