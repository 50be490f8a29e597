"""A server is restarted when its code or the contract changes, and not otherwise."""

from pathlib import Path

import pytest

from dataflix_stack.code_digest import digest_of


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("contract/tables.toml", "masker/app.py", "other/app.py"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text("x")
    (tmp_path / "base").mkdir()
    (tmp_path / "requirements.lock").write_text("faust-streaming==0.15.3")
    (tmp_path / "pyproject.toml").write_text(
        '[project.optional-dependencies]\nbase = []\nmasker = ["dataflix[base]", "faust-streaming==0.15.3"]\n'
    )
    return tmp_path


def test_the_digest_follows_the_package_and_what_it_is_built_on(checkout: Path) -> None:
    before = digest_of(checkout, "masker")
    assert digest_of(checkout, "masker") == before
    (checkout / "contract/tables.toml").write_text("y")
    changed = digest_of(checkout, "masker")
    (checkout / "masker/new.py").touch()
    (checkout / "base/new.py").touch()
    (checkout / "requirements.lock").write_text("faust-streaming==0.15.4")
    assert len({before, changed, digest_of(checkout, "masker")}) == 3


def test_what_python_makes_and_other_packages_do_not_count(checkout: Path) -> None:
    before = digest_of(checkout, "masker")
    cache = checkout / "masker" / "__pycache__"
    cache.mkdir()
    (cache / "app.cpython-311.pyc").write_bytes(b"compiled")
    (checkout / "other/app.py").write_text("y")
    assert digest_of(checkout, "masker") == before


def test_servers_that_run_no_code_of_ours_have_none(checkout: Path) -> None:
    assert digest_of(checkout, "") == ""
