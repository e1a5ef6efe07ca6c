"""The checks that need no key, in a fixed order: what lies there, what the manifest says, do they agree."""

from __future__ import annotations

import os
from pathlib import Path

from bundle.errors import AddedFile, BundleError, ChangedFile, ManifestMissing, MissingFile
from bundle.formats import check_format
from bundle.inventory import UNLISTED, list_files
from bundle.manifest import MANIFEST_NAME, Manifest, read_manifest
from bundle.opened import Bundle
from common.files import sha256_file


def check_content(path: Path) -> Bundle:
    """Check a bundle against its own manifest; not `verified`, since anybody can write a manifest.

    Order: is it a bundle, links and special files, manifest, missing files, added files, content of
    weights, sizes and digests. Raises the BundleError subclass of the first that fails.
    """
    try:
        return _check(path)
    except OSError as exc:
        raise BundleError(f"{exc.filename or path}: cannot be read: {exc.strerror or exc}") from exc


def _check(path: Path) -> Bundle:
    if path.is_dir() and not os.path.lexists(path / MANIFEST_NAME):
        # First, since a folder that is no bundle would otherwise be walked, however large.
        raise ManifestMissing(f"{path}: no {MANIFEST_NAME}; is this a bundle?")
    found = list_files(path)
    manifest, digest = read_manifest(path)
    _check_names(manifest, found)
    for entry in manifest.files:
        check_format(path / entry.path, entry.path)
    for entry in manifest.files:
        if found[entry.path] != entry.size:
            raise ChangedFile(
                f"{entry.path}: changed: {found[entry.path]} bytes, {MANIFEST_NAME} says {entry.size}"
            )
        actual = sha256_file(path / entry.path)
        if actual != entry.sha256:
            raise ChangedFile(
                f"{entry.path}: changed: sha256 {actual[:16]}…, {MANIFEST_NAME} says {entry.sha256[:16]}…"
            )
    return Bundle(path=path, digest=digest, manifest=manifest)


def _check_names(manifest: Manifest, found: dict[str, int]) -> None:
    listed = {entry.path for entry in manifest.files}
    missing = sorted(listed - set(found))
    if missing:
        raise MissingFile(f"{missing[0]}: missing: {MANIFEST_NAME} names it{_and_more(missing)}")
    added = sorted(set(found) - listed - UNLISTED)
    if added:
        raise AddedFile(f"{added[0]}: added: {MANIFEST_NAME} does not name it{_and_more(added)}")


def _and_more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more such files)" if len(names) > 1 else ""
