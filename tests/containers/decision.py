"""Whether ``./test.sh`` runs the containers' test: decided by what changed, and by what there is to run it.

    PYTHONPATH=tests python -m containers.decision     print the decision and its reason; exit code 0: run it

Building every image from nothing takes about as long as a third of all other tests, which have most of CI's
time. So the test runs when something has changed that containers are made of, and the images can be had
quickly: an engine of this machine answers, or the folder of the tests' own engine has been used before.
``DATAFLIX_TEST_CONTAINERS=1`` runs it in any case, and ``0`` in none; ``./test.sh --containers`` runs it
alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path

from containers.engine import answering, why_not

ROOT = Path(__file__).resolve().parents[2]
#: What containers are made of, and what makes, starts and tests them.
MADE_OF = (
    "*Dockerfile",
    "*requirements.lock",
    ".dockerignore",
    ".env.example",
    "bin/_exec",
    "checker/dataflix_checker/containers.py",
    "contract/dataflix_contract/settings*.py",
    "docker-compose.yml",
    "run.sh",
    "scripts/compose",
    "scripts/contained",
    "scripts/envs",
    "scripts/healthcheck",
    "scripts/settings",
    "scripts/slim",
    "scripts/uv.lock.txt",
    "stack/dataflix_stack/compose*.py",
    "stack/dataflix_stack/templates/*",
    "stack/servers.pom.xml",
    "stack/versitygw/*",
    "stop.sh",
    "tests/containers/*",
    "tests/e2e/test_containers.py",
    "tests/support/container_stack.py",
)


def concerns_containers(paths: Iterable[str]) -> list[str]:
    """The paths of what containers are made of."""
    return sorted(path for path in paths if any(fnmatch(path, pattern) for pattern in MADE_OF))


def changed(reference: str) -> list[str]:
    """The paths of all files that differ from a commit, in the working tree too."""
    tracked = _git("diff", "--name-only", reference)
    untracked = _git("ls-files", "--others", "--exclude-standard")
    return sorted({*tracked.splitlines(), *untracked.splitlines()})


def reference() -> str:
    """The commit to compare with: where this branch left ``origin/main``; on ``main`` the one before."""
    head = _git("rev-parse", "HEAD")
    base = _git("merge-base", "HEAD", "origin/main") or head
    return base if base != head else _git("rev-parse", "--verify", "--quiet", "HEAD~1") or head


def decide(environ: Mapping[str, str], folder: Path) -> tuple[bool, str]:
    """Whether to run the test, and why.

    Args:
        environ: where a wish is looked for, and ``docker``.
        folder: of the tests' own engine.
    """
    wish = environ.get("DATAFLIX_TEST_CONTAINERS", "")
    if wish in {"0", "1"}:
        return wish == "1", f"DATAFLIX_TEST_CONTAINERS is {wish}"
    commit = reference()
    found = concerns_containers(changed(commit))
    if not found:
        return False, f"nothing that containers are made of has changed since {commit[:12]}"
    what = f"{found[0]} and {len(found) - 1} more files have" if len(found) > 1 else f"{found[0]} has"
    since = f"{what} changed since {commit[:12]}"
    if answering(environ):
        return True, f"{since}, and this machine's container engine answers"
    if reason := why_not():
        return False, f"{since}, but {reason}"
    if (folder / "data" / "image").is_dir():
        return True, f"{since}, and the engine in {folder} has images already"
    return False, (
        f"{since}, but no image is at hand, and building all of them takes about 20 minutes:"
        " ./test.sh --containers does it"
    )


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main() -> int:
    """Print the decision; 0: run the test."""
    home = Path(os.environ.get("DATAFLIX_HOME") or ROOT / ".dataflix")
    folder = Path(os.environ.get("DATAFLIX_ENGINE_FOLDER") or home / "engine").absolute()
    run, reason = decide(os.environ, folder)
    sys.stdout.write(f"the test of the containers {'runs' if run else 'does not run'}: {reason}\n")
    return 0 if run else 1


if __name__ == "__main__":
    sys.exit(main())
