"""The OpenAPI document is true: Schemathesis tries it, on users and films of the test's own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dataflix_contract import Settings
from support.backend import Backend, running_backend
from support.stack import ROOT

_EXAMPLES = 5
_SECONDS = 240


@pytest.fixture
def backend(migrated: Settings, tmp_path: Path) -> Iterator[Backend]:
    subprocess.run([ROOT / "bin/dataflix-seed", "--users", "20"], check=True, capture_output=True)
    with running_backend(migrated, tmp_path) as backend:
        yield backend


def test_schemathesis_finds_nothing(backend: Backend, tmp_path: Path) -> None:
    hooks = {"SCHEMATHESIS_HOOKS": "support.schemathesis_hooks", "PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "run",
            f"{backend.settings.backend_url}/openapi.json",
            "--phases=examples,coverage,fuzzing,stateful",
            "--checks=all",
            f"--max-examples={_EXAMPLES}",
            "--generation-deterministic",
            "--continue-on-failure",
            "--no-color",
        ],
        cwd=tmp_path,
        env=os.environ | hooks,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert made, done.stdout
    assert int(made[1]) == int(made[2]) > 300
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅  {phase}" in done.stdout, done.stdout


def test_each_operation_is_documented(settings: Settings) -> None:
    document = httpx.get(f"{settings.backend_url}/openapi.json").raise_for_status().json()
    assert document["openapi"].startswith("3.")
    assert document["servers"] == [{"url": "/"}]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) >= 13
    for operation in operations:
        assert operation["summary"]
        assert {"429", "500", "503"} <= operation["responses"].keys()
        for status, answer in operation["responses"].items():
            assert answer["description"]
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"]
        for parameter in operation["parameters"]:
            assert parameter["description"], parameter
