"""The documents name what exists: commands, paths, settings, assets, and each other. README is short."""

import fnmatch
import re
from pathlib import Path

import click
import pytest

from capstone_dagster.cli.main import cli
from capstone_dagster.definitions import build_defs
from capstone_dagster.settings import CHECKOUT, Settings

README, SETTINGS = CHECKOUT / "README.md", CHECKOUT / "docs" / "settings.md"
IN_DOCS = sorted((CHECKOUT / "docs").glob("*.md"))
DOCUMENTS = sorted([*CHECKOUT.glob("*.md"), *IN_DOCS])
FENCED = re.compile(r"^```[\s\S]*?^```", re.MULTILINE)
INLINE = re.compile(r"`[^`]+`")

of_every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
of_every_document_in_docs = pytest.mark.parametrize("document", IN_DOCS, ids=lambda path: path.name)


def _prose(document: Path) -> str:
    return FENCED.sub("", document.read_text())


def _code(document: Path) -> str:
    """Fenced blocks and inline code."""
    text = document.read_text()
    return "\n".join([*FENCED.findall(text), *INLINE.findall(FENCED.sub("", text))])


def _links(text: str) -> list[tuple[str, str]]:
    """File and anchor of each link within the checkout; either may be empty."""
    found = re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", INLINE.sub("", text))
    return [(file, anchor) for file, anchor in found if "://" not in file]


def _anchors(document: Path, level: str = "#+") -> list[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(rf"^{level} (.+)$", _prose(document), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_the_readme_has_at_most_900_words() -> None:
    assert len(README.read_text().split()) <= 900


def test_the_readme_leads_to_every_document() -> None:
    linked = {(CHECKOUT / file).resolve() for file, _ in _links(_prose(README))}

    assert set(DOCUMENTS) - {README} <= linked


def test_the_diagram_of_the_readme_shows_every_asset() -> None:
    (diagram,) = re.findall(r"^```mermaid\n([\s\S]*?)^```", README.read_text(), re.MULTILINE)
    shown = re.findall(r"\w+/[\w*]+", diagram)
    keys = build_defs(Settings.from_mapping({"CAPSTONE_HOME": "/data"})).resolve_asset_graph().get_all_asset_keys()
    names = [key.to_user_string() for key in keys]

    assert [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in shown)] == []
    assert [pattern for pattern in shown if not fnmatch.filter(names, pattern)] == []


@of_every_document_in_docs
def test_a_document_begins_with_its_contents(document: Path) -> None:
    top = _prose(document).partition("\n## ")[0]

    assert set(_anchors(document, "##")) <= {anchor for file, anchor in _links(top) if not file}


@of_every_document
def test_every_link_of_the_documents_leads_somewhere(document: Path) -> None:
    for file, anchor in _links(_prose(document)):
        target = document.parent / file if file else document
        assert target.exists(), file
        assert not anchor or anchor in _anchors(target), f"{file}#{anchor}"


@of_every_document
def test_every_path_of_the_documents_exists(document: Path) -> None:
    named = re.findall(
        r"(?<![\w/<.>-])((?:capstone_dagster|capstone_dagster_tests|spark_code|deploy|docs)/[\w./-]*\w/?)",
        document.read_text(),
    )
    for path in named:
        assert (CHECKOUT / path).exists(), path


@of_every_document
def test_every_command_of_the_documents_exists(document: Path) -> None:
    targets = re.findall(r"^([\w.-]+):.*##", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"\bmake ([a-z][a-z0-9.-]*)", _code(document)):
        assert target in targets
    for command, options in re.findall(r"\bcapstone ([a-z][a-z0-9-]*)([^\n`]*)", _code(document)):
        found = cli.get_command(click.Context(cli), command)
        assert found, command
        known = {name for option in found.params if isinstance(option, click.Option) for name in option.opts}
        own = options.split(" -- ")[0].split("#")[0]
        assert set(re.findall(r"--[a-z-]+", own)) <= known, options


def test_the_command_line_page_has_every_command() -> None:
    typed = re.findall(r"^capstone ([a-z0-9-]+)", _code(CHECKOUT / "docs" / "cli.md"), re.MULTILINE)

    assert set(typed) == set(cli.list_commands(click.Context(cli)))


@of_every_document
def test_every_setting_of_the_documents_exists(document: Path) -> None:
    assert set(re.findall(r"CAPSTONE_[A-Z_]+[A-Z]", document.read_text())) <= set(Settings.variables())


def test_the_settings_page_has_every_setting_once() -> None:
    rows = re.findall(r"^\| (`CAPSTONE_[^|]*)\|", SETTINGS.read_text(), re.MULTILINE)

    assert sorted(re.findall(r"`(CAPSTONE_\w+)`", " ".join(rows))) == sorted(Settings.variables())
