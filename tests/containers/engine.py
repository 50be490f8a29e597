"""A container engine for the tests of docker-compose.yml, on a machine where none answers.

``running_engine`` gives the environment in which ``docker`` and ``docker compose`` work. Where the machine's
own engine answers and is new enough, that is the one. Otherwise Docker's engine is unpacked from Debian's
packages into a folder, runs with its data and its socket in that folder, and is ended when the context
closes. That needs root and Debian; nothing is installed, and the machine's network is put back as it was.

    python tests/containers/engine.py FOLDER COMMAND [ARGUMENT...]     run a command with such an engine
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

#: ``start_interval`` of health checks came with this version of the engine's API: Docker 25.
OLDEST_API = (1, 44)
#: From Debian 13: its engine is new enough, and its programs run on Debian 12 too.
_NEW_PACKAGES = ("docker.io", "docker-cli", "docker-compose", "docker-buildx", "containerd", "tini")
#: From Debian 12: trixie's own runc and iptables need a newer C library than bookworm has.
_OLD_PACKAGES = (
    "runc",
    "iptables",
    "libxtables12",
    "libnftnl11",
    "libmnl0",
    "libip4tc2",
    "libip6tc2",
    "libnfnetlink0",
    "libnetfilter-conntrack3",
    "debootstrap",
)
_START_SECONDS, _STOP_SECONDS = 60, 60
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_FAMILIES = ("iptables", "ip6tables")


class NoEngineError(Exception):
    """There is no engine, and none can be made here; the message says why."""


@contextmanager
def running_engine(folder: Path) -> Iterator[Mapping[str, str]]:
    """The environment in which an engine answers, for as long as the context is open.

    Args:
        folder: where an engine of its own keeps programs, images and data. What is there is used again.

    Raises:
        NoEngineError: no engine can be had.
    """
    if answering(os.environ):
        yield dict(os.environ)
        return
    reason = why_not()
    if reason:
        raise NoEngineError(reason)
    programs = unpack(folder)
    environment = _environment(folder, programs)
    with _network_put_back(environment), _daemon(folder, environment):
        yield environment


def answering(environment: Mapping[str, str]) -> bool:
    """Whether an engine that is new enough answers, and the compose plugin is there."""
    if shutil.which("docker", path=environment.get("PATH")) is None:
        return False
    version = _output(["docker", "version", "--format", "{{.Server.APIVersion}}"], environment)
    if version is None or tuple(int(part) for part in version.split(".")) < OLDEST_API:
        return False
    return _output(["docker", "compose", "version"], environment) is not None


def why_not() -> str:
    """Why no engine of its own can be started here; empty: it can."""
    if os.geteuid() != 0:
        return "no container engine answers, and only root can start one"
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return "no container engine answers, and its packages are Debian's: this machine is none"
    if shutil.which("ip") is None:
        return "no container engine answers, and iproute2 is missing, which removes the bridges of one"
    if not _mirrors():
        return "no container engine answers, and this machine names no mirror of Debian"
    return ""


def unpack(folder: Path) -> Path:
    """The folder of the engine's programs, downloaded and unpacked unless they are there."""
    root = folder / "root"
    if root.is_dir():
        return root
    partial = folder / "root.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for suite, packages in (("trixie", _NEW_PACKAGES), ("bookworm", _OLD_PACKAGES)):
        for package in _download(folder / suite, suite, packages):
            subprocess.run(["dpkg-deb", "-x", package, partial], check=True)
    programs = partial / "usr" / "bin"
    (programs / "docker-init").unlink(missing_ok=True)
    (programs / "docker-init").symlink_to("tini-static")
    for name in ("iptables", "ip6tables"):
        (partial / "usr" / "sbin" / name).unlink(missing_ok=True)
        (partial / "usr" / "sbin" / name).symlink_to("xtables-nft-multi")
    partial.rename(root)
    return root


def _download(folder: Path, suite: str, packages: tuple[str, ...]) -> list[Path]:
    """Packages of one release of Debian, from the machine's mirror, with lists and a cache of their own."""
    for part in ("lists/partial", "cache/archives/partial", "packages"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    lines = [f"deb [signed-by={keys}] {mirror} {suite} main\n" for mirror in _mirrors()[:1]]
    (folder / "sources.list").write_text("".join(lines))
    (folder / "status").touch()
    options = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "download", *packages], check=True, cwd=folder / "packages")
    return sorted((folder / "packages").glob("*.deb"))


