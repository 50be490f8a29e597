"""Register the Debezium connector: start it with a snapshot or where it was, and wait until it streams.

The connector's configuration is ``postgres.json`` with its placeholders filled in.
"""

import enum
import json
import time
from collections.abc import Callable, Mapping
from importlib.resources import files
from string import Template

from psycopg.errors import ObjectInUse, QueryCanceled, UndefinedObject

from dataflix_clients import postgres
from dataflix_clients.connect import ConnectClient, ConnectorStatus, Offsets, wait_for
from dataflix_clients.fence import take_fence
from dataflix_clients.postgres import Connection
from dataflix_clients.replication_slot import (
    LOST_SLOT,
    RESNAPSHOT_CURE,
    SlotFacts,
    SlotState,
    read_slot,
    read_wal_position,
    slot_health,
)
from dataflix_contract import Settings
from dataflix_contract.faults import Fault
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

Report = Callable[[str], None]

_DROP_PATIENCE_S = 30.0
_RESTARTS = 3
_POLL_S = 0.1
_LOOK_EVERY_S = 5.0
_DECODING_PATIENCE = "5s"
_FENCE_OPTION = "transforms.fence.value.literal"


class CaptureState(enum.Enum):
    """The state of the capture that a registration finds."""

    FRESH = "no snapshot has been finished: begin with one"
    ESTABLISHED = "the connector knows its place: go on from there"
    LOST = "the connector knows its place, and the slot can no longer give what follows"


def decide(slot: SlotFacts | None, offsets: Offsets, status: ConnectorStatus) -> CaptureState:
    """Decide how to start, from the states of slot, offsets and connector.

    A running snapshot counts as established: it goes on with the fence that it has.
    """
    usable = slot_health(slot).state not in (SlotState.MISSING, SlotState.LOST)
    if offsets.settled:
        return CaptureState.ESTABLISHED if usable else CaptureState.LOST
    return CaptureState.ESTABLISHED if usable and status.running else CaptureState.FRESH


def register(
    settings: Settings, connect: ConnectClient, *, fence_timeout_s: float, timeout_s: float, report: Report
) -> None:
    """Give the connector this release's configuration, and wait until it streams.

    Raises:
        Fault: the slot is lost, a transaction blocks the fence, or the connector does not stream in time.
    """
    current = connect.config()
    if current is None:
        connect.create_stopped(render_config(settings, fence=0))
    with postgres.connect(settings, settings.postgres_debezium) as source:
        situation = decide(read_slot(source), connect.offsets(), connect.status())
        if situation is CaptureState.LOST:
            raise Fault(f"{LOST_SLOT}\n{RESNAPSHOT_CURE}")
        if situation is CaptureState.FRESH:
            start_afresh(settings, connect, fence_timeout_s, report)
        else:
            _update_configuration(settings, connect, current or {}, report)
        wait_until_streaming(source, connect, timeout_s, report)


def start_afresh(settings: Settings, connect: ConnectClient, fence_timeout_s: float, report: Report) -> int:
    """Delete slot and offsets, take a fence, start a snapshot with it as version, and return the fence."""
    connect.stop()
    connect.delete_offsets()
    with postgres.connect(settings, settings.postgres_admin) as admin:
        drop_slot(admin)
        fence = take_fence(admin, fence_timeout_s, report)
    report(f"snapshot rows get version {fence}")
    connect.put_config(render_config(settings, fence))
    connect.resume()
    return fence


def drop_slot(connection: Connection) -> None:
    """Drop Debezium's replication slot as soon as nobody reads it; a missing slot is no fault.

    Raises:
        Fault: the slot stays in use.
    """
    wait_for(
        lambda: _dropped(connection),
        _DROP_PATIENCE_S,
        f"replication slot {SLOT} stays in use: see active_pid in pg_replication_slots",
    )


def wait_until_streaming(
    source: Connection, connect: ConnectClient, timeout_s: float, report: Report
) -> None:
    """Wait until a snapshot, if there is one, is finished, and Debezium has confirmed a new heartbeat.

    Raises:
        Fault: the task keeps failing, or the time is up.
    """
    watch = _Watch(source, connect, timeout_s, report)
    while not (_streams(source) and connect.offsets().settled):
        watch.wait("waiting for the snapshot and the stream")
    position = read_wal_position(source)
    source.execute(HEARTBEAT_QUERY.encode())
    while _confirmed(source) < position:
        watch.wait("waiting for a heartbeat to come through")


