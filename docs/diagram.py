"""Print the architecture as an SVG picture: made of contract, services and settings, so that it is true.

.dataflix/envs/tests/bin/python docs/diagram.py >docs/img/architecture.svg

A service that is not drawn, or drawn and not there, is an error. A test compares the committed picture.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from dataflix_connectors.topics import wanted_topics
from dataflix_contract import PiiClass, Settings, Table, tables
from dataflix_contract.schema import (
    BATCH_DAG,
    CHAMPION,
    DEAD_LETTER_TOPIC,
    DRIFT_TOPIC,
    MASKER_GROUP,
    PUBLICATION,
)
from dataflix_stack.paths import Layout, repo_root
from dataflix_stack.servers import Servers
from dataflix_stack.services import Surroundings, services

_SETTINGS = Settings()
_HOUR_MS = 3_600_000

WIDTH = 1436
_PAD, _LINE, _TITLE = 14, 17, 46
_COLOURS = {  # border, ground
    "personal": ("#c2410c", "#fff4ed"),
    "masked": ("#15803d", "#effaf2"),
    "batch": ("#6d28d9", "#f6f2ff"),
    "people": ("#1d4ed8", "#eff5ff"),
}
_INK, _FAINT = "#1f2937", "#6b7280"


@dataclass(frozen=True)
class Card:
    """A box: what it is, where it listens, what is in it.

    Attributes:
        services: names of the services that it stands for.
    """

    key: str
    title: str
    kind: str
    x: int
    y: int
    width: int
    lines: tuple[str, ...] = ()
    services: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        """As much as its lines take."""
        return _TITLE + _LINE * len(self.lines) + (_PAD if self.lines else 2)

    def side(self, name: str, at: float = 0.5) -> tuple[float, float]:
        """A point on its border: ``l``, ``r``, ``t`` or ``b``, at a share of the side."""
        across, down = self.x + self.width * at, self.y + self.height * at
        return {
            "l": (self.x, down),
            "r": (self.x + self.width, down),
            "t": (across, self.y),
            "b": (across, self.y + self.height),
        }[name]


@dataclass(frozen=True)
class Arrow:
    """A way that data takes, from a side of a card to a side of another, in right angles.

    Attributes:
        leaves, enters: the side and the share of it.
        via: where it goes along between two upright sides; by default half-way.
        words: where its label is, seen from the middle of its longest stretch.
    """

    source: str
    target: str
    label: str = ""
    leaves: tuple[str, float] = ("r", 0.5)
    enters: tuple[str, float] = ("l", 0.5)
    kind: str = "masked"
    dashed: bool = False
    via: float | None = None
    words: tuple[int, int] = (0, -7)


@dataclass(frozen=True)
class _Style:
    """How words look; ``halo``: over lines."""

    size: float = 12.5
    colour: str = _INK
    weight: int = 400
    anchor: str = "start"
    halo: bool = False


def ports() -> dict[str, tuple[int, ...]]:
    """The ports of every service, by its name, with the settings' defaults."""
    nowhere = Path("/")
    around = Surroundings(_SETTINGS, Layout(nowhere), Servers(nowhere), None, nowhere.joinpath, {})
    return {one.name: tuple(port.number for port in one.ports) for one in services(around)}


