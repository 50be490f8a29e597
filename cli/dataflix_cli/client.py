"""The client of the API: sends requests with time limits, tries them again safely, and explains faults."""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from dataflix_cli import __version__
from dataflix_cli.command_faults import AwayFault, Fault, NotFoundFault, RefusedFault, UsageFault
from dataflix_cli.config import Config

Document = dict[str, Any]

#: The largest page that the API gives.
PAGE = 100
_TIMEOUT = httpx.Timeout(10.0, connect=2.0)
#: Seconds before the second and the third try.
_PAUSES = (0.1, 0.4)
#: The longest ``Retry-After`` of a busy server that is waited for, in seconds.
_PATIENCE = 5.0
_BUSY = {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE}
_IS_THAT_IT = "is that the API of Dataflix? dataflix config show says where the address comes from"
#: Requests that the API advises in its messages, and the commands of this program that do the same.
_COMMANDS = {
    "GET /users/{user_id}/ratings": "dataflix ratings USER",
    "GET /users/{user_id}/watched": "dataflix watched USER",
    "GET /users/{user_id}/dismissed": "dataflix dismissed USER",
    "GET /users?name=": "dataflix users list NAME",
    "GET /users": "dataflix users list",
    "GET /movies": "dataflix movies search",
}
#: Errors after which it is certain that no part of the request was sent.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Api:
    """A client of Dataflix's API. Every method raises a :class:`Fault` if the request does not succeed."""

    def __init__(self, config: Config, *, timeout: httpx.Timeout = _TIMEOUT) -> None:
        self.url = config.api_url.text
        headers = {"User-Agent": f"dataflix-cli/{__version__}", "Accept": "application/json"}
        if config.token.text:
            headers["Authorization"] = f"Bearer {config.token.text}"
        secure = self.url.startswith("https:")
        try:
            self._http = httpx.Client(
                base_url=self.url,
                headers=headers,
                timeout=timeout,
                trust_env=secure,
                # without TLS, the machine's certificates need not be read, which takes long
                verify=True if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            )
        except (httpx.InvalidURL, ImportError, ValueError) as fault:  # wrong address or kind of proxy
            raise UsageFault(
                f"{self.url} cannot be asked: {fault}",
                "correct the address (dataflix config show says where it is from); or https_proxy, all_proxy"
                " and no_proxy in the environment, where only http:// and https:// proxies work",
            ) from fault

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Document:
        """Get a document; parameters that are None are left out."""
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._read(self._ask("GET", path, params=given))

    def post(self, path: str, body: Mapping[str, Any]) -> Document:
        """Send a write and return the API's answer. The write is done once, also if it is tried again."""
        key = {"Idempotency-Key": uuid.uuid4().hex}
        return self._read(self._ask("POST", path, json=dict(body), headers=key))

    def delete(self, path: str) -> None:
        """Send a DELETE request."""
        self._ask("DELETE", path)

    def items(self, path: str, limit: int, **parameters: Any) -> tuple[list[Document], bool]:
        """The first ``limit`` items of a list, page by page, and whether there are more."""
        found: list[Document] = []
        for page in self._pages(path, limit, parameters):
            found.extend(page["items"])
            if len(found) >= limit:
                return found[:limit], bool(page["next"]) or len(found) > limit
        return found, False

    def _pages(self, path: str, limit: int, parameters: Mapping[str, Any]) -> Iterator[Document]:
        cursor: str | None = None
        while True:
            page = self.get(path, **parameters, limit=min(limit, PAGE), cursor=cursor)
            yield page
            cursor = page["next"]
            if cursor is None:
                return

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        for pause in (*_PAUSES, None):
            try:
                answer = self._http.request(method, path, **request)
            except httpx.TransportError as fault:
                # a GET may be repeated, and so may a POST, by its key; a DELETE only if it was not sent
                if pause is None or not (method != "DELETE" or isinstance(fault, _NOT_SENT)):
                    raise self._away(fault) from fault
                time.sleep(pause)
                continue
            except httpx.InvalidURL as fault:
                raise UsageFault(f"{self.url} is no address: {fault}") from fault
            wait = retry_after(answer)
            if pause is None or wait is None:
                break
            time.sleep(max(wait, pause))
        if answer.is_success:
            return answer
        raise fault_of(answer)

    def _read(self, answer: httpx.Response) -> Document:
        document = _json(answer)
        if document is None:
            raise AwayFault(f"{answer.request.url} answered without a document of JSON", _IS_THAT_IT)
        return document

    def _away(self, fault: httpx.TransportError) -> AwayFault:
        what = str(fault) or type(fault).__name__
        return AwayFault(
            f"the API at {self.url} does not answer: {what}",
            "is it running? ./run.sh starts it; dataflix config show says where the address comes from",
        )


def retry_after(answer: httpx.Response) -> float | None:
    """Seconds after which a busy server may be asked again; None: it should not be asked again."""
    seconds = answer.headers.get("Retry-After", "")
    if answer.status_code not in _BUSY or not seconds.isdecimal() or int(seconds) > _PATIENCE:
        return None
    return float(seconds)


def fault_of(answer: httpx.Response) -> Fault:
    """The fault that an unsuccessful answer of the API stands for."""
    problem = _json(answer) or {}
    detail = problem.get("detail") or problem.get("title")
    if not detail:
        return AwayFault(
            f"{answer.request.url} answered {answer.status_code} without an explanation",
            _IS_THAT_IT,
        )
    for request, command in _COMMANDS.items():
        detail = str(detail).replace(request, command)
    kinds: dict[int, type[Fault]] = {
        httpx.codes.UNAUTHORIZED: RefusedFault,
        httpx.codes.FORBIDDEN: RefusedFault,
        httpx.codes.NOT_FOUND: NotFoundFault,
        httpx.codes.UNPROCESSABLE_ENTITY: UsageFault,
        httpx.codes.BAD_REQUEST: UsageFault,
        httpx.codes.TOO_MANY_REQUESTS: AwayFault,
        httpx.codes.SERVICE_UNAVAILABLE: AwayFault,
        httpx.codes.BAD_GATEWAY: AwayFault,
        httpx.codes.GATEWAY_TIMEOUT: AwayFault,
    }
    kind = kinds.get(answer.status_code, Fault)
    hint = "set DATAFLIX_BACKEND_TOKEN, or dataflix config set token" if kind is RefusedFault else ""
    complaints = "".join(f"\n  {line}" for line in validation_errors(problem.get("errors")))
    return kind(f"{detail}{complaints}", hint, status=answer.status_code)


def validation_errors(errors: object, where: str = "") -> Iterator[str]:
    """The API's validation errors, a line each: ``rating: must be ...``."""
    if isinstance(errors, Mapping):
        for name, inner in errors.items():
            place = where if name in {"json", "query", "path"} else f"{where}.{name}".strip(".")
            yield from validation_errors(inner, place)
    elif isinstance(errors, list):
        for inner in errors:
            yield from validation_errors(inner, where)
    elif errors is not None:
        yield f"{where}: {errors}" if where else str(errors)


def _json(answer: httpx.Response) -> Document | None:
    """The answer's document; None if it has none."""
    try:
        document = answer.json()
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
