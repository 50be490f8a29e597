"""The one project: extras are folders and have what programs import, the locks have what it names."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dataflix_contract.programs import CONTRACT, find_program, folder_of, folders, programs
from support import readers
from support.readers import PACKAGES
from support.stack import ROOT

DOCUMENT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = DOCUMENT["project"]["optional-dependencies"]
GROUPS = DOCUMENT["dependency-groups"]
SETS = {"core", "services", "batch", "spark"}
#: Programs whose libraries are installed beside the tests. Each image has the extra of its program's folder.
IN_SERVICES = {
    name: folder
    for name, target in programs().items()
    if (folder := folder_of(target)) in folders(["services"])
}
#: Training imports Spark only where it is asked for; then the image has its extra too.
ONLY_IF_ASKED = {"training": EXTRAS["spark"]}
PINNED = re.compile(r"([\w.-]+)(?:\[\w+\])?==(\S+)")


def pins(*lists: list[str]) -> set[tuple[str, str]]:
    found = [PINNED.fullmatch(line) for lines in lists for line in lines if "dataflix[" not in line]
    assert all(found), "each dependency is pinned"
    return {(one[1], one[2]) for one in found if one}


def locked(name: str) -> set[tuple[str, str]]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return {(one[1], one[2]) for one in re.finditer(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}


def in_set(name: str) -> list[list[str]]:
    return [EXTRAS[folder.replace("_", "-")] for folder in folders([name]) - {CONTRACT}]


def installed_with(*lists: Iterable[str]) -> set[str]:
    """The distributions that pip installs for these requirements, with those that they require themselves."""
    waiting = [Requirement(line) for lines in lists for line in lines if "dataflix[" not in line]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        one = waiting.pop()
        name, extras = canonicalize_name(one.name), frozenset(one.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            needed = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:
            continue
        waiting += [
            each
            for each in needed
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras))
        ]
    return {name for name, _ in seen}


def test_each_folder_has_an_extra_and_a_place_on_the_path() -> None:
    assert {extra.replace("-", "_") for extra in EXTRAS.keys() - SETS} | {CONTRACT} == set(PACKAGES)
    assert DOCUMENT["tool"]["hatch"]["build"]["dev-mode-dirs"] == PACKAGES
    assert set(PACKAGES) <= set(DOCUMENT["tool"]["mypy"]["mypy_path"])


def test_each_folder_is_in_an_environment_and_what_others_are_not_built_on_in_one_only() -> None:
    assert folders(["services"]) | folders(["batch"]) == set(PACKAGES)
    assert folders(["services"]) & folders(["batch"]) == {CONTRACT, "clients"}
    assert folders(["core"]) < folders(["services"])


def test_what_is_built_on_another_folder_has_that_ones_too() -> None:
    assert folders(["backend"]) == {"backend", "clients", "contract", "recommender"}
    assert folders(["kafka_ui"]) == folders(["kafka-ui"]) == {"contract", "kafka_ui"}


@pytest.mark.parametrize(("program", "folder"), IN_SERVICES.items(), ids=list(IN_SERVICES))
def test_the_extra_of_a_program_has_all_libraries_that_it_imports(program: str, folder: str) -> None:
    own, asked = DOCUMENT["project"]["dependencies"], ONLY_IF_ASKED.get(folder, [])
    there, distributions = installed_with(own, asked, *in_set(folder)), packages_distributions()
    imported = readers.libraries_imported([readers.programs()[program]])
    assert imported
    missing = {
        library
        for library in imported
        if there.isdisjoint(map(canonicalize_name, distributions.get(library, [library])))
    }
    assert not missing


@pytest.mark.parametrize(
    ("lock", "name", "groups"),
    [
        ("requirements.lock", "services", ("build", "go", "tests")),
        ("requirements.lock", "spark", ()),
        ("requirements-separate.lock", "batch", ("types",)),
    ],
)
def test_the_locks_have_what_the_project_names(lock: str, name: str, groups: tuple[str, ...]) -> None:
    own = DOCUMENT["project"]["dependencies"], EXTRAS[name]
    named = pins(*own, *in_set(name), *(GROUPS[group] for group in groups))
    assert named - locked(lock) == set(), "scripts/lock was forgotten"


def test_a_build_needs_what_is_locked() -> None:
    assert pins(DOCUMENT["build-system"]["requires"]) <= pins(GROUPS["build"])


def test_no_lock_names_a_place_that_something_was_downloaded_from() -> None:
    for lock in ROOT.glob("requirements*.lock"):
        assert "://" not in lock.read_text(encoding="utf-8")


def test_programs_of_other_extras_are_told() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "dataflix_contract.programs", "core"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert {"dataflix", "dataflix-train", "dataflix-mlflow"} <= set(told)
    assert not {"dataflix-stack", "dataflix-masker", "dataflix-check"} & set(told)


@pytest.mark.parametrize(("name", "target"), programs().items())
def test_a_program_starts_in_a_folder_of_its_own_package(name: str, target: str) -> None:
    assert (ROOT / folder_of(target) / Path(*target.partition(":")[0].split("."))).with_suffix(".py").exists()
    assert name.startswith("dataflix")


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
