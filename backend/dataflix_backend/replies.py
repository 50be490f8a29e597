"""Replies with a body of ours."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response
from pydantic import BaseModel


def reply(body: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A model as a JSON response; decimals become numbers, moments RFC 3339."""
    return Response(body.model_dump_json(), status, headers, content_type="application/json")
