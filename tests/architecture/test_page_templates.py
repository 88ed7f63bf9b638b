"""Text of others meets a cleaning filter in the page's templates too, and nothing there is marked as safe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import Environment, nodes
from specs import REPOSITORY
from test_sanitiser import HOSTILE

FOLDER = REPOSITORY / "daemon" / "web"
TEMPLATES = sorted((FOLDER / "templates").glob("*.html"))
CLEANERS = frozenset({"line", "lines"})
WORDS = frozenset({"proposer", "rule", "rules", "device", "sandbox", "torch_version", "referee_sha256", "directory"})


def unclean(template: str) -> list[tuple[int, str]]:
    """Where text of others is mentioned outside a cleaning filter and outside a condition."""
    found: list[tuple[int, str]] = []
    _visit(Environment().parse(template), found)
    return found


def _visit(node: nodes.Node, found: list[tuple[int, str]]) -> None:
    if isinstance(node, nodes.Filter) and node.name in CLEANERS:
        return
    if isinstance(node, nodes.Compare):
        return
    if isinstance(node, nodes.Getattr) and node.attr in HOSTILE | WORDS:
        found.append((node.lineno, node.attr))
    tested = getattr(node, "test", None)
    for child in node.iter_child_nodes():
        if child is not tested:
            _visit(child, found)


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_a_template_cleans_what_others_wrote(file: Path) -> None:
    assert unclean(file.read_text()) == []


@pytest.mark.parametrize("leak", ["{{ e.hypothesis }}", "{{ e.lesson|upper }}", "{{ t.reason or 'x' }}"])
def test_a_leak_in_a_template_is_noticed(leak: str) -> None:
    assert unclean(leak)


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_no_template_switches_escaping_off_or_styles_inline(file: Path) -> None:
    text = file.read_text()
    for word in ("|safe", "| safe", "autoescape", " style=", "<style", "onclick", "javascript:", "http://", "https://"):
        assert word not in text


def test_all_that_the_page_loads_lies_in_the_package() -> None:
    for file in ("page.css", "page.js"):
        text = (FOLDER / "assets" / file).read_text()
        assert "http" not in text.replace("https://example", "")
        assert re.search(r"(innerHTML|outerHTML)\s*=[^=]|insertAdjacentHTML|document\.write", text) is None
        assert "eval(" not in text
    assert (FOLDER / "assets" / "inter.LICENSE.txt").read_text().count("SIL Open Font License")
    assert (FOLDER / "assets" / "mono.LICENSE.txt").read_text().count("SIL Open Font License")
