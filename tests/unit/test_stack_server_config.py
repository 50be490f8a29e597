"""What is rendered for the servers and the supervisor."""

import configparser
import json
import shlex
from pathlib import Path

import pytest

from dataflix_clients.readiness import probes
from dataflix_contract import Settings
from dataflix_stack import server_config
from dataflix_stack.paths import Account, Layout
from dataflix_stack.server_config import digest_of
from dataflix_stack.servers import Servers
from dataflix_stack.services import Service, ServiceContext, services
from dataflix_stack.steps import set_ups
from support.stack import ROOT

LAYOUT = Layout(Path("/data with 100% space"))


STREAM = {"postgres", "kafka", "clickhouse", "connect", "masker-0"}
SERVING = {"backend", "kafka-ui"}
BATCH = {"s3", "mlflow", "dbt-webhook", "airflow-api", "airflow-scheduler", "airflow-dags"}


def settings(**values: object) -> Settings:
    return Settings.model_validate({"debezium_password": "the-secret", **values})


def described(chosen: Settings) -> list[Service]:
    account = Account("postgres", 999, 998)
    around = ServiceContext(chosen, LAYOUT, Servers(Path("/servers")), account, Path("/env/bin").joinpath, {})
    return services(around)


def properties(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_no_server_is_restarted_for_what_only_a_training_reads() -> None:
    def read(**values: object) -> str:
        return server_config.settings_of_servers(settings(**values))

    of_a_training = {
        "stars_model": "svd",
        "trainer": "spark",
        "spark_master": "spark://host:7077",
        "spark_secret": "another-secret",
    }
    assert read(**of_a_training) == read()
    for name, value in {
        "backend_port": 21000,
        "mlflow_host": "10.0.0.1",
        "dbt_token": "another-dbt-token",
    }.items():
        assert read(**{name: value}) != read()


def supervisor_config(chosen: Settings) -> configparser.RawConfigParser:
    programs = [
        server_config.program(one, "/env/bin/python", Path("/x.json"), []) for one in described(chosen)
    ]
    text = server_config.supervisor_file(programs, LAYOUT, LAYOUT.run / "s.sock", None)
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return parser


def test_kafka_listens_where_the_settings_say() -> None:
    files = server_config.server_files(settings(bind="127.0.0.2", kafka_port=21092), LAYOUT)["kafka"]
    kafka = properties(files[LAYOUT.conf / "kafka.properties"])
    assert kafka["listeners"].startswith("PLAINTEXT://127.0.0.2:21092,")
    assert kafka["auto.create.topics.enable"] == "false"


def test_connect_names_the_password_variable_and_not_the_password() -> None:
    files = server_config.server_files(settings(), LAYOUT)["connect"]
    connect = files[LAYOUT.conf / "connect.properties"]
    assert properties(connect)["config.providers.env.param.allowlist.pattern"] == "DATAFLIX_DEBEZIUM_PASSWORD"
    assert "the-secret" not in connect
    [service] = [one for one in described(settings()) if one.name == "connect"]
    assert service.environment["DATAFLIX_DEBEZIUM_PASSWORD"] == "the-secret"


def test_postgresql_logs_nothing_of_what_clients_send() -> None:
    files = server_config.server_files(settings(), LAYOUT)["postgres"]
    lines = files[LAYOUT.conf / "postgresql.conf"].splitlines()
    assert {
        "log_error_verbosity = terse",
        "log_min_error_statement = panic",
        "log_min_messages = log",
        "log_statement = none",
        "log_parameter_max_length_on_error = 0",
    } <= set(lines)


@pytest.mark.parametrize(
    ("bind", "first"),
    [("127.0.0.1", "127.0.0.1/32"), ("localhost", "127.0.0.1/32"), ("0.0.0.0", "0.0.0.0/0")],
)
def test_postgresql_lets_in_whom_it_listens_for(bind: str, first: str) -> None:
    assert server_config.allowed_networks(bind)[0] == first
    hba = server_config.server_files(settings(bind=bind), LAYOUT)["postgres"][LAYOUT.conf / "pg_hba.conf"]
    assert f"host all all {first} scram-sha-256" in hba
    assert "trust" not in hba


def test_the_supervisor_has_a_program_for_each_service() -> None:
    parser = supervisor_config(settings(masker_workers=2))
    programs = {name.removeprefix("program:") for name in parser.sections() if name.startswith("program:")}
    assert programs == STREAM | {"masker-1"} | SERVING | BATCH
    assert parser["program:postgres"]["stopsignal"] == "INT"


def test_percent_signs_survive_the_supervisor() -> None:
    assert "100%% space" in supervisor_config(settings())["program:kafka"]["stdout_logfile"]


def test_only_postgresql_changes_the_account() -> None:
    specs = {one.name: json.loads(server_config.launch_spec(one, LAYOUT)) for one in described(settings())}
    assert specs["postgres"]["account"] == {"name": "postgres", "uid": 999, "gid": 998}
    assert [name for name, spec in specs.items() if "account" in spec] == ["postgres"]


def test_a_changed_setting_changes_the_fingerprint() -> None:
    [kafka] = [one for one in described(settings()) if one.name == "kafka"]
    one, same, other = (server_config.program(kafka, "python", Path("x"), [text]) for text in ("a", "a", "b"))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert shlex.split(one.command)[1:3] == ["-m", "dataflix_stack.launch"]


def test_the_core_is_the_stream_alone() -> None:
    core = settings(profile="core")
    assert {one.name for one in described(core)} == STREAM
    assert {step.name for step in set_ups(core)} == {"migrate", "topics", "warehouse", "register", "seed"}


@pytest.mark.parametrize("profile", ["core", "full"])
def test_every_service_has_a_probe_and_everything_needed_is_a_step(profile: str) -> None:
    chosen = settings(profile=profile)
    names = {one.name for one in described(chosen)}
    assert names <= probes(chosen).keys()
    steps = {*names, *(one.name for one in set_ups(chosen)), "versitygw"}
    needs = [*(one.needs for one in described(chosen)), *(one.needs for one in set_ups(chosen))]
    assert set().union(*needs) <= steps


def test_the_batch_makes_way_for_the_stream() -> None:
    nice = {
        one.name: json.loads(server_config.launch_spec(one, LAYOUT))["nice"] for one in described(settings())
    }
    assert {name for name, value in nice.items() if value > 0} == BATCH


def test_what_runs_code_of_ours_says_which_package() -> None:
    ours = {one.name: one.package for one in described(settings()) if one.package}
    assert ours.keys() == {"masker-0", *SERVING, *BATCH} - {"s3"}
    for package in ours.values():
        assert digest_of(ROOT, package)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("contract/tables.toml", "masker/app.py", "other/app.py"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text("x")
    (tmp_path / "base").mkdir()
    (tmp_path / "requirements.lock").write_text("faust-streaming==0.15.3")
    (tmp_path / "pyproject.toml").write_text(
        '[project.optional-dependencies]\nbase = []\nmasker = ["dataflix[base]", "faust-streaming==0.15.3"]\n'
    )
    return tmp_path


def test_the_digest_follows_the_package_and_what_it_is_built_on(checkout: Path) -> None:
    before = digest_of(checkout, "masker")
    assert digest_of(checkout, "masker") == before
    (checkout / "contract/tables.toml").write_text("y")
    changed = digest_of(checkout, "masker")
    (checkout / "masker/new.py").touch()
    (checkout / "base/new.py").touch()
    (checkout / "requirements.lock").write_text("faust-streaming==0.15.4")
    assert len({before, changed, digest_of(checkout, "masker")}) == 3


def test_what_python_makes_and_other_packages_do_not_count(checkout: Path) -> None:
    before = digest_of(checkout, "masker")
    cache = checkout / "masker" / "__pycache__"
    cache.mkdir()
    (cache / "app.cpython-311.pyc").write_bytes(b"compiled")
    (checkout / "other/app.py").write_text("y")
    assert digest_of(checkout, "masker") == before


def test_servers_that_run_no_code_of_ours_have_none(checkout: Path) -> None:
    assert digest_of(checkout, "") == ""
