"""What the servers that gunicorn runs have in common; only for packages that depend on gunicorn."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import unquote_to_bytes

from gunicorn.glogging import Logger  # type: ignore[import-untyped]


class GunicornLog(Logger):  # type: ignore[misc]
    """gunicorn's own lines, in the shape of everybody's."""

    def setup(self, cfg: Any) -> None:
        """Leave the lines to the root logger."""
        del cfg
        self.error_log = logging.getLogger("gunicorn")
        self.error_log.setLevel(logging.INFO)


def address(host: str, port: int) -> str:
    """Host and port, as gunicorn and URLs have them: an IPv6 address in brackets."""
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def query_is_utf8(query: bytes) -> bool:
    """Whether a URL's query is UTF-8 once its percent-encoding is undone: other bytes would be guessed at."""
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        return False
    return True


#: What a client is told whose query is not.
NOT_UTF8 = "the query is not UTF-8: percent-encode the bytes of UTF-8 text"
