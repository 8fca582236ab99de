"""Open every page of a built site in Chromium, and tell what is wrong."""

import argparse
import sys
import time
from pathlib import Path

from tests.site.browsing import browser, chromium, visit


def main() -> int:
    """Visit the site; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.site", description=__doc__)
    parser.add_argument("site", type=Path, nargs="?", default=Path("build/site"))
    site = parser.parse_args().site
    if not (site / "index.html").exists():
        parser.error(f"{site}: no site is there; build one with python -m tutorials.site")
    if chromium() is None:
        parser.error("no Chromium is on the path; apt-get install chromium")
    began = time.monotonic()
    with browser() as program:
        found = visit(program, site)
    for trouble in found.troubles:
        print(trouble)
    print(
        f"{len(found.pages)} pages, {found.links} links in {time.monotonic() - began:.0f} s: "
        f"{len(found.troubles) or 'no'} troubles"
    )
    return int(bool(found.troubles))


if __name__ == "__main__":
    sys.exit(main())
