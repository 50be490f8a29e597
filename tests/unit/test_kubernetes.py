"""deploy/kubernetes: built, valid, agreeing with contract, settings and images. No cluster."""

from __future__ import annotations

import copy
import importlib.util
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from types import ModuleType
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from dataflix_connectors.registration import render_config
from dataflix_connectors.topics import wanted_topics
from dataflix_contract import Settings, tables
from dataflix_contract.schema import MAX_MESSAGE_BYTES
from dataflix_contract.settings import ENV_PREFIX
from dataflix_training.spark import BLOCK_PORT, DRIVER_PORT
from support.dockerfiles import images
from support.kubernetes import FOLDER, Resource, build, containers, faults, of_kind
from support.stack import ROOT

OVERLAYS = ("small", "ha")
DEFAULTS = Settings()
RESOURCES = {overlay: build(overlay) for overlay in OVERLAYS}
#: Applied beside one of these.
SPARK = build("spark")
SECRET_FIELDS = {
    f"{ENV_PREFIX}{name.upper()}"
    for name, field in Settings.model_fields.items()
    if "Secret" in str(field.annotation) or "Secret" in type(field.default).__name__
}


def compose_images() -> dict[str, str]:
    """The image of each service of docker-compose.yml."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    return {name: service["image"] for name, service in yaml.safe_load(text)["services"].items()}


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The program that prints what follows from the contract."""
    spec = importlib.util.spec_from_file_location("kubernetes_generate", FOLDER / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclass looks
    spec.loader.exec_module(module)
    return module


def test_what_is_generated_is_what_the_program_prints(generator: ModuleType) -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in generator.TARGET.iterdir()}
    assert committed == generator.files(), "run deploy/kubernetes/generate.py"


@pytest.mark.parametrize(
    ("overlay", "kind", "name"),
    [(overlay, one["kind"], one["metadata"]["name"]) for overlay in OVERLAYS for one in RESOURCES[overlay]],
)
def test_every_resource_is_valid(overlay: str, kind: str, name: str) -> None:
    assert faults(of_kind(RESOURCES[overlay], kind)[name]) == []


@pytest.mark.parametrize("kind", sorted({one["kind"] for one in RESOURCES["ha"]} - {"ConfigMap"}))
def test_a_misspelt_field_is_refused(kind: str) -> None:
    resource = copy.deepcopy(next(iter(of_kind(RESOURCES["ha"], kind).values())))
    resource.setdefault("spec", {})["replcias"] = 3
    assert faults(resource)


def test_a_kind_that_nobody_knows_is_refused() -> None:
    assert faults({"apiVersion": "example.org/v1", "kind": "Wish", "metadata": {"name": "x"}, "spec": {}})


def topic_faults(resources: list[Resource]) -> list[str]:
    """How the topics differ from those of the native way."""
    found = {
        one["spec"]["topicName"]: (one["spec"]["partitions"], one["spec"]["config"])
        for one in of_kind(resources, "KafkaTopic").values()
    }
    wanted = {topic.name: (topic.partitions, dict(topic.config)) for topic in wanted_topics(DEFAULTS)}
    return [name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)]


def connector_faults(resources: list[Resource]) -> list[str]:
    """How the connector differs from the one that ``dataflix-connector register`` makes."""
    spec = of_kind(resources, "KafkaConnector")["dataflix-postgres"]["spec"]
    found = spec["config"] | {"connector.class": spec["class"], "tasks.max": str(spec["tasksMax"])}
    wanted = render_config(DEFAULTS, fence=0) | {"database.hostname": "postgres-rw"}
    return [name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)]


def image_faults(resources: list[Resource]) -> list[str]:
    """Images that the containers of docker-compose.yml are not made of, nor the native way's releases."""
    compose = compose_images()
    known = set(compose.values())
    keeper = {image.replace("clickhouse-server", "clickhouse-keeper") for image in known}
    images = {container["image"] for _, _, container in containers(resources)}
    found = [image for image in images if image not in known | keeper]
    locked = (ROOT / "stack/dataflix_stack/servers.lock").read_text(encoding="utf-8").splitlines()
    kafka = of_kind(resources, "Kafka")["kafka"]["spec"]["kafka"]["version"]
    connect = of_kind(resources, "KafkaConnect")["connect"]["spec"]
    [plugin] = connect["build"]["plugins"]
    [artefact] = plugin["artifacts"]
    jars = (
        f"org.apache.kafka:kafka_2.13:{kafka} ",
        f"org.apache.kafka:connect-runtime:{connect['version']} ",
        f"{artefact['group']}:{artefact['artifact']}:{artefact['version']} ",
    )
    found += [jar for jar in jars if not any(line.startswith(jar) for line in locked)]
    postgres = of_kind(resources, "Cluster")["postgres"]["spec"]["imageName"].rpartition(":")[2]
    if compose["postgres"].rpartition(":")[2].split("-")[0] != postgres.split("-")[0]:
        found.append(f"PostgreSQL {postgres}")
    return found


