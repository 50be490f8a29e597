"""The data contract in code: tables, columns, and each column's class of personal data.

``tables.toml`` beside this module is the one place where a table is described.
PostgreSQL's migrations are checked against it, the masker obeys it, and
ClickHouse's tables are made from it.
"""

from __future__ import annotations

import enum
import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final


class ContractError(ValueError):
    """The contract file is not valid."""


class PiiClass(enum.Enum):
    """A column's class of personal data, which says how its values may leave PostgreSQL."""

    PUBLIC = "public"
    EMAIL = "email"
    NAME = "name"
    DROPPED = "dropped"


class ColumnType(enum.Enum):
    """A column's type: the value is PostgreSQL's own name for it."""

    SMALLINT = "smallint"
    BIGINT = "bigint"
    TEXT = "text"
    TEXT_ARRAY = "text[]"
    NUMERIC_2_1 = "numeric(2,1)"
    TIMESTAMPTZ = "timestamptz"

    @property
    def clickhouse(self) -> str:
        """The ClickHouse type that holds every value of this one."""
        return _CLICKHOUSE_TYPES[self]

    @property
    def spellings(self) -> tuple[str, ...]:
        """PostgreSQL's types with the same values as this one, as ``format_type`` prints them.

        Lengths are left out. A domain counts as its base type.
        """
        return _SPELLINGS.get(self, (self.value,))

    def is_spelt(self, database_type: str) -> bool:
        """Whether a column of this type may have this type in PostgreSQL, as ``format_type`` prints it."""
        return database_type in self.spellings or _LENGTH.sub("", database_type) in self.spellings


