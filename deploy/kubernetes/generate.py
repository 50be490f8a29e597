"""Print what of deploy/kubernetes follows from the contract and the settings into ``base/generated``.

.dataflix/envs/tests/bin/python deploy/kubernetes/generate.py

Topics and their settings, who may read which, the connector, ClickHouse's configuration, and the pods of
our own services. A test compares what is committed with what this prints.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import yaml  # type: ignore[import-untyped]

from dataflix_connectors.registration import render_config
from dataflix_connectors.topics import wanted_topics
from dataflix_contract import Settings, tables
from dataflix_contract.schema import (
    CONNECTOR,
    DEAD_LETTER_TOPIC,
    DRIFT_TOPIC,
    MASKER_GROUP,
    RAW_TOPIC_PREFIX,
    RECONCILED_TOPIC,
)
from dataflix_contract.settings import ENV_PREFIX

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = HERE / "base" / "generated"

#: The release of our images, as docker-compose.yml names it.
RELEASE = "0.1.0"
#: What the settings are in a cluster: names of Services; everything else is left to its default.
CLUSTER = {
    "bind": "0.0.0.0",  # noqa: S104 - of a pod; NetworkPolicies say who may come
    "postgres_host": "postgres-rw",
    "kafka_host": "kafka-kafka-bootstrap",
    "kafka_ca_file": "/var/run/dataflix/kafka/ca.crt",
    "connect_host": "connect-connect-api",
    "clickhouse_host": "clickhouse",
    "clickhouse_user": "dataflix",  # the operator keeps `default` to itself
    "airflow_host": "airflow-api-server",
    "dbt_host": "dbt",
    "mlflow_host": "mlflow",
    "s3_host": "s3",
    "backend_host": "backend",
    "data_dir": "/var/lib/dataflix",
}
SETTINGS = Settings.model_validate(CLUSTER)
#: The user and group of our images.
USER = 10001
KAFKA_CLUSTER, SECRETS, SUPERUSER = "kafka", "dataflix", "postgres-superuser"
GENERATED = "# Printed by deploy/kubernetes/generate.py: change that, the contract or the settings instead.\n"

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """One of our servers, or a program that sets something up and ends.

    Attributes:
        secrets: settings that come from the Secret.
        port: the setting of the port that it listens on.
        kafka_user: who it is at Kafka; empty: it does not go there.
        live, ready: paths of its health pages.
        storage: size of the folder that it keeps; empty: what it writes is forgotten.
        cpu, memory: what it asks for; memory is its limit too.
    """

    name: str
    image: str
    command: tuple[str, ...]
    secrets: tuple[str, ...] = ()
    port: str = ""
    kafka_user: str = ""
    live: str = "/health/live"
    ready: str = "/health/ready"
    storage: str = ""
    cpu: str = "100m"
    memory: str = "512Mi"
    strategy: str = "RollingUpdate"
    environment: dict[str, str] = field(default_factory=dict)


SERVERS = (
    Workload(
        "masker",
        "masker",
        ("dataflix-masker", "--worker", "0"),
        secrets=("masking_key",),
        port="masker_port",
        kafka_user="masker",
        cpu="500m",
        memory="768Mi",
    ),
    Workload(
        "backend",
        "backend",
        ("dataflix-backend",),
        secrets=("postgres_api_password", "backend_token", "clickhouse_password", "airflow_password"),
        port="backend_port",
        kafka_user="backend",
        cpu="500m",
        memory="1Gi",
    ),
    Workload(
        "dbt",
        "dbt",
        ("dataflix-dbt-webhook",),
        secrets=("clickhouse_dbt_password", "dbt_token"),
        port="dbt_port",
        storage="1Gi",
        memory="1Gi",
        strategy="Recreate",  # one at a time: its queue of runs is in its folder
    ),
    Workload(
        "mlflow",
        "tracking",
        ("dataflix-mlflow",),
        secrets=("mlflow_db_password", "s3_access_key", "s3_secret_key"),
        port="mlflow_port",
        live="/health",
        ready="/api/2.0/mlflow/experiments/search?max_results=1",
        memory="1536Mi",
    ),
    Workload(
        "s3",
        "versitygw",
        (
            "versitygw",
            "--port=0.0.0.0:$(DATAFLIX_S3_PORT)",
            "--health=/health",
            "--quiet",
            "--iam-dir=/var/lib/dataflix/s3/accounts",
            "posix",
            "/var/lib/dataflix/s3/buckets",
        ),
        port="s3_port",
        live="/health",
        ready="/health",
        storage="20Gi",
        strategy="Recreate",
        environment={"DATAFLIX_S3_PORT": str(SETTINGS.s3_port)},
    ),
)

_ROLES = ("postgres_password", "postgres_api_password", "debezium_password")
JOBS = (
    Workload("migrate", "postgres", ("dataflix-migrate",), secrets=_ROLES),
    Workload(
        "databases",
        "postgres",
        ("dataflix-databases",),
        secrets=(*_ROLES, "airflow_db_password", "mlflow_db_password"),
    ),
    Workload("warehouse", "warehouse", ("dataflix-warehouse",), secrets=("clickhouse_admin_password",)),
    Workload("bucket", "tracking", ("dataflix-mlflow", "bucket"), secrets=("s3_access_key", "s3_secret_key")),
)
#: Jobs that log in as PostgreSQL's superuser, whose password the operator makes.
_ADMINS = {"migrate", "databases"}

#: Who may open a connection to whom, and on which setting's port; nobody else may.
FLOWS = (
    ("masker", "kafka", "kafka_port"),
    ("connect", "kafka", "kafka_port"),
    ("connect", "postgres", "postgres_port"),
    ("clickhouse", "kafka", "kafka_port"),
    ("backend", "postgres", "postgres_port"),
    ("backend", "mlflow", "mlflow_port"),
    ("backend", "clickhouse", "clickhouse_http_port"),
    ("backend", "kafka", "kafka_port"),
    ("backend", "airflow", "airflow_port"),
    ("dbt", "clickhouse", "clickhouse_http_port"),
    ("mlflow", "postgres", "postgres_port"),
    ("mlflow", "s3", "s3_port"),
    ("airflow", "postgres", "postgres_port"),
    ("airflow", "kafka", "kafka_port"),
    ("airflow", "clickhouse", "clickhouse_http_port"),
    ("airflow", "dbt", "dbt_port"),
    ("airflow", "mlflow", "mlflow_port"),
    ("airflow", "airflow", "airflow_port"),
    ("migrate", "postgres", "postgres_port"),
    ("databases", "postgres", "postgres_port"),
    ("warehouse", "clickhouse", "clickhouse_http_port"),
    ("bucket", "s3", "s3_port"),
)
#: How the pods of each part are found; the operators label theirs.
SELECTORS = {
    "connect": {"strimzi.io/cluster": "connect"},
    "postgres": {"cnpg.io/cluster": "postgres"},
    "clickhouse": {"clickhouse.altinity.com/chi": "warehouse"},
    "airflow": {"tier": "airflow"},
}
#: Whom the operators' own pods let in besides: each other, and their operator, wherever that is.
OPERATED = {
    "postgres": ({"cnpg.io/cluster": "postgres"}, {"app.kubernetes.io/name": "cloudnative-pg"}),
    "clickhouse": ({"clickhouse.altinity.com/chi": "warehouse"}, {"app": "clickhouse-operator"}),
}
#: Namespaces that may scrape metrics, and whose pods may call the API.
_MONITORING = {"kubernetes.io/metadata.name": "monitoring"}
_CALLERS = {"dataflix/calls-the-api": "true"}
_SCRAPED = ("masker", "backend", "dbt")


def topics() -> Iterator[Resource]:
    """Every topic, as the native way makes it; the brokers' default says how many copies."""
    for topic in wanted_topics(SETTINGS):
        name = re.sub(r"[^a-z0-9.-]+", "-", topic.name).strip("-")
        spec = {"topicName": topic.name, "partitions": topic.partitions, "config": dict(topic.config)}
        yield _of_cluster("KafkaTopic", name, spec)


