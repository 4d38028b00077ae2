"""Checks of checkpoint files before and after they are unpickled, whichever program wrote them.

A checkpoint is a zip archive of uncompressed members: a pickle, and the bytes of each tensor storage. Every member is
compared with its CRC-32 checksum in the archive. If the ``.json`` record next to the file contains a SHA-256, the file
is compared with this SHA-256 too. The pickle's instructions are checked before the pickle is loaded, and the loaded
values afterwards. Therefore no loaded object is much larger than the file, and no tensor refers to bytes outside its
storage.
"""

import pickletools
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from recbole.evaluator.records import SHA256, read_beside
from recbole.utils import UserError, sha256_of_file
from recbole.utils.files import Stamp, stamp

_BLOCK = 2**20
_HEADER = struct.Struct("<4s22xHH")  # header of a member: signature, lengths of name and extra field
_MOST_PICKLED = 2**25
"""Largest size of the pickle in bytes, without the tensor storages."""

_MOST_BUILT = 2**19
"""Largest number of pickle instructions that build something other than a number or a string."""

_CHEAP = frozenset({
    *("BININT", "BININT1", "BININT2", "BINFLOAT", "NONE", "NEWTRUE", "NEWFALSE", "BINGET", "LONG_BINGET"),
    *("BINUNICODE", "SHORT_BINUNICODE"),
})  # fmt: skip
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_LOOK_UP = frozenset({"STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"})
"""Pickle instructions that look up a Python global (a class or function) whose name is not part of the instruction."""

_DEEPEST, _MOST_PARTS = 64, 2**22
"""Largest depth of nested values, and largest number of values; a value that occurs several times counts each time."""

_LONGEST_NUMBER = 64  # bits
_RACY = 1.0
"""A file that changed less than this many seconds ago is checked again at the next call.

A second change within so short a time may leave the modification time, and so go unnoticed.
"""

_sound: dict[Path, tuple[Stamp, frozenset[str]]] = {}
"""Files already checked: path to ``((device, inode, size, mtime_ns), Python globals that the pickle looks up)``."""


@dataclass(frozen=True)
class _Member:
    """A member of a zip archive: its name, the offset of its bytes in the file, its size in bytes, and its CRC-32."""

    name: str
    start: int
    size: int
    crc: int


def checked_archive(path: Path) -> frozenset[str]:
    """Read and check a checkpoint file, without loading what it contains.

    A file that this process has checked before and that has not changed since is not read again.

    Returns:
        The Python globals (classes and functions) that the file's pickle looks up, as texts ``module name``.

    Raises:
        UserError: the file is not an uncompressed zip archive with one pickle, is damaged, or its SHA-256 differs from
            that in the ``.json`` record next to it.
    """
    now = stamp(path)
    if now is None:
        raise UserError(f"{path}: was removed while it was read")
    if path in _sound and _sound[path][0] == now:
        return _sound[path][1]
    digest = _expected(path)
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            members = list(_members(archive, file, now.size))
            pickled = _read(members, file)
        names = _looked_up(pickled)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error, UnicodeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise UserError(f"{path}: truncated or not a checkpoint ({reason})") from error
    if digest is not None and sha256_of_file(path) != digest:
        raise UserError(
            f"{path}: its SHA-256 differs from that in {path.with_suffix('.json').name} next to it: one of the "
            "two files was changed; restore it, or delete the .json if the .pth is correct"
        )
    if time.time() - now.changed / 1e9 > _RACY:
        _sound[path] = now, names
    return names


def _expected(path: Path) -> str | None:
    """Return the SHA-256 in the ``.json`` record next to a checkpoint; None if there is no record or no SHA-256 in it.

    Raises:
        UserError: the record cannot be read, or a value in it has a wrong type.
    """
    record = read_beside(path) if path.suffix == ".pth" else None
    return None if record is None else record.get(SHA256)


def _members(archive: zipfile.ZipFile, file: IO[bytes], size: int) -> Iterator[_Member]:
    """Yield the members of a zip archive in the order of their offsets.

    Args:
        archive: the archive.
        file: the file of the archive, open for reading.
        size: the file's size in bytes.

    Raises:
        ValueError: two members have the same name, or a member is compressed, encrypted, overlaps another one, or is
            not where the archive's directory says.
    """
    listed = sorted(archive.infolist(), key=lambda info: info.header_offset)
    if len({info.filename for info in listed}) < len(listed):
        raise ValueError("two members have the same name")
    end = 0
    for info in listed:
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise ValueError(f"{info.filename} is compressed or encrypted")
        file.seek(info.header_offset)
        signature, name, extra = _HEADER.unpack(file.read(_HEADER.size))
        start = info.header_offset + _HEADER.size + name + extra
        if signature != b"PK\x03\x04" or info.header_offset < end or start + info.file_size > size:
            raise ValueError(f"{info.filename} is not at the position that the archive's directory gives")
        end = start + info.file_size
        yield _Member(info.filename, start, info.file_size, info.CRC)


