"""Run the lessons and build the site.

Every lesson is run in a process of its own; one that raises, or takes longer than the limit, ends
the build. So does whatever Sphinx warns of, and a link of a lesson that leads nowhere.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from minicnn.errors import MinicnnError
from tutorials.notebooks import HERE, lessons
from tutorials.site.building import SiteError, build
from tutorials.site.links import LinkError, check_links
from tutorials.site.live import of_run, trained
from tutorials.site.running import LessonError, Ran, read, run

GALLERY = HERE / "gallery.py"


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the site; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tutorials.site", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/site"), metavar="FOLDER",
                        help="where to; what it holds is replaced (build/site)")  # fmt: skip
    parser.add_argument("--limit", type=float, default=60, metavar="SECONDS",
                        help="the most that a lesson may take (default: 60)")  # fmt: skip
    parser.add_argument("--lessons", metavar="01,03", help="only these lessons")
    parser.add_argument("--no-run", action="store_true", help="show code without outputs")
    parser.add_argument("--run", type=Path, metavar="MODEL_DIR",
                        help="the run of minicnn.train gtsrb whose network the live page shows; "
                             "by default one is trained on drawn signs, once")  # fmt: skip
    options = parser.parse_args(arguments)
    paths = lessons()
    if options.lessons:
        wanted = options.lessons.split(",")
        paths = [path for path in paths if path.stem.split("_")[0] in wanted]
        if len(paths) < len(wanted):
            parser.error(f"--lessons {options.lessons}: only {', '.join(p.stem for p in paths)}")
    if options.out.exists() and not (options.out / "searchindex.js").exists():
        parser.error(f"--out {options.out}: there is something that is no site; name a new folder")
    try:
        for path in paths:
            for cell in read(path).cells:
                check_links(cell.source if cell.cell_type == "markdown" else "", path)
        ran = _run_all([*paths, GALLERY] if GALLERY.exists() else paths, options)
        gallery = ran.pop() if GALLERY.exists() else None
        print("the network of the live page ...", flush=True)
        live = of_run(options.run) if options.run else trained()
        print("Sphinx ...", flush=True)
        build(options.out, ran, live, gallery)
    except (LessonError, LinkError, MinicnnError, SiteError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"open {(options.out / 'index.html').resolve().as_uri()}")
    return 0


def _run_all(paths: Sequence[Path], options: argparse.Namespace) -> list[Ran]:
    """Run lessons, also those after one that fails; print what each takes."""
    if options.no_run:
        return [Ran(path, read(path), 0.0, 0.0) for path in paths]
    ran, failures = [], []
    for path in paths:
        try:
            ran.append(run(path, options.limit))
        except LessonError as error:
            failures.append(str(error))
            print(f"{path.name:32} FAILS", flush=True)
            continue
        last = ran[-1]
        print(f"{path.name:32} {last.seconds:6.1f} s   CPU {last.cpu_seconds:6.1f} s", flush=True)
    if failures:
        raise LessonError("\n\n".join(failures))
    return ran


if __name__ == "__main__":
    sys.exit(main())