def users() -> Iterator[Resource]:
    """Who may do what at Kafka: the raw topics are read by the masker, and by nobody else."""
    raw, masked = f"{RAW_TOPIC_PREFIX}.", "masked."
    look = ("Describe", "DescribeConfigs")
    groups = [_acl("group", name, "literal", "Describe") for name in _groups()]
    yield _user(
        "masker",
        _acl("topic", raw, "prefix", "Read", *look),
        _acl("topic", masked, "prefix", "Write", *look),
        *(
            _acl("topic", name, "literal", "Read", "Write", *look)
            for name in (DEAD_LETTER_TOPIC, DRIFT_TOPIC)
        ),
        _acl("topic", RECONCILED_TOPIC, "literal", "Read", *look),
        _acl("group", MASKER_GROUP, "literal", "Read", "Describe"),
    )
    yield _user(
        "connect",
        _acl("topic", raw, "prefix", "Write", *look),
        _acl("topic", "__debezium-heartbeat.", "prefix", "Write", *look),
        _acl("topic", "connect.", "prefix", "Read", "Write", "Create", "Alter", "AlterConfigs", *look),
        _acl("group", "dataflix-connect", "literal", "Read", "Describe"),
    )
    yield _user(
        "clickhouse",
        _acl("topic", masked, "prefix", "Read", *look),
        _acl("group", "clickhouse-raw-", "prefix", "Read", "Describe"),
    )
    offsets = [_acl("topic", prefix, "prefix", *look) for prefix in (raw, masked, "masker.")]
    # Both ask how far the stream is. The batch also writes what it has reconciled; the backend reads the
    # times of masked changes for its page, and joins no group.
    yield _user("batch", *offsets, _acl("topic", RECONCILED_TOPIC, "literal", "Write", *look), *groups)
    yield _user("backend", _acl("topic", masked, "prefix", "Read"), *offsets, *groups)