def cards() -> list[Card]:
    """Every box, placed by hand in three rows: who asks, the stream, the daily batch."""
    contract = list(tables().values())
    retention = {
        topic.name: int(topic.config["retention.ms"]) // _HOUR_MS for topic in wanted_topics(_SETTINGS)
    }
    raw_hours, masked_days = retention[contract[0].raw_topic], retention[contract[0].masked_topic] // 24
    marts = sorted(path.stem for path in (repo_root() / "dbt/project/models/marts").glob("*.sql"))
    raw_topics = tuple(table.raw_topic for table in contract)
    masked_topics = tuple(table.masked_topic for table in contract)
    warehouse = (*(f"raw.{table.name}" for table in contract), "analytics.*", "ops.*")
    row = _TITLE + _LINE * (len(contract) + 3) + _PAD
    top, stream = 84, 250
    middle, deep = stream + 40, stream + max(row, 250) + 104
    airflow = ("airflow-api", "airflow-scheduler", "airflow-dags")
    return [
        Card("cli", "dataflix", "people", 32, top, 130, ("in a terminal",)),
        Card("page", "browser", "people", 182, top, 130, ("page, API docs",)),
        Card("backend", "backend", "people", 380, top, 250, _BACKEND, ("backend",)),
        Card("kafka-ui", "Kafka UI", "people", 700, top, 180, ("topics and records",), ("kafka-ui",)),
        Card(
            "postgres",
            "PostgreSQL",
            "personal",
            32,
            stream,
            232,
            (*map(_columns, contract), *_SOURCE),
            ("postgres",),
        ),
        Card(
            "connect", "Connect", "personal", 316, middle, 140, ("Debezium,", "slot and fence"), ("connect",)
        ),
        Card(
            "raw",
            "Kafka",
            "personal",
            506,
            stream,
            206,
            (*raw_topics, f"for {raw_hours} h", f"consumer group {MASKER_GROUP}"),
            ("kafka",),
        ),
        Card(
            "masker",
            "masker",
            "masked",
            762,
            middle,
            150,
            ("keyed pseudonyms,", "fails closed"),
            ("masker-0",),
        ),
        Card("refused", "refused", "masked", 762, middle + 128, 150, (DEAD_LETTER_TOPIC, DRIFT_TOPIC)),
        Card("masked", "Kafka", "masked", 962, stream, 182, (*masked_topics, f"for {masked_days} days")),
        Card("clickhouse", "ClickHouse", "masked", 1200, stream, 204, warehouse, ("clickhouse",)),
        Card(
            "airflow",
            "Airflow",
            "batch",
            32,
            deep,
            176,
            (BATCH_DAG, f"cron {_SETTINGS.batch_schedule} UTC"),
            airflow,
        ),
        Card(
            "reconcile",
            "reconcile",
            "batch",
            274,
            deep,
            190,
            ("a fenced snapshot,", "masked, compared,", "what differs repaired"),
        ),
        Card(
            "dbt",
            "dbt webhook",
            "batch",
            530,
            deep,
            218,
            tuple(f"analytics.{name}" for name in marts),
            ("dbt-webhook",),
        ),
        Card("train", "train", "batch", 814, deep, 130, ("SVD for stars,", "EASE for order")),
        Card(
            "mlflow",
            "MLflow",
            "batch",
            1010,
            deep,
            150,
            ("models and runs,", f"alias {CHAMPION}"),
            ("mlflow",),
        ),
        Card("s3", "S3", "batch", 1228, deep, 176, ("artefacts",), ("s3",)),
    ]


_BACKEND = ("serves the champion, and folds in", "what was rated a moment ago")
_SOURCE = (f"publication {PUBLICATION}",)


def arrows(by_key: dict[str, Card]) -> list[Arrow]:
    """Every way."""
    lane = by_key["reconcile"].y
    return [
        Arrow("cli", "backend", "", ("t", 0.5), ("t", 0.12), "people", via=62),
        Arrow("page", "backend", "HTTP", kind="people"),
        Arrow("backend", "postgres", "SQL", ("b", 0.1), ("t", 0.8), "personal", words=(0, -6)),
        Arrow("postgres", "connect", "WAL", kind="personal"),
        Arrow("connect", "raw", kind="personal"),
        Arrow("raw", "masker", kind="personal"),
        Arrow("masker", "masked"),
        Arrow(
            "masker", "refused", "described, never copied", ("b", 0.5), ("t", 0.5), dashed=True, words=(0, 4)
        ),
        Arrow("masked", "clickhouse"),
        Arrow("kafka-ui", "raw", "", ("b", 0.1), ("t", 0.9), "people", dashed=True),
        Arrow("kafka-ui", "masked", "", ("b", 0.9), ("t", 0.2), "people", dashed=True),
        Arrow("airflow", "reconcile", "first", kind="batch"),
        Arrow("postgres", "reconcile", "snapshot", ("b", 0.5), ("t", 0.25), "personal", via=lane - 30),
        Arrow(
            "reconcile",
            "clickhouse",
            "what was missing, different, a ghost",
            ("t", 0.75),
            ("b", 0.7),
            "batch",
            via=lane - 62,
        ),
        Arrow("reconcile", "dbt", "then", kind="batch"),
        Arrow("clickhouse", "dbt", "raw in, marts out", ("b", 0.4), ("t", 0.5), "batch", via=lane - 30),
        Arrow("dbt", "train", "then", kind="batch"),
        Arrow("train", "mlflow", "model", kind="batch"),
        Arrow("mlflow", "s3", kind="batch"),
        Arrow(
            "mlflow",
            "backend",
            "the champion, loaded while serving",
            ("t", 0.98),
            ("t", 0.88),
            "people",
            via=62,
        ),
    ]


def _columns(table: Table) -> str:
    personal = [name for name, column in table.columns.items() if column.pii is not PiiClass.PUBLIC]
    return f"{table.name}: {', '.join(personal)}" if personal else table.name


def way(arrow: Arrow, by_key: dict[str, Card]) -> list[tuple[float, float]]:
    """The corners of an arrow, from its beginning to its end."""
    (leave, at), (enter, to) = arrow.leaves, arrow.enters
    (x1, y1), (x2, y2) = by_key[arrow.source].side(leave, at), by_key[arrow.target].side(enter, to)
    upright = {"t", "b"}
    if leave in upright and enter in upright:
        y = arrow.via if arrow.via is not None else (y1 + y2) / 2
        return [(x1, y1), (x1, y), (x2, y), (x2, y2)]
    # straight across, in the middle of what both reach
    source, target = by_key[arrow.source], by_key[arrow.target]
    y = (max(source.y, target.y) + min(source.y + source.height, target.y + target.height)) / 2
    return [(x1, y), (x2, y)]


