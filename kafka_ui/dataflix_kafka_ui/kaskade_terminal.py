"""A visitor's terminal, which shows all topics or one topic by kaskade; the server starts one for each tab.

    python -m dataflix_kafka_ui.kaskade_terminal [TOPIC]

kaskade's commands that create, change and delete topics are switched off: topics are made from the contract,
by ``dataflix-connector topics``.
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
    """kaskade's list of topics, without the commands that change topics."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether the action is offered."""
        return False if action in _CHANGES else super().check_action(action, parameters)

    def finish_loading_table(self) -> None:
        """Focus the list once it is loaded.

        kaskade focuses it while it is loading, when Textual ignores that: on a busy machine, keys would then
        do nothing before a click.
        """
        super().finish_loading_table()
        if self.screen.focused is None:
            self.query_one(DataTable).focus()


class Overview(KaskadeAdmin):
    """All topics, their partitions, settings and consumer groups."""

    TITLE = "Dataflix topics"
    CSS_PATH = Path(kaskade.__file__).with_name("styles.css")

    def compose(self) -> ComposeResult:
        """Make the same parts as kaskade, with a list that changes nothing."""
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
    """Entry point: run one terminal until the visitor leaves it or the server ends; return the exit code."""
    die_with_parent()
    # settings and log file of the user's own kaskade are not used
    os.environ["KASKADE_SETTINGS"] = os.devnull
    logging.getLogger("kaskade").addHandler(logging.NullHandler())
    if not sys.stderr.isatty():  # a traceback shows values of variables, which may be personal data
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    terminal = application(next(iter(sys.argv[1:]), None))
    terminal.run()
    return 0 if terminal.return_code is None else int(terminal.return_code)


if __name__ == "__main__":
    sys.exit(main())
