"""What is published says one version, and where it comes from."""

from __future__ import annotations

import re
from pathlib import Path

import gridr_numba

ROOT = Path(__file__).parent.parent


def test_every_place_says_the_same_version():
    version = gridr_numba.__version__
    assert re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1] == version
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version
    assert set(re.findall(r"\bversion (\d+\.\d+\.\d+)", (ROOT / "README.md").read_text())) <= {version}


def test_the_citation_names_gridr():
    assert "https://github.com/CNES/gridr" in (ROOT / "CITATION.cff").read_text()


def test_there_are_no_addresses_of_a_project_that_has_no_host():
    assert "[project.urls]" not in (ROOT / "pyproject.toml").read_text()