_CLICKHOUSE_TYPES = {
    ColumnType.SMALLINT: "Int16",
    ColumnType.BIGINT: "Int64",
    ColumnType.TEXT: "String",
    ColumnType.TEXT_ARRAY: "Array(String)",
    ColumnType.NUMERIC_2_1: "Decimal(2, 1)",
    ColumnType.TIMESTAMPTZ: "DateTime64(6, 'UTC')",
}
_SPELLINGS = {
    ColumnType.TEXT: ("text", "character varying", "character", "bpchar"),
    ColumnType.TEXT_ARRAY: ("text[]", "character varying[]"),
    ColumnType.TIMESTAMPTZ: ("timestamp with time zone",),
}
#: Finds the length of a text type; the precision of a number is kept, since it limits the values.
_LENGTH = re.compile(r"(?<=^character varying)\(\d+\)|(?<=^character)\(\d+\)")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table in the contract."""

    name: str
    type: ColumnType
    pii: PiiClass
    nullable: bool = False

    @property
    def forwarded(self) -> bool:
        """Whether the column's values reach the masked topics, masked or as they are."""
        return self.pii is not PiiClass.DROPPED

    @property
    def clickhouse_type(self) -> str:
        """The column's type in ClickHouse, ``Nullable`` where PostgreSQL allows NULL.

        ClickHouse has no ``Nullable(Array)``: a NULL array arrives as an empty one.
        """
        base = self.type.clickhouse
        if self.nullable and self.type is not ColumnType.TEXT_ARRAY:
            return f"Nullable({base})"
        return base


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the contract, with its columns in the order of the file.

    Attributes:
        belongs_to: the tables whose rows this one's rows belong to; it has the columns of their keys.
    """

    name: str
    key: tuple[str, ...]
    columns: Mapping[str, Column]
    belongs_to: tuple[str, ...] = ()

    @property
    def raw_topic(self) -> str:
        """The topic that Debezium writes, which holds personal data."""
        return f"{RAW_TOPIC_PREFIX}.{SOURCE_SCHEMA}.{self.name}"

    @property
    def masked_topic(self) -> str:
        """The topic that the masker writes, which holds no personal data."""
        return f"masked.{self.name}"

    @property
    def warehouse_group(self) -> str:
        """The consumer group with which ClickHouse reads the masked topic."""
        return f"clickhouse-raw-{self.name}"

    @property
    def forwarded_columns(self) -> tuple[Column, ...]:
        """The columns that leave PostgreSQL, masked or as they are."""
        return tuple(column for column in self.columns.values() if column.forwarded)


#: Debezium's ``topic.prefix``: raw topics are ``<prefix>.<schema>.<table>``.
RAW_TOPIC_PREFIX = "cdc"
#: The PostgreSQL schema that the tables live in.
SOURCE_SCHEMA = "public"
#: The table that Debezium's heartbeat writes to; published, and read by nobody else.
HEARTBEAT_TABLE = "debezium_heartbeat"
#: Debezium makes this change and reads it back, so that the slot advances while the tables are idle.
HEARTBEAT_QUERY = f"UPDATE {SOURCE_SCHEMA}.{HEARTBEAT_TABLE} SET beat_at = clock_timestamp()"
#: The topic of Debezium's own heartbeat messages, and the topic of the changes that the query above makes.
HEARTBEAT_TOPICS = (
    f"__debezium-heartbeat.{RAW_TOPIC_PREFIX}",
    f"{RAW_TOPIC_PREFIX}.{SOURCE_SCHEMA}.{HEARTBEAT_TABLE}",
)
#: The ids of users and films: every bigint, 0 and negative ones included, because that is what
#: PostgreSQL's tables take. Whatever reads, shows or looks up an id takes all of them. Those that
#: PostgreSQL generates stay below 2^53, which browsers still read rightly: see `ADVANCE_IDENTITIES`.
LEAST_ID, MOST_ID = -(2**63), 2**63 - 1
#: The stars that a rating can have, in halves; the table's constraint says the same.
LEAST_STARS, MOST_STARS = 0.5, 5.0
#: The function that advances the sequences of generated ids beyond ids that rows were loaded with.
ADVANCE_IDENTITIES = "advance_identities"
#: The table of idempotency keys of requests that the API has done; it is not published.
IDEMPOTENCY_TABLE = "idempotency_keys"
#: The logical replication publication and slot that Debezium reads.
PUBLICATION = "dataflix"
SLOT = "dataflix"
#: The connector's name in Kafka Connect.
CONNECTOR = "dataflix-postgres"
#: The topic of messages that the masker refused, described without personal data.
DEAD_LETTER_TOPIC = "masker.dead_letters"
#: The topic with a notice for each column that the contract does not know.
DRIFT_TOPIC = "masker.drift"
#: One record for each table that a reconciliation made equal to the source: dead letters of changes up to
#: its fence need no replay any more.
RECONCILED_TOPIC = "reconciliation.fences"
#: Largest captured message, in bytes. A change carries the row before and after; PostgreSQL's
#: constraints bound a row far below it, because a larger message would stop the connector.
MAX_MESSAGE_BYTES = 8 * 2**20
#: Consumer group of the masker; ClickHouse's are each table's ``warehouse_group``.
MASKER_GROUP = "masker"
#: The header of snapshot records with the WAL position that becomes their ``_version`` (see docs/decisions).
FENCE_HEADER = "dataflix.fence"
#: What Debezium writes in place of a large value that PostgreSQL did not log. It begins with NUL,
#: which no text in PostgreSQL can hold: so nobody can type it, and no value is mistaken for it.
UNAVAILABLE_VALUE = "\0unavailable"
#: The daily batch in Airflow, and the model that it registers in MLflow with the alias of the one in use.
BATCH_DAG = "elt_pipeline"
MODEL = "dataflix-recommender"
CHAMPION: Final = "champion"
#: The alias of the newest version that did not become champion.
CHALLENGER: Final = "challenger"


def load_contract(text: str) -> Mapping[str, Table]:
    """Parse a contract file's text into tables by name.

    Raises:
        ContractError: a key is not a column, a key column may be NULL or is not public,
            a table belongs to one that is not there or whose key it lacks, or a type or class is unknown.
    """
    found = {name: _table(name, spec) for name, spec in tomllib.loads(text).items()}
    for table in found.values():
        for owner in table.belongs_to:
            if owner not in found or not table.columns.keys() >= set(found[owner].key):
                raise ContractError(f"{table.name}: it cannot belong to {owner}, whose key it does not have")
    return MappingProxyType(found)


@functools.cache
def tables() -> Mapping[str, Table]:
    """Every table of the shipped contract, by name, in the order of the file."""
    return load_contract(files(__package__).joinpath("tables.toml").read_text(encoding="utf-8"))


def published_tables() -> tuple[str, ...]:
    """Every table that is captured, with its schema: the contract's, and the heartbeat's."""
    return tuple(f"{SOURCE_SCHEMA}.{name}" for name in (*tables(), HEARTBEAT_TABLE))


def captured_topics() -> tuple[str, ...]:
    """The topics that Debezium writes to."""
    return (*(table.raw_topic for table in tables().values()), *HEARTBEAT_TOPICS)


def _table(name: str, spec: Mapping[str, Any]) -> Table:
    columns = {column: _column(name, column, raw) for column, raw in spec["columns"].items()}
    key = tuple(spec["key"])
    for part in key:
        if part not in columns:
            raise ContractError(f"{name}: the key names {part!r}, which is not a column")
        if columns[part].nullable or columns[part].pii is not PiiClass.PUBLIC:
            raise ContractError(f"{name}.{part}: a key column must be public and not nullable")
    return Table(name, key, MappingProxyType(columns), tuple(spec.get("belongs_to", ())))


def _column(table: str, name: str, spec: Mapping[str, Any]) -> Column:
    try:
        kind, pii = ColumnType(spec["type"]), PiiClass(spec["class"])
    except (KeyError, ValueError) as error:
        raise ContractError(f"{table}.{name}: {error}") from error
    if pii in (PiiClass.EMAIL, PiiClass.NAME) and kind is not ColumnType.TEXT:
        raise ContractError(f"{table}.{name}: only text can be of class {pii.value}")
    return Column(name, kind, pii, bool(spec.get("nullable", False)))
