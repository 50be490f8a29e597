#!/usr/bin/env python3
"""Check that all of Dataflix works; plain python3 is enough.

This hands over to the checker in the environment that ./run.sh has made.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def main() -> None:
    """Replace this process by the checker in its environment."""
    home = Path(os.environ.get("DATAFLIX_HOME", ROOT / ".dataflix"))
    python = home / "envs" / "services" / "bin" / "python"
    if not python.exists():
        sys.exit("check_all_works.py: nothing is installed yet; start Dataflix first: ./run.sh")
    program = str(ROOT / "bin" / "dataflix-check")
    os.execv(program, [program, *sys.argv[1:]])  # noqa: S606 - our own path


if __name__ == "__main__":
    main()
