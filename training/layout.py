"""The Hugging Face Llama layout on disk: weights, config.json, generation_config.json, tokenizer.

What is written here loads in `transformers.AutoModelForCausalLM`, vLLM and the onnxruntime-genai builder.
Weights are float32 safetensors, never pickle.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from common.errors import TriviumError
from common.files import atomic_folder
from training.model import Llama, ModelConfig

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)


class LayoutError(TriviumError):
    """A folder holds no model that this code can read."""


def to_hugging_face(weights: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Our state dict under Hugging Face's names, the fused projections split; values are the same."""
    q_rows = config.num_attention_heads * config.head_dim
    kv_rows = config.num_key_value_heads * config.head_dim
    result = {
        "model.embed_tokens.weight": weights["embedding.weight"],
        "model.norm.weight": weights["norm.weight"],
    }
    for layer in range(config.num_hidden_layers):
        ours, theirs = f"blocks.{layer}.", f"model.layers.{layer}."
        q, k, v = torch.split(weights[f"{ours}attention.qkv.weight"], [q_rows, kv_rows, kv_rows])
        gate, up = weights[f"{ours}gate_up.weight"].chunk(2)
        result |= {
            f"{theirs}input_layernorm.weight": weights[f"{ours}attention_norm.weight"],
            f"{theirs}self_attn.q_proj.weight": q,
            f"{theirs}self_attn.k_proj.weight": k,
            f"{theirs}self_attn.v_proj.weight": v,
            f"{theirs}self_attn.o_proj.weight": weights[f"{ours}attention.out.weight"],
            f"{theirs}post_attention_layernorm.weight": weights[f"{ours}mlp_norm.weight"],
            f"{theirs}mlp.gate_proj.weight": gate,
            f"{theirs}mlp.up_proj.weight": up,
            f"{theirs}mlp.down_proj.weight": weights[f"{ours}down.weight"],
        }
    return {name: tensor.contiguous().clone() for name, tensor in result.items()}


def from_hugging_face(weights: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """The inverse of `to_hugging_face`. Raises KeyError for a missing tensor."""
    result = {
        "embedding.weight": weights["model.embed_tokens.weight"],
        "norm.weight": weights["model.norm.weight"],
    }
    for layer in range(config.num_hidden_layers):
        ours, theirs = f"blocks.{layer}.", f"model.layers.{layer}."
        qkv = [weights[f"{theirs}self_attn.{name}_proj.weight"] for name in "qkv"]
        gate_up = [weights[f"{theirs}mlp.{name}_proj.weight"] for name in ("gate", "up")]
        result |= {
            f"{ours}attention_norm.weight": weights[f"{theirs}input_layernorm.weight"],
            f"{ours}attention.qkv.weight": torch.cat(qkv),
            f"{ours}attention.out.weight": weights[f"{theirs}self_attn.o_proj.weight"],
            f"{ours}mlp_norm.weight": weights[f"{theirs}post_attention_layernorm.weight"],
            f"{ours}gate_up.weight": torch.cat(gate_up),
            f"{ours}down.weight": weights[f"{theirs}mlp.down_proj.weight"],
        }
    return result


def save_model(
    folder: Path, weights: dict[str, Tensor], config: ModelConfig, tokenizer: Path, special: dict[str, int]
) -> None:
    """Write the model folder in one go; `special` holds the ids of bos, eos and pad. Raises FileError."""
    vocabulary = weights["embedding.weight"].shape[0]
    ids = {f"{name}_token_id": number for name, number in special.items()}
    settings = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocabulary,
        **config.model_dump(),
        "head_dim": config.head_dim, "hidden_act": "silu",
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "attention_bias": False, "mlp_bias": False,
        "attention_dropout": 0.0, "tie_word_embeddings": True, "torch_dtype": "float32", "use_cache": True,
        **ids,
    }  # fmt: skip
    with atomic_folder(folder) as part:
        save_file(to_hugging_face(weights, config), part / "model.safetensors", metadata={"format": "pt"})
        _write_json(part / "config.json", settings)
        _write_json(part / "generation_config.json", {"do_sample": False, **ids})
        for name in TOKENIZER_FILES:
            if (tokenizer / name).exists():
                shutil.copyfile(tokenizer / name, part / name)


def model_folder(start: Path) -> Path:
    """The folder with the weights, given it or its run folder. Raises LayoutError where there is none."""
    folder = start / "model" if (start / "model").is_dir() else start
    if not (folder / "model.safetensors").is_file():
        raise LayoutError(f"{start}: no model to start from; run `python -m training pretrain` first")
    return folder


def load_model(folder: Path, dropout: float = 0.0) -> Llama:
    """The float32 model in `folder`. Raises LayoutError where it is missing or no tied, bias-free Llama."""
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "model.safetensors")
    except (OSError, ValueError) as exc:
        raise LayoutError(
            f"{folder}: holds no readable model (config.json, model.safetensors): {exc}"
        ) from exc
    config = _read_config(settings, folder)
    model = Llama(config, settings["vocab_size"], dropout)
    try:
        model.load_state_dict(from_hugging_face({k: t.float() for k, t in tensors.items()}, config))
    except (KeyError, RuntimeError) as exc:
        raise LayoutError(
            f"{folder}: weights do not match config.json: {' '.join(str(exc).split())}"
        ) from exc
    return model


def _read_config(settings: dict[str, Any], folder: Path) -> ModelConfig:
    rope = settings.get("rope_parameters") or settings.get("rope_scaling") or {}
    ours = {
        "model_type": settings.get("model_type") == "llama",
        "tie_word_embeddings": bool(settings.get("tie_word_embeddings")),
        "attention_bias": not settings.get("attention_bias"),
        "mlp_bias": not settings.get("mlp_bias"),
        "rope_parameters": rope.get("rope_type", "default") == "default",
    }
    other = [key for key, same in ours.items() if not same]
    if other:
        values = ", ".join(f"{key} {settings.get(key)}" for key in other)
        raise LayoutError(
            f"{folder}: cannot be trained on here ({values}); needed is a Llama with tied embeddings, plain "
            "rotary positions and no biases"
        )
    known = {key: settings[key] for key in ModelConfig.model_fields if key in settings}
    if "rope_theta" in rope:
        known["rope_theta"] = rope["rope_theta"]
    return ModelConfig.from_dict(known, str(folder / "config.json"))


def _write_json(path: Path, values: dict[str, object]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
