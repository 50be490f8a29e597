"""The rights that deploy/kubernetes gives at Kafka, held by a broker that asks for a login: who can what."""

from __future__ import annotations

import datetime as dt
import importlib.util
import ipaddress
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from dataflix_contract import Settings
from dataflix_contract.settings import ENV_PREFIX, KAFKA_SASL_MECHANISM
from dataflix_stack.servers import wanted_servers
from support.raw import FIRST_ID, deletion
from support.stack import ROOT
from support.waiting import wait_until

USERS = ("masker", "clickhouse", "connect", "batch")
SECONDS = 120
_BROKER = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=SASL_SSL://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{controller},PLAINTEXT://127.0.0.1:{plain}
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms={mechanism}
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={folder}/key-and-certificate.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
log.dirs={folder}/logs
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
message.max.bytes=8388608
"""


class Broker:
    """A broker with a door that asks for a login, and one for whoever sets it up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secure, self.plain, self.controller, self.masker = _free_ports(4)
        self._process: subprocess.Popen[bytes] | None = None

    def settings(self, user: str = "") -> Settings:
        """How a user reaches it; without one by the other door."""
        return Settings(
            kafka_port=self.secure if user else self.plain,
            kafka_user=user,
            kafka_password=f"secret-of-{user}",
            kafka_ca_file=self.folder / "certificate.pem",
            masker_port=self.masker,
            kafka_partitions=1,
        )

    def environment(self, user: str = "") -> dict[str, str]:
        """The same for a program."""
        names = ("kafka_port", "kafka_user", "kafka_ca_file", "masker_port", "kafka_partitions")
        values = {name: str(getattr(self.settings(user), name)) for name in names}
        values["kafka_password"] = f"secret-of-{user}" if user else ""
        return os.environ | {f"{ENV_PREFIX}{name.upper()}": value for name, value in values.items()}

    def start(self) -> None:
        """Make certificate and logins, and start it."""
        key, certificate = _certificate()
        (self.folder / "certificate.pem").write_bytes(certificate)
        (self.folder / "key-and-certificate.pem").write_bytes(key + certificate)
        config = self.folder / "kafka.properties"
        ports = {"secure": self.secure, "plain": self.plain, "controller": self.controller}
        config.write_text(_BROKER.format(folder=self.folder, mechanism=KAFKA_SASL_MECHANISM, **ports))
        logins = [
            f"--add-scram={KAFKA_SASL_MECHANISM}=[name={user},password=secret-of-{user}]" for user in USERS
        ]
        _run(
            *_java("kafka.tools.StorageTool"), "format", "--standalone",
            "--cluster-id=ZGF0YWZsaXgtY29tcG9zZQ", f"--config={config}", *logins,
        )  # fmt: skip
        with (self.folder / "kafka.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*_java("-Xmx256m", "kafka.Kafka"), str(config)], stdout=log, stderr=log
            )
        admin = AdminClient(self.settings().kafka_client | {"log_level": 0})
        wait_until(lambda: _answers(admin), "the broker answers", SECONDS)

    def stop(self) -> None:
        """End it."""
        if self._process:
            self._process.kill()
            self._process.wait()


