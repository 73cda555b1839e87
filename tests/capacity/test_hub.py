"""A model from the hub, asked for by name: a server on this machine speaks the hub's part (the hub is not reached)."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from pytest_llmdbench.capacity.main import main
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.errors import DeclarationError
from tests.capacity.test_models import LLAMA


class Hub(http.server.BaseHTTPRequestHandler):
    """Sends ``acme/llama`` on to its store, as the hub does; ``acme/gated`` wants a token, ``acme/odd`` is no JSON.

    ``acme/small`` says of its quantization in a file beside its config.json, ``acme/mixed`` nothing but in its index.
    """

    seen: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        if self.path == "/acme/llama/resolve/main/config.json":
            self.send_response(302)
            self.send_header("Location", "/store/config.json")
            self.end_headers()
        elif self.path in ("/store/config.json", "/acme/small/resolve/main/config.json"):
            self._send(200, json.dumps(LLAMA))
        elif self.path == "/acme/small/resolve/main/hf_quant_config.json":
            self._send(200, '{"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}')
        elif self.path == "/acme/mixed/resolve/main/config.json":
            self._send(200, json.dumps(LLAMA | {"quantization_config": {"quant_method": "hqq"}}))
        elif self.path == "/acme/mixed/resolve/main/model.safetensors.index.json":
            self._send(200, '{"metadata": {"total_size": 6027782144}}')
        elif self.path.startswith("/acme/odd/"):
            self._send(200, "[1")
        else:
            self._send(401 if "gated" in self.path else 404, "")

    def _send(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    Hub.seen.clear()
    yield Hub
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_is_read_from_the_hub_and_the_token_stays_there(
    hub: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    assert find_model("acme/llama", hub=True).layers == 32
    assert hub.seen[:2] == [("/acme/llama/resolve/main/config.json", "Bearer hf_test"), ("/store/config.json", None)]


def test_what_the_hub_has_beside_a_config_json_counts(hub: type[Hub]) -> None:
    model = find_model("acme/small", hub=True)
    assert model.quantization.name == "fp8"
    assert model.fp8_cache


def test_bits_that_a_config_json_is_silent_about_are_counted_from_the_hubs_index(hub: type[Hub]) -> None:
    # The embedding and the head, 1.05 thousand million parameters, have 2 bytes each; 6.98 of layers share the rest.
    assert find_model("acme/mixed", hub=True).quantization.linear_bits == pytest.approx(4.5, rel=0.001)


def test_the_hub_is_not_asked_unasked(hub: type[Hub]) -> None:
    with pytest.raises(DeclarationError, match="--hub"):
        find_model("acme/llama", hub=False)
    assert find_model("Qwen/Qwen3-8B", hub=True)
    assert hub.seen == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("acme/gated", "HF_TOKEN"),
        ("acme/none", "404"),
        ("acme/odd", "could not be asked"),
        ("../etc", "name of the hub"),
        ("acme/a/b", "name of the hub"),
    ],
)
def test_what_the_hub_does_not_have_is_one_sentence(hub: type[Hub], name: str, reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason):
        find_model(name, hub=True)


def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DeclarationError, match="could not be asked"):
        find_model("acme/llama", hub=True)


def test_the_command_takes_a_model_from_the_hub(hub: type[Hub], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "acme/llama", "--gpu", "H100", "--hub"]) == 0
    assert "will start" in capsys.readouterr().out