def connector() -> Resource:
    """The connector as ``dataflix-connector register`` would make it, for a first snapshot."""
    config: dict[str, Any] = dict(render_config(SETTINGS, fence=0))
    spec = {
        "class": config.pop("connector.class"),
        "tasksMax": int(config.pop("tasks.max")),
        "autoRestart": {"enabled": True},
        "config": config,
    }
    return _of_cluster("KafkaConnector", CONNECTOR, spec, cluster="connect")


def clickhouse_files() -> Resource:
    """The part of ClickHouse's installation that is the native server's configuration."""
    names = {role: getattr(SETTINGS, f"clickhouse_{role}user") for role in ("admin_", "", "batch_", "dbt_")}
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT / "clickhouse" / "server"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - names of ours
    )
    roles = {"admin": "admin_", "reader": "", "batch": "batch_", "dbt": "dbt_"}
    values = {f"{role}_user": names[part] for role, part in roles.items()} | {
        f"{role}_password_sha256": f"@clickhouse_{part}password@" for role, part in roles.items()
    }
    values["reader_is_engine"] = False
    text = templates.get_template("users.xml.j2").render(values)
    users_file = re.sub(
        r"<password_sha256_hex>@(\w+)@</password_sha256_hex>",
        lambda match: f'<password from_env="{ENV_PREFIX}{match[1].upper()}"/>',
        text,
    )
    login = "".join(
        f"\n        <{name}>{value}</{name}>"
        for name, value in {
            "security_protocol": "sasl_ssl",
            "ssl_ca_location": SETTINGS.kafka_ca_file,
            "sasl_mechanism": "SCRAM-SHA-512",
        }.items()
    )
    login += "".join(
        f'\n        <sasl_{name} from_env="{ENV_PREFIX}KAFKA_{setting}"/>'
        for name, setting in (("username", "USER"), ("password", "PASSWORD"))
    )
    settings_file = templates.get_template("settings.xml.j2").render().replace("<kafka>", f"<kafka>{login}")
    return {
        "apiVersion": "clickhouse.altinity.com/v1",
        "kind": "ClickHouseInstallation",
        "metadata": {"name": "warehouse"},
        "spec": {
            "configuration": {
                "files": {"config.d/dataflix.xml": settings_file, "users.d/dataflix.xml": users_file}
            }
        },
    }


def configuration() -> Resource:
    """The settings that are no secrets, as every pod of ours reads them."""
    data = {f"{ENV_PREFIX}{name.upper()}": value for name, value in CLUSTER.items()}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "dataflix"},
        "data": data | {f"{ENV_PREFIX}MASKING_KEY_ID": SETTINGS.masking_key_id},
    }


def servers() -> Iterator[Resource]:
    """Deployments of our servers, with the Service of each and the volume that some keep."""
    for one in SERVERS:
        yield _deployment(one)
        port = getattr(SETTINGS, one.port)
        yield {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": one.name, "labels": _labels(one)},
            "spec": {
                "selector": _labels(one),
                "ports": [{"name": "http", "port": port, "targetPort": "http"}],
            },
        }
        if one.storage:
            yield {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": one.name, "labels": _labels(one)},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": one.storage}},
                },
            }


def jobs() -> Iterator[Resource]:
    """The programs that bring something up to date; each may run again and then changes nothing."""
    for one in JOBS:
        yield {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": one.name, "labels": _labels(one)},
            "spec": {
                # until the server that it talks to is there
                "backoffLimit": 20,
                "activeDeadlineSeconds": 3600,
                "template": {
                    "metadata": {"labels": _labels(one)},
                    "spec": _pod(one) | {"restartPolicy": "OnFailure"},
                },
            },
        }


