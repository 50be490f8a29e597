"""The masker: ask its workers over HTTP whether they are ready, and for their metrics."""

from __future__ import annotations

from dataflix_clients.http_client import http
from dataflix_contract import Settings


def check(settings: Settings, worker: int) -> None:
    """Check that a worker has its partitions and works; workers are numbered from 0.

    Raises:
        httpx.HTTPError: it does not.
    """
    http.get(f"{settings.masker_url(worker)}/health/ready").raise_for_status()


def read_metrics(settings: Settings) -> dict[str, str]:
    """The metrics page of each worker, by its address.

    Raises:
        httpx.HTTPError: a worker does not answer.
    """
    pages = [f"{settings.masker_url(worker)}/metrics" for worker in range(settings.masker_workers)]
    return {page: http.get(page).raise_for_status().text for page in pages}
