"""Sphinx's settings: `make docs` builds docs/_build/html, every warning an error, without a network."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from docs.generate import write  # noqa: E402 (the path above is what finds it)

write(HERE / "_generated")

project = "finebench"
version = release = installed("finebench")
copyright = "the finebench developers; Apache-2.0"

extensions = ["myst_nb"]
exclude_patterns = ["_build", "_generated", "studies/*/results"]
html_extra_path = ["_generated/schema", "_generated/reports"]  # study.schema.json, for editors; the studies' reports
myst_heading_anchors = 3
nitpicky = True

# The notebook runs as its reader would run it: in an empty folder, from the beginning, with finebench on the path.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_output_stderr = "remove"  # what libraries warn of on the machine that builds the pages, its paths with it

html_theme = "furo"
html_title = f"finebench {release}"
html_static_path: list[str] = []
html_copy_source = False