def check_publication_covers_changes(source: Connection) -> bool:
    """Check whether PostgreSQL can decode the changes that wait behind the slot.

    It cannot if the publication was dropped or renamed and made anew after such a change was written, since
    PostgreSQL decodes each change with the catalogue of that time. Debezium would then try for ever, and
    Connect would show its task as running. The check holds the slot for up to five seconds, in which Debezium
    cannot read it: do not repeat it once there is an answer.

    Returns:
        Whether the check could be made: not while another session holds the slot.

    Raises:
        Fault: the publication did not exist yet when a waiting change was written.
    """
    if read_slot(source) is None:
        return False
    try:
        with source.transaction():
            source.execute("SELECT set_config('statement_timeout', %s, true)", [_DECODING_PATIENCE])
            source.execute(
                "SELECT count(*) FROM pg_logical_slot_peek_binary_changes("
                "%s, NULL, NULL, 'proto_version', '1', 'publication_names', %s)",
                [SLOT, PUBLICATION],
            )
    except ObjectInUse:
        return False
    except QueryCanceled:
        return True  # there is much to decode, and its beginning can be decoded
    except UndefinedObject as error:
        raise Fault(
            f"publication {PUBLICATION} was made after changes that wait behind slot {SLOT}, which"
            f" PostgreSQL can no longer decode for it\n{RESNAPSHOT_CURE}"
        ) from error
    return True


class _Watch:
    """Waits in short steps, restarts a failed task a few times, and raises when the time is up."""

    def __init__(self, source: Connection, connect: ConnectClient, timeout_s: float, report: Report) -> None:
        self._source = source
        self._connect = connect
        self._report = report
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._next_look = time.monotonic() + _LOOK_EVERY_S
        self._restarts = 0
        self._asked = False

    def wait(self, purpose: str) -> None:
        """Sleep for a moment; every few seconds, check the task's state and restart it if it has failed.

        Raises:
            Fault: the task keeps failing, or the time is up.
        """
        time.sleep(_POLL_S)
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_EVERY_S
        status = self._connect.status()
        if status.position_gone:
            raise Fault(f"{LOST_SLOT}\n{RESNAPSHOT_CURE}")
        if not self._asked and self._connect.offsets().settled:
            self._asked = check_publication_covers_changes(self._source)
        self._report(f"{purpose}: {status.description}")
        if status.failed:
            self._restart(status)
        if time.monotonic() > self._deadline:
            raise Fault(f"{purpose}: not done after {self._timeout_s:.0f} s; {status.description}")

    def _restart(self, status: ConnectorStatus) -> None:
        if self._restarts == _RESTARTS:
            raise Fault(f"the connector failed again after {_RESTARTS} restarts: {status.reason}")
        self._restarts += 1
        self._connect.restart_failed()


def _update_configuration(
    settings: Settings, connect: ConnectClient, current: dict[str, str], report: Report
) -> None:
    wanted = render_config(settings, fence_of(current))
    if {name: text for name, text in current.items() if name != "name"} != wanted:
        report("configuration changed")
        connect.put_config(wanted)
    if connect.status().connector in ("STOPPED", "PAUSED"):
        connect.resume()


def _dropped(connection: Connection) -> bool:
    try:
        connection.execute("SELECT pg_drop_replication_slot(%s)", [SLOT])
    except UndefinedObject:
        return True
    except ObjectInUse:
        return False
    return True


def _streams(source: Connection) -> bool:
    return slot_health(read_slot(source)).state in (SlotState.STREAMING, SlotState.ENDANGERED)


def _confirmed(source: Connection) -> int:
    slot = read_slot(source)
    return (slot.confirmed_lsn or 0) if slot else 0


def render_config(settings: Settings, fence: int) -> dict[str, str]:
    """Make the connector's configuration for Kafka Connect.

    It does not hold the password, which Connect reads from its own environment.

    Args:
        settings: they say where the source is.
        fence: the version that the rows of a snapshot get (see docs/decisions).
    """
    template = files(__package__).joinpath("postgres.json").read_text(encoding="utf-8")
    values = _values(settings, fence)
    return {key: Template(text).substitute(values) for key, text in json.loads(template).items()}


def fence_of(config: Mapping[str, str]) -> int:
    """The fence in a connector's present configuration; 0: there is none."""
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
