"""The lock of the downloaded servers."""

import hashlib
from pathlib import Path

import pytest

from dataflix_contract.faults import Fault
from dataflix_stack import servers
from dataflix_stack.servers import LockedJar

SHA = "0" * 64


def test_reads_coordinates_and_skips_comments() -> None:
    [jar] = servers.parse_lock(f"# comment\n\norg.slf4j:slf4j-api:1.7.36 {SHA}\n")
    assert jar == LockedJar("org.slf4j", "slf4j-api", "1.7.36", SHA)
    assert (jar.coordinate, jar.filename) == ("org.slf4j:slf4j-api:1.7.36", "slf4j-api-1.7.36.jar")


@pytest.mark.parametrize("line", ["org.slf4j:slf4j-api:1.7.36", "a:b 1", f"a:b:c:d {SHA}", f"a:b:../c {SHA}"])
def test_names_the_line_that_it_cannot_read(line: str) -> None:
    with pytest.raises(Fault, match=r"servers\.lock, line 2"):
        servers.parse_lock(f"# comment\n{line}\n")


def test_verifies_the_content(tmp_path: Path) -> None:
    file = tmp_path / "x.jar"
    file.write_bytes(b"jar")
    good = hashlib.sha256(b"jar").hexdigest()
    assert LockedJar("g", "a", "1", good).verify(file)
    assert not LockedJar("g", "a", "1", SHA).verify(file)


@pytest.mark.parametrize(("machine", "ending"), [("x86_64", "amd64"), ("aarch64", "arm64v8")])
def test_each_machine_gets_its_own_postgresql(machine: str, ending: str) -> None:
    jars = servers.for_machine(servers.parse_lock(servers.lock_text()), machine)
    [postgres] = [jar for jar in jars if jar.group == servers.POSTGRES_GROUP]
    assert postgres.artefact.endswith(ending)


def test_refuses_a_machine_without_postgresql() -> None:
    with pytest.raises(Fault, match="riscv64"):
        servers.for_machine([], "riscv64")


def test_the_shipped_lock_has_one_version_of_everything() -> None:
    jars = servers.for_machine(servers.parse_lock(servers.lock_text()), "x86_64")
    names = [(jar.group, jar.artefact) for jar in jars]
    assert len(names) == len(set(names)) > 100
    assert len({jar.version for jar in jars if jar.group == "org.eclipse.jetty"}) == 1
