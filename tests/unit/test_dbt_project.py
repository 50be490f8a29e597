"""The dbt project: everything is described, and it says the same as the data contract."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from dataflix_contract import PiiClass, tables
from dataflix_contract.masking import PSEUDONYM_PATTERNS, Masking
from dataflix_dbt.project import PROJECT, pseudonyms

MODELS = PROJECT / "models"
MARTS = {"users", "movies", "ratings", "user_movie_matrix"}
CONTRACT_COLUMNS = {
    table.name: {column.name for column in table.forwarded_columns} for table in tables().values()
}


def described(kind: str) -> Iterator[dict[str, Any]]:
    """Every entry of a kind in the project's YAML files."""
    for path in MODELS.rglob("*.yml"):
        yield from yaml.safe_load(path.read_text(encoding="utf-8")).get(kind, [])


def source_tables() -> Iterator[tuple[str, dict[str, Any]]]:
    for source in described("sources"):
        for table in source["tables"]:
            yield source["name"], table


MODEL_ENTRIES = {entry["name"]: entry for entry in described("models")}


def test_every_model_is_described() -> None:
    assert {path.stem for path in MODELS.rglob("*.sql")} == MODEL_ENTRIES.keys()
    assert {path.stem for path in (MODELS / "marts").glob("*.sql")} == MARTS


@pytest.mark.parametrize("name", MODEL_ENTRIES)
def test_every_column_is_described(name: str) -> None:
    # The enforced contract has dbt refuse a model whose columns are not just these.
    assert MODEL_ENTRIES[name]["description"]
    for column in MODEL_ENTRIES[name]["columns"]:
        assert column["description"], column["name"]
        assert column["data_type"], column["name"]


def test_contracts_are_enforced() -> None:
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    assert project["models"]["dataflix"]["+contract"] == {"enforced": True}


def test_the_sources_are_the_contracts_tables() -> None:
    found = {table["name"]: table for source, table in source_tables() if source == "raw"}
    assert found.keys() == CONTRACT_COLUMNS.keys()
    for name, table in found.items():
        columns = {column["name"] for column in table["columns"]}
        assert {column for column in columns if not column.startswith("_")} == CONTRACT_COLUMNS[name]
        assert table["description"]
        assert all(column["description"] for column in table["columns"])


@pytest.mark.parametrize("name", tables())
def test_staging_shows_the_contracts_columns(name: str) -> None:
    columns = {column["name"] for column in MODEL_ENTRIES[f"stg_{name}"]["columns"]}
    assert columns == CONTRACT_COLUMNS[name] | {"version"}


def test_every_mart_is_searched_for_addresses_and_compared_with_raw() -> None:
    for mart in MARTS:
        names = {next(iter(test)) for test in MODEL_ENTRIES[mart]["data_tests"]}
        assert {"no_unmasked_email", "agrees_with_raw"} <= names


@pytest.mark.parametrize("table", tables())
def test_only_columns_that_the_contract_masks_are_judged_and_each_of_them_is(table: str) -> None:
    masked = {column.name for column in tables()[table].forwarded_columns if column.pii in PSEUDONYM_PATTERNS}
    assert pseudonyms()[table].keys() == masked
    for model in (f"stg_{table}", table):
        columns = MODEL_ENTRIES.get(model, {}).get("columns", [])
        patterns = {
            column["name"]: test["matches"]["arguments"]["pattern"]
            for column in columns
            for test in column.get("data_tests", [])
            if "matches" in test and test["matches"]["name"].endswith("_is_a_pseudonym")
        }
        assert patterns == (pseudonyms()[table] if columns else {})


def test_the_masked_form_is_what_masking_makes() -> None:
    masking = Masking("a key of sixteen characters", "k1")
    made = {PiiClass.NAME: masking.name("Ada"), PiiClass.EMAIL: masking.email("ada@example.org")}
    assert made.keys() == PSEUDONYM_PATTERNS.keys()
    for pii, token in made.items():
        assert re.fullmatch(PSEUDONYM_PATTERNS[pii], str(token))
        assert not re.fullmatch(PSEUDONYM_PATTERNS[pii], "ada@example.org")


def test_exposures_name_their_owner() -> None:
    assert {exposure["name"] for exposure in described("exposures")} == {
        "recommender_training",
        "recommendation_api",
    }
    assert all(exposure["description"] and exposure["owner"]["name"] for exposure in described("exposures"))


def test_nothing_is_downloaded_and_no_secret_is_kept() -> None:
    assert not [name for name in ("packages.yml", "dependencies.yml") if (PROJECT / name).exists()]
    output = yaml.safe_load((PROJECT / "profiles.yml").read_text(encoding="utf-8"))["dataflix"]["outputs"][
        "warehouse"
    ]
    assert output["password"] == "{{ env_var('DBT_ENV_SECRET_CLICKHOUSE_PASSWORD') }}"


def test_the_project_lies_beside_the_package() -> None:
    assert (PROJECT / "dbt_project.yml").is_file()
    assert Path(__file__).resolve().parents[2] / "dbt" / "project" == PROJECT
