"""A commented study file to start from."""

from pathlib import Path

from bench.errors import StudyError

TEMPLATE = """\
# A finebench study. See what it would run:  finebench plan <path>
#                    Run it:                 finebench run <path>
# Every key is shown. name, tasks, methods and budget stand in every study; what else is left out has a default.

name: <name>                 # names the results folder, results/<name>; letters, digits, . _ -
model: embedded              # the small encoder that is included; or a hub id, or a folder

# Built-in tasks by name (finebench tasks), and tasks of your own.
tasks:
  - mini-cola
  - mini-stsb
  # - name: reviews
  #   data: {train: train.csv, validation: validation.csv}   # CSV, JSONL or Parquet; paths are relative to this file
  #   text: [title, body]                                    # one or two columns
  #   label: stars                                           # classes, or numbers
  #   metric: accuracy                                       # or a list; the first one is the score

# A method's own hyperparameters (finebench methods). A scalar is fixed, a list is a grid.
methods:
  full:
    lr: [3.0e-4, 1.0e-3]
  bitfit:
    lr: [3.0e-3, 1.0e-2]
  lora:
    lr: [1.0e-3, 3.0e-3]
    r: 8
    # resources: {gpu: 0.5}                  # a method may ask for resources of its own
    # per_task: {mini-stsb: {lr: [3.0e-3]}}  # and have another space on one task

fractions: [0.3, 1.0]        # shares of the training split, nested: 30 % is a part of 100 %; left out: [1.0]

# Seed k is the same subset, data order and dropout for every method. Fewer than 6 pairs give no verdict on a claim.
seeds: 3                     # left out: 5; {init: 3, order: 3, subset: 3} crosses the sources of randomness

# One of epochs (with a floor, min_steps), steps, seconds, flops; a list of them is one more axis of the study.
budget: {steps: 200}

# grid; {grid: {confirm_seeds: 5}}, which reruns the best point on fresh seeds; or a search in each cell:
# {optuna: {sampler: tpe, trials: 20, seeds: 2, confirm_seeds: 5, scheduler: asha}}. Then a method's space may hold
# distributions, such as lr: {loguniform: [1.0e-5, 1.0e-2]}, r: {choice: [4, 8]}, dropout: {uniform: [0, 0.2]}.
search: grid

# The part of the drawn rows that choices are made on; the task's validation split is for scores alone.
# scale: false takes the share from all of train, whatever the fraction.
select: {fraction: 0.1, at_least: 50, scale: true}

training:
  batch_size: 16
  max_length: 64             # in tokens; left out: 128
  warmup: 0.06               # share of the steps in which the learning rate rises
  weight_decay: 0.01         # not on biases and norms
  schedule: linear           # linear, constant or cosine
  precision: auto            # auto, fp32 or bf16; auto is bf16 where a GPU has it
  evals: 10                  # evaluations during training
  max_grad_norm: 1.0

resources: {cpu: 1, gpu: auto, pack: auto} # of one trial; auto measures what fits on a GPU
trial_timeout: 1h            # s, m, h or d
retries: 2                   # of a trial whose worker or node was lost

# The sentences that this study exists to test; each gets a verdict: supported, refuted or inconclusive.
# says is matches (needs margin), better, varies_more, cheaper (needs factor), or saturates_by (needs fraction).
claims:
  - {id: bitfit-matches-full, says: matches, a: bitfit, b: full, margin: 0.02}
  - {id: lora-varies-more, says: varies_more, a: lora, b: full}
"""


def write_new(path: Path) -> Path:
    """Write the template to `path`, which gets `.yaml` where it has no suffix; raises StudyError where it exists."""
    path = path if path.suffix else path.with_suffix(".yaml")
    if not path.parent.is_dir():
        raise StudyError(f"folder {str(path.parent)!r} does not exist")
    text = TEMPLATE.replace("<path>", str(path)).replace("<name>", study_name(path.stem))
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise StudyError(f"{str(path)!r} exists; give another path") from error
    except OSError as error:
        raise StudyError(f"{str(path)!r} cannot be written: {error.strerror}") from error
    return path


def study_name(stem: str) -> str:
    """A file's stem as a study's name: what is not file-name safe becomes a dash."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem).lstrip("._-")
    return safe[:100] or "study"
