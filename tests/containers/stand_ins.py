"""Stand-ins for the official images, where none can be pulled: made from package registries alone.

They have the official names and tags, and the same users, groups, paths, declared volumes and entry points
as the official images. docs/containers.md says what they cannot show. With an engine in ``DOCKER_HOST``:

    python tests/containers/stand_ins.py FOLDER     build those that are missing; FOLDER keeps the base system
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from jgo.config import GlobalSettings
from jgo.maven import MavenContext

ROOT = Path(__file__).resolve().parents[2]
_IMAGES = Path(__file__).parent / "images"
#: The Dockerfile of each image's stand-in, by the image's name without its tag.
STAND_INS = {
    "python": "python",
    "golang": "golang",
    "postgres": "postgres",
    "apache/kafka": "kafka",
    "quay.io/debezium/connect": "connect",
    "clickhouse/clickhouse-server": "clickhouse",
    "ghcr.io/kafbat/kafka-ui": "kafka-ui",
}
#: Longer than any of the images takes on a line that is of use.
_PULL_SECONDS = 600
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def wanted() -> dict[str, str]:
    """The images of others that the stack is made of or built on: the full name by the name without its tag.

    Raises:
        LookupError: there is an image that has no stand-in here.
    """
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("docker-compose.yml", "Dockerfile")]
    # what has no tag is another stage
    named = re.findall(r"^(?:FROM| +image:) (\S+:\S+)", "\n".join(texts), re.MULTILINE)
    images = {name.rpartition(":")[0]: name for name in named if not name.startswith("dataflix/")}
    if unknown := images.keys() - STAND_INS.keys():
        raise LookupError(f"there is no stand-in for {', '.join(sorted(unknown))}: add one to {_IMAGES}")
    return images


def build(folder: Path, jars: Path, environment: Mapping[str, str]) -> list[str]:
    """Build the stand-ins of images that the engine does not have and cannot pull; returns their names.

    Args:
        folder: keeps Debian's base system and what is downloaded.
        jars: the jars of Kafka, Kafka Connect and Debezium that the native way has downloaded.
        environment: in which ``docker`` finds the engine.
    """
    missing = {name: image for name, image in wanted().items() if not _has(image, environment)}
    # where one cannot be pulled, none can: they are not asked for one by one
    while missing and _pull(next(iter(missing.values())), environment):
        missing.pop(next(iter(missing)))
    if not missing:
        return []
    _build("debian", ["stand-in/debian"], base_system(folder, environment), (), environment)
    _build("python", ["stand-in/python"], _IMAGES, (), environment)
    _build("java", ["stand-in/java"], _IMAGES, (), environment)
    contexts = (f"jars={jars}", f"tools={kafka_tools(folder)}", f"checkout={ROOT}")
    for name, image in missing.items():
        _build(STAND_INS[name], [image], _IMAGES, contexts, environment)
    return sorted(missing.values())


def kafka_tools(folder: Path) -> Path:
    """A folder with the jar of Kafka's command-line tools, for the health check; the native way lacks it."""
    maven = MavenContext(
        repo_cache=folder / "maven", local_repos=[], remote_repos=GlobalSettings.load().repositories or None
    )
    version = wanted()["apache/kafka"].rpartition(":")[2]
    artifact = maven.project("org.apache.kafka", "kafka-tools").at_version(version).artifact()
    return Path(artifact.resolve()).parent


def base_system(folder: Path, environment: Mapping[str, str]) -> Path:
    """A folder with Debian's smallest system as ``base.tar``, and the machine's certificates."""
    context = folder / "debian"
    if not (context / "base.tar").exists():
        shutil.rmtree(context, ignore_errors=True)
        context.mkdir(parents=True)
        system = context / "base"
        packages = "--include=ca-certificates,netbase,tzdata"
        subprocess.run(
            ["debootstrap", "--variant=minbase", packages, "bookworm", system],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        sources = Path("/etc/apt")
        shutil.rmtree(system / "etc/apt/sources.list.d")
        shutil.copytree(sources / "sources.list.d", system / "etc/apt/sources.list.d")
        if (sources / "sources.list").exists():
            shutil.copy(sources / "sources.list", system / "etc/apt/sources.list")
        subprocess.run(["tar", "-C", system, "-cf", context / "base.tar.partial", "."], check=True)
        shutil.rmtree(system)
        shutil.copy(_CERTIFICATES, context)
        (context / "base.tar.partial").rename(context / "base.tar")
    return context


def _build(
    dockerfile: str,
    names: Iterable[str],
    context: Path,
    others: Iterable[str],
    environment: Mapping[str, str],
) -> None:
    command = ["docker", "build", "--quiet", f"--file={_IMAGES / dockerfile}.Dockerfile"]
    command += [f"--tag={name}" for name in names]
    command += [f"--build-context={other}" for other in others]
    subprocess.run([*command, context], env=environment, check=True, stdout=subprocess.DEVNULL)


def main(arguments: list[str]) -> int:
    """Build what is missing, and say what was built."""
    if len(arguments) != len(("FOLDER",)):
        sys.stderr.write("usage: stand_ins.py FOLDER\n")
        return 2
    (jars,) = (ROOT / ".dataflix" / "servers").glob("*/jars")
    for image in build(Path(arguments[0]).absolute(), jars, os.environ):
        sys.stdout.write(f"built a stand-in for {image}\n")
    return 0


def _pull(image: str, environment: Mapping[str, str]) -> bool:
    try:
        done = subprocess.run(
            ["docker", "pull", "--quiet", image],
            env=environment,
            capture_output=True,
            check=False,
            timeout=_PULL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _has(image: str, environment: Mapping[str, str]) -> bool:
    found = subprocess.run(
        ["docker", "image", "inspect", image], env=environment, capture_output=True, check=False
    )
    return found.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
