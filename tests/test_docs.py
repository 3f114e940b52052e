"""What the documents number, name and list is there, and what is cited of the laws is in docs/laws.md."""

from __future__ import annotations

import ast
import json
import re
from importlib import import_module
from pathlib import Path

import pytest
from lanes import KERNELS, OTHERS, OWN

import gridr_numba

ROOT = Path(__file__).parent.parent
LAWS = (ROOT / "docs" / "laws.md").read_text()
NUMBERS = [int(number) for number in re.findall(r"^## (\d+)\. ", LAWS, re.MULTILINE)]
# The package as it is imported, which need not lie beside the tests.
SOURCES = [
    *Path(gridr_numba.__file__).parent.rglob("*.py"),
    *(ROOT / "tests").glob("*.py"),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(path for path in (ROOT / "docs").rglob("*.md") if path.name != "laws.md"),
]
# "law 5", "Laws 1, 2, 3 and 5", "laws 1 to 8", "law 4's"; across a line's end too.
CITED = re.compile(r"\blaws?[\s#]+(\d+(?:(?:,\s+and|,|\s+and|\s+to|\s+or)[\s#]+\d+)*)", re.IGNORECASE)


def cited(text):
    """Return the numbers of the laws that a text cites."""
    found = set()
    for numbers in CITED.findall(text):
        for low, _, high in re.findall(r"(\d+)([\s#]+to[\s#]+(\d+))?", numbers):
            found |= set(range(int(low), int(high or low) + 1))
    return found


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Law 6: what", {6}),
        ("Laws 4, 6, 7 and 8.", {4, 6, 7, 8}),
        ("(law 5 first)", {5}),
        ("# laws 1 to 3, and\n# 5: the grid", {1, 2, 3, 5}),
        ("Laws 1 to\n    8. The", {1, 2, 3, 4, 5, 6, 7, 8}),
        ("Law: (R-1)*rr + 1; the law of 3", set()),
    ],
)
def test_citations_are_found(text, numbers):
    assert cited(text) == numbers


def test_the_laws_are_numbered():
    assert len(NUMBERS) >= 10
    assert list(range(1, len(NUMBERS) + 1)) == NUMBERS


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_law_that_is_cited_exists(path):
    if path.name == Path(__file__).name:
        return
    assert cited(path.read_text()) <= set(NUMBERS)


