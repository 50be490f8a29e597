"""The stack's data folder: check that it belongs to a stack, prepare it for a first start, and delete it.

A stack writes and deletes only in a folder of its own. A wipe deletes folders with names such as ``postgres``
and ``backend``, which other folders may have too. Therefore the first start marks the folder, and only does
so if it made the folder or if the folder was empty.
"""

from __future__ import annotations

import base64
import json
import locale
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_stack.paths import Account, Layout, make_traversable
from dataflix_stack.server_config import kafka_log_dir
from dataflix_stack.servers import Servers

MARK = ".dataflix-stack"
_MARK_TEXT = (
    "This folder belongs to a Dataflix stack, and ./stop.sh --wipe deletes what the stack keeps in it:\n"
    "keep no files of yours here.\n"
)
#: The entries that a new file system has in its topmost folder.
_NOTHING = frozenset({"lost+found"})
_BYTES_NEEDED = 2**30


def check(layout: Layout) -> None:
    """Refuse a data folder that has contents but does not belong to a stack.

    Raises:
        Fault: the folder does not belong to a stack, or this account may not read it.
    """
    try:
        known = not layout.data.is_dir() or _is_marked(layout) or _is_empty(layout) or _is_older(layout)
    except OSError as fault:
        raise Fault(
            f"cannot look into the data folder {layout.data}: {fault.strerror}. Set DATAFLIX_DATA_DIR to a"
            " folder of this account's"
        ) from fault
    if not known:
        raise Fault(
            f"{layout.data} is not empty and not the data folder of a stack, and ./stop.sh --wipe would"
            " delete folders such as postgres and backend in there: set DATAFLIX_DATA_DIR to a folder that is"
            " empty or does not exist. Only if you have restored a stack's data to it:"
            f" touch {layout.data}/{MARK}"
        )


def refuse_others(layout: Layout, settings_file: Path) -> None:
    """Refuse to wipe the data of a stack with another settings file, as long as that file exists.

    Two settings files without ``DATAFLIX_DATA_DIR`` have the same data folder.

    Raises:
        Fault: a stack with another settings file was started last.
    """
    if not layout.owner.is_file():
        return
    last = Path(json.loads(layout.owner.read_text(encoding="utf-8"))["settings"])
    if last != settings_file and last.is_file():
        raise Fault(
            f"{layout.data} holds the data of the stack with the settings {last}, and nothing of"
            f" {settings_file}: nothing is deleted. ./stop.sh --env-file {last} --wipe deletes it"
        )


def claim(layout: Layout) -> None:
    """Mark the data folder, which must exist, as the stack's own.

    Raises:
        Fault: the folder does not belong to a stack.
    """
    check(layout)
    if not _is_marked(layout):
        (layout.data / MARK).write_text(_MARK_TEXT, encoding="utf-8")


def wipe(layout: Layout) -> None:
    """Delete everything that a stopped stack has made in its data folder, and the folder if it is then empty.

    Raises:
        Fault: the folder does not belong to a stack.
    """
    check(layout)
    if not layout.data.is_dir():
        return
    claim(layout)  # an older release left no mark; with it, an interrupted wipe can be repeated
    for part in layout.parts:
        if part.exists():
            shutil.rmtree(part)
    (layout.data / MARK).unlink()
    if not any(layout.data.iterdir()):
        layout.data.rmdir()


def _is_marked(layout: Layout) -> bool:
    return (layout.data / MARK).is_file()


def _is_empty(layout: Layout) -> bool:
    return all(entry.name in _NOTHING for entry in layout.data.iterdir())


def _is_older(layout: Layout) -> bool:
    """Whether a release without marks has used the folder: it has the lock's owner, or servers' data."""
    if layout.owner.is_file():
        return True
    return (layout.postgres / "PG_VERSION").is_file() and (layout.kafka / "formatted").is_file()


def make_folders(layout: Layout, account: Account | None) -> None:
    """Make the stack's folders. Other accounts may not read them, but PostgreSQL's may pass through.

    Raises:
        Fault: the data folder does not belong to a stack, a folder cannot be made, or PostgreSQL's account
            cannot reach its folder.
    """
    try:
        _make_data_folder(layout.data)
        claim(layout)
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
    make_traversable(folder)
    if not os.access(folder, os.W_OK):
        raise PermissionError(13, "no permission to write", str(folder))


def check_space(layout: Layout) -> None:
    """Refuse to start on a disk that is almost full.

    Raises:
        Fault: the disk has too little space.
    """
    free = shutil.disk_usage(layout.data).free
    if free < _BYTES_NEEDED:
        raise Fault(
            f"the disk of {layout.data} has {free >> 20} MB left and Dataflix wants {_BYTES_NEEDED >> 20} MB:"
            " free some space, or set DATAFLIX_DATA_DIR to a larger disk"
        )


def write_files(texts: Mapping[Path, str], account: Account | None = None) -> None:
    """Write configuration files that only their owner may read: ``account``, if it is given."""
    for path, text in texts.items():
        partial = path.with_name(f"{path.name}.partial")
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600, exist_ok=False)
        partial.write_text(text, encoding="utf-8")
        if account:
            os.chown(partial, account.uid, account.gid)
        partial.replace(path)


def prepare_postgres(settings: Settings, layout: Layout, servers: Servers, account: Account | None) -> None:
    """Make PostgreSQL's cluster if there is none. It is made in another folder, which is then renamed.

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
    """The locale C.UTF-8, which knows the letters of all alphabets, if this machine has it; otherwise C."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return "C.UTF-8"


def prepare_kafka(layout: Layout, servers: Servers) -> None:
    """Format Kafka's log folder, unless that was completed before.

    Raises:
        Fault: Kafka's tool failed.
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
    """A random identifier in Kafka's own form, without dashes: a leading one would look like an option."""
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
