"""ONNX variants of a bundle's model, by onnxruntime-genai's model builder. Needs torch and transformers.

The builder fuses attention into GroupQueryAttention with the rotary embedding inside, ties the embedding to
the head where the model does, and quantizes weights in blocks. `VARIANTS` says what was chosen and why.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from bundle import Bundle
from bundle.edit import add_files
from common.errors import TriviumError


class ExportError(TriviumError):
    """A variant could not be made."""


@dataclass(frozen=True)
class Variant:
    """How the builder makes one variant."""

    precision: str
    options: dict[str, str] = field(default_factory=dict)
    int8_cache: bool = False
    """Keep keys and values in 8 bits, where there are golden prompts to find their scales with."""


VARIANTS = {
    "fp32": Variant("fp32"),
    # Symmetric round-to-nearest in blocks of 128, int8 activations; the head (which is the embedding too
    # where the model ties them) and the matrices that suffer most in 8 bits: README.md has the figures.
    "int4": Variant(
        "int4",
        {
            "algo_config": "rtn",
            "block_size": "128",
            "matmul_mixed_precision": "last_matmul:int8,mixed_layers:int8",
        },
        int8_cache=True,
    ),
}
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
)


def export_variants(bundle_dir: Path, names: Sequence[str]) -> None:
    """Add the variants to the bundle, one after the other, and print what came of each.

    Raises ExportError or a BundleError; the bundle keeps what was finished before.
    """
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise ExportError(f"--variant {unknown[0]!r}: there are {', '.join(VARIANTS)}")
    bundle = Bundle.open(bundle_dir)
    if not (bundle.model_dir / "config.json").is_file():
        raise ExportError(f"{bundle.model_dir}: no config.json; is this a model in the Hugging Face layout?")
    for name in dict.fromkeys(names):
        started = time.perf_counter()
        print(f"{name}: exporting {bundle.model_id} ...", flush=True)
        with add_files(bundle_dir, f"onnx/{name}") as folder:
            build_variant(bundle.model_dir, folder, VARIANTS[name], golden_sequences(bundle))
            size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"{name}: {size / 1e6:.2f} MB in {time.perf_counter() - started:.1f} s", flush=True)
        report_golden(Bundle.open(bundle_dir), name)
    print(f"{bundle_dir}: the manifest is new, so sign it: python -m bundle sign {bundle_dir}")


def golden_sequences(bundle: Bundle) -> list[list[int]]:
    """The golden prompts with their answers: text as the model meets it."""
    return [golden.prompt_token_ids + golden.expected_token_ids for golden in bundle.manifest.golden]


def build_variant(model: Path, folder: Path, variant: Variant, sequences: Sequence[list[int]]) -> None:
    """Write the variant of the Hugging Face folder `model` into `folder`. Same input, same bytes.

    An int8 cache gets its scales from the token `sequences`; the cache stays fp32 where there are none, or
    where int8 would change the values too much. Raises ExportError with the builder's own last words.
    """
    try:
        from onnxruntime_genai.models import builder
    except ImportError as exc:
        raise ExportError(f"export needs the `export` extra (torch, onnxruntime-genai): {exc}") from exc
    source = str(model)
    with TemporaryDirectory(prefix="edge-export-") as cache, _quiet() as said:
        try:
            options = variant.options
            if variant.int8_cache and sequences:
                options = options | _int8_cache(model, sequences, Path(cache) / "scales.json")
            wanted = [f"{key}={value}" for key, value in options.items()]
            parsed = builder.parse_extra_options(
                "", source, str(folder), variant.precision, "cpu", cache, wanted
            )
            builder.create_model("", source, str(folder), variant.precision, "cpu", cache, **parsed)
        # Whatever the builder raises (its own ValueErrors, transformers', torch's) is one line to the person.
        except Exception as exc:
            tail = said.getvalue().strip().splitlines()[-1:]
            raise ExportError(f"{model}: the model builder failed: {exc} {tail or ''}".strip()) from exc
    _use_source_tokenizer(model, folder)
    _normalise_config(folder / "genai_config.json")
    _normalise_graph(folder / "model.onnx")


def _int8_cache(model: Path, sequences: Sequence[list[int]], scales_file: Path) -> dict[str, str]:
    """The builder's options for an int8 cache; none where this model's keys and values do not bear it."""
    from edge.calibration import cache_scales

    scales = cache_scales(model, sequences)
    if not scales.usable:
        return {}
    scales_file.write_text(json.dumps(scales.for_builder()), encoding="utf-8")
    return {"kv_cache_quant_scheme": "int8_per_tensor", "kv_cache_scale_file": str(scales_file)}


def _use_source_tokenizer(model: Path, folder: Path) -> None:
    """The bundle's own tokenizer files, byte for byte, in place of the builder's re-saved ones."""
    for name in _TOKENIZER_FILES:
        (folder / name).unlink(missing_ok=True)
        if (model / name).is_file():
            shutil.copyfile(model / name, folder / name)


def _normalise_config(path: Path) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    # The builder says no for an int8 cache, but the CPU kernel appends to it in place as to a float one.
    config["search"]["past_present_share_buffer"] = True
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _normalise_graph(path: Path) -> None:
    """The builder stamps the graph with the git commit of whatever repository it is run in; take that out."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False)
    graph.producer_version = graph.producer_version.partition("+")[0]
    path.write_bytes(graph.SerializeToString(deterministic=True))


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """Keeps what libraries print; the export has its own lines."""
    said = io.StringIO()
    logging.disable(logging.WARNING)  # the quantizer logs every node, past any redirection
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield said
    finally:
        logging.disable(logging.NOTSET)


def report_golden(bundle: Bundle, variant: str) -> None:
    """Print how many golden prompts the variant answers with exactly the expected tokens."""
    from edge.parity import golden_parity

    if bundle.manifest.golden:
        print(f"{variant}: {golden_parity(bundle, variant)}", flush=True)
    else:
        print(f"{variant}: the bundle has no golden prompts to compare with", flush=True)
