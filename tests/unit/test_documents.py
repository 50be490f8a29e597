"""What the documents name is there: the files that they link to, and the README's addresses and logins."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from dataflix_contract import Settings
from support.stack import ROOT

DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md"))
    if path.is_file()
)
README = (ROOT / "README.md").read_text(encoding="utf-8")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    """The names of a document's headings, as GitHub makes links to them."""
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    links = _LINK.findall(_FENCE.sub("", document.read_text(encoding="utf-8")))
    for link in links:
        if "://" in link:
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), f"{document.name} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{document.name} links to {link}"


def test_the_readme_gives_the_ports_and_logins_of_the_settings() -> None:
    settings = Settings()
    ports = {name: port for name, port in settings if name.endswith("_port")}
    # Kafka's controller is for Kafka alone
    for name in ports.keys() - {"kafka_controller_port"}:
        assert re.search(rf"\b{ports[name]}\b", README), f"{name} is {ports[name]}"
    logins = {
        settings.postgres_user: settings.postgres_password,
        settings.clickhouse_user: settings.clickhouse_password,
        settings.airflow_user: settings.airflow_password,
        settings.s3_access_key: settings.s3_secret_key,
    }
    for user, password in logins.items():
        assert f"| {user} / {password.get_secret_value()} |" in README


def test_the_map_of_the_code_names_files_that_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_]+/[a-z_/]+\.[a-z]+)`", text)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).is_file()] == []
