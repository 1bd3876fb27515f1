"""Is pretraining worth something here, and are the tasks more than word counts? `python -m
finebench.bench.data.embedded.evidence`.

Prints one Markdown table: constant predictor, TF-IDF, and fine-tuning of a randomly initialised and of the pretrained
encoder by a plain PyTorch loop (no part of the harness). Seed 0 chooses the learning rate on a held-out part of train;
what is printed was measured on validation: mean and standard deviation over seeds.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from finebench.bench.data.embedded import MODEL_DIR, load_split
from finebench.bench.data.embedded.baselines import HELD_OUT, METRICS, Columns, constant, scores, texts_of, word_counts

BATCH, WARMUP, WEIGHT_DECAY = 16, 0.06, 0.01
HEAD = ("classifier", "pooler")


@dataclass(frozen=True)
class Recipe:
    """One row of the table: whether the encoder is pretrained, which parameters train, and the learning rates tried."""

    title: str
    pretrained: bool
    trains: Callable[[str], bool]
    rates: tuple[float, ...]


RECIPES = (
    Recipe("random init, all parameters", False, lambda name: True, (5e-4, 2e-3)),
    Recipe("pretrained, head only", True, lambda name: name.startswith("classifier"), (3e-3, 1e-2)),
    Recipe("pretrained, BitFit", True, lambda name: name.endswith("bias") or "classifier" in name, (3e-3, 1e-2)),
    Recipe("pretrained, all parameters", True, lambda name: True, (3e-4, 1e-3)),
)


def encode(tokenizer: Any, columns: Columns) -> list[dict[str, list[int]]]:
    """Tokenise every row, one or two texts."""
    rows = zip(*(columns[name] for name in texts_of(columns)), strict=True)
    return [dict(tokenizer(*row, truncation=True)) for row in rows]


def build(recipe: Recipe, task: str, seed: int) -> PreTrainedModel:
    """Return a model with a seeded head (and a seeded body where it is not pretrained) and the recipe's freezing."""
    torch.manual_seed(seed)
    labels = 1 if task == "mini-stsb" else 2
    if recipe.pretrained:
        model = AutoModelForSequenceClassification.from_pretrained(MODEL_DIR, num_labels=labels)
    else:
        model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(MODEL_DIR, num_labels=labels))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(recipe.trains(name))
    return model


class Trainer:
    """Fine-tunes and scores on one task; holds the tokenised rows."""

    def __init__(self, task: str, share: float = 1.0) -> None:
        self.task = task
        self.tokenizer = AutoTokenizer.from_pretrained(MODEL_DIR)
        train = load_split(task, "train")
        rows, labels = encode(self.tokenizer, train), train["label"]
        drawn = int(len(rows) * share)
        cut = int(drawn * (1 - HELD_OUT))
        validation = load_split(task, "validation")
        self.fit = (rows[:cut], labels[:cut])
        self.select = (rows[cut:drawn], labels[cut:drawn])
        self.score = (encode(self.tokenizer, validation), validation["label"])

    def loss(self, model: PreTrainedModel, rows: list[dict[str, list[int]]], labels: list[float]) -> torch.Tensor:
        """Return cross-entropy, or the mean squared error of a grade for mini-stsb."""
        logits = model(**self.tokenizer.pad(rows, return_tensors="pt")).logits
        if self.task == "mini-stsb":
            return torch.nn.functional.mse_loss(logits[:, 0], torch.tensor(labels))
        return torch.nn.functional.cross_entropy(logits, torch.tensor(labels))

    def train(self, recipe: Recipe, rate: float, steps: int, seed: int) -> PreTrainedModel:
        """Fine-tune for a number of steps: AdamW, linear warm-up and decay, gradient norm clipped at 1."""
        model = build(recipe, self.task, seed).train()
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=WEIGHT_DECAY, fused=True)
        warm = max(1, int(WARMUP * steps))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm, (steps - step) / (steps - warm))
        )
        rows, labels = self.fit
        order: list[int] = []
        generator = np.random.default_rng(seed)
        for _ in range(steps):
            if len(order) < BATCH:
                order += generator.permutation(len(rows)).tolist()
            batch, order = order[:BATCH], order[BATCH:]
            optimizer.zero_grad()
            self.loss(model, [rows[i] for i in batch], [labels[i] for i in batch]).backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
        return model.eval()

    @torch.inference_mode()
    def evaluate(
        self, model: PreTrainedModel, part: tuple[list[dict[str, list[int]]], list[float]]
    ) -> dict[str, float]:
        """Return the task's metrics on `select` or `score`."""
        rows, labels = part
        logits = torch.cat(
            [model(**self.tokenizer.pad(rows[i : i + 64], return_tensors="pt")).logits for i in range(0, len(rows), 64)]
        )
        guess = logits[:, 0] if self.task == "mini-stsb" else logits.argmax(-1)
        return scores(self.task, labels, guess.numpy())

    def measure(self, recipe: Recipe, steps: int, seeds: int) -> tuple[float, list[dict[str, float]]]:
        """Return the learning rate that seed 0 chooses on `select`, and the scores of all seeds at it."""
        tried: list[tuple[float, float, dict[str, float]]] = []
        for rate in recipe.rates:
            model = self.train(recipe, rate, steps, seed=0)
            chosen = next(iter(self.evaluate(model, self.select).values()))
            tried.append((chosen, rate, self.evaluate(model, self.score)))
        _, best, first = max(tried, key=lambda item: item[0])
        others = [self.evaluate(self.train(recipe, best, steps, seed), self.score) for seed in range(1, seeds)]
        return best, [first, *others]


def cell(values: list[float]) -> str:
    """Write mean and standard deviation over seeds."""
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


def table(steps: int, seeds: int, share: float, recipes: tuple[Recipe, ...] = RECIPES) -> list[str]:
    """Return the lines of the Markdown table; prints progress as rows get ready."""
    columns = [f"{task} {metric}" for task, metrics in METRICS.items() for metric in metrics]
    lines = ["| | " + " | ".join(columns) + " | learning rates |", "|---" * (len(columns) + 2) + "|"]
    for title, baseline in (("constant predictor", constant), ("TF-IDF + linear model", word_counts)):
        found = [value for task in METRICS for value in baseline(task).values()]
        lines.append(f"| {title} | " + " | ".join(f"{value:.3f}" for value in found) + " | |")
    trainers = [Trainer(task, share) for task in METRICS]
    for recipe in recipes:
        cells, rates = [], []
        for trainer in trainers:
            rate, scored = trainer.measure(recipe, steps, seeds)
            cells += [cell([s[metric] for s in scored]) for metric in METRICS[trainer.task]]
            rates.append(f"{rate:g}")
        lines.append(f"| {recipe.title} | " + " | ".join(cells) + f" | {', '.join(rates)} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Read the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="share of train that fine-tuning may use")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    print("\n".join(table(options.steps, options.seeds, options.share)))


if __name__ == "__main__":
    main()
