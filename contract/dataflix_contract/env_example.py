"""Print ``.env.example`` to standard output."""

import sys

from dataflix_contract.settings import render_env_example

sys.stdout.write(render_env_example())
