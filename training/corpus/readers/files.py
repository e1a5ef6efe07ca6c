"""The files of a source: one file, a folder, or the members of a tar archive, which is never unpacked."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any, cast

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError)
"""What a cut-off or damaged compressed file raises, at any moment of the reading."""


def open_files(path: Path, suffixes: Collection[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """(name, content) of the files under `path` whose name ends in one of `suffixes`, sorted by name.

    The members of an archive come in its order. Raises one of BROKEN.
    """
    wanted = tuple(suffixes)
    if path.is_dir():
        for file in walk(path):
            if file.name.lower().endswith(wanted):
                with unpacked(file) as stream:
                    yield file.relative_to(path).as_posix(), stream
    elif path.name.lower().endswith(ARCHIVES):
        yield from _members(path, wanted)
    else:
        with unpacked(path) as stream:
            yield path.name, stream


def unpacked(file: Path) -> IO[bytes]:
    """The content of a plain, .gz, .bz2 or .xz file, opened."""
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    return cast(IO[bytes], openers.get(file.suffix.lower(), open)(file, "rb"))


def walk(folder: Path, skip: Collection[str] = ()) -> Iterator[Path]:
    """Files below `folder` in sorted order; hidden folders, those named in `skip`, and links are left out."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in skip)
        for name in sorted(files):
            file = Path(root, name)
            if not file.is_symlink():
                yield file


def _members(path: Path, wanted: tuple[str, ...]) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name.lower().endswith(wanted) else None
            if content is not None:
                # A member of a streamed archive cannot seek, which EPUB (a zip file) needs.
                epub = member.name.lower().endswith(".epub")
                yield member.name.removeprefix("./"), io.BytesIO(content.read()) if epub else content
