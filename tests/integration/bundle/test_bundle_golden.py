"""A real (tiny) model: golden prompts against an independent decoder, and bundles that are the same twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from bundle import Bundle, errors, verify
from bundle.build import BuildRequest, build_bundle
from bundle.golden import compute_golden, read_prompts
from bundle.manifest import Message
from tests.fixtures.tiny_bundle import PROMPTS, TinyBundle, make_tiny_bundle, write_tiny_model

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyBundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("tiny"))


def greedy(model_dir: Path, prompt_ids: list[int], steps: int) -> tuple[list[int], list[float]]:
    """Greedy decoding without a cache and without `generate`: the whole sequence again at every step."""
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
    ids, gaps = list(prompt_ids), []
    for _ in range(steps):
        with torch.inference_mode():
            logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        best = torch.topk(logits, 2)
        gaps.append(float(best.values[0] - best.values[1]))
        if int(best.indices[0]) == 2:
            break
        ids.append(int(best.indices[0]))
    return ids[len(prompt_ids) :], gaps


def test_golden_answers_are_what_the_model_in_the_bundle_says(tiny: TinyBundle) -> None:
    bundle = verify(tiny.path, tiny.public_key)
    tokenizer = AutoTokenizer.from_pretrained(bundle.model_dir)
    assert [golden.messages[0].content for golden in bundle.manifest.golden] == PROMPTS
    for golden in bundle.manifest.golden:
        prompt = [1, 4, *tokenizer(golden.messages[0].content)["input_ids"], 5]
        assert golden.prompt_token_ids == prompt
        expected, gaps = greedy(bundle.model_dir, prompt, steps=24)
        assert golden.expected_token_ids == expected
        assert len(golden.top_logit_gaps) == len(gaps)
        assert golden.top_logit_gaps == pytest.approx(gaps, abs=1e-3)


def test_end_of_sequence_is_left_out_and_its_gap_kept(tmp_path: Path) -> None:
    model_dir = write_tiny_model(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(model_dir)
    prompt = [[Message(role="user", content="x")]]
    first = compute_golden(model_dir, prompt, max_new_tokens=4)[0]
    assert len(first.top_logit_gaps) == len(first.expected_token_ids) == 4
    # The answer's last token becomes the end of sequence: the same answer now ends before it.
    model.generation_config.eos_token_id = [2, first.expected_token_ids[-1]]
    model.generation_config.repetition_penalty = 5.0
    model.save_pretrained(model_dir)
    again = compute_golden(model_dir, prompt, max_new_tokens=4)[0]
    length = first.expected_token_ids.index(first.expected_token_ids[-1])
    assert again.expected_token_ids == first.expected_token_ids[:length]
    assert again.top_logit_gaps == first.top_logit_gaps[: length + 1]


def test_same_inputs_same_digest_on_another_number_of_threads(tiny: TinyBundle, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        again = make_tiny_bundle(tmp_path)
    finally:
        torch.set_num_threads(threads)
    assert Bundle.open(again.path).digest == Bundle.open(tiny.path).digest
    assert (
        Bundle.open(make_tiny_bundle(tmp_path / "other", seed=1).path).digest
        != Bundle.open(again.path).digest
    )


def test_prompt_that_does_not_fit_is_named(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("word " * 300)
    request = BuildRequest(
        model=write_tiny_model(tmp_path / "model"),
        name="t",
        version="1",
        output=tmp_path / "b",
        prompts=prompts,
    )
    with pytest.raises(errors.BundleError, match=r"'word word .* do not fit the context of 256"):
        build_bundle(request)
    assert not (tmp_path / "b").exists()


def test_weights_that_do_not_load_are_one_line(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model")
    (model / "config.json").write_text('{"model_type": "unheard-of"}')
    with pytest.raises(errors.BundleError, match="transformers cannot load this model"):
        compute_golden(model, [[Message(role="user", content="x")]], max_new_tokens=2)


def test_missing_weight_is_not_made_up(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model")
    tensors = load_file(model / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(errors.BundleError, match=r"the weights lack model\.norm\.weight"):
        compute_golden(model, [[Message(role="user", content="x")]], max_new_tokens=2)


def test_prompts_are_read_from_rows_and_from_lines(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    rows = [
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}',
        '{"input": "c", "references": []}', '{"prompt": "d"}', "plain e", "", "plain e", "plain f",
    ]  # fmt: skip
    path.write_text("\n".join(rows))
    assert [prompt[-1].content for prompt in read_prompts(path, 4)] == ["a", "c", "d", "plain e"]
    for text, message in (
        ('{"text": 1}', ":1: expected a row with `messages`"), ('{"input": ""}', "the prompt is empty"),
        ('{"input": 3}', ":1: expected"), ('{"messages": []}', "the prompt is empty"),
        ("{x", ":1: expected"), ("", "no prompt"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(errors.BundleError, match=message):
            read_prompts(path, 4)
