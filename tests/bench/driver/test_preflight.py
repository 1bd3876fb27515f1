"""Before the first trial: what would fail in every one of them is one message, and what passed is not tried again."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from finebench.bench.data.token_cache import tokenizer_key
from finebench.bench.driver import forecast, preflight, rehearsal
from finebench.bench.driver.validate import Prepared, prepare
from finebench.bench.methods import methods
from finebench.bench.models.hub import shipped
from finebench.bench.study.load import build_study
from finebench.bench.util.errors import DataError, InputError, MethodError, ModelError
from tests.bench.broken_models import CASES, copied, set_config, sound

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def study(**changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {"name": "tiny", "tasks": ["mini-cola"], "methods": {"bitfit": {"lr": 1e-3}}}
    raw |= {"fractions": [0.1], "seeds": 1, "budget": {"steps": 2}, "training": {"evals": 1, "batch_size": 8}}
    return raw | changes


def ready(**changes: Any) -> Prepared:
    return prepare(build_study(study(**changes), "tiny.yaml", Path(".")), None)


def question(**changes: Any) -> preflight.Question:
    made = ready(**changes)
    return preflight.question(made.plan, made.known, made.model.folder, made.tasks, made.defaults)


def attempt(**changes: Any) -> list[str]:
    """Try a study in this process; what it said it was doing."""
    doing: list[str] = []
    rehearsal.try_all(question(**changes), doing.append)
    return doing


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_sound_folder_passes(tmp_path: Path, kind: str) -> None:
    doing = attempt(model=str(sound(tmp_path, kind)), methods={"full": {"lr": 1e-3}, "lora": {"r": [2, 4]}})
    assert [line.split(" {")[0] for line in doing[-3:]] == [
        "taking a step of full", "taking a step of lora", "taking a step of lora",
    ]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_broken_folder_is_one_message_that_names_it(tmp_path: Path, case: str) -> None:
    make, message = CASES[case]
    make(tmp_path)
    with pytest.raises(ModelError, match=message) as caught:
        attempt(model=str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_token_beyond_the_embedding_that_no_text_holds_does_no_harm(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(copied(tmp_path))
    tokenizer.add_tokens(["<nowhere>"])
    tokenizer.save_pretrained(tmp_path)
    attempt(model=str(tmp_path))


def test_a_vocabulary_of_sentencepiece_is_read(tmp_path: Path) -> None:
    sound(tmp_path, "deberta-v2")
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (tmp_path / name).unlink()
    model, pieces = io.BytesIO(), ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a dog ran over the hill", "birds sing in the morning"] * 20), model_writer=model,
        vocab_size=33, hard_vocab_limit=False, minloglevel=2, pad_id=0, bos_id=1, eos_id=2, unk_id=3,
        **dict(zip(("pad_piece", "bos_piece", "eos_piece", "unk_piece"), pieces, strict=True)),
    )  # fmt: skip
    (tmp_path / "spm.model").write_bytes(model.getvalue())
    attempt(model=str(tmp_path))


def test_links_to_nothing_and_folders_named_as_files_are_no_part_of_a_model(tmp_path: Path) -> None:
    before = prepare(build_study(study(model=str(copied(tmp_path))), "s.yaml", Path(".")), None)
    for name in ("notes.txt", "old.bin", "special_tokens_map.json"):
        (tmp_path / name).symlink_to("/nowhere/at/all")
    for name in ("more.txt", "0_x/config.json", "old.safetensors"):
        (tmp_path / name).mkdir(parents=True)
    made = ready(model=str(tmp_path))
    assert made.model.revision == before.model.revision
    assert tokenizer_key(tmp_path, []) == tokenizer_key(copied(tmp_path.parent / "copy"), [])
    assert {path.name for path in shipped(tmp_path)} & {"notes.txt", "more.txt", "old.safetensors"} == set()


def test_weights_that_link_to_nothing_are_missing(tmp_path: Path) -> None:
    (copied(tmp_path) / "model.safetensors").unlink()
    (tmp_path / "model.safetensors").symlink_to("/nowhere/at/all")
    with pytest.raises(ModelError, match=r"weights"):
        ready(model=str(tmp_path))


def csv(path: Path, *rows: tuple[str, str]) -> str:
    path.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows))
    return str(path)


def own_task(folder: Path, odd: str) -> dict[str, Any]:
    """A task of the user's own, whose validation file has an odd text in its second row."""
    train = csv(folder / "a.csv", *((f"good {i}", str(i % 2)) for i in range(200)))
    validation = csv(folder / "b.csv", ("well", "0"), (odd, "1"), ("fine", "1"))
    data = {"train": train, "validation": validation}
    return {"name": "own", "data": data, "text": "text", "label": "label", "metric": "accuracy"}


LETTERS = "<abcdefghijklmnopqrstuvwxyz 0123456789"


def with_vocabulary(folder: Path, model: Any) -> Path:
    """A decoder with a tokenizer of the test's own."""
    sound(folder, "gpt2")
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).unlink()
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), eos_token="<").save_pretrained(folder)
    return folder


