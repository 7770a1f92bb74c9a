"""Messages on stderr, as text or as JSON lines."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum

import msgspec


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class _JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields).decode()


def configure(log_format: LogFormat, verbosity: int) -> None:
    """Verbosity 0 shows warnings, 1 what is done, 2 everything."""
    handler = logging.StreamHandler(sys.stderr)
    if log_format is LogFormat.JSON:
        handler.setFormatter(_JSONFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    if verbosity < 2:  # it has a word for each object
        logging.getLogger("kopf").setLevel(logging.ERROR)
