"""Small file systems for `torture.py`: mounted ones if permitted, otherwise a limit on the size of files."""

import contextlib
import ctypes
import resource
import subprocess

_CLONE_NEWNS = 0x00020000  # constant in Linux's <sched.h>
ROOM = "64m"
"""Size of a file system that is not full."""


def may_mount():
    """Move this process into a mount namespace of its own; return whether that succeeded, so that it may mount."""
    unshared = ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) == 0
    return unshared and _done("mount", "--make-rprivate", "/")


def _done(*words):
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


def size_of(folder):
    """Return the total size of the files in a folder in KiB, each rounded up to whole pages of 4 KiB."""
    return sum(-(-path.stat().st_size // 4096) * 4 for path in folder.rglob("*") if path.is_file())


class Disk:
    """A folder whose free space can be changed; a context manager.

    Args:
        folder: an empty folder.
        real: mount a file system on the folder; otherwise the size of each file is limited.
    """

    def __init__(self, folder, real):
        self.folder, self.real, self.most = folder, real, None

    def __enter__(self):
        if self.real:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", self.folder], check=True)
        return self

    def __exit__(self, *_of):
        if self.real:
            subprocess.run(["umount", "-l", self.folder], check=True)

    def leave(self, kib):
        """Leave `kib` KiB of free space; None: enough space."""
        if self.real:
            size = ROOM if kib is None else f"{max(size_of(self.folder), 4) + kib + 64}k"
            subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True)
        self.most = None if kib is None else kib * 1024

    def limit(self):
        """Limit the size of the files of this process, if no file system is mounted and space is limited."""
        if not self.real and self.most is not None:
            with contextlib.suppress(ValueError):
                resource.setrlimit(resource.RLIMIT_FSIZE, (self.most, resource.RLIM_INFINITY))