def draw() -> str:
    """The whole picture.

    Raises:
        ValueError: the cards stand for other services than there are.
    """
    placed = {card.key: card for card in cards()}
    listening = ports()
    drawn = [name for card in placed.values() for name in card.services]
    if sorted(drawn) != sorted(listening):
        raise ValueError(
            f"drawn are {sorted(drawn)}, and there are {sorted(listening)}: mend docs/diagram.py"
        )
    height = max(card.y + card.height for card in placed.values()) + 58
    parts = [*_head(height), *_frame(placed)]
    for arrow in arrows(placed):
        parts += _draw_arrow(arrow, placed)
    for card in placed.values():
        parts += _draw_card(card, [port for name in card.services for port in listening[name]])
    return "\n".join([*parts, *_legend(height), "</svg>", ""])


def _head(height: int) -> Iterator[str]:
    font = "font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}"'
        f' role="img" aria-labelledby="title" style="{font}">'
    )
    yield '<title id="title">Dataflix: the way of the data, and where each server listens</title>'
    yield "<defs>"
    for kind, (border, _) in _COLOURS.items():
        yield (
            f'<marker id="{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
            f' orient="auto"><path d="M0 0L8 4L0 8z" fill="{border}"/></marker>'
        )
    yield "</defs>"
    yield f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'


def _frame(placed: dict[str, Card]) -> Iterator[str]:
    """A name for each row."""
    for key, name in (
        ("cli", "People"),
        ("postgres", "The stream"),
        ("airflow", "The daily batch"),
    ):
        yield _words(32, placed[key].y - 12, name, _Style(13, _FAINT, 600))


def _draw_card(card: Card, numbers: Sequence[int]) -> Iterator[str]:
    border, ground = _COLOURS[card.kind]
    yield (
        f'<rect x="{card.x}" y="{card.y}" width="{card.width}" height="{card.height}" rx="8" fill="{ground}"'
        f' stroke="{border}" stroke-width="1.5"/>'
    )
    yield _words(card.x + _PAD, card.y + 26, card.title, _Style(15, weight=700))
    if numbers:
        text = ", ".join(map(str, numbers))
        yield _words(card.x + card.width - _PAD, card.y + 26, text, _Style(12, border, anchor="end"))
    for place, line in enumerate(card.lines):
        yield _words(card.x + _PAD, card.y + _TITLE + 3 + _LINE * place, line, _Style())


def _draw_arrow(arrow: Arrow, placed: dict[str, Card]) -> Iterator[str]:
    colour, _ = _COLOURS[arrow.kind]
    corners = way(arrow, placed)
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y in corners)
    dash = ' stroke-dasharray="5 4"' if arrow.dashed else ""
    yield (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-linejoin="round"{dash}'
        f' marker-end="url(#{arrow.kind})"/>'
    )
    if arrow.label:
        stretches = itertools.pairwise(corners)
        (x1, y1), (x2, y2) = max(stretches, key=lambda two: abs(two[0][0] - two[1][0]))
        across, down = arrow.words
        yield _words(
            (x1 + x2) / 2 + across,
            (y1 + y2) / 2 + down,
            arrow.label,
            _Style(12, colour, anchor="middle", halo=True),
        )


def _legend(height: int) -> Iterator[str]:
    x = 32
    meanings = {
        "personal": "personal data",
        "masked": "pseudonyms only",
        "batch": "the daily batch, on pseudonyms",
        "people": "people and the API",
    }
    for kind, meaning in meanings.items():
        border, ground = _COLOURS[kind]
        yield (
            f'<rect x="{x}" y="{height - 34}" width="14" height="14" rx="3"'
            f' fill="{ground}" stroke="{border}"/>'
        )
        yield _words(x + 22, height - 22, meaning, _Style(colour=_FAINT))
        x += 52 + 7 * len(meaning)
    yield _words(WIDTH - 32, height - 22, "Printed by docs/diagram.py", _Style(12, _FAINT, anchor="end"))


def _words(x: float, y: float, text: str, style: _Style) -> str:
    around = ' paint-order="stroke" stroke="#ffffff" stroke-width="4" stroke-linejoin="round"'
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{style.size:g}" fill="{style.colour}"'
        f' font-weight="{style.weight}" text-anchor="{style.anchor}"{around if style.halo else ""}>'
        f"{escape(text)}</text>"
    )


if __name__ == "__main__":
    sys.stdout.write(draw())
