"""Write ``servers.lock`` anew: ``python -m dataflix_stack.relock DEPENDENCY_LIST``.

The argument is what ``mvn -f stack/servers.pom.xml dependency:list -DoutputFile=...`` wrote:
Maven mediates versions as the servers' makers meant it; other resolvers mix versions of Jetty.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from dataflix_contract.console import Console
from dataflix_contract.progress import progress
from dataflix_stack import jar_lockfile
from dataflix_stack.install import hashed

_POSTGRES_VERSION = "15.19.0"
_DEPENDENCY = re.compile(r"^\s+([\w.-]+):([\w.-]+):jar:([\w.-]+):(?:compile|runtime)", re.MULTILINE)
_HEADER = """\
# Every file that `dataflix-stack install` downloads: Maven coordinate and sha256.
# Written by: python -m dataflix_stack.relock (see there)
"""


def main(listing: str) -> None:
    """Resolve and hash every dependency in ``listing`` and rewrite the lock beside this module."""
    unhashed = [
        jar_lockfile.LockedJar(group, artefact, version, "")
        for group, artefact, version in _DEPENDENCY.findall(listing)
    ]
    unhashed += [
        jar_lockfile.LockedJar(jar_lockfile.POSTGRES_GROUP, artefact, _POSTGRES_VERSION, "")
        for artefact in sorted(set(jar_lockfile.POSTGRES_ARTEFACTS.values()))
    ]
    with progress("downloading", Console(stderr=True)) as shown:
        jars = sorted(hashed(unhashed, shown))
    text = _HEADER + "".join(f"{jar.coordinate} {jar.sha256}\n" for jar in jars)
    Path(__file__).with_name(jar_lockfile.LOCK_FILE).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).read_text(encoding="utf-8"))
