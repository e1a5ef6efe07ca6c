"""Export: the same bytes twice, the reference's tokens in fp32, a whole bundle, and clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundle import Bundle, verify
from common.files import sha256_file
from edge.engine import Slot
from edge.export import VARIANTS, ExportError, build_variant, export_variants, golden_sequences
from edge.layout import ModelLayout
from edge.ort_engine import OrtEngine
from edge.parity import golden_parity, greedy
from tests.integration.edge.edge_bundle import exported_bundle

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    tiny = exported_bundle()
    return verify(tiny.path, tiny.public_key)


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_the_same_model_gives_the_same_bytes(
    bundle: Bundle, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not in this repository: the builder looks at the commit of the repository around it.
    monkeypatch.chdir(tmp_path.parent)
    build_variant(bundle.model_dir, tmp_path, VARIANTS[name], golden_sequences(bundle))
    first = {path.name: sha256_file(path) for path in bundle.onnx_dir(name).iterdir()}
    assert {path.name: sha256_file(path) for path in tmp_path.iterdir()} == first


def test_fp32_answers_every_golden_prompt_exactly(bundle: Bundle) -> None:
    parity = golden_parity(bundle, "fp32")
    assert parity.prompts == len(bundle.manifest.golden) > 0
    assert parity.exact == parity.prompts, str(parity)


def test_int4_is_smaller_and_carries_the_bundles_tokenizer(bundle: Bundle) -> None:
    assert bundle.artifact_bytes("int4") < bundle.artifact_bytes("fp32") / 2
    for variant in bundle.variants:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            ours, theirs = bundle.onnx_dir(variant) / name, bundle.model_dir / name
            assert ours.read_bytes() == theirs.read_bytes()
        config = json.loads((bundle.onnx_dir(variant) / "genai_config.json").read_text())["model"]
        assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (1, 2, 0)


@pytest.mark.parametrize("variant", ["fp32", "int4"])
def test_sequences_that_share_the_cache_answer_as_if_alone(bundle: Bundle, variant: str) -> None:
    layout = ModelLayout.read(bundle.onnx_dir(variant))
    prompts = [list(range(10 + i, 16 + 5 * i)) for i in range(6)]
    lengths = [25, 3, 40, 1, 33, 12]
    alone = OrtEngine(layout, max_sequences=1, threads=1)
    expected = [greedy(alone, p, n, frozenset()) for p, n in zip(prompts, lengths, strict=True)]

    engine = OrtEngine(layout, max_sequences=3, threads=1)
    waiting = list(range(6))
    running: dict[int, Slot] = {}
    answers: dict[int, list[int]] = {i: [] for i in range(6)}
    while waiting or running:
        if waiting and len(running) < 3:
            number = waiting.pop(0)
            slot = engine.open()
            # In two chunks with a step of the others between them.
            engine.prefill(slot, prompts[number][:4])
            if running:
                step(engine, running, answers, lengths)
            answers[number].append(int(engine.prefill(slot, prompts[number][4:]).argmax()))
            running[number] = slot
            finish(engine, running, answers, lengths)
        elif running:
            step(engine, running, answers, lengths)
    assert list(answers.values()) == expected


def step(
    engine: OrtEngine, running: dict[int, Slot], answers: dict[int, list[int]], lengths: list[int]
) -> None:
    """One decode step for all of `running`."""
    logits = engine.decode({slot: answers[number][-1] for number, slot in running.items()})
    for number, slot in running.items():
        answers[number].append(int(logits[slot.row].argmax()))
    finish(engine, running, answers, lengths)


def finish(
    engine: OrtEngine, running: dict[int, Slot], answers: dict[int, list[int]], lengths: list[int]
) -> None:
    """Close those that have their tokens."""
    for number in [n for n in running if len(answers[n]) == lengths[n]]:
        engine.close(running.pop(number))


def test_what_cannot_be_exported_is_one_clear_error(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"int3.*fp32, int4"):
        export_variants(bundle.path, ["int3"])
    broken = tmp_path / "model"
    broken.mkdir()
    (broken / "config.json").write_text('{"model_type": "llama", "architectures": ["Nonsense"]}')
    (tmp_path / "out").mkdir()
    with pytest.raises(ExportError, match="model builder failed"):
        build_variant(broken, tmp_path / "out", VARIANTS["fp32"], [])