def test_every_law_names_tests_that_exist():
    functions = {
        path.name: {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
        for path in (ROOT / "tests").glob("test_*.py")
    }
    for law in re.split(r"^## (?=\d)", LAWS, flags=re.MULTILINE)[1:]:
        named = re.findall(r"`tests/(\w+\.py)::(\w+)`", law)
        assert named, law
        assert len(re.findall(r"\btest_\w+`", law)) == len(named), "a test without its file"
        for file, function in named:
            assert function in functions.get(file, ()), f"{file}::{function}"


def test_every_difference_from_gridr_has_its_test():
    rows = [line for line in (ROOT / "docs/reference/differences.md").read_text().splitlines() if line.startswith("|")]
    named = [re.findall(r"`tests/(\w+\.py)::(\w+)`", row) for row in rows[2:]]
    assert all(named)
    for file, function in (each for found in named for each in found):
        assert f"def {function}(" in (ROOT / "tests" / file).read_text(), f"{file}::{function}"
    there = re.findall(r"^def (test_difference_\w+)", (ROOT / "tests/test_against_gridr.py").read_text(), re.MULTILINE)
    assert {function for found in named for _, function in found} >= set(there)


@pytest.mark.parametrize("path", sorted((ROOT / "bench/results").glob("*.json")), ids=lambda path: path.name)
def test_the_tables_of_results_that_are_kept_can_be_made_again(path):
    report = pytest.importorskip("bench.report")
    result = json.loads(path.read_text())
    tables = report.render(result)
    assert all(report.describe(report.case_of(entry)) in tables for entry in result["cases"])


def test_the_readme_promises_every_law_by_its_number():
    readme = (ROOT / "README.md").read_text()
    promised = readme[readme.index("**What is promised.**") : readme.index("## How fast")]
    assert "(docs/laws.md)" in promised
    assert [int(number) for number in re.findall(r"^(\d+)\. ", promised, re.MULTILINE)] == NUMBERS


def test_every_decision_has_its_date():
    decisions = (ROOT / "docs" / "decisions.md").read_text()
    paragraphs = decisions[decisions.index("\n## ") :].strip().split("\n\n")
    for paragraph in paragraphs:
        assert re.match(r"## |\*\*[^*]+\.\*\*\s+(Recorded\s+)?\d{4}-\d\d-\d\d[,.;]\s", paragraph), paragraph


def test_contributing_lists_the_lanes_of_ci():
    lanes = re.findall(r'^(?:lane|beside) "(.*?)"', (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert lanes.pop() == "done"
    listed = [name for name, _ in table("| Lane ")]
    assert len(listed) == len(lanes)
    for name, lane in zip(listed, lanes, strict=True):
        assert name in lane


def test_each_test_file_is_in_one_of_the_two_lists_of_lanes():
    files = sorted(path.stem for path in (ROOT / "tests").glob("test_*.py"))
    assert sorted([*KERNELS, *OTHERS]) == files


@pytest.mark.parametrize("name", OWN)
def test_what_the_oldest_lane_leaves_out_exists(name):
    file, _, function = name.partition("::")
    assert f"def {function or 'test_'}" in (ROOT / "tests" / f"{file}.py").read_text()


def test_contributing_knows_the_hypothesis_profiles():
    registered = re.findall(
        r'register_profile\("(\w+)", max_examples=(\d+)', (ROOT / "tests" / "conftest.py").read_text()
    )
    assert [(name.strip("`"), examples.split(",")[0]) for name, examples in table("| Profile ")] == registered


def test_contributing_prints_the_tree_of_the_package():
    package = Path(gridr_numba.__file__).parent
    printed, folder = set(), ""
    for line in section("## The house").splitlines():
        if found := re.match(r"    ( +)([\w./]+)", line):
            indent, name = found.groups()
            folder = name if name.endswith("/") else folder if len(indent) > 2 else ""
            printed.add(folder if name.endswith("/") else folder + name)
    there = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    there |= {path.relative_to(package).as_posix() for path in package.rglob("*.py") if path.name != "__init__.py"}
    assert printed == there | {"__init__.py", "py.typed"}


WAYS = re.findall(r"`((?:[a-z_]+\.)+\w+(?:\.\w+)?)`", (ROOT / "CONTRIBUTING.md").read_text().split("## How to add")[0])


@pytest.mark.parametrize("name", sorted({name for name in WAYS if not name.endswith((".py", ".md", ".typed"))}))
def test_the_ways_through_the_house_go_by_what_is_there(name):
    """`room.module.Class.method`, from the package on."""
    parts = name.split(".")
    package = Path(gridr_numba.__file__).parent
    depth = 1 + (package / parts[0]).is_dir()
    found = import_module(".".join(["gridr_numba", *parts[:depth]]))
    for part in parts[depth:]:
        found = getattr(found, part)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/reference/promises.md"])
def test_a_page_names_tests_that_exist(page):
    functions = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", (ROOT / page).read_text()):
        assert f"def {name}(" in functions, name


TUTORIALS = sorted(path.stem for path in (ROOT / "docs/tutorials").glob("*.md") if path.stem != "index")


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_is_listed_and_checks_its_result(name):
    assert f"\n{name}\n" in (ROOT / "docs/tutorials/index.md").read_text()
    cells = re.findall(
        r"^```\{code-cell\} python\n(.*?)^```", (ROOT / f"docs/tutorials/{name}.md").read_text(), re.M | re.S
    )
    assert any(re.search(r"^ *assert ", cell, re.M) for cell in cells)


def test_tutorials_go_the_ways_that_users_go():
    text = "".join((ROOT / f"docs/tutorials/{name}.md").read_text() for name in TUTORIALS)
    for name in (
        "warp",
        "make_grid",
        "resample",
        "densify",
        "open_densifier",
        "write_zarr",
        "densify_lazy",
        "plot_images",
    ):
        assert f"{name}(" in text, name
    start = (ROOT / "docs/start.md").read_text()
    assert "gridr-numba warp " in start
    assert ".html" in start


def test_the_values_in_the_reference_are_printed(capsys):
    """The cell of the reference that goes through all public names takes each kind of enumeration."""
    cell = re.findall(
        r"^```\{code-cell\} python\n(.*?)^```", (ROOT / "docs/reference/api.md").read_text(), re.M | re.S
    )[-1]
    exec(re.sub(r"^:tags:.*", "", cell), {})
    printed = capsys.readouterr().out
    assert "SOURCE_INVALID = 32" in printed
    assert "LANCZOS3 = 'lanczos3'" in printed


def anchors(path):
    """Return the headings of a page as GitHub and the site name them in links."""
    titles = re.findall(r"^#{1,6} +(.*)", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings_that_exist(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"\w+:", link):
            continue
        file, _, anchor = link.partition("#")
        leads = (page.parent / file).resolve() if file else page
        assert leads.exists(), link
        assert not anchor or anchor in anchors(leads), link


def section(heading):
    """Return the text of a section of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    return text[text.index(f"{heading}\n") :].split("\n## ")[0]


def table(header):
    """Return the first two columns of the table in CONTRIBUTING.md that starts so."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rows = text[text.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [tuple(cell.strip() for cell in row.strip("|").split("|")[:2]) for row in rows]
