"""How the live tables differ from the contract: each difference with its cure.

The preflight and the status ask here, and so does ``dataflix-migrate``.
"""

from collections.abc import Iterator, Sequence

from dataflix_clients.findings import MIGRATE, RECONCILE, Finding, fault, warning
from dataflix_clients.source_facts import MissingFacts, SourceFacts, TableFacts
from dataflix_contract import Column, Settings, Table, tables
from dataflix_contract.schema import HEARTBEAT_TABLE, SOURCE_SCHEMA

# What a finished migration has made it does not make again.
_RESTORE = "if it was dropped after that, restore it from a backup"


def judge_tables(facts: SourceFacts, settings: Settings) -> list[Finding]:
    """What is wrong with the tables of the contract."""
    return [finding for table in tables().values() for finding in _judge_table(table, facts, settings)]


def _judge_table(table: Table, facts: SourceFacts, settings: Settings) -> Iterator[Finding]:
    name = f"{SOURCE_SCHEMA}.{table.name}"
    found = facts.tables.get(table.name)
    if found is None:
        yield _missing_table(table.name, facts)
        return
    if not found.readable:
        role = settings.debezium_user
        yield fault(f"table {name}", f"role {role} may not read it", f"GRANT SELECT ON {name} TO {role}")
    # Each partition has an identity of its own, which counts for its rows.
    for holder, full in {name: found.full_identity, **found.partitions}.items():
        if not full:
            yield fault(
                f"table {holder}",
                "its replica identity is not FULL: old values and large unchanged ones do not arrive",
                f"ALTER TABLE {holder} REPLICA IDENTITY FULL",
            )
    if found.children:
        yield fault(
            f"table {name}",
            f"has children by inheritance ({', '.join(sorted(found.children))}): their rows are not captured,"
            " and queries of this table show them",
            f"{'; '.join(f'ALTER TABLE {child} NO INHERIT {name}' for child in found.children)}; before that,"
            f" insert into {name} the rows that belong there",
        )
    if found.foreign_keys_off:
        yield warning(
            f"table {name}",
            "has disabled triggers that enforce foreign keys, as a restore that was broken off leaves it",
            f"as the superuser ALTER TABLE {name} ENABLE TRIGGER ALL; then {RECONCILE} counts the rows that"
            " lack their user or film",
        )
    if found.key != table.key:
        same_columns = set(found.key) == set(table.key)
        yield (warning if same_columns else fault)(
            f"table {name}",
            f"has {_key(found.key)}, and {_key(table.key)} in the contract"
            + ("" if same_columns else ": changes would have another key"),
            f"ALTER TABLE {name} ADD PRIMARY KEY ({', '.join(table.key)}), after dropping another one",
        )
    yield from _judge_columns(table, found)


def judge_heartbeat(facts: SourceFacts, settings: Settings) -> Iterator[Finding]:
    """What is wrong with the heartbeat's table, which is not in the contract."""
    subject = f"table {SOURCE_SCHEMA}.{HEARTBEAT_TABLE}"
    table = facts.tables.get(HEARTBEAT_TABLE)
    if table is None:
        yield _missing_table(HEARTBEAT_TABLE, facts, ": an idle database would keep all its WAL")
    elif not (table.readable and table.updatable):
        yield fault(
            subject,
            f"role {settings.debezium_user} may not read and update it",
            f"GRANT SELECT, UPDATE ON {SOURCE_SCHEMA}.{HEARTBEAT_TABLE} TO {settings.debezium_user}",
        )


def _missing_table(name: str, facts: SourceFacts, consequence: str = "") -> Finding:
    """A table that is not there: perhaps it was renamed, or another relation was put in its place."""
    missing = facts.missing.get(name, MissingFacts())
    full_name = f"{SOURCE_SCHEMA}.{name}"
    ways_back = []
    for table in missing.alike:
        steps = [f"DROP {missing.instead} {full_name}"] if missing.instead else []
        if table.schema != SOURCE_SCHEMA:
            steps.append(f"ALTER TABLE {table.full_name} SET SCHEMA {SOURCE_SCHEMA}")
        if table.name != name:
            steps.append(f"ALTER TABLE {SOURCE_SCHEMA}.{table.name} RENAME TO {name}")
        ways_back.append("; ".join(steps))
    renamed = f"if it was renamed, {' or '.join(ways_back)}, then {RECONCILE}; " if ways_back else ""
    problem = f"is a {missing.instead.lower()} and no table" if missing.instead else "does not exist"
    return fault(
        f"table {full_name}",
        f"{problem}{consequence}",
        f"{renamed}if it was never made, {MIGRATE}; {_RESTORE}" if renamed else f"{MIGRATE}; {_RESTORE}",
    )


def _key(columns: Sequence[str]) -> str:
    return f"the primary key ({', '.join(columns)})" if columns else "no primary key"


def _judge_columns(table: Table, found: TableFacts) -> Iterator[Finding]:
    for column in table.columns.values():
        subject = f"column {SOURCE_SCHEMA}.{table.name}.{column.name}"
        facts = found.columns.get(column.name)
        if facts is None:
            cure = _missing_cure(table, found, column)
            yield fault(subject, "is in the contract and not in the database", cure)
        elif not column.type.is_spelt(facts.type):
            yield fault(
                subject,
                f"is {facts.type}, and {column.type.value} in the contract",
                "make the two agree: by a migration, or in tables.toml",
            )
        elif facts.generated:
            yield fault(
                subject,
                "is generated: PostgreSQL does not publish its values",
                "store it as an ordinary column, or take it out of tables.toml",
            )
        elif facts.nullable and not column.nullable:
            yield warning(
                subject,
                "may be NULL in the database and not in the contract",
                "ALTER COLUMN … SET NOT NULL, or nullable = true in tables.toml",
            )
    for name in found.columns.keys() - table.columns.keys():
        yield warning(
            f"column {SOURCE_SCHEMA}.{table.name}.{name}",
            "is not in the contract: it is not forwarded (drift)",
            "decide on its class of personal data and add it to tables.toml",
        )


def _missing_cure(table: Table, found: TableFacts, column: Column) -> str:
    """What to do about a column that is not there: perhaps it was renamed to one that the contract lacks."""
    renamed = [
        f"ALTER TABLE {SOURCE_SCHEMA}.{table.name} RENAME COLUMN {name} TO {column.name}"
        for name, facts in sorted(found.columns.items())
        if name not in table.columns and column.type.is_spelt(facts.type)
    ]
    other = f"if it was never made, {MIGRATE}; if nobody needs it, take it out of tables.toml"
    return f"if it was renamed, {' or '.join(renamed)}; {other}" if renamed else other
