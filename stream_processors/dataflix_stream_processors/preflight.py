"""Are the topics as the masker needs them? No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from dataflix_contract.schema import DEAD_LETTER_TOPIC, DRIFT_TOPIC, Table


def topic_faults(partitions: Mapping[str, int], tables: Mapping[str, Table]) -> list[str]:
    """What is wrong with the topics, and what to do; empty if nothing is.

    Args:
        partitions: how many partitions each topic of the broker has.
        tables: the contract.
    """
    needed = [topic for table in tables.values() for topic in (table.raw_topic, table.masked_topic)]
    missing = [topic for topic in (*needed, DEAD_LETTER_TOPIC, DRIFT_TOPIC) if topic not in partitions]
    if missing:
        return [f"topics are missing, run dataflix-connector topics: {', '.join(missing)}"]
    return [
        f"{table.masked_topic} has {partitions[table.masked_topic]} partitions, {table.raw_topic} has "
        f"{partitions[table.raw_topic]}: a row keeps its partition, run dataflix-connector topics"
        for table in tables.values()
        if partitions[table.masked_topic] < partitions[table.raw_topic]
    ]