def _certificate() -> tuple[bytes, bytes]:
    """A key, and a certificate of this machine that it vouches for itself; both as PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, open_ = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(pem, form, open_), certificate.public_bytes(pem)


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    numbers = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return numbers


def _java(*arguments: str) -> list[str]:
    servers = wanted_servers()
    return [str(servers.java), "-cp", f"{servers.jars}/*", *arguments]


def _run(*command: str, **options: Any) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr


def _answers(admin: AdminClient) -> bool:
    try:
        return bool(admin.list_topics(timeout=3).brokers)
    except KafkaException:
        return False


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "kubernetes_generate", ROOT / "deploy" / "kubernetes" / "generate.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _bindings() -> list[AclBinding]:
    """The rights in Kafka's own terms, as Strimzi would set them."""
    patterns = {"prefix": ResourcePatternType.PREFIXED, "literal": ResourcePatternType.LITERAL}
    kinds = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}
    operations = {"AlterConfigs": "ALTER_CONFIGS", "DescribeConfigs": "DESCRIBE_CONFIGS"}
    return [
        AclBinding(
            kinds[acl["resource"]["type"]],
            acl["resource"]["name"],
            patterns[acl["resource"]["patternType"]],
            f"User:{user['metadata']['name']}",
            acl["host"],
            AclOperation[operations.get(operation, operation.upper())],
            AclPermissionType.ALLOW,
        )
        for user in _generator().users()
        for acl in user["spec"]["authorization"]["acls"]
        for operation in acl["operations"]
    ]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with the topics, the users and their rights."""
    _run("bin/dataflix-stack", "install", cwd=ROOT)
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
        _run("bin/dataflix-connector", "topics", cwd=ROOT, env=broker.environment())
        admin = AdminClient(broker.settings().kafka_client)
        for done in admin.create_acls(_bindings()).values():
            done.result(30)
        yield broker
    finally:
        broker.stop()


def read(broker: Broker, user: str, topic: str, group: str) -> list[bytes]:
    """What a user gets of a topic.

    Raises:
        KafkaException: it may not read it.
    """
    client = broker.settings(user).kafka_client
    consumer = Consumer(client | {"group.id": group, "enable.auto.commit": False, "log_level": 0})
    try:
        if refused := consumer.list_topics(topic, 30).topics[topic].error:
            raise KafkaException(refused)
        consumer.assign([TopicPartition(topic, 0, 0)])
        found: list[bytes] = []
        while message := consumer.poll(10):
            if message.error():
                raise KafkaException(message.error())
            found.append(message.value() or b"")
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0))
            if (message.offset() or 0) + 1 >= end:
                break
        return found
    finally:
        consumer.close()


def write(broker: Broker, user: str, topic: str, key: bytes, value: bytes) -> None:
    """Send one record.

    Raises:
        KafkaException: the user may not write there.
    """
    refused: list[Any] = []
    client = broker.settings(user).kafka_client | {"log_level": 0, "message.timeout.ms": 30_000}
    producer = Producer(client)
    producer.produce(topic, value, key, on_delivery=lambda error, _: refused.append(error) if error else None)
    assert producer.flush(60) == 0
    if refused:
        raise KafkaException(refused[0])


def test_the_masker_logs_in_and_masks_what_connect_wrote(broker: Broker) -> None:
    key, value = deletion("users", FIRST_ID, name="Wilhelmina Quill", email="w.quill@example.org")
    write(broker, "connect", "cdc.public.users", key, value)
    log = broker.folder / "masker.log"
    with log.open("wb") as output:
        masker = subprocess.Popen(
            ["bin/dataflix-masker"], cwd=ROOT, env=broker.environment("masker"), stdout=output, stderr=output
        )
    try:
        url = f"http://127.0.0.1:{broker.masker}/health/ready"
        wait_until(lambda: _is_ready(url), "the masker is ready", SECONDS)
        [masked] = wait_until(
            lambda: read(broker, "clickhouse", "masked.users", "clickhouse-raw-users"),
            "the masked row arrives",
            SECONDS,
        )
    finally:
        masker.terminate()
        masker.wait(30)
    row = json.loads(masked)["before"]
    assert row["user_id"] == FIRST_ID
    assert row["name"].startswith("name-k1-")
    assert b"Quill" not in masked


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=3).is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("user", ["clickhouse", "batch", "connect"])
def test_nobody_else_reads_a_raw_topic(broker: Broker, user: str) -> None:
    with pytest.raises(KafkaException, match="AUTHORIZATION"):
        read(broker, user, "cdc.public.users", "clickhouse-raw-users")


def test_nobody_but_the_masker_writes_masked_rows(broker: Broker) -> None:
    with pytest.raises(KafkaException, match="AUTHORIZATION"):
        write(broker, "clickhouse", "masked.users", b"{}", b"{}")


def test_who_has_not_the_password_is_refused(broker: Broker) -> None:
    client = broker.settings("masker").kafka_client | {"sasl.password": "guessed", "log_level": 0}
    with pytest.raises(KafkaException):
        AdminClient(client).list_topics(timeout=5)
