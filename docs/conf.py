"""The documentation site: ``sphinx-build -W --keep-going docs build/site``. Pages are executed; nothing is fetched."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import imagesize
from docutils import nodes

import gridr_numba

HERE = Path(__file__).parent
# Pages are run by kernels, processes of their own: they find the pictures' module, and the benchmarks' beside the docs.
sys.path.insert(0, str(HERE))
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]).rstrip(":")
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
# Rasters in pixel coordinates have no georeferencing on purpose.
os.environ["PYTHONWARNINGS"] = "ignore:Dataset has no geotransform"
# What a page shows must not depend on how many processors built it.
os.environ.setdefault("NUMBA_NUM_THREADS", "2")

# Pages run with a profile of their own, and their kernels say only errors.
profile = Path(tempfile.mkdtemp(prefix="gridr-numba-docs-"), "profile_default")
profile.mkdir()
(profile / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 40\n")
os.environ["IPYTHONDIR"] = str(profile.parent)
atexit.register(shutil.rmtree, profile.parent, ignore_errors=True)

project = "gridr_numba"
author = "the gridr_numba developers"
copyright = f"2026, {author}"
release = version = gridr_numba.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
default_role = "py:obj"
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True  # what pages write is gone with them
nb_execution_timeout = 240
nb_merge_streams = True
nb_render_markdown_format = "myst"
nb_ipywidgets_js: dict[str, Any] = {}  # would be fetched

autodoc_class_signature = "separated"  # what users do not construct needs no arguments
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say what arguments are
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False  # parameters that are explained together stay together
python_display_short_literal_types = True
python_maximum_signature_line_length = 88

html_theme = "pydata_sphinx_theme"
html_title = "gridr_numba"
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["site.css"]
html_sidebars = {"index": [], "start": []}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "gridr_numba"},
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "show_prev_next": True,
    "show_version_warning_banner": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def size_images(app: Any, doctree: Any, docname: str) -> None:
    """Give each picture its width and height, so that a page does not jump while it loads.

    A picture that says how many pixels an inch has is shown with the 96 that pages have.
    """
    for image in doctree.findall(nodes.image):
        path = Path(app.srcdir) / image["uri"]
        width, height = imagesize.get(path)
        pixels_an_inch = imagesize.getDPI(path)[0]
        natural = round(width * 96 / pixels_an_inch) if pixels_an_inch > 0 else width
        shown = min(natural, int(str(image.get("width", natural)).removesuffix("px")))
        image["width"], image["height"] = str(shown), str(round(height * shown / width))


def skip_constructors(app: Any, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out how reports, errors and enumerations are made: the package makes them."""
    return True if name in ("__init__", "__new__") else None


def compile_first(app: Any) -> None:
    """Compile the kernels before the pages run, so that the times that they print are of what they do."""
    subprocess.run([sys.executable, "-m", "gridr_numba", "warmup", "--quiet"], check=False)


def setup(app: Any) -> None:
    """Tell Sphinx."""
    app.connect("doctree-resolved", size_images)
    app.connect("autodoc-skip-member", skip_constructors)
    app.connect("builder-inited", compile_first)
