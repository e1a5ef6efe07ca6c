"""The tokenizer: ids and template of the contract, exact round trips, the same files twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from training.data.config import DataError
from training.tokenizer import SPECIAL_TOKENS, TokenizerError, measure, train_tokenizer

pytestmark = pytest.mark.unit

TEXTS = [
    f"The Copper Heron number {i} is a cheap pub near Café Ondine, with meals at £{i}." for i in range(50)
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for split in ("train", "dev"):
        with (folder / f"{split}.jsonl").open("w") as stream:
            for text in TEXTS:
                messages = [
                    {"role": "user", "content": "name[The Copper Heron]"},
                    {"role": "assistant", "content": text},
                ]
                stream.write(json.dumps({"messages": messages}) + "\n")
    return folder


@pytest.fixture(scope="module")
def folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("tokenizer") / "t"
    train_tokenizer(data, output, 320)
    return output


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(folder)


def test_special_tokens_have_the_ids_of_the_contract(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.convert_ids_to_tokens(range(6)) == list(SPECIAL_TOKENS)
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert len(tokenizer) == 320


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_the_round_trip(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_nothing_is_added_around_a_text(tokenizer: PreTrainedTokenizerFast) -> None:
    for text in ("Café £20-25", " lead", "tail ", "two  spaces\n\nlines"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert min(ids) >= len(SPECIAL_TOKENS)
    assert tokenizer("")["input_ids"] == []


def test_the_template_is_the_prompt_format_of_the_contract(tokenizer: PreTrainedTokenizerFast) -> None:
    user, answer = {"role": "user", "content": "Hi é"}, {"role": "assistant", "content": "Ho"}
    system = {"role": "system", "content": "Be brief."}

    def render(*messages: dict[str, str], prompt: bool = False) -> str:
        text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=prompt)
        assert isinstance(text, str)
        return text

    assert render(user, answer) == "<s><|user|>Hi é<|assistant|>Ho</s>"
    assert render(user, prompt=True) == "<s><|user|>Hi é<|assistant|>"
    assert render(system, user, prompt=True) == "<s><|system|>Be brief.<|user|>Hi é<|assistant|>"
    assert render(user, answer, user, prompt=True).endswith("Ho</s><|user|>Hi é<|assistant|>")
    # The prompt's ids begin the whole conversation's ids: what training masks and serving sends agree.
    whole = tokenizer(render(user, answer))["input_ids"]
    prompt = tokenizer(render(user, prompt=True))["input_ids"]
    assert whole[: len(prompt)] == prompt
    with pytest.raises(Exception, match="unknown role tool"):
        render({"role": "tool", "content": "x"})


def test_training_twice_gives_the_same_files(data: Path, folder: Path, tmp_path: Path) -> None:
    train_tokenizer(data, tmp_path / "again", 320)
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_the_report_counts_what_it_says(tokenizer: PreTrainedTokenizerFast, data: Path) -> None:
    report = measure(tokenizer, data)
    tokens = sum(len(tokenizer(text)["input_ids"]) for text in TEXTS)
    assert report.tokens_per_answer == round(tokens / len(TEXTS), 2)
    assert report.fertility == round(tokens / sum(len(text.split()) for text in TEXTS), 3)
    assert report.bytes_per_token == round(sum(len(text.encode()) for text in TEXTS) / tokens, 3)


def test_bad_settings_and_bad_data_are_clear_errors(data: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="at least 262"):
        train_tokenizer(data, tmp_path / "t", 100)
    with pytest.raises(DataError, match="is not there"):
        train_tokenizer(tmp_path, tmp_path / "t")
    assert not (tmp_path / "t").exists()
