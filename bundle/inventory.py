"""What lies in a bundle folder: a walk that follows nothing, and the digests of the files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bundle.errors import BundleNotFound, SpecialFile, UnsafeSymlink
from bundle.manifest import MANIFEST_NAME, SIGNATURE_NAME, FileEntry
from common.files import sha256_file

UNLISTED = frozenset({MANIFEST_NAME, SIGNATURE_NAME})
"""Not in the manifest's list: a file cannot hold its own digest, and the signature covers the manifest."""


def list_files(folder: Path) -> dict[str, int]:
    """Relative POSIX path to size in bytes of every regular file below `folder`, sorted.

    Raises BundleNotFound, UnsafeSymlink (a link may change after it was checked, so none is allowed; the
    text says where it leads) or SpecialFile (a pipe would block whoever reads it).
    """
    if not folder.is_dir():
        raise BundleNotFound(f"{folder}: no such bundle folder")
    root = folder.resolve()
    found: dict[str, int] = {}
    pending = [root]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                relative = path.relative_to(root).as_posix()
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISLNK(mode):
                    raise _symlink_error(root, path, relative)
                if stat.S_ISDIR(mode):
                    pending.append(path)
                elif stat.S_ISREG(mode):
                    found[relative] = entry.stat(follow_symlinks=False).st_size
                else:
                    raise SpecialFile(f"{relative}: neither a file nor a folder; a bundle holds only those")
    return dict(sorted(found.items()))


def hash_files(folder: Path) -> list[FileEntry]:
    """An entry for every file of the bundle but the manifest and the signature, sorted by path."""
    return [file_entry(folder, path) for path in list_files(folder) if path not in UNLISTED]


def file_entry(folder: Path, path: str) -> FileEntry:
    """The entry of one file, by its path inside the bundle."""
    return FileEntry(path=path, size=(folder / path).stat().st_size, sha256=sha256_file(folder / path))


def _symlink_error(root: Path, path: Path, relative: str) -> UnsafeSymlink:
    target = os.readlink(path)  # noqa: PTH115 (the text as written, not as a path)
    resolved = Path(os.path.realpath(path))
    if resolved == root or root in resolved.parents:
        return UnsafeSymlink(f"{relative}: symbolic link to {target!r}; a bundle holds only real files")
    return UnsafeSymlink(f"{relative}: symbolic link out of the bundle, to {target!r}")