def port_faults(resources: list[Resource]) -> list[str]:
    """Ports that are not the settings' defaults."""
    wanted = {
        "masker": DEFAULTS.masker_port,
        "backend": DEFAULTS.backend_port,
        "dbt": DEFAULTS.dbt_port,
        "mlflow": DEFAULTS.mlflow_port,
        "s3": DEFAULTS.s3_port,
    }
    services = of_kind(resources, "Service")
    found = {name: one["spec"]["ports"][0]["port"] for name, one in services.items()}
    pods = {
        name: container["ports"][0]["containerPort"]
        for name, _, container in containers(resources)
        if name in wanted
    }
    [listener] = of_kind(resources, "Kafka")["kafka"]["spec"]["kafka"]["listeners"]
    [clickhouse] = of_kind(resources, "ClickHouseInstallation")["warehouse"]["spec"]["templates"][
        "serviceTemplates"
    ]
    ports = {one["name"]: one["port"] for one in clickhouse["spec"]["ports"]}
    servers = {"http": DEFAULTS.clickhouse_http_port, "tcp": DEFAULTS.clickhouse_tcp_port}
    return [
        *(f"Service {name}" for name in wanted if found.get(name) != wanted[name]),
        *(f"pod {name}" for name in wanted if pods.get(name) != wanted[name]),
        *(["Kafka"] if listener["port"] != DEFAULTS.kafka_port else []),
        *(["ClickHouse"] if ports != servers else []),
    ]


def environment_faults(resources: list[Resource]) -> list[str]:
    """Variables that are no settings, and secrets whose value is written down."""
    settings = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    plain = of_kind(resources, "ConfigMap")["dataflix"]["data"]
    named = {
        variable["name"]: variable for _, _, one in containers(resources) for variable in one.get("env", [])
    }
    ours = {name for name in (*plain, *named) if name.startswith(ENV_PREFIX)}
    written = {name for name, variable in named.items() if "value" in variable} | plain.keys()
    return [*(ours - settings), *(written & SECRET_FIELDS)]


def readers(resources: list[Resource], topics: list[str]) -> set[str]:
    """Who may read one of these topics at Kafka."""
    return {
        name
        for name, user in of_kind(resources, "KafkaUser").items()
        for acl in user["spec"]["authorization"]["acls"]
        if {"Read", "All"} & set(acl["operations"])
        and acl["resource"]["type"] == "topic"
        and any(_matches(acl["resource"], topic) for topic in topics)
    }


def _matches(resource: dict[str, str], topic: str) -> bool:
    if resource["patternType"] == "prefix":
        return topic.startswith(resource["name"])
    return resource["name"] in {topic, "*"}


def kafka_faults(resources: list[Resource]) -> list[str]:
    """How the brokers differ from the native one in what the pipeline depends on."""
    spec = of_kind(resources, "Kafka")["kafka"]["spec"]["kafka"]
    [listener] = spec["listeners"]
    wanted = {
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "replica.fetch.max.bytes": MAX_MESSAGE_BYTES,
        "auto.create.topics.enable": False,
    }
    found = [name for name, value in wanted.items() if spec["config"].get(name) != value]
    connect = of_kind(resources, "KafkaConnect")["connect"]["spec"]["config"]
    if connect["producer.max.request.size"] != MAX_MESSAGE_BYTES:
        found.append("producer.max.request.size")
    if not (listener["tls"] and listener["authentication"] and spec["authorization"] == {"type": "simple"}):
        found.append("a client need not say who it is")
    return found


def hardening_faults(resources: list[Resource]) -> list[str]:
    """Containers that could be root, gain rights, or write to their image."""
    found = []
    for name, pod, container in containers(resources):
        own = container["securityContext"]
        ours = container["image"].startswith("dataflix/")
        wrong = {
            "root": not pod["securityContext"]["runAsNonRoot"],
            "rights": own["allowPrivilegeEscalation"] or own["capabilities"] != {"drop": ["ALL"]},
            "writes": ours and not own["readOnlyRootFilesystem"],
            "limits": "memory" not in container["resources"]["limits"],
            "token": pod["automountServiceAccountToken"],
        }
        found += [f"{name}: {fault}" for fault, there in wrong.items() if there]
    return found


