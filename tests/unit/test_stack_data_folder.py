"""A stack works, and deletes, only in a data folder of its own."""

import json
from pathlib import Path

import pytest

from dataflix_contract.faults import Fault
from dataflix_stack import data_folder
from dataflix_stack.data_folder import make_folders
from dataflix_stack.paths import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "data")


def made(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("something")


def test_a_folder_of_other_things_is_neither_used_nor_wiped(layout: Layout) -> None:
    theirs = layout.backend / "main.py"
    made(theirs)
    for refused in (
        data_folder.check,
        data_folder.claim,
        data_folder.wipe,
        lambda it: make_folders(it, None),
    ):
        with pytest.raises(Fault, match=r"set DATAFLIX_DATA_DIR .*touch .*/\.dataflix-stack"):
            refused(layout)
    assert theirs.is_file()
    assert list(layout.data.iterdir()) == [layout.backend]


@pytest.mark.parametrize("before", ["missing", "empty", "a new disk"])
def test_a_new_folder_is_marked_and_wiped_whole(layout: Layout, before: str) -> None:
    if before != "missing":
        layout.data.mkdir()
    if before == "a new disk":
        (layout.data / "lost+found").mkdir()
    make_folders(layout, None)
    for part in layout.parts:
        part.mkdir(exist_ok=True)
    make_folders(layout, None)
    data_folder.wipe(layout)
    assert layout.data.exists() == (before == "a new disk")
    assert not layout.data.exists() or [one.name for one in layout.data.iterdir()] == ["lost+found"]


def test_a_wipe_leaves_what_somebody_else_put_there(layout: Layout) -> None:
    make_folders(layout, None)
    made(layout.data / "notes.txt", layout.training / "numba" / "cache")
    data_folder.wipe(layout)
    assert [one.name for one in layout.data.iterdir()] == ["notes.txt"]


def test_the_data_of_an_older_release_stays_usable(layout: Layout) -> None:
    made(layout.postgres / "PG_VERSION", layout.kafka / "formatted")
    make_folders(layout, None)
    assert (layout.data / data_folder.MARK).is_file()


def test_a_start_of_an_older_release_that_came_to_nothing_is_wiped(layout: Layout) -> None:
    made(layout.owner)
    data_folder.wipe(layout)
    assert not layout.data.exists()


def test_somebody_elses_postgres_alone_is_no_stack(layout: Layout) -> None:
    made(layout.postgres / "PG_VERSION", layout.data / "docker-compose.yml")
    with pytest.raises(Fault):
        data_folder.wipe(layout)
    made(layout.data / data_folder.MARK)  # as the message says
    data_folder.check(layout)


def test_the_data_of_other_settings_is_not_wiped_while_they_are_there(layout: Layout, tmp_path: Path) -> None:
    first, second = tmp_path / "first.env", tmp_path / "second.env"
    made(first, second)
    layout.run.mkdir(parents=True)
    data_folder.refuse_others(layout, second)  # nobody has started here
    layout.owner.write_text(json.dumps({"settings": str(first)}))
    with pytest.raises(Fault, match=r"settings \S+first\.env, .*--env-file \S+first\.env"):
        data_folder.refuse_others(layout, second)
    data_folder.refuse_others(layout, first)
    first.unlink()  # moved, perhaps: its data can still be deleted
    data_folder.refuse_others(layout, second)


def test_nothing_is_there_to_wipe(layout: Layout) -> None:
    data_folder.wipe(layout)
    assert not layout.data.exists()
