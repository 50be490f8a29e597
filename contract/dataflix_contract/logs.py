"""Configure structured logs: every service writes lines with one JSON object each, in the same form.

Never log values of rows, which may be personal data: log names, counts and offsets.
"""

from __future__ import annotations

import logging
import sys
import time

import structlog

#: The least time between two equal warnings of a library, in seconds.
LIBRARY_WARNING_SECONDS = 10.0
_OUR_PACKAGES = "dataflix_"
_TEMPLATE_CHARACTERS = 40


def configure_logging(service: str, level: int = logging.INFO) -> None:
    """Send structlog and the standard library's logging to stderr as JSON lines.

    Args:
        service: the name that every line carries.
        level: the least severe level that is written.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    structlog.contextvars.bind_contextvars(service=service)


def limit_library_logs(*libraries: str) -> None:
    """Limit libraries' repeated warnings to one per interval, and drop less severe lines of the named ones.

    This is for a service whose libraries retry fifty times a second while a server does not answer. Call it
    after :func:`configure_logging`.
    """
    for name in libraries:
        logging.getLogger(name).setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(OncePerInterval())


class OncePerInterval(logging.Filter):
    """Drops a library's warning or error that repeats one of the last :data:`LIBRARY_WARNING_SECONDS`."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if record.levelno < logging.WARNING or record.name.startswith(_OUR_PACKAGES):
            return True
        # By the template and not the text, in which addresses and ids change with each attempt.
        key = (record.name, str(record.msg)[:_TEMPLATE_CHARACTERS])
        now = time.monotonic()
        if now - self._last.get(key, -LIBRARY_WARNING_SECONDS) < LIBRARY_WARNING_SECONDS:
            return False
        self._last[key] = now
        return True
