"""Programs are found in the environments that scripts/envs makes."""

from pathlib import Path

import pytest

from dataflix_contract.program_paths import find_program


def _install(home: Path, environment: str, name: str) -> str:
    folder = home / "envs" / environment / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.touch(mode=0o755)
    return str(program)


@pytest.mark.parametrize("own", ["batch", "services"])
def test_its_own_environment_comes_before_the_one_of_the_tests(tmp_path: Path, own: str) -> None:
    in_tests = _install(tmp_path, "tests", "dataflix-x")
    assert find_program("dataflix-x", tmp_path) == in_tests
    in_own = _install(tmp_path, own, "dataflix-x")
    assert find_program("dataflix-x", tmp_path) == in_own


def test_a_path_is_searched_after_the_environments(tmp_path: Path) -> None:
    elsewhere = _install(tmp_path / "other", "services", "dataflix-x")
    path = str(Path(elsewhere).parent)
    assert find_program("dataflix-x", tmp_path) is None
    assert find_program("dataflix-x", tmp_path, path) == elsewhere
    assert find_program("dataflix-x", tmp_path / "other", "") == elsewhere
