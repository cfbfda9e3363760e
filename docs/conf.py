"""Sphinx's configuration of the site that `make docs` builds, offline and with warnings as errors."""

import hashlib
import os
import re
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

project = "skyfan"
author = "The skyfan developers"
copyright = author  # noqa: A001  (Sphinx's name)
version = release = version_of("skyfan")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
myst_enable_extensions = ["colon_fence", "deflist", "linkify"]
myst_heading_anchors = 4

# Tutorials run when the site is built: what they show is what skyfan does.
# Their cells import tutorial.py, and a result is cached for the code that it was made with.
_HERE = Path(__file__).resolve().parent
os.environ["PYTHONPATH"] = str(_HERE)
_code = hashlib.sha256()
for _path in sorted(
    path
    for pattern in (
        "invoke/**/*.py",
        "functions/**/*.py",
        "benchmarks/standins/*.py",
        "benchmarks/lightcurves.py",
        "docs/tutorial.py",
    )
    for path in _HERE.parent.glob(pattern)
):
    _code.update(_path.read_bytes())
nb_execution_mode = "cache"
nb_execution_cache_path = str(_HERE / "_build/cells" / _code.hexdigest()[:12])
nb_execution_timeout = 180
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_execution_show_tb = True

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

smartquotes = False  # --for is an option, and no dash

html_theme = "pydata_sphinx_theme"
html_title = "skyfan"
html_static_path = ["_static"]
html_css_files = ["skyfan.css"]
html_show_sourcelink = False
html_sidebars: dict[str, list[str]] = {"index": [], "install": [], "gallery": []}
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
}

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "CONTRIBUTING.md": "contributing",
    "SECURITY.md": "security",
    "CHANGELOG.md": "changelog",
    "layers/astro/README.md": "layer",
    "functions/runtime/README.md": "runtime",
    "functions/sep_extract/README.md": "sep-extract",
    "functions/fits_summary/README.md": "fits-summary",
    "functions/transits/README.md": "transits",
}
"""Pages that lie beside the code, and where the site has them: docs/project/NAME.md includes each."""
_LINK = re.compile(r"\]\((?!https?:|#)([^)\s#]+)(#[^)\s]+)?\)")


def _with_links(text: str, home: Path) -> str:
    """Text of a file in the folder `home`, with links that lead to pages of the site from any of them."""

    def link(match: re.Match[str]) -> str:
        target = (home / match[1]).resolve()
        if not target.is_relative_to(ROOT):
            return match[0]
        name = target.relative_to(ROOT).as_posix()
        if name in PAGES:
            name = f"docs/project/{PAGES[name]}.md"
        if not name.startswith("docs/"):
            return f"]({os.path.relpath(target, ROOT / 'docs')}{match[2] or ''})"
        return f"](/{name.removeprefix('docs/')}{match[2] or ''})"

    return _LINK.sub(link, text)


def _read(app: Any, document: str, source: list[str]) -> None:
    source[0] = _with_links(source[0], (ROOT / "docs" / document).parent)


def _include(app: Any, path: Path, document: str, source: list[str]) -> None:
    source[0] = _with_links(source[0], (ROOT / "docs" / path).resolve().parent)


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("source-read", _read)
    app.connect("include-read", _include)
