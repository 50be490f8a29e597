"""Models on the disk: whole or not there, kept while they are used, made again when damaged."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dataflix_backend.recommendations.model_store import Champion, ModelStore, Note
from dataflix_backend.schemas import Refusal
from dataflix_recommender import ModelError, digest, save
from support.recommender import small_model

HELD = """
import sys
from pathlib import Path
from dataflix_backend.recommendations.model_store import Note
from dataflix_backend.recommendations.model_store import ModelStore
store = ModelStore(Path(sys.argv[1]))
model, lock = store.take(store.note().champion)
print(store.try_to_lead(), len(model.item_ids), flush=True)
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
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def names(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "models").iterdir()}


def test_what_was_put_can_be_taken(store: ModelStore, file: Path, tmp_path: Path) -> None:
    assert not store.has(champion())
    store.put(champion(), file)
    assert store.has(champion())
    model, lock = store.take(champion())
    with lock:
        assert digest(model) == champion().digest
    assert names(tmp_path) == {champion().folder}


def test_a_file_of_another_digest_is_not_put(store: ModelStore, file: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="digest"):
        store.put(champion(known="f" * 64), file)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match="is no model"):
        store.put(champion(), file)
    assert names(tmp_path) == set()


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_a_damaged_folder_is_noticed_and_can_be_made_again(
    store: ModelStore, file: Path, tmp_path: Path, damage: str
) -> None:
    store.put(champion(), file)
    array = tmp_path / "models" / champion().folder / "item_factors.npy"
    content = array.read_bytes()
    if damage == "missing":
        array.unlink()
    else:
        array.write_bytes(content[:-8] if damage == "cut" else content[:-1] + b"\x55")
    with pytest.raises(ModelError):
        store.take(champion())
    assert not store.has(champion())
    store.put(champion(), file)
    store.take(champion())[1].close()


def test_a_folder_that_is_not_there_is_no_damage(store: ModelStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.take(champion())


def test_old_folders_go_when_nobody_uses_them(store: ModelStore, file: Path, tmp_path: Path) -> None:
    for version in (1, 2, 3):
        store.put(champion(version), file)
    _, lock = store.take(champion(1))
    (tmp_path / "models" / ".unfinished-left-by-the-killed").mkdir()
    assert store.tidy(champion(3)) == [champion(2).folder]
    assert names(tmp_path) == {champion(1).folder, champion(3).folder}
    lock.close()
    assert store.tidy(champion(3)) == [champion(1).folder]


def test_notes_are_read_back_and_a_damaged_one_is_an_empty_one(store: ModelStore, tmp_path: Path) -> None:
    assert store.note() == Note()
    refusal = Refusal(version=2, reason="unusable", why="none")
    note = Note(champion=champion(), registry="answers", refusal=refusal)
    store.write(note)
    assert store.note() == note
    (tmp_path / "models" / "champion.json").write_text("{")
    assert store.note() == Note()


def test_a_killed_process_leaves_neither_the_lead_nor_a_folder_in_use(
    store: ModelStore, file: Path, tmp_path: Path
) -> None:
    store.put(champion(), file)
    store.write(Note(champion=champion()))
    with subprocess.Popen(
        [sys.executable, "-c", HELD, str(tmp_path / "models")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "True 4\n"
        assert not store.try_to_lead()
        assert store.tidy(keep=None) == []
        other.kill()
    assert store.try_to_lead()
    assert store.tidy(keep=None) == [champion().folder]
    store.resign()
