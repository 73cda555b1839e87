"""Errors as vLLM's server answers them: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any


class ApiError(Exception):
    """A request that is answered with an error; ``headers`` go into the answer."""

    def __init__(
        self, status: int, message: str, kind: str, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.headers = headers or {}

    def body(self) -> bytes:
        """The JSON text of the answer."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.status}
        return json.dumps({"error": error}).encode()


def malformed(message: str, param: str | None, kind: str = "value_error") -> ApiError:
    """A body that is not a request: wrong JSON, a missing field, a field of the wrong type."""
    detail = {"type": kind, "loc": param, "msg": message}
    return ApiError(400, f"1 validation error:\n  {detail}", HTTPStatus.BAD_REQUEST.phrase, param)


def refused(message: str, param: str | None = None, value: Any = None) -> ApiError:
    """A request whose values this server cannot serve."""
    extras = [f"{name}={shown}" for name, shown in (("parameter", param), ("value", value)) if shown is not None]
    return ApiError(400, message + (f" ({', '.join(extras)})" if extras else ""), "BadRequestError", param)


def unknown_model(asked: str, served: str) -> ApiError:
    """The request names a model that is not served here."""
    return ApiError(404, f"The model `{asked}` does not exist. Valid aliases: {served}.", "NotFoundError", "model")


def plain_status(status: int) -> ApiError:
    """An HTTP status without more to say: no such path, wrong method, body too large."""
    phrase = HTTPStatus(status).phrase
    return ApiError(status, phrase, phrase)
