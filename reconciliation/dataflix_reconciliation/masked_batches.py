"""From PostgreSQL's rows to the warehouse's, block by block: masked by the stream's own code. No I/O."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from dataflix_contract import Column, ColumnType, Masking, Table
from dataflix_contract.faults import Fault
from dataflix_contract.masking import Mask

_ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    ColumnType.SMALLINT: pa.int16(),
    ColumnType.BIGINT: pa.int64(),
    ColumnType.TEXT: pa.string(),
    ColumnType.TEXT_ARRAY: pa.list_(pa.string()),
    ColumnType.NUMERIC_2_1: pa.decimal128(2, 1),
    ColumnType.TIMESTAMPTZ: pa.timestamp("us", tz="UTC"),
}

#: Which types of PostgreSQL, as Arrow has them, hold a type of the contract without a doubt. A cast may
#: round a float and takes the hours of a timestamp without a time zone for UTC: the stream refuses both.
_FITTING: dict[ColumnType, Callable[[pa.DataType], bool]] = {
    ColumnType.SMALLINT: pa.types.is_integer,
    ColumnType.BIGINT: pa.types.is_integer,
    ColumnType.TEXT: pa.types.is_string,
    ColumnType.TEXT_ARRAY: lambda kind: pa.types.is_list(kind) and pa.types.is_string(kind.value_type),
    ColumnType.NUMERIC_2_1: lambda kind: pa.types.is_string(kind) or pa.types.is_decimal(kind),
    ColumnType.TIMESTAMPTZ: lambda kind: pa.types.is_timestamp(kind) and kind.tz is not None,
}


class Masker:
    """Turns blocks of a table's rows into what the warehouse holds of them.

    Args:
        table: the table's contract.
        masking: the pseudonyms.
    """

    def __init__(self, table: Table, masking: Masking) -> None:
        self._table = table.name
        self._plan = [
            (column, masking.function(column.pii, remember=False)) for column in table.forwarded_columns
        ]
        #: The blocks' columns: the contract's forwarded ones, in its order.
        self.schema = pa.schema(
            [pa.field(column.name, _ARROW_TYPES[column.type]) for column in table.forwarded_columns]
        )

    def mask(self, block: pa.RecordBatch) -> pa.RecordBatch:
        """The block with names and addresses masked, each value in its column's type.

        Args:
            block: the forwarded columns, unmasked, in the contract's order.

        Raises:
            Fault: a column of the source is not what the contract says; no value is quoted.
        """
        columns = [
            self._column(column, mask, block.column(place)) for place, (column, mask) in enumerate(self._plan)
        ]
        return pa.record_batch(columns, schema=self.schema)

    def _column(self, column: Column, mask: Mask | None, values: pa.Array) -> pa.Array:
        wanted = _ARROW_TYPES[column.type]
        if isinstance(values, pa.ExtensionArray):  # a numeric comes as its text
            values = values.storage
        if not _FITTING[column.type](values.type):
            raise self._misfit(column)
        try:
            if mask is not None:
                return pa.array(_masked(mask, values.to_pylist()), wanted)
            exact = values.cast(wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError, AttributeError):
            # Not from the error: it may quote a value.
            raise self._misfit(column) from None
        if column.type is ColumnType.TEXT_ARRAY and exact.null_count:
            # The warehouse has no NULL for an array: the stream delivers an empty one.
            return pc.coalesce(exact, pa.scalar([], wanted))
        return exact

    def _misfit(self, column: Column) -> Fault:
        return Fault(
            f"{self._table}.{column.name} in PostgreSQL does not fit the contract's"
            f" {column.type.value}: dataflix-connector preflight tells how they differ"
        )


def _masked(mask: Mask, values: list[str | None]) -> list[str | None]:
    return [None if value is None else mask(value) for value in values]
