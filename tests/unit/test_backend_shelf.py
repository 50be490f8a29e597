"""Models on the disk: whole or not there, kept while they are used, made again when damaged."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dataflix_backend.recommendations.champion import Champion, Note
from dataflix_backend.recommendations.shelf import Shelf
from dataflix_recommender import ModelError, digest, save
from support.recommender import small_model

HELD = """
import sys
from pathlib import Path
from dataflix_backend.recommendations.champion import Note
from dataflix_backend.recommendations.shelf import Shelf
shelf = Shelf(Path(sys.argv[1]))
model, lock = shelf.take(shelf.note().champion)
print(shelf.lead(), len(model.item_ids), flush=True)
sys.stdin.read()
"""


def champion(version: int = 1, known: str | None = None) -> Champion:
    return Champion(
        version=version,
        digest=known or digest(small_model()),
        run_id="run",
        trained_at=datetime(2026, 1, 1, tzinfo=UTC),
        metrics={"rmse": 0.9},
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save(small_model(), tmp_path / "model.npz")
    return tmp_path / "model.npz"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "models")


def names(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "models").iterdir()}


def test_what_was_put_can_be_taken(shelf: Shelf, file: Path, tmp_path: Path) -> None:
    assert not shelf.has(champion())
    shelf.put(champion(), file)
    assert shelf.has(champion())
    model, lock = shelf.take(champion())
    with lock:
        assert digest(model) == champion().digest
    assert names(tmp_path) == {champion().folder}


def test_a_file_of_another_digest_is_not_put(shelf: Shelf, file: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="digest"):
        shelf.put(champion(known="f" * 64), file)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match="is no model"):
        shelf.put(champion(), file)
    assert names(tmp_path) == set()


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_a_damaged_folder_is_noticed_and_can_be_made_again(
    shelf: Shelf, file: Path, tmp_path: Path, damage: str
) -> None:
    shelf.put(champion(), file)
    array = tmp_path / "models" / champion().folder / "item_factors.npy"
    content = array.read_bytes()
    if damage == "missing":
        array.unlink()
    else:
        array.write_bytes(content[:-8] if damage == "cut" else content[:-1] + b"\x55")
    with pytest.raises(ModelError):
        shelf.take(champion())
    assert not shelf.has(champion())
    shelf.put(champion(), file)
    shelf.take(champion())[1].close()


def test_a_folder_that_is_not_there_is_no_damage(shelf: Shelf) -> None:
    with pytest.raises(FileNotFoundError):
        shelf.take(champion())


def test_old_folders_go_when_nobody_uses_them(shelf: Shelf, file: Path, tmp_path: Path) -> None:
    for version in (1, 2, 3):
        shelf.put(champion(version), file)
    _, lock = shelf.take(champion(1))
    (tmp_path / "models" / ".unfinished-left-by-the-killed").mkdir()
    assert shelf.tidy(champion(3)) == [champion(2).folder]
    assert names(tmp_path) == {champion(1).folder, champion(3).folder}
    lock.close()
    assert shelf.tidy(champion(3)) == [champion(1).folder]


def test_notes_are_read_back_and_a_damaged_one_is_an_empty_one(shelf: Shelf, tmp_path: Path) -> None:
    assert shelf.note() == Note()
    note = Note(champion=champion(), registry="answers", fault="none")
    shelf.write(note)
    assert shelf.note() == note
    (tmp_path / "models" / "champion.json").write_text("{")
    assert shelf.note() == Note()


def test_a_killed_process_leaves_neither_the_lead_nor_a_folder_in_use(
    shelf: Shelf, file: Path, tmp_path: Path
) -> None:
    shelf.put(champion(), file)
    shelf.write(Note(champion=champion()))
    with subprocess.Popen(
        [sys.executable, "-c", HELD, str(tmp_path / "models")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "True 4\n"
        assert not shelf.lead()
        assert shelf.tidy(keep=None) == []
        other.kill()
    assert shelf.lead()
    assert shelf.tidy(keep=None) == [champion().folder]
    shelf.resign()
