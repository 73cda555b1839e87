"""Which path does what: the routes of vLLM's server, and ``/sim/...`` for those who test with this one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pytest_llmdbench.simulator.api_error import ApiError, malformed, plain_status
from pytest_llmdbench.simulator.config import Faults
from pytest_llmdbench.simulator.config_file import build_config
from pytest_llmdbench.simulator.event_format import VERSION
from pytest_llmdbench.simulator.http1 import Connection, HttpRequest
from pytest_llmdbench.simulator.metrics import CONTENT_TYPE
from pytest_llmdbench.simulator.openai_request import check_model, decode_body, parse_generation, prompt_words
from pytest_llmdbench.simulator.server import Server
from pytest_llmdbench.simulator.words import token_id

Route = Callable[[HttpRequest, Connection], None]


class Api:
    """Routes requests; every error becomes an answer."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._routes: dict[str, dict[str, Route]] = {
            "/v1/completions": {"POST": self._completions},
            "/v1/chat/completions": {"POST": self._chat},
            "/v1/models": {"GET": self._models},
            "/health": {"GET": self._empty},
            "/ping": {"GET": self._empty, "POST": self._empty},
            "/version": {"GET": self._version},
            "/load": {"GET": self._load},
            "/metrics": {"GET": self._metrics},
            "/tokenize": {"POST": self._tokenize},
            "/reset_prefix_cache": {"POST": self._reset_prefix_cache},
            "/sim/stats": {"GET": self._stats},
            "/sim/reset": {"POST": self._reset},
            "/sim/faults": {"POST": self._faults},
        }

    def handle(self, request: HttpRequest, connection: Connection) -> None:
        """Answer ``request`` now, or let the engine do it later."""
        try:
            methods = self._routes.get(request.path)
            if methods is None:
                raise plain_status(404)
            route = methods.get("GET" if request.method == "HEAD" else request.method)
            if route is None:
                raise plain_status(405)
            route(request, connection)
        except ApiError as error:
            connection.fail(error)

    def _completions(self, request: HttpRequest, connection: Connection) -> None:
        self._generate(request, connection, chat=False)

    def _chat(self, request: HttpRequest, connection: Connection) -> None:
        self._generate(request, connection, chat=True)

    def _generate(self, request: HttpRequest, connection: Connection, chat: bool) -> None:
        try:
            self._server.admit()
            data = decode_body(request.body, request.headers.get("content-type", ""))
            asked = parse_generation(data, chat, self._server.config)
        except ApiError as error:
            self._server.refused(request.path, error.status)
            raise
        self._server.accepted(request.path)
        self._server.generate(asked, connection, request.received)

    def _models(self, _: HttpRequest, connection: Connection) -> None:
        server = self._server
        card = {
            "id": server.config.model,
            "object": "model",
            "created": server.created,
            "owned_by": "vllm",
            "root": server.config.model,
            "parent": None,
            "max_model_len": server.config.max_model_len,
            "permission": [_permission(server.created)],
        }
        _answer(connection, {"object": "list", "data": [card]})

    def _empty(self, _: HttpRequest, connection: Connection) -> None:
        connection.respond(200, b"")

    def _version(self, _: HttpRequest, connection: Connection) -> None:
        _answer(connection, {"version": VERSION})

    def _load(self, _: HttpRequest, connection: Connection) -> None:
        _answer(connection, {"server_load": self._server.load})

    def _metrics(self, _: HttpRequest, connection: Connection) -> None:
        text = self._server.recorder.metrics.render(self._server.engine)
        connection.respond(200, text.encode(), CONTENT_TYPE)

    def _tokenize(self, request: HttpRequest, connection: Connection) -> None:
        data = decode_body(request.body, request.headers.get("content-type", ""))
        check_model(data, self._server.config)
        words = prompt_words(data)
        tokens = [token_id(word) if isinstance(word, str) else word for word in words]
        strings = [str(word) for word in words] if data.get("return_token_strs") else None
        limit = self._server.config.max_model_len
        _answer(connection, {"count": len(tokens), "max_model_len": limit, "tokens": tokens, "token_strs": strings})

    def _reset_prefix_cache(self, _: HttpRequest, connection: Connection) -> None:
        _answer(connection, {"success": self._server.engine.cache.drop_kept()})

    def _stats(self, _: HttpRequest, connection: Connection) -> None:
        _answer(connection, self._server.stats())

    def _reset(self, request: HttpRequest, connection: Connection) -> None:
        drop = request.query.get("prefix_cache", ["0"])[-1] in ("1", "true")
        _answer(connection, {"prefix_cache_dropped": self._server.reset(drop)})

    def _faults(self, request: HttpRequest, connection: Connection) -> None:
        try:
            faults = build_config(Faults, json.loads(request.body or b"{}"), "faults")
        except ValueError as error:
            raise malformed(str(error), "faults") from None
        self._server.begin_faults(faults)
        _answer(connection, {"success": True})


def _permission(created: int) -> dict[str, Any]:
    allowed = {"sampling": True, "logprobs": True, "view": True}
    kinds = ("create_engine", "sampling", "logprobs", "search_indices", "view", "fine_tuning")
    return {
        "id": "modelperm-simulator",
        "object": "model_permission",
        "created": created,
        **{f"allow_{kind}": allowed.get(kind, False) for kind in kinds},
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }


def _answer(connection: Connection, content: dict[str, Any]) -> None:
    connection.respond(200, json.dumps(content).encode())
