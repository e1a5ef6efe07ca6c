"""A bundle on disk that was opened (and, from `verify`, checked): where its parts are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bundle.errors import BundleNotFound, VariantNotFound
from bundle.manifest import Manifest, read_manifest


@dataclass(frozen=True)
class Bundle:
    """A model bundle; `digest` is `sha256:<hex>` of manifest.json's bytes. Only `verify` sets `verified`."""

    path: Path
    digest: str
    manifest: Manifest
    verified: bool = False
    signer: str | None = None
    """Fingerprint of the key, or the identity, whose signature was checked."""

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Read the manifest and check nothing else; for tools that make bundles. Servers call `verify`.

        Raises a BundleError where there is no valid manifest.
        """
        if not path.is_dir():
            raise BundleNotFound(f"{path}: no such bundle folder")
        manifest, digest = read_manifest(path)
        return cls(path=path, digest=digest, manifest=manifest)

    @property
    def model_id(self) -> str:
        """The id under which servers list the model."""
        return self.manifest.name

    @property
    def model_dir(self) -> Path:
        """The Hugging Face folder."""
        return self.path / "model"

    @property
    def variants(self) -> tuple[str, ...]:
        """The ONNX variants, sorted."""
        parts = [entry.path.split("/") for entry in self.manifest.files]
        return tuple(sorted({part[1] for part in parts if part[0] == "onnx" and len(part) > 2}))

    @property
    def formats(self) -> tuple[str, ...]:
        """`safetensors` and the ONNX variants: what `artifact_bytes` accepts."""
        return ("safetensors", *self.variants)

    def onnx_dir(self, variant: str) -> Path:
        """The onnxruntime-genai folder of a variant. Raises VariantNotFound naming those there are."""
        if variant not in self.variants:
            there = ", ".join(self.variants) or "none; `python -m edge export` makes them"
            raise VariantNotFound(f"{self.path}: no ONNX variant {variant!r}; there: {there}")
        return self.path / "onnx" / variant

    def artifact_bytes(self, format: str) -> int:
        """Total size of the files that a format loads (weights, tokenizer, configuration), in bytes."""
        folder = (
            "model" if format == "safetensors" else self.onnx_dir(format).relative_to(self.path).as_posix()
        )
        return sum(entry.size for entry in self.manifest.files if entry.path.startswith(f"{folder}/"))
