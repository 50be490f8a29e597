"""A steady load of changes, and what it does to the latency of a single row and to the lag."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Annotated

import typer

from dataflix_clients import clickhouse, postgres
from dataflix_clients.kafka import read_backlog
from dataflix_contract import load_settings
from figures import percentiles, report
from latency import visible_after

if TYPE_CHECKING:
    from dataflix_contract import Settings

_MARK = "sustained benchmark"
_BATCHES_A_SECOND = 20


class SteadyLoad(threading.Thread):
    """Commits ``rate`` changes a second in small transactions: inserts, then updates of them."""

    def __init__(self, settings: Settings, rate: int) -> None:
        super().__init__()
        self.changes = 0
        self._batch = rate // _BATCHES_A_SECOND
        self._settings = settings
        self._stopping = threading.Event()

    def run(self) -> None:
        """Keep the rate until told to stop; late batches are made up for."""
        with postgres.connect(self._settings, self._settings.postgres_owner) as source:
            due = time.monotonic()
            while not self._stopping.is_set():
                if self.changes // self._batch % 2 == 0:
                    source.execute(
                        "INSERT INTO users (name, email, city)"
                        " SELECT 'Steady Person ' || n, 'steady' || gen_random_uuid() || '@example.com', %s"
                        " FROM generate_series(1, %s) AS n",
                        [_MARK, self._batch],
                    )
                else:
                    source.execute(
                        "UPDATE users SET name = name || '!' WHERE user_id IN"
                        " (SELECT user_id FROM users WHERE city = %s ORDER BY user_id DESC LIMIT %s)",
                        [_MARK, self._batch],
                    )
                self.changes += self._batch
                due += 1 / _BATCHES_A_SECOND
                self._stopping.wait(max(0.0, due - time.monotonic()))

    def stop(self) -> None:
        """End after the batch in hand."""
        self._stopping.set()
        self.join()


def main(
    rate: Annotated[int, typer.Option(help="Changes a second.")] = 2_000,
    seconds: Annotated[int, typer.Option(help="How long.")] = 60,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Load the stack, sample single inserts meanwhile, watch the lag, delete the rows again."""
    settings = load_settings()
    warehouse = clickhouse.connect(settings, settings.clickhouse_reader)
    load = SteadyLoad(settings, rate)
    sample: list[float] = []
    lags: list[int] = []
    with postgres.connect(settings, settings.postgres_owner) as source:
        try:
            started = time.monotonic()
            load.start()
            while (elapsed := time.monotonic() - started) < seconds:
                sample.append(visible_after(source, warehouse))
                if elapsed > len(lags) * seconds / 12:
                    lags.append(sum(read_backlog(settings).lag.values()))
                time.sleep(0.1)
            load.stop()
            achieved = load.changes / (time.monotonic() - started)
        finally:
            load.stop()
            source.execute("DELETE FROM users WHERE city IN (%s, 'latency benchmark')", [_MARK])
    half = len(lags) // 2
    figures = {
        "changes/s": achieved,
        "samples": len(sample),
        **percentiles(sample),
        "lag, first half (mean records)": sum(lags[:half]) / half,
        "lag, second half (mean records)": sum(lags[half:]) / (len(lags) - half),
    }
    report(f"{rate:,} changes a second for {seconds} s", figures, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
