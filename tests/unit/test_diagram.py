"""The picture of the architecture is what docs/diagram.py prints, and stands for every service and table."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

from dataflix_contract import tables
from support.stack import ROOT

PICTURE = ROOT / "docs" / "img" / "architecture.svg"


@pytest.fixture(scope="module")
def diagram() -> ModuleType:
    spec = importlib.util.spec_from_file_location("diagram", ROOT / "docs" / "diagram.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look
    spec.loader.exec_module(module)
    return module


def test_the_committed_picture_is_what_the_program_prints(diagram: ModuleType) -> None:
    assert PICTURE.read_text(encoding="utf-8") == diagram.draw(), "run scripts/generate"


def test_it_is_an_image_that_names_every_table_topic_and_port(diagram: ModuleType) -> None:
    texts = {text for element in ET.fromstring(diagram.draw()).iter() if (text := element.text)}
    for table in tables().values():
        assert {table.raw_topic, table.masked_topic, f"raw.{table.name}"} <= texts
    shown = {int(part) for text in texts for part in text.split(", ") if part.isdecimal()}
    assert {port for numbers in diagram.ports().values() for port in numbers} <= shown


def test_no_card_covers_another(diagram: ModuleType) -> None:
    for one, other in itertools.combinations(diagram.cards(), 2):
        apart = (
            one.x + one.width <= other.x
            or other.x + other.width <= one.x
            or one.y + one.height <= other.y
            or other.y + other.height <= one.y
        )
        assert apart, (one.key, other.key)


def test_a_service_that_is_not_drawn_is_an_error(
    diagram: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = diagram.ports() | {"teleporter": (4711,)}
    monkeypatch.setattr(diagram, "ports", lambda: there)
    with pytest.raises(ValueError, match="teleporter"):
        diagram.draw()
