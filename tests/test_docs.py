"""Names in the documentation exist: files, folders, functions and sections of other pages. So do the headings that the code refers to."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MAPS = ("architecture.md", "contributing.md")  # the pages whose functions are checked, too
PACKAGES = ("callcentersite", "dashboard", "demo", "dora_metrics", "etl_tasks", "github_stand_in", "log_store")
FOLDERS = (*PACKAGES, "benchmarks", "deploy", "docs", "requirements", "scripts", "soak", "tests")
# A path below one of these folders, in code blocks as well as in the text. A brace or an asterisk ends it.
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*[\w/]")
DOTTED = re.compile(r"""[`"](\w+(?:\.[A-Za-z_]+)+)[`"]""")
FILE_NAME = re.compile(r"\.(?:css|cql|graphql|in|js|json|md|py|sh|svg|toml|txt|ya?ml)$")
SECTION = re.compile(r'docs/([\w-]+\.md)`?,\s+"([^"]+)"(?:\s+and\s+"([^"]+)")?')


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    named = set(PATH.findall(page.read_text()))
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("name", MAPS)
def test_every_function_that_the_map_names_is_defined_exactly_once(name: str) -> None:
    named = {dotted for dotted in DOTTED.findall((ROOT / "docs" / name).read_text()) if not FILE_NAME.search(dotted)}
    found = {dotted: definitions(dotted) for dotted in sorted(named)}
    assert {dotted: modules for dotted, modules in found.items() if len(modules) != 1} == {}


def test_the_map_names_paths_and_functions() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert len(set(PATH.findall(text))) > 20
    assert len(set(DOTTED.findall(text))) > 20


def test_every_section_that_the_code_or_a_page_refers_to_exists() -> None:
    files = [*PAGES, *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".html"))]
    referred = {(page, title) for path in files for page, *titles in SECTION.findall(path.read_text()) for title in titles if title}
    assert {reference for reference in referred if reference[1] not in headings(reference[0])} == set()


def headings(page: str) -> set[str]:
    """Return the headings of a page, and the bold words that begin its paragraphs."""
    text = (ROOT / "docs" / page).read_text()
    return set(re.findall(r"^#+ (.+)$", text, re.MULTILINE)) | {
        bold.rstrip(".:") for bold in re.findall(r"^(?:- )?\*\*(.+?)\*\*", text, re.MULTILINE)
    }


def definitions(dotted: str) -> list[str]:
    """Return the modules that define `module.name`, `module.Class.name` or `Class.name`. The end of a module's path is enough."""
    return [module for module, names in defined().items() for name in names if f".{module}.{name}".endswith(f".{dotted}")]


@cache
def defined() -> dict[str, frozenset[str]]:
    """Map each module to what it defines: functions, classes, constants, and the members of its classes."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): frozenset(_names(ast.parse(path.read_text()).body))
        for path in files
    }


def _names(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.ClassDef():
                yield node.name
                yield from (f"{node.name}.{name}" for name in _names(node.body))
            case ast.FunctionDef():
                yield node.name
            case ast.Assign():
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
