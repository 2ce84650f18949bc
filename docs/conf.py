"""The site of documents: README, guides and recipes where they lie, and the docstrings.

``make docs`` builds it. The source folder is that of the repository, so that links
between the documents lead where they lead on disk.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from data_prep import __version__  # noqa: E402

project = "XSER"
author = "XSER contributors"
copyright = author
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = ["*.md", "docs/**.md", "recipes/*.ipynb", "recipes/**.md"]
exclude_patterns = [".*", "build", "shared", "**/results", "tests", "benchmarks"]
html_theme = "furo"
html_title = project
html_extra_path = ["index.html"]  # leads to README.html

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types, with shapes
# Shapes, as (settings,), are taken for names of code, of which there may be two.
suppress_warnings = ["ref.python"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # the notebook runs as a test
# What GitHub shows below the README without being asked.
CONTENTS = """
```{toctree}
:hidden:
:caption: Guides

recipes/tour
recipes/README
docs/inference
docs/protocols
docs/installing
docs/performance
docs/reliability
docs/security
SECURITY
CONTRIBUTING
recipes/RESULTS
CHANGELOG
```

```{toctree}
:hidden:
:glob:
:caption: Recipes

recipes/*/README
```

```{toctree}
:hidden:
:glob:
:caption: Reference

docs/api/*
```
"""


def setup(app):
    """Add the table of contents to the first page."""

    def add(app, name, source):
        if name == root_doc:
            source[0] += CONTENTS

    app.connect("source-read", add)