def test_a_row_that_tokenises_to_nothing_is_named_with_its_file(tmp_path: Path) -> None:
    """A vocabulary of letters without special tokens: what it does not know, it drops."""
    folder = with_vocabulary(tmp_path / "model", models.BPE({letter: i for i, letter in enumerate(LETTERS)}, []))
    with pytest.raises(DataError, match=r"b\.csv, row 2: the text has no token in this model's vocabulary"):
        attempt(model=str(folder), tasks=[own_task(tmp_path, "…")])


def test_a_tokenizer_that_fails_on_a_text_is_named(tmp_path: Path) -> None:
    """One that knows no token for what it does not know."""
    folder = with_vocabulary(tmp_path / "model", models.WordLevel({"<": 0, "good": 1}, unk_token="[UNK]"))
    with pytest.raises(
        ModelError, match=r"model folder .*: its tokenizer fails on .*a\.csv: Exception: WordLevel error"
    ):
        attempt(model=str(folder), tasks=[own_task(tmp_path, "odd")])


def test_a_method_that_fails_on_the_model_is_named_with_rows_and_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finebench.bench.methods.bitfit import BitFit

    apply = BitFit.apply

    def broken(self: BitFit, model: torch.nn.Module) -> torch.nn.Module:
        tuned = apply(self, model)
        tuned.register_forward_hook(lambda *unused: 1 / 0)
        return tuned

    monkeypatch.setattr(BitFit, "apply", broken)
    with pytest.raises(MethodError, match=r"methods\.bitfit: .*a step on task 'mini-cola', train, rows .* and .* fails"
                       r" on model folder .*: ZeroDivisionError") as caught:  # fmt: skip
        attempt(model=str(sound(tmp_path)))
    assert "\n" not in str(caught.value)


