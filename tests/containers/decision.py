"""Whether ``./test.sh`` runs the containers' test: decided by what has changed since it last passed.

    PYTHONPATH=tests python -m containers.decision             print the decision and its reason; 0: run it
    PYTHONPATH=tests python -m containers.decision --passed    note that it has passed as things are

Building every image and running the test takes about as long as all other tests. So ``./test.sh
--containers``, when all of it has passed, notes the digest of what containers are made of in a file that is
committed with the change. Where that digest is still the right one, the test need not run again. Where it
is not, the test runs if there is an engine, or if the tests can start one. ``DATAFLIX_TEST_CONTAINERS=1``
runs it in any case, and ``0`` in none.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from containers.engine import answering, why_not

ROOT = Path(__file__).resolve().parents[2]
#: The digest with which the test last passed.
PASSED = Path(__file__).with_name("passed.sha256")
#: What containers are made of, and what makes, starts and tests them.
MADE_OF = (
    "*Dockerfile",
    ".dockerignore",
    ".env.example",
    "bin/_exec",
    "checker/dataflix_checker/containers.py",
    "contract/dataflix_contract/programs.py",
    "contract/dataflix_contract/settings*.py",
    "docker-compose.yml",
    "pyproject.toml",
    "requirements*.lock",
    "run.sh",
    "scripts/compose",
    "scripts/contained",
    "scripts/envs",
    "scripts/healthcheck",
    "scripts/settings",
    "scripts/slim",
    "stack/dataflix_stack/compose*.py",
    "stack/dataflix_stack/templates/*",
    "stack/servers.pom.xml",
    "stack/versitygw/*",
    "stop.sh",
    "tests/containers/*",
    "tests/e2e/test_containers.py",
    "tests/support/container_stack.py",
)


def digest() -> str:
    """SHA-256 of what containers are made of, as the working tree has it."""
    listed = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    paths = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    found = hashlib.sha256()
    for path in sorted(set(paths)):
        file = ROOT / path
        if file != PASSED and file.is_file() and any(fnmatch(path, pattern) for pattern in MADE_OF):
            found.update(f"{path} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def decide(environ: Mapping[str, str]) -> tuple[bool, str]:
    """Whether to run the test, and why.

    Args:
        environ: where a wish is looked for, and ``docker``.
    """
    wish = environ.get("DATAFLIX_TEST_CONTAINERS", "")
    if wish in {"0", "1"}:
        return wish == "1", f"DATAFLIX_TEST_CONTAINERS is {wish}"
    if PASSED.read_text(encoding="utf-8").strip() == digest():
        return False, "it has passed with everything that containers are made of as it is"
    changed = "what containers are made of has changed since it passed"
    if answering(environ):
        return True, f"{changed}, and this machine's container engine answers"
    if reason := why_not():
        return False, f"{changed}, but {reason}: run ./test.sh --containers elsewhere"
    return True, f"{changed}, and the tests can start a container engine here"


def main(arguments: list[str]) -> int:
    """Print the decision; 0: run the test."""
    parser = argparse.ArgumentParser(prog="containers.decision")
    parser.add_argument("--passed", action="store_true", help="note that the test has passed")
    if parser.parse_args(arguments).passed:
        PASSED.write_text(f"{digest()}\n", encoding="utf-8")
        return 0
    run, reason = decide(os.environ)
    sys.stdout.write(f"the test of the containers {'runs' if run else 'does not run'}: {reason}\n")
    return 0 if run else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
