"""Generation and perplexity with a real (tiny) model: against golden answers and plain computations."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from bundle import Bundle
from common.processes import ServerProcess, free_port
from evaluation.errors import EvaluationError
from evaluation.local import LocalModel, generate_local, load_local, prompt_ids
from evaluation.perplexity import Passage, load_passages, measure_perplexity
from evaluation.prompts import as_conversation
from evaluation.report import result_of
from tests.fixtures.tiny_bundle import TinyBundle, make_tiny_bundle

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyBundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def local(tiny: TinyBundle) -> LocalModel:
    return load_local(tiny.path / "model")


def test_batched_answers_are_the_golden_ones(tiny: TinyBundle, local: LocalModel) -> None:
    golden = Bundle.open(tiny.path).manifest.golden
    conversations = [[{"role": m.role, "content": m.content} for m in g.messages] for g in golden]
    answers = generate_local(local, conversations, max_tokens=24, batch_size=2)
    expected = [local.tokenizer.decode(g.expected_token_ids, skip_special_tokens=True) for g in golden]
    assert answers == expected


def test_batch_size_and_order_change_nothing(local: LocalModel) -> None:
    inputs = [
        "name[Oak]",
        "name[A Much Longer Name], food[French], area[riverside]",
        "x",
        "name[Elm], near[Oak]",
    ]
    alone = [generate_local(local, [text], max_tokens=12)[0] for text in inputs]
    seen: dict[int, str] = {}
    together = generate_local(local, inputs, max_tokens=12, batch_size=3, on_answer=seen.__setitem__)
    assert together == alone
    assert seen == dict(enumerate(together))


def test_a_prompt_beyond_the_context_is_named(local: LocalModel) -> None:
    with pytest.raises(EvaluationError, match=r"input 2: \d+ prompt tokens do not fit the context of 256"):
        generate_local(local, ["short", "word " * 400])
    with pytest.raises(EvaluationError, match="passage 1"):
        measure_perplexity(local, [Passage("word " * 400, as_conversation("x"))])


def test_perplexity_of_answers_equals_a_plain_computation(local: LocalModel) -> None:
    import torch

    pairs = [
        ("name[Oak]", "Oak is a café."),
        ("name[Elm], food[French]", "French food, at Elm, by the river."),
    ]
    nll, tokens = 0.0, 0
    for prompt, answer in pairs:
        before = prompt_ids(local, prompt)
        after = [
            *local.tokenizer(answer, add_special_tokens=False)["input_ids"],
            local.tokenizer.eos_token_id,
        ]
        with torch.inference_mode():
            log_p = local.model(torch.tensor([[*before, *after]])).logits[0].double().log_softmax(-1)
        nll -= sum(float(log_p[len(before) - 1 + i, token]) for i, token in enumerate(after))
        tokens += len(after)
    size = sum(len(answer.encode()) for _, answer in pairs)
    words = sum(len(answer.split()) for _, answer in pairs)
    by_key = {m.key: m for m in measure_perplexity(local, [Passage(a, as_conversation(p)) for p, a in pairs])}
    assert by_key["perplexity_token"].value == pytest.approx(math.exp(nll / tokens), rel=1e-4)
    assert by_key["perplexity_word"].value == pytest.approx(math.exp(nll / words), rel=1e-3)
    assert by_key["perplexity_byte"].value == pytest.approx(math.exp(nll / size), rel=1e-4)
    assert by_key["bits_per_byte"].value == pytest.approx(nll / math.log(2) / size, rel=1e-5)
    for measure in by_key.values():
        result = result_of(measure, 100, seed=1)
        assert result.ci_low is not None
        assert result.ci_low <= result.value <= (result.ci_high or 0)


def test_long_text_counts_every_token_word_and_byte_once(local: LocalModel) -> None:
    text = "The Oak serves café food by the river. " * 40
    rows = measure_perplexity(local, [Passage(text)])[0].rows
    assert len(rows) > 3
    assert rows[:, 1].sum() == len(local.tokenizer(text, add_special_tokens=False)["input_ids"])
    assert rows[:, 2].sum() == len(text.split())
    assert rows[:, 3].sum() == len(text.rstrip().encode()) or rows[:, 3].sum() == len(text.encode())


def test_passages_from_every_format(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("mr,ref\nA,one\nA,two\n")
    (tmp_path / "d.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "one"}]}\n'
        '{"text": "plain"}\n{"input": "A", "references": ["one", "two"]}\n'
    )
    (tmp_path / "d.txt").write_text("plain\ntext\n")
    asked = as_conversation("A")
    assert load_passages(tmp_path / "d.csv") == [Passage("one", asked), Passage("two", asked)]
    expected = [Passage("one", asked), Passage("plain"), Passage("one", asked), Passage("two", asked)]
    assert load_passages(tmp_path / "d.jsonl") == expected
    assert load_passages(tmp_path / "d.txt") == [Passage("plain\ntext\n")]
    (tmp_path / "bad.jsonl").write_text('{"input": "A"}\n')
    with pytest.raises(EvaluationError, match=r"bad\.jsonl:1"):
        load_passages(tmp_path / "bad.jsonl")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evaluation", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_generate_and_perplexity_by_command_line(tiny: TinyBundle, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs.csv"
    inputs.write_text("mr,ref\nname[Oak],Oak is a pub.\nname[Oak],A pub.\nname[Elm],Elm.\n")
    bundle = ["--bundle", str(tiny.path), "--public-key", str(tiny.public_key)]
    output = tmp_path / "out.txt"
    done = run("generate", *bundle, "--inputs", str(inputs), "--output", str(output), "--max-tokens", "4")
    assert done.returncode == 0, done.stderr
    assert len(output.read_text().split("\n")) == 3
    measured = run("perplexity", *bundle, "--data", str(inputs), "--output", str(tmp_path / "p.json"))
    assert measured.returncode == 0, measured.stderr
    assert "bits per byte" in measured.stdout
    int4 = run("generate", *bundle, "--inputs", str(inputs), "--output", str(output), "--format", "int4")
    assert int4.returncode == 2
    assert "not int4" in int4.stderr
    (tiny.path / "extra.txt").write_text("not in the manifest")
    try:
        refused = run("generate", *bundle, "--inputs", str(inputs), "--output", str(tmp_path / "no.txt"))
    finally:
        (tiny.path / "extra.txt").unlink()
    assert refused.returncode != 0
    assert "extra.txt" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "no.txt").exists()


def test_generate_from_a_running_server(tmp_path: Path) -> None:
    inputs = tmp_path / "inputs.txt"
    inputs.write_text("A\nB\nC\n")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.fakes.backend", "--port", str(port), "--tokens", "4"]
    with ServerProcess(command, log=tmp_path / "log", ready_url=f"{url}/ready", cwd=ROOT) as server:
        server.wait_ready(30)
        done = run("generate", "--url", url, "--inputs", str(inputs), "--output", str(tmp_path / "o.txt"))
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "o.txt").read_text().splitlines()
    assert len(lines) == 3
    assert all(line.startswith("w0") for line in lines)
