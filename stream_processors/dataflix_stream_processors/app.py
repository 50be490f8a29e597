"""The masker's process: ``dataflix-masker --worker N``.

Faust runs the process: it handles group membership, rebalances, the agent, the
web server and signals. ``message_masker`` masks a message; ``processing`` handles
a whole poll.
"""

from __future__ import annotations

import logging
import os
import ssl
import sys
import threading
import traceback
from pathlib import Path
from typing import Annotated, Any, cast

import faust
import typer
from faust.auth import SASLCredentials
from faust.types import StreamT

from dataflix_contract import Masking, Settings, SettingsError, load_settings, tables
from dataflix_contract.logs import configure_logging, limit_library_logs
from dataflix_contract.schema import MASKER_GROUP
from dataflix_contract.settings import KAFKA_SASL_MECHANISM
from dataflix_stream_processors.delivery import Delivery, DeliveryError
from dataflix_stream_processors.monitoring import Metrics, add_pages, topic_faults
from dataflix_stream_processors.poll_consumer import PollTransport
from dataflix_stream_processors.processing import Processor

log = logging.getLogger(__name__)

#: Records of one poll: small enough that an idle stack's answer does not wait for
#: a batch, large enough that waiting for the broker once a batch costs little.
POLL_RECORDS = 2000
#: How many polls may wait for the agent.
WAITING_POLLS = 2
#: A killed worker's partitions are free after this time.
SESSION_SECONDS = 6.0
HEARTBEAT_SECONDS = 2.0
#: How soon partitions that appear are noticed.
METADATA_MS = 5000
#: A stop is cut off after this time. It usually takes about 2 s, but a minute without a broker.
STOP_SECONDS = 8.0
#: How often offsets are committed: after a kill, what was read since the last commit is masked twice.
COMMIT_SECONDS = 0.5


def build_app(settings: Settings, worker: int, delivery: Delivery) -> faust.App:
    """Make the masker's app, ready to be started."""
    masking = Masking(settings.masking_key.get_secret_value(), settings.masking_key_id)
    metrics = Metrics(settings.masking_key_id)
    processor = Processor(tables(), masking, settings.masker_max_bytes, delivery, metrics)
    app = _faust_app(settings, worker)
    app.transport = PollTransport(app.conf.broker_consumer, app)
    topic = app.topic(
        *(table.raw_topic for table in tables().values()),
        key_type=bytes,
        value_type=None,
        key_serializer="raw",
        value_serializer="raw",
    )

    @app.agent(topic, concurrency=1, name="mask")
    async def mask(stream: StreamT[Any]) -> None:
        async for event in cast(faust.Stream[Any], stream).noack().events():
            try:
                await processor.process(event.value)
            except Exception as error:  # noqa: BLE001
                log.error("poll not delivered, restarting from the last commit: %s", _safe_text(error))  # noqa: TRY400
                _die()
            event.ack()

    standby_expected = settings.masker_workers > len(tables()) * settings.kafka_partitions
    add_pages(app, metrics, delivery, standby_expected=standby_expected)
    return app


def _safe_text(error: Exception) -> str:
    """What may be logged of an error: an unforeseen one may quote a row, so only its type and place."""
    if isinstance(error, DeliveryError):
        return str(error)
    places = [
        f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    return f"{type(error).__name__} at {' > '.join(places)}"


def _die() -> None:
    """End the process at once: going on after a failure would commit past it.

    Faust would restart the agent with the next event. The supervisor restarts the
    process from the last commit instead.
    """
    logging.shutdown()
    os._exit(1)


class _App(faust.App):
    """A Faust app without tables."""

    def _create_directories(self) -> None:
        """Make none: nothing is kept on disk."""

    async def on_stop(self) -> None:
        """Stop in order, and at once when a broker that is away makes that take too long."""
        timer = threading.Timer(STOP_SECONDS, _die)
        timer.daemon = True
        timer.start()
        await super().on_stop()


def _faust_app(settings: Settings, worker: int) -> faust.App:
    return _App(
        MASKER_GROUP,
        broker=f"kafka://{settings.kafka_bootstrap}",
        broker_credentials=_login(settings),
        broker_client_id=f"{MASKER_GROUP}-{worker}",
        broker_max_poll_records=POLL_RECORDS,
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=HEARTBEAT_SECONDS,
        broker_request_timeout=30.0,
        broker_commit_interval=COMMIT_SECONDS,
        # A broker that has just started does not name all topics yet; look again soon.
        consumer_metadata_max_age_ms=METADATA_MS,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=WAITING_POLLS,
        stream_wait_empty=True,  # a rebalance and a stop wait for the poll at work
        store="memory://",
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_bind=settings.bind,
        web_host=settings.bind,
        web_port=settings.masker_port + worker,
        worker_redirect_stdouts=False,
    )


def _login(settings: Settings) -> SASLCredentials | None:
    """The login at Kafka in Faust's form; None where Kafka asks for none."""
    if not settings.kafka_user:
        return None
    return SASLCredentials(
        username=settings.kafka_user,
        password=settings.kafka_password.get_secret_value(),
        mechanism=KAFKA_SASL_MECHANISM,
        ssl_context=ssl.create_default_context(cafile=settings.kafka_ca_file),
    )


def run(worker: Annotated[int, typer.Option(min=0, help="Number of this worker, from 0.")] = 0) -> None:
    """Mask the raw topics until SIGTERM."""
    configure_logging("masker")
    limit_library_logs("faust", "mode", "aiokafka", "kafka")
    try:
        settings = load_settings()
    except SettingsError as error:
        log.error("%s", error)  # noqa: TRY400
        sys.exit(1)
    if settings.local_only_key:
        log.warning("the masking key is the public default: good for trying on this machine only")
    delivery = Delivery(settings.kafka_client, f"{MASKER_GROUP}-{worker}")
    _check_topics(delivery)
    process = build_app(settings, worker, delivery).Worker(override_logging=False, quiet=True)
    process.spinner = None  # standard output is no terminal
    try:
        process.execute_from_commandline()
    except SystemExit as ended:
        if ended.code:  # threads of a crashed consumer would hold the process for seconds
            _die()
        raise


def _check_topics(delivery: Delivery) -> None:
    """Exit with advice if the topics are not as they must be, before a client creates some by itself."""
    try:
        faults = topic_faults(delivery.partitions(), tables())
    except DeliveryError as error:
        faults = [str(error)]
    for fault in faults:
        log.error("%s", fault)
    if faults:
        sys.exit(1)


def main() -> None:
    """Entry point of ``dataflix-masker``."""
    typer.run(run)
