"""What an exported variant's `genai_config.json` says about its graph: names, sizes, special tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import TriviumError


class LayoutError(TriviumError):
    """An ONNX variant lacks a file, or its configuration cannot be used by this runtime."""


@dataclass(frozen=True)
class ModelLayout:
    """Sizes and tensor names of one decoder graph (onnxruntime-genai layout)."""

    graph: Path
    context_length: int
    vocab_size: int
    layers: int
    key_value_heads: int
    head_size: int
    eos_token_ids: tuple[int, ...]
    past_names: tuple[str, ...]
    """Names of the cache inputs: key and value of layer 0, of layer 1, and so on."""
    present_names: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> ModelLayout:
        """Read `folder/genai_config.json`. Raises LayoutError naming the file and what is wrong."""
        path = folder / "genai_config.json"
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as exc:
            raise LayoutError(f"{path}: cannot be read ({exc}); export the variant again") from exc
        try:
            return cls._from_config(config["model"], folder)
        except (KeyError, TypeError, ValueError) as exc:
            raise LayoutError(f"{path}: missing or wrong value {exc}; export the variant again") from exc

    @classmethod
    def _from_config(cls, model: dict[str, Any], folder: Path) -> ModelLayout:
        decoder = model["decoder"]
        eos = model["eos_token_id"]
        layers = int(decoder["num_hidden_layers"])
        graph = folder / decoder["filename"]
        if not graph.is_file():
            raise LayoutError(f"{graph}: no such file; export the variant again")
        return cls(
            graph=graph,
            context_length=int(model["context_length"]),
            vocab_size=int(model["vocab_size"]),
            layers=layers,
            key_value_heads=int(decoder["num_key_value_heads"]),
            head_size=int(decoder["head_size"]),
            eos_token_ids=tuple(eos) if isinstance(eos, list) else (int(eos),),
            past_names=_cache_names(decoder["inputs"], "past", layers),
            present_names=_cache_names(decoder["outputs"], "present", layers),
        )


def _cache_names(names: dict[str, str], which: str, layers: int) -> tuple[str, ...]:
    patterns = (names[f"{which}_key_names"], names[f"{which}_value_names"])
    return tuple(pattern % layer for layer in range(layers) for pattern in patterns)
