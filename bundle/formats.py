"""Weights are safetensors or ONNX, judged by content: loading a pickle runs code, whatever its name."""

from __future__ import annotations

import io
import json
import pickletools
import re
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path

from bundle.errors import PickleInDisguise, WrongFormat

PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".dill", ".joblib", ".npz", ".pickle", ".pkl", ".pt", ".pth"})
"""Files that loaders hand to pickle because of their name."""

ARCHIVES = {
    b"PK\x03\x04": "a zip archive (torch.save, .npz)",
    b"PK\x05\x06": "an empty zip archive",
    b"\x1f\x8b\x08": "gzip data",
    b"BZh": "bzip2 data",
    b"\xfd7zXZ\x00": "xz data",
    b"\x28\xb5\x2f\xfd": "zstd data",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x89HDF": "an HDF5 file",
}

SCAN_BYTES = 4 * 2**20
MAX_OPERATIONS = 100_000
MAX_HEADER_BYTES = 100 * 2**20
"""Limit of the safetensors reference implementation."""

_STRINGS = frozenset(
    {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "SHORT_BINSTRING"}
)
_CALLS = frozenset({"REDUCE", "OBJ", "NEWOBJ", "NEWOBJ_EX", "INST"})
_GROUPS = frozenset({"MARK", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"})
_OBJECT_DTYPE = re.compile(rb"'[|<>=]?O\d*'")
_IMPORTED_NAME = re.compile(r"^[A-Za-z_][\w.]* [A-Za-z_][\w.]*$")


def check_format(path: Path, name: str) -> None:
    """Refuse `path` (called `name` in the text) unless its content is what its name says.

    Raises PickleInDisguise or WrongFormat. Reads the header only, at most some MiB.
    """
    with path.open("rb") as stream:
        head = stream.read(SCAN_BYTES)
    reason = pickle_reason(head)
    if reason:
        raise PickleInDisguise(
            f"{name}: pickle in disguise: its content is {reason}; use safetensors or ONNX"
        )
    suffix = path.suffix.lower()
    if suffix in PICKLE_SUFFIXES:
        raise PickleInDisguise(
            f"{name}: pickle in disguise: loaders unpickle {suffix} files; save the weights as safetensors"
        )
    if suffix == ".safetensors":
        _check_safetensors(path, name)
    elif suffix == ".onnx":
        _check_onnx(head, name)


def pickle_reason(head: bytes) -> str | None:
    """Why the start of a file looks like something that gets unpickled, or None."""
    for magic, kind in ARCHIVES.items():
        if head.startswith(magic):
            return kind
    if head.startswith(b"\x93NUMPY") and _OBJECT_DTYPE.search(head[:65536]):
        return "a NumPy array of Python objects"
    if head[257:262] == b"ustar":
        return "a tar archive"
    return "a Python pickle" if _is_pickle(head) else None


def _is_pickle(head: bytes) -> bool:
    """Whether `head` parses as pickle opcodes.

    With a protocol mark (0x80, 2 to 5) every valid run of opcodes counts, cut off or not. Without one
    (protocols 0 and 1, which plain text can resemble) it must import something, and call it or run to STOP.
    """
    marked = len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5
    imports = False
    seen: set[str] = set()
    try:
        for count, (name, argument) in enumerate(_opcodes(head)):
            imports |= name in ("GLOBAL", "INST") and bool(_IMPORTED_NAME.match(argument))
            imports |= name == "STACK_GLOBAL" and bool(seen & _STRINGS)
            seen.add(name)
            if imports and (marked or (name in _CALLS and seen & _GROUPS)):
                return True
            if count >= (16 if marked else MAX_OPERATIONS):
                return marked
    except (ValueError, IndexError, OverflowError, UnicodeError) as exc:
        cut_off = len(head) == SCAN_BYTES and "expected" in str(exc)
        return marked and (cut_off or len(seen) > 2)
    return marked or imports


def _opcodes(head: bytes) -> Iterator[tuple[str, str]]:
    """Name and argument of each pickle opcode in `head`; raises ValueError at what is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pickletools decodes escapes of what may be no text at all
        for opcode, argument, _ in pickletools.genops(io.BytesIO(head)):
            yield opcode.name, str(argument) if opcode.name in ("GLOBAL", "INST") else ""


def _check_safetensors(path: Path, name: str) -> None:
    """Parse the header as the format says: length, JSON, offsets that fill the file without a gap.

    https://huggingface.co/docs/safetensors/index#format
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        prefix = stream.read(8)
        if len(prefix) < 8:
            raise WrongFormat(f"{name}: too short for a safetensors file")
        (length,) = struct.unpack("<Q", prefix)
        if length > min(size - 8, MAX_HEADER_BYTES):
            raise WrongFormat(f"{name}: not safetensors: its header length is beyond the file")
        raw = stream.read(length)
    try:
        header = json.loads(raw)
        tensors = {key: value for key, value in header.items() if key != "__metadata__"}
        spans = sorted(tuple(tensor["data_offsets"]) for tensor in tensors.values())
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as exc:
        raise WrongFormat(f"{name}: not safetensors: its header is not the format's JSON") from exc
    end = 0
    for span in spans:
        if len(span) != 2 or span[0] != end or span[1] < span[0]:
            raise WrongFormat(f"{name}: broken safetensors: tensor data overlap or leave gaps")
        end = span[1]
    if end != size - 8 - length:
        raise WrongFormat(f"{name}: broken safetensors: {size - 8 - length} bytes of data, header says {end}")


def _check_onnx(head: bytes, name: str) -> None:
    """An ONNX ModelProto starts with field 1 (ir_version, a small varint): onnx.proto, ModelProto."""
    if len(head) < 2 or head[0] != 0x08 or not 1 <= head[1] <= 64:
        raise WrongFormat(f"{name}: not an ONNX model: it does not start with ir_version")