def replica_faults(resources: list[Resource]) -> list[str]:
    """Why the replicas of ClickHouse would not keep one warehouse together; one server needs none."""
    warehouse = of_kind(resources, "ClickHouseInstallation")["warehouse"]["spec"]
    [cluster] = warehouse["configuration"]["clusters"]
    named = of_kind(resources, "ConfigMap")["dataflix"]["data"].get(f"{ENV_PREFIX}CLICKHOUSE_CLUSTER", "")
    if cluster["layout"]["replicasCount"] == 1:
        return ["a cluster is named"] if named else []
    keepers = {f"keeper-{name}" for name in of_kind(resources, "ClickHouseKeeperInstallation")}
    [service] = warehouse["templates"]["serviceTemplates"]
    apart = warehouse["templates"]["podTemplates"][0].get("podDistribution", [])
    wrong = {
        "another cluster is named": named != cluster["name"],
        "no Keeper": {node["host"] for node in warehouse["configuration"]["zookeeper"]["nodes"]} != keepers,
        "a session may change replicas": service["spec"].get("sessionAffinity") != "ClientIP",
        "one node may hold all": [one["type"] for one in apart] != ["ShardAntiAffinity"],
    }
    return [fault for fault, there in wrong.items() if there]


CHECKS: dict[str, Callable[[list[Resource]], list[str]]] = {
    check.__name__: check
    for check in (
        topic_faults,
        connector_faults,
        image_faults,
        port_faults,
        environment_faults,
        kafka_faults,
        hardening_faults,
        replica_faults,
    )
}


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("check", CHECKS)
def test_it_agrees_with_the_native_way(overlay: str, check: str) -> None:
    assert CHECKS[check](RESOURCES[overlay]) == []


def _set(kind: str, name: str, path: str, value: Any) -> Callable[[list[Resource]], None]:
    def change(resources: list[Resource]) -> None:
        place: Any = of_kind(resources, kind)[name]
        *way, last = [int(part) if part.isdecimal() else part for part in path.split("/")]
        for part in way:
            place = place[part]
        place[last] = value

    return change


_POD = "spec/template/spec"
_CONTAINER = f"{_POD}/containers/0"


@pytest.mark.parametrize(
    ("check", "drift"),
    [
        ("topic_faults", _set("KafkaTopic", "cdc.public.users", "spec/config/retention.ms", "604800000")),
        ("topic_faults", _set("KafkaTopic", "masked.ratings", "spec/partitions", 8)),
        (
            "connector_faults",
            _set("KafkaConnector", "dataflix-postgres", "spec/config/tombstones.on.delete", "true"),
        ),
        ("image_faults", _set("Deployment", "masker", f"{_CONTAINER}/image", "dataflix/masker:0.0.9")),
        ("image_faults", _set("Kafka", "kafka", "spec/kafka/version", "4.2.0")),
        (
            "image_faults",
            _set("KafkaConnect", "connect", "spec/build/plugins/0/artifacts/0/version", "3.6.0.Final"),
        ),
        ("port_faults", _set("Service", "backend", "spec/ports/0/port", 8080)),
        ("port_faults", _set("Deployment", "dbt", f"{_CONTAINER}/ports/0/containerPort", 5000)),
        ("environment_faults", _set("Deployment", "masker", f"{_CONTAINER}/env/0/name", "DATAFLIX_MASK_KEY")),
        (
            "environment_faults",
            _set("ConfigMap", "dataflix", "data", {"DATAFLIX_MASKING_KEY": "a key in plain sight"}),
        ),
        ("kafka_faults", _set("Kafka", "kafka", "spec/kafka/config/message.max.bytes", 1_048_576)),
        ("hardening_faults", _set("Deployment", "backend", f"{_POD}/securityContext/runAsNonRoot", False)),
        ("replica_faults", _set("ConfigMap", "dataflix", "data/DATAFLIX_CLICKHOUSE_CLUSTER", "")),
        (
            "replica_faults",
            _set(
                "ClickHouseInstallation",
                "warehouse",
                "spec/templates/serviceTemplates/0/spec/sessionAffinity",
                "None",
            ),
        ),
        (
            "replica_faults",
            _set(
                "ClickHouseInstallation", "warehouse", "spec/configuration/clusters/0/layout/replicasCount", 1
            ),
        ),
    ],
)
def test_a_drift_is_found(check: str, drift: Callable[[list[Resource]], None]) -> None:
    resources = copy.deepcopy(RESOURCES["ha"])
    drift(resources)
    assert CHECKS[check](resources)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_the_masker_reads_personal_data_at_kafka(overlay: str) -> None:
    raw = [table.raw_topic for table in tables().values()]
    assert readers(RESOURCES[overlay], raw) == {"masker"}
    spied = copy.deepcopy(RESOURCES[overlay])
    acls = of_kind(spied, "KafkaUser")["clickhouse"]["spec"]["authorization"]["acls"]
    acls[0]["resource"] = {"type": "topic", "name": "*", "patternType": "literal"}
    assert readers(spied, raw) == {"masker", "clickhouse"}


