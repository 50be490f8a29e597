"""The search for personal data in files, which other tests rely on."""

import shutil
import threading
from pathlib import Path

from support.leaks import files_with


def test_a_marker_is_found_while_other_files_come_and_go(tmp_path: Path) -> None:
    kept = tmp_path / "deep" / "below" / "kept"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"\0a marker\0in the middle")
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            for name in ("one", "two", "three"):
                (tmp_path / "passing").mkdir(exist_ok=True)
                (tmp_path / "passing" / name).write_text("something else")
            shutil.rmtree(tmp_path / "passing")

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(200):
            assert files_with(tmp_path, "marker") == [str(kept)]
            assert files_with(tmp_path, "nowhere") == []
    finally:
        ended.set()
        other.join()
