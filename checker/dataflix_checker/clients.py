"""Connections to the stack's servers, opened with the settings' own users."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import clickhouse_connect
import psycopg
from confluent_kafka import Consumer

from dataflix_contract.postgres import parameters

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from dataflix_contract import Settings

_CONNECT_SECONDS = 5

#: What ClickHouse's library logs is in the exceptions that it raises, too.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


def open_postgres(settings: Settings) -> psycopg.Connection:
    """Connect to the source as the owner of its tables, in autocommit.

    Raises:
        psycopg.OperationalError: PostgreSQL cannot be reached or refuses the login.
    """
    return psycopg.connect(
        **parameters(
            settings.postgres_server,
            settings.postgres_user,
            settings.postgres_password,
            program="dataflix-check",
            connect_seconds=_CONNECT_SECONDS,
            database=settings.postgres_db,
        ),
        autocommit=True,
    )


def open_warehouse(settings: Settings) -> Client:
    """Connect to ClickHouse as the user that only reads.

    Raises:
        clickhouse_connect.driver.exceptions.Error: ClickHouse cannot be reached or refuses the login.
    """
    return clickhouse_connect.get_client(
        host=settings.clickhouse_host,
        port=settings.clickhouse_http_port,
        username=settings.clickhouse_user,
        password=settings.clickhouse_password.get_secret_value(),
        connect_timeout=_CONNECT_SECONDS,
        autogenerate_session_id=False,
    )


def open_consumer(settings: Settings) -> Consumer:
    """A Kafka consumer for partitions assigned by hand: it never commits an offset."""
    return Consumer(
        settings.kafka_client
        | {
            "group.id": "dataflix-checker",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 10,
            "socket.timeout.ms": 10_000,
            "log_level": 0,  # what matters is raised
        }
    )