def _read(members: list[_Member], file: IO[bytes]) -> bytes:
    """Compare every member with its CRC-32, and return the bytes of the member ``data.pkl`` (the pickle).

    Raises:
        ValueError: a member does not have its CRC-32, or there is not exactly one pickle of acceptable size.
    """
    pickled = [member for member in members if member.name.endswith("/data.pkl")]
    if len(pickled) != 1 or pickled[0].size > _MOST_PICKLED:
        raise ValueError(f"it has {len(pickled)} members data.pkl, not one of at most {_MOST_PICKLED // 2**20} MiB")
    for member in members:
        file.seek(member.start)
        crc, left = 0, member.size
        while left and (block := file.read(min(left, _BLOCK))):
            crc, left = zlib.crc32(block, crc), left - len(block)
        if left or crc != member.crc:
            raise ValueError(f"{member.name} is damaged: its checksum differs")
    file.seek(pickled[0].start)
    return file.read(pickled[0].size)


def _looked_up(pickled: bytes) -> frozenset[str]:
    """Return the Python globals (classes and functions) that a pickle looks up, as ``module name``, without unpickling.

    If an instruction does not contain the global's name, the instruction's own name is returned instead.

    Raises:
        ValueError: the pickle would build too many objects, or it numbers an object in its memo (the table of objects
            to refer to) so that lower numbers stay unused, for which the unpickler would allocate memory.
    """
    names, built, puts = set(), 0, 0
    for step, argument, _ in pickletools.genops(pickled):
        if step.name == "GLOBAL":
            names.add(str(argument))
        elif step.name in _LOOK_UP:
            names.add(step.name)
        elif step.name in _PUTS:
            if int(argument or 0) > puts:
                raise ValueError("its pickle skips memo numbers")
            puts += 1
        built += step.name not in _CHEAP
        if built > _MOST_BUILT:
            raise ValueError(f"its pickle builds more than {_MOST_BUILT} objects")
    return frozenset(names)


def check_content(content: Any, path: Path) -> dict[str, Any]:
    """Check that a loaded checkpoint is a dictionary of plain values and plain tensors, and return it unchanged.

    Raises:
        UserError: the content is not a dictionary, or contains a value that contains itself, too many or too deeply
            nested values, an integer of more than 64 bits, a text that is not valid Unicode, or a tensor that is
            sparse, complex, quantised or larger than its storage.
    """
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a checkpoint, but a {type(content).__name__}")
    try:
        _count(content, 0, {})
    except ValueError as error:
        raise UserError(f"{path}: this checkpoint is not read: {error}") from error
    return content


def _count(value: Any, depth: int, known: dict[int, int | None]) -> int:
    """Return how many values a value in a checkpoint consists of: itself and all values nested in it.

    Args:
        value: the value.
        depth: how many containers enclose the value.
        known: ``id`` of each container visited so far to the number of values in it; None while they are being counted.

    Raises:
        ValueError: the value is to be refused, see :func:`check_content`.
    """
    if isinstance(value, torch.Tensor):
        _check_tensor(value)
        return 1
    if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER:
        raise ValueError(f"it contains a number of {value.bit_length()} bits, more than {_LONGEST_NUMBER}")
    if isinstance(value, str):
        value.encode()  # a UnicodeError is a ValueError
    if not isinstance(value, (dict, list, tuple, set, frozenset)):
        return 1
    if id(value) in known:
        seen = known[id(value)]
        if seen is None:
            raise ValueError("it contains a value that contains itself")
        return seen
    if depth > _DEEPEST:
        raise ValueError(f"it contains values nested more than {_DEEPEST} deep")
    known[id(value)] = None
    parts = (part for pair in value.items() for part in pair) if isinstance(value, dict) else value
    count = 1
    for part in parts:
        count += _count(part, depth + 1, known)
        if count > _MOST_PARTS:
            raise ValueError(f"it contains more than {_MOST_PARTS} values")
    known[id(value)] = count
    return count


def _check_tensor(value: torch.Tensor) -> None:
    """Raise a ValueError unless the tensor is dense, real, on the CPU, and within its storage."""
    plain = value.layout is torch.strided and value.device.type == "cpu" and not value.is_nested
    if not plain or value.is_complex() or value.is_quantized:
        raise ValueError("it contains a tensor that is not a dense array of real numbers")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ValueError("it contains a tensor that is larger than its storage")
