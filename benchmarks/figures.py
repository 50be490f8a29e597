"""What the benchmarks share: percentiles, and printing figures for people or programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """p50, p90, p99 and the largest of a sample of latencies, in milliseconds."""
    p50, p90, p99, largest = np.percentile(milliseconds, [50, 90, 99, 100])
    return {"p50 ms": float(p50), "p90 ms": float(p90), "p99 ms": float(p99), "max ms": float(largest)}


def report(title: str, figures: Mapping[str, float], *, as_json: bool) -> None:
    """Print figures as a table, or as one JSON object."""
    if as_json:
        sys.stdout.write(json.dumps({"benchmark": title, **figures}) + "\n")
        return
    table = Table("figure", "value", title=title)
    table.columns[1].justify = "right"
    for name, value in figures.items():
        table.add_row(name, _shown(value))
    Console().print(table)


def _shown(value: float) -> str:
    """Four digits that count: an RMSE needs its decimals, a number of rows does not."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
