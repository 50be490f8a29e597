"""Old logs go, younger ones stay."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataflix_airflow.dag_tasks import delete_old_files


def test_old_files_and_empty_folders_go(tmp_path: Path) -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    for name, days in (("old/run/1.log", 90), ("both/old.log", 61), ("both/young.log", 1)):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        then = (now - timedelta(days=days)).timestamp()
        os.utime(file, (then, then))
    assert delete_old_files(tmp_path, now - timedelta(days=60)) == 2
    assert {path.name for path in tmp_path.rglob("*")} == {"both", "young.log"}


def test_no_folder_yet(tmp_path: Path) -> None:
    assert delete_old_files(tmp_path / "logs", datetime(2026, 1, 31, tzinfo=UTC)) == 0
