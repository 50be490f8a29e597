"""The connector's configuration: ``postgres.json`` with its placeholders filled in."""

import json
from collections.abc import Mapping
from importlib.resources import files
from string import Template

from dataflix_contract import Settings
from dataflix_contract.postgres_sessions import options
from dataflix_contract.schema import (
    FENCE_HEADER,
    HEARTBEAT_QUERY,
    MAX_MESSAGE_BYTES,
    PUBLICATION,
    RAW_TOPIC_PREFIX,
    SLOT,
    UNAVAILABLE_VALUE,
    published_tables,
)

_FENCE_OPTION = "transforms.fence.value.literal"


def render_config(settings: Settings, fence: int) -> dict[str, str]:
    """The connector's configuration as Kafka Connect takes it.

    The password is not in it: Connect reads it from its own environment.

    Args:
        settings: where the source is.
        fence: the version that snapshot rows get (see docs/decisions).
    """
    template = files(__package__).joinpath("postgres.json").read_text(encoding="utf-8")
    values = _values(settings, fence)
    return {key: Template(text).substitute(values) for key, text in json.loads(template).items()}


def fence_of(config: Mapping[str, str]) -> int:
    """The fence in a configuration that is in use; 0 where there is none."""
    text = config.get(_FENCE_OPTION, "")
    return int(text) if text.isdecimal() else 0


def _values(settings: Settings, fence: int) -> dict[str, str]:
    return {
        "topic_prefix": RAW_TOPIC_PREFIX,
        "postgres_host": settings.postgres_host,
        "postgres_port": str(settings.postgres_port),
        "postgres_db": settings.postgres_db,
        "debezium_user": settings.debezium_user,
        "session": options(),
        "slot": SLOT,
        "publication": PUBLICATION,
        "table_include_list": ",".join(name.replace(".", r"\.") for name in published_tables()),
        "heartbeat_query": HEARTBEAT_QUERY,
        "fence_header": FENCE_HEADER,
        "fence": str(fence),
        "max_message_bytes": str(MAX_MESSAGE_BYTES),
        "unavailable_value": f"hex:{UNAVAILABLE_VALUE.encode().hex()}",
    }