def listener() -> Resource:
    """Kafka's door: TLS, a login, and only the pods that have business there."""
    clients = [client for client, server, _ in FLOWS if server == "kafka"]
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "Kafka",
        "metadata": {"name": KAFKA_CLUSTER},
        "spec": {
            "kafka": {
                "listeners": [
                    {
                        "name": "clients",
                        "port": SETTINGS.kafka_port,
                        "type": "internal",
                        "tls": True,
                        "authentication": {"type": "scram-sha-512"},
                        "networkPolicyPeers": [_peer(client) for client in clients],
                    }
                ]
            }
        },
    }


def policies() -> Iterator[Resource]:
    """Our pods talk to nobody, but for names to be looked up and the flows above.

    Pods of operators may go where they want (peers, their operator, the API server). Into them come the
    flows above; into Kafka too, whose operator makes the policy from the listener's peers.
    """
    ours = {"app.kubernetes.io/part-of": "dataflix"}
    names = [one.name for one in (*SERVERS, *JOBS)]
    yield _policy("nobody", ours, {"policyTypes": ["Ingress", "Egress"]})
    dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    yield _policy("names", ours, {"policyTypes": ["Egress"], "egress": [{"ports": dns}]})
    for part in sorted({server for _, server, _ in FLOWS} & {*names, *OPERATED}):
        rules = [
            {"from": [_peer(client)], "ports": [_port(setting)]}
            for client, server, setting in FLOWS
            if server == part
        ]
        rules += [
            {"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": selector}}]}
            for selector in OPERATED.get(part, ())
        ]
        yield _policy(f"to-{part}", _selector(part), {"policyTypes": ["Ingress"], "ingress": rules})
    for part in sorted({client for client, _, _ in FLOWS} & {*names}):
        rules = [
            {"to": [_peer(server)], "ports": [_port(setting)]}
            for client, server, setting in FLOWS
            if client == part
        ]
        yield _policy(f"from-{part}", _selector(part), {"policyTypes": ["Egress"], "egress": rules})
    for one in (one for one in SERVERS if one.name in _SCRAPED):
        yield _from_namespaces(f"metrics-of-{one.name}", one, _MONITORING)
        if one.name == "backend":
            yield _from_namespaces("api", one, _CALLERS)


def _from_namespaces(name: str, one: Workload, labels: dict[str, str]) -> Resource:
    rule = {"from": [{"namespaceSelector": {"matchLabels": labels}}], "ports": [_port(one.port)]}
    return _policy(name, _selector(one.name), {"policyTypes": ["Ingress"], "ingress": [rule]})


def _groups() -> list[str]:
    return [MASKER_GROUP, *(table.warehouse_group for table in tables().values())]


def _of_cluster(kind: str, name: str, spec: Resource, cluster: str = KAFKA_CLUSTER) -> Resource:
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": {"strimzi.io/cluster": cluster}},
        "spec": spec,
    }


def _user(name: str, *acls: Resource) -> Resource:
    spec = {
        "authentication": {"type": "scram-sha-512"},
        "authorization": {"type": "simple", "acls": list(acls)},
    }
    return _of_cluster("KafkaUser", name, spec)


def _acl(kind: str, name: str, pattern: str, *operations: str) -> Resource:
    resource = {"type": kind, "name": name, "patternType": pattern}
    return {"resource": resource, "operations": list(operations), "host": "*"}


def _deployment(one: Workload) -> Resource:
    strategy: Resource = {"type": one.strategy}
    if one.strategy == "RollingUpdate":
        strategy["rollingUpdate"] = {"maxUnavailable": 0, "maxSurge": 1}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": one.name, "labels": _labels(one)},
        "spec": {
            "replicas": 1,
            "strategy": strategy,
            "selector": {"matchLabels": _labels(one)},
            "template": {"metadata": {"labels": _labels(one)}, "spec": _pod(one)},
        },
    }


