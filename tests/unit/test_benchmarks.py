"""Benchmarks that cannot run say why."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_maskers_throughput_names_a_port_that_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "benchmarks/masker_throughput.py"],
            cwd=ROOT,
            env=os.environ | {"DATAFLIX_MASKER_PORT": port, "DATAFLIX_ENV_FILE": os.devnull},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port} is in use" in done.stderr
    assert "DATAFLIX_MASKER_PORT" in done.stderr
