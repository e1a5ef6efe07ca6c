"""Sign a bundle and check its signature with the model-signing library (sigstore bundle format).

The library takes 0.7 s and 60 MB to import, so only the functions here load it. Servers short of memory use
`bundle.child.verify_in_child`.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.check import check_content
from bundle.errors import BundleError, SignatureInvalid, SignatureMalformed, SignatureMissing, WrongKey
from bundle.keys import ensure_key_pair, fingerprint, keys_folder, private_fingerprint
from bundle.manifest import SIGNATURE_NAME
from common.files import atomic_write

MAX_SIGNATURE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Identity:
    """Who signed without a key (sigstore): the e-mail or workload, and the issuer that vouches for it."""

    name: str
    issuer: str


def sign(folder: Path, private_key: Path | None = None) -> str:
    """Sign every file of a bundle, manifest included; returns the fingerprint of the key.

    The contents are checked against the manifest first: a broken bundle is not signed. Without `private_key`
    the pair in `keys/` (TRIVIUM_KEYS) is used, and made on first use. Raises BundleError or FileError.
    """
    check_content(folder)
    key = private_key or ensure_key_pair(keys_folder())[0]
    signer = private_fingerprint(key)
    from model_signing import signing

    _write_signature(folder, signing.Config().use_elliptic_key_signer(private_key=key))
    return signer


def sign_keyless(folder: Path, identity_token: str | None = None, *, staging: bool = False) -> None:
    """Sign by identity through sigstore's public service: ambient CI credentials, a token, or a browser.

    Raises BundleError when the service or the identity cannot be reached.
    """
    check_content(folder)
    from model_signing import signing

    try:
        config = signing.Config().use_sigstore_signer(
            identity_token=identity_token, use_ambient_credentials=identity_token is None, use_staging=staging
        )
        _write_signature(folder, config)
    except BundleError:
        raise
    except Exception as exc:
        raise BundleError(
            f"{folder}: sigstore could not sign by identity: {_one_line(exc)}; without --identity a key signs"
        ) from exc


def check_signature(folder: Path, public_key: Path) -> str:
    """Check signature.json against every file in `folder` and `public_key`; returns the key's fingerprint.

    Raises SignatureMissing, SignatureMalformed, WrongKey, SignatureInvalid, KeyNotFound or KeyInvalid.
    """
    expected = fingerprint(public_key)
    material = _verification_material(folder)
    hint = (
        (material.get("publicKey") or {}).get("hint") if isinstance(material.get("publicKey"), dict) else None
    )
    if hint is None:
        raise WrongKey(f"{folder}: signed by an identity, not by a key; verify with --identity and --issuer")
    if hint != expected:
        raise WrongKey(
            f"{folder}: signed by another key: signature by {_short(hint)}, expected {_short(expected)}"
        )
    from model_signing import verifying

    _run_check(folder, verifying.Config().use_elliptic_key_verifier(public_key=public_key))
    return expected


def check_identity(folder: Path, identity: Identity, *, staging: bool = False) -> str:
    """Check a keyless signature: made by `identity` and in sigstore's log. Errors as in `check_signature`."""
    if "publicKey" in _verification_material(folder):
        raise WrongKey(f"{folder}: signed by a key, not by an identity; verify with --public-key")
    from model_signing import verifying

    try:
        config = verifying.Config().use_sigstore_verifier(
            identity=identity.name, oidc_issuer=identity.issuer, use_staging=staging
        )
    except Exception as exc:
        raise BundleError(f"{folder}: sigstore's trust root cannot be loaded: {_one_line(exc)}") from exc
    _run_check(folder, config)
    return f"{identity.name} ({identity.issuer})"


def _write_signature(folder: Path, config: Any) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / SIGNATURE_NAME
        config.set_hashing_config(_hashing()).sign(folder.resolve(), written)
        atomic_write(folder / SIGNATURE_NAME, written.read_bytes())


def _hashing() -> Any:
    """Everything in the folder but the signature; the library would leave out .git files by default."""
    from model_signing import hashing

    return hashing.Config().set_ignored_paths(paths=[Path(SIGNATURE_NAME)], ignore_git_paths=False)


def _run_check(folder: Path, config: Any) -> None:
    config.set_hashing_config(_hashing())
    try:
        # The library prints a warning on signatures of its first release.
        with contextlib.redirect_stdout(io.StringIO()):
            config.verify(folder.resolve(), folder.resolve() / SIGNATURE_NAME)
    except Exception as exc:
        if "Signature mismatch" in str(exc):
            raise SignatureInvalid(
                f"{folder}: the files are not those that were signed ({_one_line(exc)})"
            ) from exc
        detail = _one_line(exc) or type(exc).__name__
        raise SignatureInvalid(f"{folder}: the signature is not valid for its key: {detail}") from exc


def _verification_material(folder: Path) -> dict[str, Any]:
    """The unverified part of signature.json that says who claims to have signed."""
    path = folder / SIGNATURE_NAME
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_SIGNATURE_BYTES + 1)
    except FileNotFoundError as exc:
        raise SignatureMissing(f"{folder}: not signed; run `python -m bundle sign {folder}`") from exc
    except OSError as exc:
        raise SignatureMalformed(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    try:
        material = json.loads(data)["verificationMaterial"] if len(data) <= MAX_SIGNATURE_BYTES else None
    except (ValueError, KeyError, TypeError, RecursionError):
        material = None
    if not isinstance(material, dict):
        raise SignatureMalformed(f"{path}: not a sigstore bundle; sign again")
    return material


def _short(hint: object) -> str:
    text = str(hint)
    return f"{text[:16]}…" if len(text) > 16 else text


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split())[:400]
