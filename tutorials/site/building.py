"""From lessons to a folder of static pages."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tutorials.site.live import Live
from tutorials.site.pages import write_pages
from tutorials.site.running import ROOT, Ran

HERE = Path(__file__).resolve().parent
MATHJAX = "sphinx-mathjax-offline"
"""The distribution that carries MathJax; of it one file is taken, and nothing is run."""


class SiteError(Exception):
    """Sphinx warned, or something that the site needs is not installed."""


def build(
    out: Path,
    ran: Sequence[Ran],
    live: Live,
    gallery: Ran | None = None,
    reference: bool = True,
) -> None:
    """Build the site.

    Parameters
    ----------
    out : Path
        A folder; what it held is replaced.
    ran : sequence of Ran
        The lessons with their outputs.
    live : Live
        The network of the live page.
    gallery : Ran, optional
        The gallery.
    reference : bool, default True
        Whether the reference is wanted, too, which takes most of the time.

    Raises
    ------
    SiteError
        If Sphinx warns of anything.
    """
    with tempfile.TemporaryDirectory() as folder:
        pages = Path(folder) / "pages"
        pages.mkdir()
        shutil.copy(HERE / "conf.py", pages)
        own = pages / "_own"
        shutil.copytree(HERE / "static", own)
        write_mathjax(own / "mathjax")
        write_pages(pages, ran, gallery, live, reference)
        made = Path(folder) / "html"
        run_sphinx(pages, made)
        if out.exists():
            shutil.rmtree(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, out)


def write_mathjax(folder: Path) -> None:
    """Copy MathJax, the one file that draws formulas as SVG and needs no fonts."""
    name = "static/mathjax/tex-svg-full.js"
    files = importlib.metadata.files(MATHJAX) or []
    path = next((Path(str(file.locate())) for file in files if str(file).endswith(name)), None)
    if path is None:
        raise SiteError(f"{MATHJAX}: it holds no {name}; pip install 'minicnn[site]'")
    folder.mkdir()
    shutil.copy(path, folder)


def run_sphinx(pages: Path, out: Path) -> None:
    """Let Sphinx make HTML of pages; whatever it warns of is an error."""
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-j", "2"]
    command += ["-d", str(out.parent / "doctrees"), str(pages), str(out)]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SiteError(f"Sphinx says:\n{done.stderr}{done.stdout}")
    for name in (".buildinfo", "objects.inv"):
        (out / name).unlink(missing_ok=True)
