"""The yardstick on one GPU, and what each part brings there.

    python -m tests.benchmarks.gpu [--only minilm-b16] [--repeats 3] [--parts minilm-b16-t64]      (make bench-gpu)
    python -m tests.benchmarks.gpu --device cpu --tiny     # the same code, a few steps, no GPU needed

A MiniLM- and a BERT-base-shaped model with random weights, 64 trials of 100 steps each on MRPC-shaped generated data,
batch 16 and 32, length 64 and 128; then, for the settings that --parts names, a table of the parts. Both tables are
printed and written as Parquet.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from tests.benchmarks.models import make_model, make_task
from tests.benchmarks.parts import Part, Variant, measure_parts, variants
from tests.benchmarks.setting import Setting, generated
from tests.benchmarks.yardstick import compare, options, run_way, wanted

MARKS = {"minilm": 10.0, "bert-base": 4.0, "tiny": 1.0}


def settings(folder: Path, device: str, tiny: bool) -> list[Setting]:
    """All settings, their models and data made under `folder`."""
    shapes = ["tiny"] if tiny else ["minilm", "bert-base"]
    sizes = [(4, 16)] if tiny else [(batch, length) for batch in (16, 32) for length in (64, 128)]
    rows = (120, 20) if tiny else None
    tasks = {length: make_task(length, folder, *([rows] if rows else [])) for _, length in sizes}
    found = []
    for shape in shapes:
        model = make_model(shape, folder)
        for batch, length in sizes:
            given = {"device": device, "tiny": tiny, "times": MARKS[shape]}
            found.append(generated(shape, model, tasks[length], batch, length, **given))  # type: ignore[arg-type]
    return found


def show_parts(setting: Setting, chosen: Sequence[Variant], out: Path, console: Console) -> list[Part]:
    """Measure and print the parts on one setting, write them as Parquet."""
    found = []
    console.print(f"{setting.name}: what each part brings", highlight=False)
    for part in measure_parts(setting, run_way, chosen):
        found.append(part)
        line = part.note if part.makespan is None else f"{part.makespan:.1f} s, {part.times:.2f} × the baseline"
        console.print(f"  {part.name}: {line}", highlight=False, soft_wrap=True)
    out.mkdir(parents=True, exist_ok=True)
    rows = [asdict(part) | {"setting": setting.name} for part in found]
    pq.write_table(pa.Table.from_pylist(rows), out / f"parts-{setting.name}.parquet")
    return found


def no_gpu() -> str | None:
    """Why the GPU's settings cannot be run here; None where they can."""
    import torch

    return None if torch.cuda.is_available() else "torch sees no GPU here; finebench doctor says more"


def main() -> None:
    """`make bench-gpu`."""
    parser = options(__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--parts", action="append", help="settings whose parts are measured [default: minilm-b16-t64]")
    asked = parser.parse_args()
    refusal = no_gpu() if asked.device == "cuda" else None
    if refusal:
        sys.exit(f"bench-gpu: {refusal}")
    console = Console(width=140)
    with tempfile.TemporaryDirectory(prefix="yardstick-models-") as scratch:
        every = settings(Path(scratch), asked.device, asked.tiny)
        log = None if asked.no_history or asked.tiny else asked.history
        code = compare(wanted(every, asked.only), asked.repeats, asked.out, log, console, asked.device)
        names = asked.parts or ["tiny-b4-t16" if asked.tiny else "minilm-b16-t64"]
        chosen = [one for one in variants() if not asked.tiny or (one.gpu == 1 and one.pack <= 2)]
        for setting in every:
            if code == 0 and setting.name in names:
                show_parts(setting, chosen, asked.out, console)
    sys.exit(code)


if __name__ == "__main__":
    main()
