"""Make POST requests idempotent: a write is done once, however often the client sends it.

A client that does not know whether its POST arrived sends it again with the same ``Idempotency-Key``.
The key is stored in the transaction of the write, so that there are either both or neither. The table holds
digests of the key and of the request, and those fields of the reply that the request did not have: ids and
times, but no names. If the request is repeated, the reply is made again from these and the request; if the
rows that it is about have been deleted meanwhile, the reply is 410.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, LiteralString, NamedTuple

from apiflask.exceptions import HTTPError
from flask import Response, request
from psycopg import Connection, errors
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from dataflix_backend.request_handling import context, reply
from dataflix_backend.schemas import Body, Reply
from dataflix_backend.validation import invalid

KEY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotent-Replayed"
KEY_PATTERN = r"^[\x21-\x7e]{1,200}$"

#: How long a key is kept, and how often a process deletes older ones.
_REMEMBERED = "24 hours"
_SWEEP_SECONDS = 600.0
#: PostgreSQL rolls one of two writers back if they block each other: that one tries again.
_MOST_ATTEMPTS = 3
_CLASHES = (errors.DeadlockDetected, errors.SerializationFailure)

_GONE = (
    "this was done before, and what came of it has been deleted since:"
    f" send it with a new {KEY_HEADER} to have it done again"
)
_CLAIM = f"""
INSERT INTO idempotency_keys AS k (key_digest, request_digest) VALUES (%(key)s, %(request)s)
ON CONFLICT (key_digest) DO UPDATE SET request_digest = excluded.request_digest, created_at = now(),
    status = NULL, reply = NULL
WHERE k.created_at < now() - interval '{_REMEMBERED}'
"""
_FIND = "SELECT request_digest, status, reply FROM idempotency_keys WHERE key_digest = %(key)s"
_KEEP = "UPDATE idempotency_keys SET status = %(status)s, reply = %(reply)s WHERE key_digest = %(key)s"
# keys that another transaction has locked are left for the next time, so that no request waits for them
_FORGET = f"""
DELETE FROM idempotency_keys WHERE key_digest IN (
    SELECT key_digest FROM idempotency_keys WHERE created_at < now() - interval '{_REMEMBERED}'
    FOR UPDATE SKIP LOCKED
)
"""


class Written(NamedTuple):
    """The outcome of a write: status and body of the reply, and whether an earlier write made it."""

    status: HTTPStatus
    body: Reply
    replayed: bool = False

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """The HTTP response, marked as replayed if it is."""
        more = {REPLAYED_HEADER: "true"} if self.replayed else {}
        return reply(self.body, self.status, {**(headers or {}), **more})


class ReplyKind(NamedTuple):
    """The kind of reply that a write gives, and how to see whether it may still be repeated.

    Attributes:
        reply: the reply's type; fields that the request's body also has get their values from it.
        find: a query with the reply's fields as parameters; it finds a row while the reply may be repeated.
    """

    reply: type[Reply]
    find: LiteralString


Work = Callable[[Connection[TupleRow]], Written]


class _Digests(NamedTuple):
    key: bytes
    request: bytes


def write(sent: Body, kind: ReplyKind, work: Work) -> Written:
    """Do a write in a transaction of its own, or give its earlier outcome if it was done before.

    Args:
        sent: the request's body.
        kind: the kind of reply.
        work: does the write. It is called again if PostgreSQL rolled its transaction back.

    Raises:
        HTTPError: the key is malformed, or came with another request; or 410: the rows that the earlier write
            was about have been deleted.
    """
    digests = _digests(sent)
    for attempt in range(1, _MOST_ATTEMPTS + 1):
        try:
            return _once(digests, sent, kind, work) if digests else _transaction(work)
        except _CLASHES:
            if attempt == _MOST_ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _transaction(work: Work) -> Written:
    with context().pool.connection() as connection, connection.transaction():
        return work(connection)


def _once(digests: _Digests, sent: Body, kind: ReplyKind, work: Work) -> Written:
    def claim_and_work(connection: Connection[TupleRow]) -> Written:
        # this waits for another transaction that is using the key just now
        if connection.execute(_CLAIM, digests._asdict()).rowcount == 0:
            return _replay(connection, digests, sent, kind)
        written = work(connection)
        own = set(kind.reply.model_fields) - set(type(sent).model_fields)
        kept = Jsonb(written.body.model_dump(mode="json", include=own))
        connection.execute(_KEEP, {"key": digests.key, "status": written.status, "reply": kept})
        return written

    written = _transaction(claim_and_work)
    if written.replayed:
        context().metrics.replays.inc()
    _sweep()
    return written


def _replay(connection: Connection[TupleRow], digests: _Digests, sent: Body, kind: ReplyKind) -> Written:
    found: tuple[Any, ...] | None = connection.execute(_FIND, {"key": digests.key}).fetchone()
    if found is None:  # the key was deleted at this moment
        raise errors.SerializationFailure
    request_digest, status, kept = found
    if not hmac.compare_digest(request_digest, digests.request):
        raise invalid("headers", {KEY_HEADER: ["It came before, with another request: send a new one"]})
    known = {name: value for name, value in sent if name in kind.reply.model_fields}
    body = kind.reply.model_validate(known | kept)
    if connection.execute(kind.find, body.model_dump()).fetchone() is None:
        raise HTTPError(HTTPStatus.GONE, _GONE)
    return Written(HTTPStatus(status), body, replayed=True)


def _digests(sent: Body) -> _Digests | None:
    key = request.headers.get(KEY_HEADER)
    if key is None:
        return None
    if not re.fullmatch(KEY_PATTERN, key):
        raise invalid("headers", {KEY_HEADER: ["Send 1 to 200 visible ASCII characters"]})
    whole = f"{request.method} {request.path}\n{sent.model_dump_json()}"
    return _Digests(
        hashlib.sha256(key.encode()).digest(), hmac.digest(key.encode(), whole.encode(), hashlib.sha256)
    )


_next_sweep = 0.0


def _sweep() -> None:
    global _next_sweep  # noqa: PLW0603 - one clock for the process; two threads at once do no harm
    now = time.monotonic()
    if now < _next_sweep:
        return
    _next_sweep = now + _SWEEP_SECONDS
    with context().pool.connection() as connection:
        connection.execute(_FORGET)
