"""Can LoRA learn through a pooler that was never trained? With `peft` and a plain loop, nothing of finebench's.

    python -m tests.benchmarks.untrained_pooler --model FOLDER --data GLUE_FOLDER [--steps 400] [--lr 3e-4]

Trains LoRA (rank 8 on query and value) on STS-B twice, the classifier alone being trained beside it, then the pooler
too, and prints Pearson's correlation on the validation split for both. FOLDER is a BERT-shaped encoder whose pooler's
biases are zero, such as all-MiniLM-L6-v2.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch
from peft import LoraConfig, get_peft_model
from scipy import stats
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def trained(model_folder: str, rows: pd.DataFrame, heads: list[str], steps: int, lr: float) -> torch.nn.Module:
    """STS-B's model after `steps` steps of 16 examples, with linear decay."""
    torch.manual_seed(0)
    base = AutoModelForSequenceClassification.from_pretrained(model_folder, num_labels=1, use_safetensors=True)
    config = LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"], modules_to_save=heads)
    model = get_peft_model(base, config)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    model.train()
    for step in range(steps):
        batch = rows.sample(16, random_state=step)
        inputs = tokenizer(list(batch.sentence1), list(batch.sentence2), padding=True, return_tensors="pt")
        output = model(**inputs).logits.squeeze(-1)
        loss = torch.nn.functional.mse_loss(output, torch.tensor(batch.label.to_numpy(), dtype=torch.float32))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return model.eval()


@torch.no_grad()
def pearson(model: torch.nn.Module, model_folder: str, rows: pd.DataFrame) -> float:
    """Correlation of the model's answers with the labels."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    answers: list[float] = []
    for begin in range(0, len(rows), 64):
        part = rows.iloc[begin : begin + 64]
        inputs = tokenizer(list(part.sentence1), list(part.sentence2), padding=True, return_tensors="pt")
        answers += model(**inputs).logits.squeeze(-1).tolist()
    return float(stats.pearsonr(answers, rows.label.to_numpy()).statistic)


def main() -> None:
    """Train both and print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--lr", type=float, default=3e-4)
    arguments = parser.parse_args()
    train, held_out = (
        pd.read_parquet(arguments.data / "stsb" / f"{split}.parquet") for split in ("train", "validation")
    )
    for heads in (["classifier"], ["classifier", "pooler"]):
        model = trained(arguments.model, train, heads, arguments.steps, arguments.lr)
        score = pearson(model, arguments.model, held_out)
        print(f"LoRA and {' and '.join(heads)}: Pearson {score:.2f}", flush=True)


if __name__ == "__main__":
    main()
