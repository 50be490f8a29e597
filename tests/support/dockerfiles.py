"""Read the Dockerfile, and do without an engine what its build stages do."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.stack import ROOT

DOCKERFILE = ROOT / "Dockerfile"
_FLAG = re.compile(r"^--\S+\s+")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name, its flags, and the rest."""

    name: str
    flags: tuple[str, ...]
    text: str

    @property
    def words(self) -> list[str]:
        """The rest as words."""
        return shlex.split(self.text)


@dataclass(frozen=True)
class Stage:
    """A stage: the image that it begins with, its name, its instructions."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def all(self, name: str) -> list[Instruction]:
        """Its instructions of one kind."""
        return [one for one in self.instructions if one.name == name]

    def one(self, name: str) -> Instruction:
        """Its only instruction of one kind."""
        [found] = self.all(name)
        return found

    def last(self, name: str) -> Instruction:
        """Its last instruction of one kind, where that is the one that counts."""
        return self.all(name)[-1]

    @property
    def environment(self) -> dict[str, str]:
        """What its ENV instructions set."""
        pairs = [word.partition("=") for one in self.all("ENV") for word in one.words]
        return {name: value for name, _, value in pairs}


def parse(text: str) -> dict[str, Stage]:
    """The stages by name; one that begins with another one has its instructions too."""
    stages: dict[str, Stage] = {}
    name = ""
    for one in _instructions(text):
        if one.name == "FROM":
            base, _, name = one.words
            begun = stages.get(base, Stage(base, "", ()))
            stages[name] = Stage(begun.base, name, begun.instructions)
        else:
            stages[name] = Stage(stages[name].base, name, (*stages[name].instructions, one))
    return stages


@dataclass(frozen=True)
class Image:
    """An image of ours: the stage that makes its environments, and the one that is kept."""

    build: Stage
    kept: Stage

    @property
    def extras(self) -> set[str]:
        """The extras that its environments have."""
        steps = " ".join(one.text for one in self.build.all("RUN"))
        made = re.findall(r"\b(?:services|batch):([a-z,-]+)", steps)
        return {extra for extras in made for extra in extras.split(",")}


def images() -> dict[str, Image]:
    """Every image by its target: a stage that takes what a stage of its own has made."""
    stages = parse(DOCKERFILE.read_text(encoding="utf-8"))
    return {
        name: Image(stages[f"build-{name}"], stage)
        for name, stage in stages.items()
        if f"build-{name}" in stages
    }


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.strip().partition(" ")
        flags = []
        while found := _FLAG.match(rest.strip()):
            flags.append(found.group().strip())
            rest = rest.strip()[found.end() :]
        yield Instruction(name, tuple(flags), rest.strip())


def copied(stage: Stage) -> list[str]:
    """What a stage copies from the repository."""
    return [
        source
        for one in stage.all("COPY")
        if not any(flag.startswith("--from") for flag in one.flags)
        for source in one.words[:-1]
    ]


def ignored(path: str, patterns: str) -> bool:
    """Whether .dockerignore keeps a path from the builder; the last pattern that fits counts."""
    out = False
    for line in patterns.splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        wanted = pattern.removeprefix("!")
        parts = Path(path).parts
        parents = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        names = parts if wanted.startswith("**/") else ()
        fits = any(fnmatch.fnmatchcase(one, wanted) for one in parents) or any(
            fnmatch.fnmatchcase(one, wanted.removeprefix("**/")) for one in names
        )
        if fits:
            out = not pattern.startswith("!")
    return out


class Replay:
    """The build stage of one image, done in a folder that stands for the image's root."""

    def __init__(self, image: Image, root: Path) -> None:
        self.root = root
        self.image = image
        self._patterns = (ROOT / ".dockerignore").read_text(encoding="utf-8")
        self._folder = root

    def path(self, inside: str) -> Path:
        """The place of a path of the image."""
        return self.root / inside.lstrip("/")

    def build(self, variables: Mapping[str, str]) -> None:
        """Do what the build stage says, and copy what the image takes from the repository."""
        environment = {**self.image.build.environment, **variables}
        for one in self.image.build.instructions:
            if one.name == "WORKDIR":
                self._folder = self.path(one.text)
                self._folder.mkdir(parents=True, exist_ok=True)
            elif one.name == "COPY":
                self._copy(one)
            elif one.name == "RUN":
                self._run(one.text, environment)
        self._folder = self.path(self.image.kept.one("WORKDIR").text)
        for one in self.image.kept.all("COPY"):
            if not one.flags:
                self._copy(one)

    def _copy(self, one: Instruction) -> None:
        *sources, target = one.words
        for source in sources:
            found = ROOT / source
            if found.is_dir():
                shutil.copytree(found, self._folder / target, ignore=self._ignored, dirs_exist_ok=True)
            else:
                (self._folder / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(found, self._folder / target)

    def _ignored(self, folder: str, names: list[str]) -> list[str]:
        where = Path(folder).relative_to(ROOT)
        return [name for name in names if ignored(str(where / name), self._patterns)]

    def _run(self, command: str, environment: Mapping[str, str]) -> None:
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DATAFLIX_", "VIRTUAL_"))
        }
        done = subprocess.run(
            ["sh", "-c", command],
            check=False,
            cwd=self._folder,
            env={**clean, **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