def _pod(one: Workload) -> Resource:
    container: Resource = {
        "name": one.name,
        "image": f"dataflix/{one.image}:{'1.8.0' if one.image == 'versitygw' else RELEASE}",
        "command": list(one.command),
        "envFrom": [{"configMapRef": {"name": "dataflix"}}],
        "env": list(_environment(one)),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {"cpu": one.cpu, "memory": one.memory},
            "limits": {"memory": one.memory},
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
            {"name": "data", "mountPath": "/var/lib/dataflix"},
        ],
    }
    kept = {"persistentVolumeClaim": {"claimName": one.name}} if one.storage else {"emptyDir": {}}
    volumes: list[Resource] = [{"name": "tmp", "emptyDir": {}}, {"name": "data", **kept}]
    if one.port:
        container["ports"] = [{"name": "http", "containerPort": getattr(SETTINGS, one.port)}]
        container |= _probes(one)
    if one.kafka_user:
        container["volumeMounts"].append(
            {"name": "kafka-ca", "mountPath": str(SETTINGS.kafka_ca_file.parent), "readOnly": True}  # type: ignore[union-attr]
        )
        secret = {
            "secretName": f"{KAFKA_CLUSTER}-cluster-ca-cert",
            "items": [{"key": "ca.crt", "path": "ca.crt"}],
        }
        volumes.append({"name": "kafka-ca", "secret": secret})
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # they would set DATAFLIX-like variables of their own
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
    }


def _environment(one: Workload) -> Iterator[Resource]:
    for name, value in one.environment.items():
        yield {"name": name, "value": value}
    if one.name == "s3":
        yield _secret("ROOT_ACCESS_KEY_ID", SECRETS, f"{ENV_PREFIX}S3_ACCESS_KEY")
        yield _secret("ROOT_SECRET_ACCESS_KEY", SECRETS, f"{ENV_PREFIX}S3_SECRET_KEY")
    if one.name in _ADMINS:
        yield _secret(f"{ENV_PREFIX}POSTGRES_ADMIN_USER", SUPERUSER, "username")
        yield _secret(f"{ENV_PREFIX}POSTGRES_ADMIN_PASSWORD", SUPERUSER, "password")
    for setting in one.secrets:
        variable = f"{ENV_PREFIX}{setting.upper()}"
        yield _secret(variable, SECRETS, variable)
    if one.kafka_user:
        yield {"name": f"{ENV_PREFIX}KAFKA_USER", "value": one.kafka_user}
        yield _secret(f"{ENV_PREFIX}KAFKA_PASSWORD", one.kafka_user, "password")


def _secret(variable: str, secret: str, key: str) -> Resource:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _probes(one: Workload) -> Resource:
    def ask(path: str, failures: int) -> Resource:
        return {
            # by its name: MLflow answers to no other
            "httpGet": {
                "path": path,
                "port": "http",
                "httpHeaders": [{"name": "Host", "value": one.name}],
            },
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": failures,
        }

    return {
        "startupProbe": ask(one.live, 30),
        "livenessProbe": ask(one.live, 6),
        "readinessProbe": ask(one.ready, 3),
    }


def _labels(one: Workload) -> dict[str, str]:
    return {"app.kubernetes.io/part-of": "dataflix", "app.kubernetes.io/name": one.name}


def _policy(name: str, selector: dict[str, str], rules: Resource) -> Resource:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": selector}, **rules},
    }


def _selector(part: str) -> dict[str, str]:
    if part == "kafka":
        return {"strimzi.io/cluster": KAFKA_CLUSTER}
    return SELECTORS.get(part, {"app.kubernetes.io/part-of": "dataflix", "app.kubernetes.io/name": part})


def _peer(part: str) -> Resource:
    return {"podSelector": {"matchLabels": _selector(part)}}


def _port(setting: str) -> Resource:
    return {"protocol": "TCP", "port": getattr(SETTINGS, setting)}


def files() -> dict[str, str]:
    """Every generated file's text, by its name."""
    parts: dict[str, Iterable[Resource]] = {
        "topics.yaml": topics(),
        "users.yaml": users(),
        "connector.yaml": [connector()],
        "clickhouse-files.yaml": [clickhouse_files()],
        "kafka-listener.yaml": [listener()],
        "configuration.yaml": [configuration()],
        "servers.yaml": servers(),
        "jobs.yaml": jobs(),
        "network-policies.yaml": policies(),
    }
    return {
        name: GENERATED + yaml.dump_all(docs, Dumper=_Dumper, sort_keys=False, width=110)
        for name, docs in parts.items()
    }


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Texts of several lines as such, and no references between parts."""

    def ignore_aliases(self, data: object) -> bool:
        """Write everything out."""
        del data
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> Any:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def main() -> None:
    """Write the files."""
    TARGET.mkdir(exist_ok=True)
    for name, text in files().items():
        (TARGET / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
