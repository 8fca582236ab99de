"""What Sphinx is told; `building` puts this file beside the pages."""

import json
import re
from pathlib import Path

project = "minicnn"
author = "the authors of minicnn"
html_title = "minicnn"
extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
nitpicky = False
default_role = "py:obj"
exclude_patterns = ["lessons/downloads"]

nb_execution_mode = "off"  # `running` has done that, and measured it
nb_merge_streams = True
nb_ipywidgets_js = {}
myst_enable_extensions = ["amsmath", "attrs_block", "colon_fence", "dollarmath"]
myst_dmath_double_inline = True  # as Jupyter reads $$, also within a paragraph
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the types are in the docstrings, with shapes
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_static_path = ["_own"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_search_summary = False  # it would fetch pages, which file:// does not allow
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0b5cad",
        "color-brand-content": "#0b5cad",
        "color-brand-visited": "#6b3fa0",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7cc0ff",
        "color-brand-content": "#7cc0ff",
        "color-brand-visited": "#c3a6f5",
    },
}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
mathjax_path = "mathjax/tex-svg-full.js"  # one file: no fonts, nothing loaded later
mathjax3_config = {"options": {"enableMenu": False}}


def setup(app):
    """Let a public name alone, `Tensor`, lead to its description."""
    homes = json.loads((Path(app.srcdir) / "homes.json").read_text("utf-8"))
    short: dict[str, set[str]] = {}
    for full, home in homes.items():
        short.setdefault(full.rsplit(".", 1)[1], set()).add(home)

    def resolve(app, env, node, contnode):
        target = node.get("reftarget", "")
        first, _, rest = target.removesuffix("()").partition(".")
        found = {homes[target]} if target in homes else short.get(first, set())
        if node.get("refdomain") != "py" or len(found) != 1:
            return None
        full = ".".join(filter(None, [*found, rest if target not in homes else ""]))
        domain = env.get_domain("py")
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", full, node, contnode)

    def escape(app, what, name, thing, options, lines):
        """Let |x| and (N, *rest) mean themselves, as in the source."""
        lines[:] = [re.sub(r"(?<![\\\w`*])(\|\w+\||\*\w+(?![\w*]))", r"\\\1", x) for x in lines]
        lines[:] = [re.sub(r"(\\\|\w+)\|", r"\1\|", x) for x in lines]

    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-docstring", escape, priority=900)
