"""Disks that are full, and folders that cannot be written to.

In a mount namespace of our own (`unshare`) a small tmpfs is a disk that fills up, and it can be
made read-only, even for root. Where there is no such thing, the size of files is limited instead,
and folders lose their permission to write.
"""

import ctypes
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMESPACE = "MINICNN_FAULTS_NAMESPACE"  # set in a process that has one of its own
_MS_RDONLY, _MS_REMOUNT, _MS_BIND = 1, 32, 4096


@functools.cache
def namespace_command() -> list[str]:
    """Return the words to put before a command so that it may mount disks; none if impossible."""
    program = shutil.which("unshare")
    if sys.platform != "linux" or program is None:
        return []
    for words in ([program, "-m"], [program, "-rm"]):
        attempt = [*words, sys.executable, "-c", _ATTEMPT]
        if subprocess.run(attempt, capture_output=True, check=False).returncode == 0:
            return [*words, "env", f"{NAMESPACE}=1"]
    return []


_ATTEMPT = """
import subprocess, tempfile
with tempfile.TemporaryDirectory() as folder:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], check=True)
    subprocess.run(["umount", folder], check=True)
"""


def can_mount() -> bool:
    """Whether this process has a mount namespace of its own."""
    return os.environ.get(NAMESPACE) == "1"


def _mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [word.encode() for word in (source, str(target), kind)]
    if libc.mount(*words, ctypes.c_ulong(flags), options.encode()):
        number = ctypes.get_errno()
        raise OSError(number, f"mount: {os.strerror(number)}", str(target))


def _unmount(target: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.umount2(str(target).encode(), 2)  # 2: now, and the rest when nobody uses it


class Disk:
    """A small disk.

    Parameters
    ----------
    folder : Path
        Where it is mounted.
    kib, files : int
        How much, and how many files, it holds.
    """

    def __init__(self, folder: Path, kib: int, files: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        _mount("minicnn-faults", folder, "tmpfs", 0, f"size={kib}k,nr_inodes={files}")

    def resize(self, kib: int, files: int) -> None:
        """Make room."""
        _mount("none", self.folder, "tmpfs", _MS_REMOUNT, f"size={kib}k,nr_inodes={files}")

    def set_read_only(self, read_only: bool) -> None:
        """Allow no writing, or allow it again."""
        flags = _MS_REMOUNT | (_MS_RDONLY if read_only else 0)
        _mount("none", self.folder, "tmpfs", flags, "")

    def close(self) -> None:
        """Take it away, with all that is on it."""
        _unmount(self.folder)


def make_read_only(folder: Path) -> None:
    """Let nothing be written below a folder any more; files that are open already stay so."""
    if can_mount():
        _mount(str(folder), folder, "", _MS_BIND, "")
        _mount("none", folder, "", _MS_BIND | _MS_REMOUNT | _MS_RDONLY, "")
    else:
        folder.chmod(0o555)


def make_writable(folder: Path) -> None:
    """Undo `make_read_only`."""
    if can_mount():
        _unmount(folder)
    else:
        folder.chmod(0o755)


def permissions_count() -> bool:
    """Whether a folder without permission to write keeps us from writing: not root."""
    return hasattr(os, "geteuid") and os.geteuid() != 0
