"""Build and run the S3 store: versitygw, which keeps objects in a folder.

It is built from the sources that ``stack/versitygw/go.sum`` pins, since these come from any Go module proxy
and every file is checked. The machine's Go is used if it is new enough, and otherwise one from a wheel.
``python -m dataflix_stack.s3_server`` runs the store.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.faults import Fault
from dataflix_stack import paths
from dataflix_stack.launch import lower_priority
from dataflix_stack.paths import Layout, make_traversable

_PACKAGE = "github.com/versity/versitygw/cmd/versitygw"
_POLL_SECONDS = 0.1
#: The build has a lower priority than the servers that start at the same time.
_NICE = 10
_LINES_TOLD = 15


def command(settings: Settings, layout: Layout, *, sidecar: bool) -> list[str]:
    """The arguments of versitygw, without secrets.

    Args:
        settings: addresses.
        layout: folders.
        sidecar: whether to keep metadata in files, for a file system without extended attributes.
    """
    console = f"{settings.bind}:{settings.s3_console_port}"
    return [
        "versitygw",
        f"--port={settings.bind}:{settings.s3_port}",
        f"--webui={console}",
        f"--webui-gateways={settings.s3_url}",
        f"--cors-allow-origin=http://{console}",
        "--health=/health",
        "--quiet",
        f"--iam-dir={layout.s3 / 'accounts'}",
        "posix",
        *([f"--sidecar={layout.s3 / 'metadata'}"] if sidecar else []),
        str(layout.s3 / "buckets"),
    ]


def has_attributes(folder: Path) -> bool:
    """Whether files in ``folder`` can carry extended attributes of users."""
    try:
        os.setxattr(folder, "user.dataflix", b"")
    except OSError:
        return False
    os.removexattr(folder, "user.dataflix")
    return True


def prepare(layout: Layout) -> bool:
    """Make the store's folders; return whether metadata is kept in files beside the objects.

    That is decided when the store is new, and the existence of the metadata's folder records it, so that a
    copy of the data on another file system keeps its metadata.
    """
    metadata = layout.s3 / "metadata"
    fresh = not (layout.s3 / "buckets").exists()
    for name in ("accounts", "buckets"):
        (layout.s3 / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    if fresh and not has_attributes(layout.s3 / "buckets"):
        metadata.mkdir(mode=0o700, exist_ok=True)
    return metadata.exists()


def main() -> None:
    """Prepare the folders, and run the store in place of this process; exit code 1: that is impossible."""
    try:
        settings = load_settings()
        layout = paths.layout(settings)
        arguments = command(settings, layout, sidecar=prepare(layout))
        login = {
            "ROOT_ACCESS_KEY_ID": settings.s3_access_key,
            "ROOT_SECRET_ACCESS_KEY": settings.s3_secret_key.get_secret_value(),
        }
        os.execve(program(), arguments, {**os.environ, **login})  # noqa: S606
    except (Fault, SettingsError, OSError) as fault:
        sys.exit(f"s3: {fault}")


def sources() -> Path:
    """The folder with go.mod and go.sum."""
    return paths.repo_root() / "stack" / "versitygw"


def program() -> Path:
    """The path of the program built from these go.mod and go.sum; it need not exist yet."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((sources() / name).read_bytes())
    return paths.servers() / f"versitygw-{digest.hexdigest()[:16]}" / "versitygw"


def build(log: Path, abandoned: threading.Event) -> None:
    """Build the program unless it exists; Go's output is written to ``log``.

    Raises:
        Fault: there is no Go and none can be installed, or the build failed.
    """
    target = program()
    if target.exists():
        return
    home = target.parent
    partial = home.with_suffix(".partial")
    try:
        make_traversable(home.parent)
        with FileLock(home.parent / "versitygw.lock"):
            if target.exists():
                return
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            _go_build(_go(), partial, log, abandoned)
            if not abandoned.is_set():
                partial.rename(home)
                shutil.rmtree(_caches(home), ignore_errors=True)
    except OSError as fault:
        raise Fault(f"cannot install versitygw to {home}: {fault}") from fault


def _go() -> Path:
    """A Go that is new enough: the machine's, or else one that is installed for this purpose."""
    own = paths.home() / "envs" / "go" / "bin" / "go"
    found = shutil.which("go")
    if found and is_new_enough(_version(Path(found)), _wanted()):
        return Path(found)
    _run([str(paths.repo_root() / "scripts" / "envs"), "go"], "installing Go failed")
    return own


def _wanted() -> str:
    [line] = [line for line in (sources() / "go.mod").read_text().splitlines() if line.startswith("go ")]
    return line.removeprefix("go ")


def _version(go: Path) -> str:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    answer = subprocess.run(
        [go, "env", "GOVERSION"], check=False, capture_output=True, text=True, env=environment
    )
    return answer.stdout.strip()


def is_new_enough(version: str, wanted: str) -> bool:
    """Whether a version as Go prints it, such as ``go1.26.8``, is at least one such as ``1.25.0``."""
    return bool(re.match(r"go\d", version)) and _numbers(version) >= _numbers(wanted)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _go_build(go: Path, folder: Path, log: Path, abandoned: threading.Event) -> None:
    command = [
        str(go),
        "build",
        "-mod=readonly",
        "-trimpath",
        "-ldflags=-s -w",
        f"-o={folder / 'versitygw'}",
        _PACKAGE,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=sources(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **_environment(go, folder)},
            process_group=0,
        )
        lower_priority(process.pid, _NICE)
        while process.poll() is None:
            if abandoned.wait(_POLL_SECONDS):
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
                return
    if process.returncode:
        said = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES_TOLD:])
        raise Fault(
            f"building versitygw failed:\n{said}\nCheck the network (GOPROXY and HTTPS_PROXY are honoured)"
            " and run the same command again"
        )


def _environment(go: Path, folder: Path) -> dict[str, str]:
    fixed = {
        "CGO_ENABLED": "0",  # no C compiler is needed
        "GOFLAGS": "-buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOSUMDB": "off",  # every sum is in go.sum
    }
    if go.is_relative_to(paths.home()):
        # a user without a Go of their own shall not get its caches in their home folder
        caches = _caches(folder)
        fixed |= {
            "GOPATH": str(caches / "go"),
            "GOCACHE": str(caches / "build"),
            "GOFLAGS": "-buildvcs=false -modcacherw",
        }
    return fixed


def _caches(folder: Path) -> Path:
    return folder.with_suffix(".caches")


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Fault(f"{what}: {(done.stderr or done.stdout).strip()}")


if __name__ == "__main__":
    main()
