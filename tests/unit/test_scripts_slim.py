"""What images leave out of their environments, and what they must not."""

import subprocess
from pathlib import Path

from support.stack import ROOT


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_tests_and_the_installer_go_and_equal_files_become_one(tmp_path: Path) -> None:
    packages = tmp_path / "one/lib/python3.11/site-packages"
    others = tmp_path / "two/lib/python3.11/site-packages"
    _write(tmp_path / "uv/bin/uv", "installer")
    _write(packages / "numbers/tests/__init__.py", "")
    _write(packages / "numbers/deep/tests/__init__.py", "")
    kept = _write(packages / "dbt/include/tests/builtin.sql", "SELECT 1")
    large = [_write(folder / "numbers/large.so", "x" * 5000) for folder in (packages, others)]
    small = [_write(folder / "numbers/small.py", "x = 1") for folder in (packages, others)]
    other = _write(others / "numbers/other.so", "y" * 5000)
    subprocess.run([ROOT / "scripts/slim", tmp_path], check=True)
    assert not (tmp_path / "uv").exists()
    assert list(tmp_path.rglob("tests")) == [kept.parent]
    assert large[0].stat().st_ino == large[1].stat().st_ino
    assert small[0].stat().st_ino != small[1].stat().st_ino
    assert other.read_text() == "y" * 5000