def _mirrors() -> list[str]:
    """The mirrors of Debian that the machine's apt uses."""
    sources = Path("/etc/apt")
    files = [*sources.glob("sources.list"), *sources.glob("sources.list.d/*.list")]
    files += sources.glob("sources.list.d/*.sources")
    found = re.findall(
        r"^(?:URIs:|deb(?: \[[^]]*\])?)\s+(\S+/debian/?)(?:\s|$)",
        "\n".join(path.read_text() for path in files),
        re.MULTILINE,
    )
    return list(dict.fromkeys(found))


def _environment(folder: Path, root: Path) -> dict[str, str]:
    """What finds the engine's programs, its plugins and its socket."""
    plugins = folder / "config" / "cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    for name in ("docker-buildx", "docker-compose"):
        (plugins / name).unlink(missing_ok=True)
        (plugins / name).symlink_to(root / "usr" / "libexec" / "docker" / "cli-plugins" / name)
    (libraries,) = (path.parent for path in root.glob("usr/lib/*/libxtables.so.12"))
    return os.environ | {
        "PATH": f"{root}/usr/sbin:{root}/usr/bin:{os.environ['PATH']}:/usr/sbin:/sbin",
        "LD_LIBRARY_PATH": str(libraries),
        "XTABLES_LIBDIR": str(libraries / "xtables"),
        "DEBOOTSTRAP_DIR": str(root / "usr" / "share" / "debootstrap"),
        "DOCKER_CONFIG": str(folder / "config"),
        "DOCKER_HOST": f"unix://{folder}/docker.sock",
    }


@contextmanager
def _network_put_back(environment: Mapping[str, str]) -> Iterator[None]:
    """Remove the bridges and rules that an engine makes and leaves behind, and forward packets as before."""
    links, forwarding = _links(), _FORWARDING.read_text()
    rules = {family: _rules(family, environment) for family in _FAMILIES}
    try:
        yield
    finally:
        for link in _links() - links:
            subprocess.run(["ip", "link", "delete", link], check=False)
        for family in _FAMILIES:
            _put_back(family, rules[family], environment)
        _FORWARDING.write_text(forwarding)


def _links() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def _rules(family: str, environment: Mapping[str, str]) -> str:
    """All rules of IPv4 (``iptables``) or IPv6 (``ip6tables``)."""
    command = ["xtables-nft-multi", f"{family}-save"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def _put_back(family: str, rules: str, environment: Mapping[str, str]) -> None:
    """Load rules; a table that they do not have becomes empty, and accepts everything."""
    emptied = []
    for table in re.findall(r"^\*\w+$.*?^COMMIT$", _rules(family, environment), re.MULTILINE | re.DOTALL):
        name, *lines = table.splitlines()
        if name not in rules.splitlines():
            chains = [line.split()[0] for line in lines if re.fullmatch(r":\S+ (ACCEPT|DROP) .*", line)]
            emptied += [name, *(f"{chain} ACCEPT" for chain in chains), "COMMIT"]
    subprocess.run(
        ["xtables-nft-multi", f"{family}-restore"],
        input="".join(f"{line}\n" for line in emptied) + rules,
        env=environment,
        text=True,
        check=True,
    )


@contextmanager
def _daemon(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    command = ["dockerd", f"--data-root={folder}/data", f"--exec-root={folder}/exec"]
    command += [f"--host={environment['DOCKER_HOST']}", f"--pidfile={folder}/pid"]
    with (folder / "dockerd.log").open("ab") as log:
        daemon = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not answering(environment):
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise NoEngineError(f"the engine did not start: {folder}/dockerd.log says why")
            time.sleep(0.5)
        yield
    finally:
        daemon.terminate()
        try:
            daemon.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _output(command: list[str], environment: Mapping[str, str]) -> str | None:
    """What a command prints; None: it failed."""
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=20, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def main(arguments: list[str]) -> int:
    """Run a command while an engine answers; its exit code."""
    if len(arguments) < len(("FOLDER", "COMMAND")):
        sys.stderr.write("usage: engine.py FOLDER COMMAND [ARGUMENT...]\n")
        return 2
    folder, *command = arguments
    try:
        with running_engine(Path(folder).absolute()) as environment:
            return subprocess.run(command, env=environment, check=False).returncode
    except NoEngineError as reason:
        sys.stderr.write(f"engine.py: {reason}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
