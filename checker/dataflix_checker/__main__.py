"""``python -m dataflix_checker`` is ``dataflix-check``."""

from dataflix_checker.cli import app

app(prog_name="check_all_works.py")
