"""Render the warehouse's SQL statements from the contract. No I/O except reading the package's templates."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import jinja2

from dataflix_contract import Column, ColumnType, Table

#: The databases of the warehouse; dbt keeps its views in the last one.
DATABASES = ("raw", "staging", "ops", "analytics", "analytics_staging")
_FINGERPRINT_HEX_DIGITS = 16
#: The masker's messages of TRUNCATE begin with this, and no others do.
_TRUNCATE_PREFIX = '{"op":"t",'
#: Columns that were added to tables of the database ops after their first release: type by name, by table.
ADDED_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "reconciliations": {"truncated": "UInt64", "orphans": "UInt64", "source_shape": "String"},
}


def scalar(column: Column) -> bool:
    """Whether a column holds one value, which may be NULL in a message."""
    return column.type is not ColumnType.TEXT_ARRAY


def text_type(column: Column) -> str:
    """The type as which a column is read from a message's JSON."""
    return "Nullable(String)" if scalar(column) else "Array(String)"


def value(column: Column) -> str:
    """The expression that converts a column's text to its type; it gives NULL instead of failing."""
    text = f"image.{column.name}"
    if column.type in (ColumnType.TEXT, ColumnType.TEXT_ARRAY):
        return text
    if column.type is ColumnType.TIMESTAMPTZ:
        return f"parseDateTime64BestEffortOrNull({text}, 6, 'UTC')"
    return f"accurateCastOrNull({text}, '{column.type.clickhouse}')"


def stored(column: Column) -> str:
    """The expression for a raw table's column, in a row without faults."""
    name = f"value_{column.name}"
    return name if column.nullable or not scalar(column) else f"assumeNotNull({name})"


def faults(table: Table) -> dict[str, str]:
    """The possible faults of a message: a text for each SQL condition; the first that is true counts."""
    scalars = [column for column in table.forwarded_columns if scalar(column)]
    return {
        "NOT isValidJSON(message)": "this is not JSON",
        "parsed.op NOT IN ('c', 'u', 'd', 'r')": "op is none of c, u, d, r",
        "isNull(version)": "version is missing or not a number",
        # ``a > b`` is ``a AND NOT b`` without short-circuit evaluation.
        **{
            f"isNotNull(image.{column.name}) > isNotNull(value_{column.name})": (
                f"{column.name} is no {column.type.value}"
            )
            for column in scalars
        },
        **{f"isNull(value_{name})": f"{name} is missing" for name in table.key},
        **{
            f"isNull(value_{column.name}) > deleted": f"{column.name} is missing"
            for column in scalars
            if column.name not in table.key and not column.nullable
        },
    }


@dataclass(frozen=True, slots=True)
class Ingest:
    """The Kafka table that reads a topic and the views that fill tables from it; replaced together.

    Attributes:
        queue: name of the Kafka table, in the database raw.
        views: the statement that makes each view, by the view's name.
        placeholder: the statement that makes a table in the queue's place while the views are made.
        create_queue: the statement that makes the Kafka table, which starts to read at once.
    """

    queue: str
    views: Mapping[str, str]
    placeholder: str
    create_queue: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all these objects, in the database raw."""
        return (self.queue, *self.views)

    @property
    def fingerprint(self) -> str:
        """A digest of the statements, kept as the objects' comment: it shows whether they have changed."""
        return fingerprint(self.create_queue, *self.views.values())


def ingest(table: Table, brokers: str) -> Ingest:
    """The statements that fill a table from Kafka at ``brokers`` (``host:port``)."""
    return Ingest(
        queue=f"{table.name}_queue",
        views={
            f"{table.name}_mv": render("21_rows.sql.j2", table=table),
            f"{table.name}_errors_mv": render(
                "22_errors.sql.j2", table=table, truncate_prefix=_TRUNCATE_PREFIX
            ),
            f"{table.name}_truncates_mv": render(
                "23_truncates.sql.j2", table=table, truncate_prefix=_TRUNCATE_PREFIX
            ),
        },
        placeholder=render("19_placeholder.sql.j2", table=table),
        create_queue=render("20_queue.sql.j2", table=table, brokers=brokers),
    )


def database(name: str, cluster: str) -> str:
    """The statement that makes a database: on every replica of ``cluster``, if that is named."""
    return render("01_database.sql.j2", database=name, cluster=cluster)


def database_engine(cluster: str) -> str:
    """The engine that :func:`database` gives a database, as the server names it."""
    return "Replicated" if cluster else "Atomic"


def rows(table: Table, cluster: str) -> str:
    """The statement that makes a table of the database raw."""
    return render("10_raw.sql.j2", table=table, replicated=_replicated(cluster))


def ingest_errors(cluster: str) -> str:
    """The statement that makes the table of messages that became no row."""
    return render("02_ingest_errors.sql.j2", replicated=_replicated(cluster))


def ops_tables(cluster: str) -> dict[str, str]:
    """The statement that makes each table of the database ops, by the table's name."""
    return {
        "reconciliations": render("03_reconciliations.sql.j2", replicated=_replicated(cluster)),
        "pipeline_runs": render("04_pipeline_runs.sql.j2", replicated=_replicated(cluster)),
        "truncates": render("05_truncates.sql.j2", replicated=_replicated(cluster)),
    }


def views(table: Table) -> dict[str, str]:
    """The statement that makes each view on a table of the database raw, by the view's name, in order."""
    return {
        f"masked_{table.name}": render("30_masked.sql.j2", table=table),
        f"{table.name}_truncated": render("31_truncated.sql.j2", table=table),
        f"{table.name}_bury_mv": render("32_truncate_tombstones.sql.j2", table=table),
    }


def _replicated(cluster: str) -> str:
    """The beginning of an engine's name; the replicated database supplies the replicas' path in Keeper."""
    return "Replicated" if cluster else ""


def fingerprint(*statements: str) -> str:
    """A short digest of the statements' text."""
    digest = hashlib.sha256("\0".join(statements).encode()).hexdigest()
    return f"dataflix {digest[:_FINGERPRINT_HEX_DIGITS]}"


def commented(statement: str, comment: str) -> str:
    """A CREATE statement with a comment, which the server keeps."""
    return f"{statement}\nCOMMENT '{comment}'"


def render(template: str, **values: object) -> str:
    """The text of one SQL template, filled in."""
    return _templates().get_template(template).render(values).strip()


@functools.cache
def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("dataflix_clickhouse", "sql"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - SQL, of names that the contract decides
    )
    for function in (text_type, value, stored, faults):
        templates.filters[function.__name__] = function
    return templates
