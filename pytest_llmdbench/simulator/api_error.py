"""Errors as vLLM's server answers them: ``{"error": {"message", "type", "param", "code"}}``.

Its web framework's own, such as an unknown path, are ``{"detail"}``.
"""

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
        return json.dumps({"error": error} if self.kind else {"detail": self.message}).encode()


def malformed(message: str, field: str | int = "", kind: str = "value_error") -> ApiError:
    """A body that is not a request: wrong JSON (``field`` is where), a missing field, a field of the wrong type."""
    param = f"body.{field}" if field != "" else "body"
    detail = {"type": kind, "loc": param, "msg": message}
    return ApiError(400, f"1 validation error:\n  {detail}", HTTPStatus.BAD_REQUEST.phrase, param)


def wrong_media_type() -> ApiError:
    """A body that does not say that it is JSON."""
    message = "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed"
    return ApiError(400, message, HTTPStatus.BAD_REQUEST.phrase)


def refused(message: str, param: str | None = None, value: Any = None) -> ApiError:
    """A request whose values this server cannot serve."""
    extras = [f"{name}={shown}" for name, shown in (("parameter", param), ("value", value)) if shown is not None]
    return ApiError(400, message + (f" ({', '.join(extras)})" if extras else ""), "BadRequestError", param)


def unknown_model(asked: str, served: str) -> ApiError:
    """The request names a model that is not served here."""
    return ApiError(404, f"The model `{asked}` does not exist. Valid aliases: {served}.", "NotFoundError", "model")


def plain_status(status: int) -> ApiError:
    """An HTTP status without more to say: no such path, wrong method, body too large."""
    return ApiError(status, HTTPStatus(status).phrase, "")
