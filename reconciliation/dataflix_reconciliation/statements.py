"""The SQL of a reconciliation, rendered from the contract. No I/O but the shipped templates."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Self

import jinja2

from dataflix_contract import Table

_TOKEN = "[0-9a-f]{8}"  # noqa: S105 - a pattern


@dataclass(frozen=True, slots=True)
class Names:
    """The tables of one attempt, in the database staging.

    Attributes:
        snapshot: the source's rows.
        findings: keys that differ.
        newest: keys with a version above the fence.
        repair: what is moved into the raw table.
    """

    snapshot: str
    findings: str
    newest: str
    repair: str

    @classmethod
    def of(cls, table: Table, token: str) -> Self:
        """The names that an attempt uses; ``token``, 8 hexadecimal digits, is the attempt's own.

        No two attempts share a table: one that lost its lock without noticing finds its tables
        gone, and never another attempt's half-loaded snapshot.
        """
        return cls(*(f"{table.name}_{token}_{part}" for part in cls.__slots__))

    @property
    def all(self) -> tuple[str, ...]:
        """Every name."""
        return (self.snapshot, self.findings, self.newest, self.repair)


def is_of(table: Table, name: str) -> bool:
    """Whether a table in staging was left by some attempt on ``table``."""
    return re.fullmatch(f"{table.name}_{_TOKEN}_({'|'.join(Names.__slots__)})", name) is not None


def render(template: str, table: Table, names: Names) -> str:
    """One SQL file's text, by the file's name without its ending."""
    return _templates().get_template(f"{template}.sql.j2").render(table=table, names=names).strip()


@functools.cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("dataflix_reconciliation", "sql"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - SQL, of names that the contract decides
    )
