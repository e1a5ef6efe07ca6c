"""Change a bundle that is there: add a folder of files (ONNX variants, adapters), or list its files anew.

A change is made on a copy of hard links that then takes the bundle's place, so a failure leaves the bundle
as it was. The old signature does not fit a changed manifest and is left out; sign again afterwards.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundle.errors import BundleError
from bundle.inventory import hash_files, list_files
from bundle.manifest import SIGNATURE_NAME, digest_of, read_manifest, safe_path
from bundle.opened import Bundle
from bundle.write import write_documents
from common.files import FileError, atomic_folder

EXTENSIBLE = ("onnx", "adapters")


@contextmanager
def add_files(bundle_dir: Path, subfolder: str) -> Iterator[Path]:
    """An empty folder to write into; on success it becomes `bundle_dir/subfolder`, listed in the manifest.

        with add_files(bundle_dir, "onnx/int4") as folder:
            export(..., folder)

    Replaces what was at `subfolder`. Raises BundleError (files that no bundle may hold, nothing written)
    or FileError (disk full).
    """
    safe_path(subfolder)
    if subfolder.split("/")[0] not in EXTENSIBLE or subfolder.count("/") != 1:
        raise BundleError(f"{subfolder!r}: files are added as onnx/<variant> or adapters/<name>")
    read_manifest(bundle_dir)
    root = bundle_dir.resolve()
    try:
        # Beside the bundle, not in it: a killed export must not leave files that `verify` refuses.
        with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}.add.") as scratch:
            new = Path(scratch) / "new"
            new.mkdir()
            yield new
            if not list_files(new):
                raise BundleError(f"{bundle_dir}: nothing was written for {subfolder}")
            with _edited_copy(root) as copy:
                target = copy / subfolder
                if target.exists():
                    shutil.rmtree(target)
                shutil.copytree(new, target, copy_function=_link_or_copy)
    except OSError as exc:
        reason = exc.strerror or exc
        raise FileError(f"{bundle_dir}: {subfolder} could not be added: {reason}; bundle unchanged") from exc


def refresh_manifest(bundle_dir: Path) -> Bundle:
    """List the files that are there now: new digests, model card and ML-BOM. Keeps the signature only if
    nothing changed.

    Raises PickleInDisguise or WrongFormat for files that no bundle may hold.
    """
    read_manifest(bundle_dir)
    with _edited_copy(bundle_dir.resolve()):
        pass
    return Bundle.open(bundle_dir)


@contextmanager
def _edited_copy(root: Path) -> Iterator[Path]:
    """A copy of the bundle to change; afterwards it gets its documents and takes the bundle's place."""
    with _locked(root.parent):
        manifest, digest = read_manifest(root)
        with atomic_folder(root) as copy:
            for path in list_files(root):
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                _link_or_copy(root / path, copy / path)
            yield copy
            written = write_documents(copy, manifest.model_copy(update={"files": hash_files(copy)}))
            if digest_of(written.to_bytes()) != digest:
                (copy / SIGNATURE_NAME).unlink(missing_ok=True)


def _link_or_copy(source: str | Path, destination: str | Path) -> None:
    """A hard link costs nothing and is never written through: documents are replaced by rename.

    Readable by all: exporters leave private modes that a server under another user could not open.
    """
    try:
        os.link(source, destination)
    except OSError:
        shutil.copyfile(source, destination)
    Path(destination).chmod(0o644)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One change at a time. The lock is on the folder of all versions, which no change replaces."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
