"""Small file systems for `torture.py`: real ones where this process may have them, else files of a limited size."""

import contextlib
import ctypes
import resource
import subprocess

_CLONE_NEWNS = 0x00020000  # of Linux's <sched.h>
ROOM = "64m"


def may_mount():
    """Have mounts of this process's own, which end with it, and return whether it may."""
    unshared = ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) == 0
    return unshared and _done("mount", "--make-rprivate", "/")


def _done(*words):
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


def size_of(folder):
    """Return the KiB of a folder's files, each in whole pages."""
    return sum(-(-path.stat().st_size // 4096) * 4 for path in folder.rglob("*") if path.is_file())


class Disk:
    """A folder that can be filled and given room again.

    Args:
        folder: an empty one.
        real: whether to mount a file system there; else files are limited in size.
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
        """Leave so much room; None: enough."""
        if self.real:
            size = ROOM if kib is None else f"{max(size_of(self.folder), 4) + kib + 64}k"
            subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True)
        self.most = None if kib is None else kib * 1024

    def limit(self):
        """Limit this process's files, where the file system is not."""
        if not self.real and self.most is not None:
            with contextlib.suppress(ValueError):
                resource.setrlimit(resource.RLIMIT_FSIZE, (self.most, resource.RLIM_INFINITY))
