"""Is this bundle whole, safe to load, and signed by whom we trust?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bundle.check import check_content
from bundle.errors import ChangedFile, SignatureMissing
from bundle.keys import default_public_key
from bundle.manifest import MANIFEST_NAME, SIGNATURE_NAME, read_manifest
from bundle.opened import Bundle


def verify(path: Path | str, public_key: Path | None = None) -> Bundle:
    """Check everything about a bundle and open it.

    Fixed order: links and special files, manifest, missing files, added files, content of weights, sizes and
    digests, then the signature (which covers every file and the manifest) by `public_key`, or by
    `keys/signing.pub` (TRIVIUM_KEYS) where none is given. Raises one BundleError subclass per cause; see
    bundle/errors.py.
    """
    folder = Path(path)
    checked = check_content(folder)
    if not (folder / SIGNATURE_NAME).is_file():
        raise SignatureMissing(f"{folder}: not signed; run `python -m bundle sign {folder}`")
    from bundle.signing import check_signature

    signer = check_signature(folder, public_key or default_public_key())
    if read_manifest(folder)[1] != checked.digest:
        raise ChangedFile(f"{MANIFEST_NAME}: changed while it was verified")
    return replace(checked, verified=True, signer=signer)


def verify_identity(path: Path | str, name: str, issuer: str, *, staging: bool = False) -> Bundle:
    """`verify` for a keyless signature: by the identity `name` that `issuer` vouches for.

    Needs sigstore's trust root (network on first use).
    """
    checked = check_content(Path(path))
    from bundle.signing import Identity, check_identity

    signer = check_identity(Path(path), Identity(name, issuer), staging=staging)
    return replace(checked, verified=True, signer=signer)
