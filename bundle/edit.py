"""Change a bundle that is there: add a folder of files (ONNX variants, adapters), or list its files anew.

Every change removes the signature, which would no longer fit; sign again afterwards.
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
from bundle.inventory import hash_files
from bundle.manifest import SIGNATURE_NAME, read_manifest, safe_path
from bundle.opened import Bundle
from bundle.write import write_documents
from common.files import FileError


@contextmanager
def add_files(bundle_dir: Path, subfolder: str) -> Iterator[Path]:
    """An empty folder to write into; on success it becomes `bundle_dir/subfolder` and the manifest is refreshed.

        with add_files(bundle_dir, "onnx/int4") as folder:
            export(..., folder)

    Replaces what was at `subfolder`. On failure the bundle is as before. Raises BundleError or FileError.
    """
    safe_path(subfolder)
    if subfolder.split("/")[0] not in ("onnx", "adapters") or "/" not in subfolder:
        raise BundleError(f"{subfolder!r}: files are added below onnx/<variant> or adapters/<name>")
    read_manifest(bundle_dir)
    root = bundle_dir.resolve()
    # Beside the bundle, not in it: a killed export must not leave a stray folder that `verify` refuses.
    try:
        scratch = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{root.name}.add."))
    except OSError as exc:
        raise FileError(f"{root.parent}: cannot be written: {exc.strerror or exc}") from exc
    try:
        new = scratch / "new"
        new.mkdir()
        yield new
        if not any(new.iterdir()):
            raise BundleError(f"{bundle_dir}: nothing was written for {subfolder}")
        with _locked(root):
            (root / SIGNATURE_NAME).unlink(missing_ok=True)
            target = root / subfolder
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                target.replace(scratch / "old")
            new.replace(target)
            _refresh(root)
    except OSError as exc:
        raise FileError(f"{bundle_dir}: {subfolder} could not be added: {exc.strerror or exc}") from exc
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def refresh_manifest(bundle_dir: Path) -> Bundle:
    """List the files that are there now: new digests, model card and ML-BOM; the stale signature is removed.

    Raises PickleInDisguise or WrongFormat for files that no bundle may hold.
    """
    read_manifest(bundle_dir)
    root = bundle_dir.resolve()
    with _locked(root):
        (root / SIGNATURE_NAME).unlink(missing_ok=True)
        _refresh(root)
    return Bundle.open(bundle_dir)


def _refresh(root: Path) -> None:
    manifest, _ = read_manifest(root)
    write_documents(root, manifest.model_copy(update={"files": hash_files(root)}))


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One change at a time; the lock is on the folder itself, so that no lock file is added to the bundle."""
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