def test_the_page_may_read_the_times_of_masked_changes() -> None:
    masked = [table.masked_topic for table in tables().values()]
    assert readers(RESOURCES["small"], masked) == {"clickhouse", "backend"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_of_operators_may_go_out(overlay: str) -> None:
    """A first Egress policy on a pod closes everything else to it, names and Kafka included."""
    policies = of_kind(RESOURCES[overlay], "NetworkPolicy")
    closing = {name: one["spec"] for name, one in policies.items() if "Egress" in one["spec"]["policyTypes"]}
    assert "from-masker" in closing
    for name, spec in closing.items():
        ours = spec["podSelector"]["matchLabels"].get("app.kubernetes.io/part-of")
        assert ours == "dataflix", f"{name} keeps pods of an operator from going out"


def test_there_are_no_more_maskers_than_partitions() -> None:
    scaled = of_kind(RESOURCES["ha"], "ScaledObject")["masker"]["spec"]
    assert scaled["maxReplicaCount"] == DEFAULTS.kafka_partitions
    assert scaled["scaleTargetRef"]["name"] in of_kind(RESOURCES["ha"], "Deployment")


def test_probes_ask_what_the_images_health_checks_ask(generator: ModuleType) -> None:
    for one in generator.SERVERS:
        assert one.ready in images()[one.image].kept.last("HEALTHCHECK").text


def _secret_keys(resources: list[Resource]) -> Iterator[tuple[str, str]]:
    for _, _, container in containers(resources):
        for variable in container.get("env", []):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                yield reference["name"], reference["key"]


def test_the_page_names_every_key_of_the_secret() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    keys = {key for name, key in _secret_keys([*RESOURCES["ha"], *SPARK]) if name == "dataflix"}
    assert sorted(key for key in keys if f"`{key}`" not in page) == []


def test_no_secret_has_a_value_here() -> None:
    assert not [one for built in (*RESOURCES.values(), SPARK) for one in of_kind(built, "Secret")]


@pytest.mark.parametrize(("kind", "name"), [(one["kind"], one["metadata"]["name"]) for one in SPARK])
def test_every_resource_of_spark_is_valid(kind: str, name: str) -> None:
    assert faults(of_kind(SPARK, kind)[name]) == []


def test_sparks_pods_are_hardened_and_of_the_release_that_the_training_has() -> None:
    assert hardening_faults(SPARK) == []
    assert {one["image"] for _, _, one in containers(SPARK)} == {f"apache/spark:{version('pyspark')}"}


def test_spark_and_the_training_may_reach_the_ports_that_they_listen_on() -> None:
    policies = of_kind(SPARK, "NetworkPolicy")
    [pods], [driver] = (policies[name]["spec"]["ingress"] for name in ("spark", "spark-driver"))
    master = of_kind(SPARK, "Service")["spark"]["spec"]["ports"][0]["port"]
    listened = {
        port["containerPort"] for _, _, one in containers(SPARK) for port in one["ports"]
    }  # the worker has the driver's port, and the executor that of the blocks
    assert listened == {master, DRIVER_PORT, BLOCK_PORT}
    assert pods["ports"] == [{"protocol": "TCP", "port": master, "endPort": BLOCK_PORT}]
    assert driver["ports"] == [{"protocol": "TCP", "port": DRIVER_PORT, "endPort": BLOCK_PORT}]


def test_airflow_runs_the_image_and_finds_the_secret() -> None:
    values = yaml.safe_load((FOLDER / "airflow-values.yaml").read_text(encoding="utf-8"))
    airflow = values["images"]["airflow"]
    assert f"{airflow['repository']}:{airflow['tag']}" in compose_images().values()
    assert values["executor"] == "KubernetesExecutor"
    settings = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    named = {one["name"]: one for one in yaml.safe_load(values["extraEnv"])}
    ours = {name for name in named if name.startswith(ENV_PREFIX)}
    assert ours <= settings
    assert not [name for name in ours & SECRET_FIELDS if "value" in named[name]]