def test_a_method_that_changes_what_it_leaves_frozen_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from finebench.bench.methods.bitfit import BitFit

    apply = BitFit.apply

    def leaky(self: BitFit, model: torch.nn.Module) -> torch.nn.Module:
        tuned = apply(self, model)
        frozen = next(p for p in tuned.parameters() if not p.requires_grad)
        tuned.register_forward_hook(lambda *unused: setattr(frozen, "data", frozen.data + 1.0))
        return tuned

    monkeypatch.setattr(BitFit, "apply", leaky)
    with pytest.raises(MethodError, match=r"methods\.bitfit: .*a step changes what the method leaves frozen"):
        attempt()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_are_taken_in_the_studys_precision_on_the_extremes(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    seen: list[tuple[bool, tuple[int, ...]]] = []
    rehearse = rehearsal.rehearse

    def watch(job: Any, rows: Any, scored: Any) -> float:
        def look(module: Any, args: Any, inputs: dict[str, Any]) -> None:
            lengths = sorted(int(n) for n in inputs["attention_mask"].sum(1))
            seen.append((torch.is_autocast_enabled("cpu"), (lengths[0], lengths[-1])))

        job.model.register_forward_pre_hook(look, with_kwargs=True)
        return rehearse(job, rows, scored)

    monkeypatch.setattr(rehearsal, "rehearse", watch)
    training = {"evals": 1, "batch_size": 8, "precision": precision}
    attempt(training=training)
    tokens = rehearsal.WorkerCache(question(training=training).shipment, rehearsal.Share()).tokens(
        ready().tasks["mini-cola"], "train", 128
    )
    assert seen[0] == (precision == "bf16", (int(tokens.lengths.min()), int(tokens.lengths.max())))


def test_what_is_all_of_our_own_making_is_not_tried_at_a_start(tmp_path: Path) -> None:
    """The next test tries it."""
    made = ready()
    assert preflight.shipped(made.plan, made.tasks)
    for changes in ({"model": str(copied(tmp_path))}, {"methods": {"full": {}, "peft:LOHA": {}}},
                    {"tasks": ["mini-cola", own_task(tmp_path, "odd")]}):  # fmt: skip
        made = ready(**changes)
        assert not preflight.shipped(made.plan, made.tasks)


@pytest.mark.parametrize("name", [name for name in methods() if not name.endswith(":")])
def test_every_method_passes_on_the_embedded_model(name: str) -> None:
    attempt(methods={name: methods()[name].default_space})


def test_each_shape_of_task_and_each_setting_is_tried_once_with_the_longest_text() -> None:
    asked = question(
        tasks=["mini-cola", "mini-mrpc", "mini-stsb"],
        methods={"full": {"lr": [1e-3, 1e-2]}, "lora": {"r": [2, 4], "alpha": [8, 16]}},
        fractions=[0.1, 1.0], seeds=3,
    )  # fmt: skip
    assert {trial.task.name for trial in asked.trials} == {"mini-cola", "mini-mrpc", "mini-stsb"}
    assert len(asked.trials) == 3 * (1 + 3)
    assert set(asked.shipment.tasks) == {"mini-cola", "mini-mrpc", "mini-stsb"}


def test_the_child_passes_and_the_answer_is_kept_under_what_it_rests_on(tmp_path: Path) -> None:
    asked = question(model=str(copied(tmp_path)))
    assert not preflight.passed(asked)
    with preflight.Child(asked) as child:
        child.wait()
    assert preflight.passed(asked)
    assert preflight.passed(question(model=str(tmp_path), seeds=4, budget={"steps": 9}))
    assert not preflight.passed(question(model=str(tmp_path), methods={"full": {}}))
    assert not preflight.passed(question(model=str(tmp_path), tasks=["mini-mrpc"]))
    assert not preflight.passed(question(model=str(tmp_path), training={"precision": "bf16"}))
    set_config(tmp_path, attention_probs_dropout_prob=0.3)
    assert not preflight.passed(question(model=str(tmp_path)))


def test_what_the_child_finds_is_raised_here_and_not_kept(tmp_path: Path) -> None:
    CASES["compiled"][0](tmp_path)
    asked = question(model=str(tmp_path))
    with preflight.Child(asked) as child, pytest.raises(ModelError, match=r"as torch\.compile does"):
        child.wait()
    assert not preflight.passed(asked)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (f"os.kill(os.getpid(), {int(signal.SIGKILL)})", "was ended by SIGKILL, as it is where memory runs out"),
        (f"os.kill(os.getpid(), {int(signal.SIGSEGV)})", "was ended by SIGSEGV"),
        ("sys.exit('no such thing')", "ended with no such thing"),
    ],
)
def test_a_child_that_dies_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    (tmp_path / "dying.py").write_text(
        'import os, sys\nprint(\'{"doing": "taking a step of full"}\', flush=True)\n' + code
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(preflight, "_CHILD", "dying")
    with (
        preflight.Child(question()) as child,
        pytest.raises(ModelError, match=f"the process that tried it {message}.* while taking a step of full"),
    ):
        child.wait()


def finebench(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "finebench", *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_a_run_that_cannot_work_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    CASES["ddp"][0](tmp_path / "model")
    (tmp_path / "s.yaml").write_text(json.dumps(study(model="./model")))
    done = finebench("run", "s.yaml", "--model", str(tmp_path / "model"), "--results", "r", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("finebench: ")
    assert "as DistributedDataParallel does" in done.stderr
    assert not (tmp_path / "r").exists()


def test_a_plan_tries_a_small_folder_and_says_where_it_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CASES["nan"][0](tmp_path)
    (tmp_path / "notes.txt").symlink_to("/nowhere/at/all")  # no reason to stop
    broken = build_study(study(model=str(tmp_path)), "tiny.yaml", Path("."))
    with pytest.raises(ModelError, match="are its weights sound"):
        forecast.forecast(broken, None)
    monkeypatch.setattr(forecast, "SMALL", 0)
    assert any("its files are there, it was not tried" in note for note in forecast.forecast(broken, None)["notes"])
    known = build_study(study(model="google-bert/bert-base-uncased"), "tiny.yaml", Path("."))
    notes = [note for note in forecast.forecast(known, None)["notes"] if "AMX" not in note]  # not every CPU has it
    assert [note.partition(":")[0] for note in notes] == ["model google-bert/bert-base-uncased was not tried"]


def test_every_kind_of_our_errors_comes_back_as_itself() -> None:
    for kind in (ModelError, DataError, MethodError):
        assert type(preflight._error(kind.__name__, "x")) is kind
    assert issubclass(ModelError, InputError)


def test_a_child_that_hangs_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hanging.py").write_text(
        'import time\nprint(\'{"doing": "taking a step of full"}\', flush=True)\ntime.sleep(600)'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(preflight, "_CHILD", "hanging")
    monkeypatch.setattr(preflight, "PATIENCE", 0.5)
    with (
        preflight.Child(question(trial_timeout=1)) as child,
        pytest.raises(ModelError, match=r"was ended: it has been taking a step of full for 1 seconds; .*trial_timeout"),
    ):
        child.wait()


@pytest.mark.parametrize("micro_batch", [2, 3])
def test_a_batch_is_split_as_the_study_splits_it(monkeypatch: pytest.MonkeyPatch, micro_batch: int) -> None:
    """Also where the shortest and the longest row would fit into one part."""
    parts: list[int] = []
    rehearse = rehearsal.rehearse

    def watch(job: Any, rows: Any, scored: Any) -> float:
        job.model.register_forward_pre_hook(
            lambda module, args, inputs: parts.append(len(inputs["input_ids"])), with_kwargs=True
        )
        return rehearse(job, rows, scored)

    monkeypatch.setattr(rehearsal, "rehearse", watch)
    attempt(training={"evals": 1, "batch_size": 8, "micro_batch": micro_batch})
    assert parts == [micro_batch, 1, 2]  # the last: predicting the extremes


def test_what_cannot_be_recomputed_is_named_with_its_method() -> None:
    with pytest.raises(ModelError, match=r"methods\.prefix: training\.checkpointing"):
        attempt(methods={"prefix": {}}, training={"evals": 1, "batch_size": 8, "checkpointing": True})
