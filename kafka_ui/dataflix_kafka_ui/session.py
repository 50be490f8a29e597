"""One visitor's terminal: kaskade on all topics, or on one. Started by the server for each tab.

    python -m dataflix_kafka_ui.session [TOPIC]

It looks only: what kaskade has to make, change and delete topics is switched off. Topics are
made by ``dataflix-connector topics``, from the contract.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import kaskade
from kaskade.admin import KaskadeAdmin, ListTopics
from kaskade.consumer import KaskadeConsumer
from kaskade.deserializers import Deserialization
from kaskade.services import TopicService
from kaskade.themes import KaskadeApp
from kaskade.widgets import KaskadeHeader
from textual.app import ComposeResult
from textual.widgets import DataTable, Footer

from dataflix_contract import load_settings
from dataflix_contract.programs import die_with_parent

_CHANGES = frozenset({"new", "edit", "delete"})


class _Topics(ListTopics):
    """The list of topics without what changes them."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether the action is offered."""
        return False if action in _CHANGES else super().check_action(action, parameters)

    def finish_loading_table(self) -> None:
        """Give the list the keyboard once it can have it.

        kaskade does so while the list is loading, when Textual focuses nothing: on a busy machine
        no key would then do anything before a click.
        """
        super().finish_loading_table()
        if self.screen.focused is None:
            self.query_one(DataTable).focus()


class Overview(KaskadeAdmin):
    """All topics, their partitions, settings and consumer groups."""

    TITLE = "Dataflix topics"
    CSS_PATH = Path(kaskade.__file__).with_name("styles.css")

    def compose(self) -> ComposeResult:
        """The same as kaskade's, with a list that changes nothing."""
        yield KaskadeHeader(self.kafka_config)
        yield _Topics(TopicService(self.kafka_config, timeouts=self.timeouts))
        yield Footer(compact=True)


def application(topic: str | None) -> KaskadeApp:
    """The application of one visitor.

    Raises:
        SettingsError: a setting cannot be used.
    """
    kafka = load_settings().kafka_client
    if topic is None:
        return Overview(kafka)
    kafka["auto.offset.reset"] = "earliest"
    json_ = Deserialization.JSON
    return KaskadeConsumer(topic, kafka, {}, {}, {}, json_, json_)


def main() -> int:
    """Entry point: one terminal, until it is left or the server ends; the exit code."""
    die_with_parent()
    # the person's own kaskade, its settings and its log file, has nothing to do with this one
    os.environ["KASKADE_SETTINGS"] = os.devnull
    logging.getLogger("kaskade").addHandler(logging.NullHandler())
    if not sys.stderr.isatty():  # a traceback has the values of variables, and those may be of a row
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    terminal = application(next(iter(sys.argv[1:]), None))
    terminal.run()
    return 0 if terminal.return_code is None else int(terminal.return_code)


if __name__ == "__main__":
    sys.exit(main())
