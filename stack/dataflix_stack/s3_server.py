"""Become the S3 store: versitygw on a folder, ``python -m dataflix_stack.s3_server``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.faults import Fault
from dataflix_stack import paths
from dataflix_stack.paths import Layout
from dataflix_stack.versitygw import program


def command(settings: Settings, layout: Layout, *, sidecar: bool) -> list[str]:
    """The arguments of versitygw, without secrets.

    Args:
        settings: addresses.
        layout: folders.
        sidecar: keep metadata in files, where the file system has no extended attributes.
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
    """Make the store's folders; returns whether metadata is in files beside the objects.

    That is decided when the store is new, and remembered by the folder of the metadata: a copy
    of the data on another file system must not lose what belongs to it.
    """
    metadata = layout.s3 / "metadata"
    fresh = not (layout.s3 / "buckets").exists()
    for name in ("accounts", "buckets"):
        (layout.s3 / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    if fresh and not has_attributes(layout.s3 / "buckets"):
        metadata.mkdir(mode=0o700, exist_ok=True)
    return metadata.exists()


def main() -> None:
    """Prepare the folders and execute the store; exit code 1 when that is impossible."""
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


if __name__ == "__main__":
    main()
