"""What the servers need before their first start: folders, a cluster, a formatted log folder."""

from __future__ import annotations

import base64
import locale
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_stack import data_folder
from dataflix_stack.accounts import Account, make_passable
from dataflix_stack.paths import Layout
from dataflix_stack.server_config import kafka_log_dir
from dataflix_stack.servers import Servers

_BYTES_NEEDED = 2**30


def make_folders(layout: Layout, account: Account | None) -> None:
    """Make the stack's folders: nobody else may read them, PostgreSQL's account may pass.

    Raises:
        Fault: the data folder is somebody else's, the folders cannot be made, or PostgreSQL could not
            reach its own.
    """
    try:
        _make_data_folder(layout.data)
        data_folder.claim(layout)
        for folder in (layout.logs, layout.run, layout.kafka, layout.clickhouse):
            folder.mkdir(mode=0o700, exist_ok=True)
        layout.conf.mkdir(mode=0o711, exist_ok=True)
        layout.conf.chmod(0o711)
    except OSError as fault:
        raise Fault(
            f"cannot make the data folder {layout.data}: {fault}. Set DATAFLIX_DATA_DIR to a folder"
            " that this account may write to"
        ) from fault
    if account and not account.reaches(layout.data):
        raise Fault(
            f"PostgreSQL runs as {account.name}, which may not enter {layout.data}:"
            " set DATAFLIX_DATA_DIR to a folder that every account may pass through"
        )


def _make_data_folder(folder: Path) -> None:
    make_passable(folder)
    if not os.access(folder, os.W_OK):
        raise PermissionError(13, "no permission to write", str(folder))


def check_space(layout: Layout) -> None:
    """Refuse to start on a disk that is about to be full.

    Raises:
        Fault: it is.
    """
    free = shutil.disk_usage(layout.data).free
    if free < _BYTES_NEEDED:
        raise Fault(
            f"the disk of {layout.data} has {free >> 20} MB left and Dataflix wants {_BYTES_NEEDED >> 20} MB:"
            " free some space, or set DATAFLIX_DATA_DIR to a larger disk"
        )


def write_files(texts: Mapping[Path, str], account: Account | None = None) -> None:
    """Write configuration: readable by its owner alone, which ``account`` becomes."""
    for path, text in texts.items():
        partial = path.with_name(f"{path.name}.partial")
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600, exist_ok=False)
        partial.write_text(text, encoding="utf-8")
        if account:
            os.chown(partial, account.uid, account.gid)
        partial.replace(path)


def prepare_postgres(settings: Settings, layout: Layout, servers: Servers, account: Account | None) -> None:
    """Make PostgreSQL's cluster if there is none: made aside, then renamed.

    Raises:
        Fault: ``initdb`` failed.
    """
    if layout.postgres.exists():
        return
    fresh = layout.postgres_partial
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    if account:
        os.chown(fresh, account.uid, account.gid)
    password = layout.conf / "initdb-password"
    write_files({password: settings.postgres_admin_password.get_secret_value()}, account)
    command = [
        str(servers.postgres_bin / "initdb"),
        f"--pgdata={fresh}",
        f"--username={settings.postgres_admin_user}",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        f"--locale={_unicode_locale()}",
    ]
    try:
        _run(command, account)
    finally:
        password.unlink()
    fresh.rename(layout.postgres)


def _unicode_locale() -> str:
    """A locale that knows the letters of all alphabets and sorts by code point, if there is one."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return "C.UTF-8"


def prepare_kafka(layout: Layout, servers: Servers) -> None:
    """Format Kafka's log folder if that was never done to its end.

    Raises:
        Fault: the tool failed.
    """
    done = layout.kafka / "formatted"
    if done.exists():
        return
    shutil.rmtree(kafka_log_dir(layout), ignore_errors=True)
    _run(
        [
            str(servers.java),
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            f"-Dlog4j2.configurationFile={layout.conf / 'log4j2.properties'}",
            "-cp",
            f"{servers.jars}/*",
            "kafka.tools.StorageTool",
            "format",
            "--standalone",
            f"--cluster-id={_cluster_id()}",
            f"--config={layout.conf / 'kafka.properties'}",
        ]
    )
    done.touch()


def _cluster_id() -> str:
    """A random identifier in Kafka's own form; a leading dash would look like an option."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")


def _run(command: list[str], account: Account | None = None) -> None:
    result = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if result.returncode:
        raise Fault(f"{Path(command[0]).name} failed: {(result.stderr or result.stdout).strip()}")
