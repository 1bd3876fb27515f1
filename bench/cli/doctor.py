"""Checks of this machine: what works, and how to fix what does not.

What could crash or hang (importing torch, Ray or transformers, asking the hub) runs in subprocesses with a time limit,
all at once, so that a broken installation is a finding and not a traceback.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from finebench.bench import __version__
from finebench.bench.results.leftovers import clear_scratch
from finebench.bench.study.precision import AMX, has_amx
from finebench.bench.util import own_python, user_cache
from finebench.bench.util.cores import cores, slots
from finebench.bench.util.errors import InputError
from finebench.bench.util.places import check_temporary, expanded, home, nearest, ray_folder, writable
from finebench.bench.util.storage import local_path

IMPORT_SECONDS, HUB_SECONDS, SMI_SECONDS = 90.0, 3.0, 10.0
CACHE_SET = "set HF_HOME and FINEBENCH_CACHE to folders, and FINEBENCH_CACHE_GB to a number"
MIN_DISK_GB, MIN_SHM_GB = 5.0, 1.0
DEFAULT_HUB = "https://huggingface.co"

_TORCH = """
import json, torch
def bf16(index):
    with torch.cuda.device(index):
        return torch.cuda.is_bf16_supported(including_emulation=False)
gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
print(json.dumps({
    "version": torch.__version__, "cuda": torch.version.cuda,
    "gpus": [[gpu.name, gpu.total_memory] for gpu in gpus],
    "bf16": bool(gpus) and all(map(bf16, range(len(gpus)))),
    "ranks": [one for one in ("gloo", "nccl") if getattr(torch.distributed, f"is_{one}_available", bool)()],
}))
"""
_IMPORT = "import json, {module}; print(json.dumps({{'version': {module}.__version__}}))"
_RAY = """
import json, sys, time
from finebench.bench.driver.ray import session
from finebench.bench.util import errors
begin = time.monotonic()
try:
    with session.ray_session(session.RayOptions(), 1):
        print(json.dumps({"version": session.ray.__version__, "seconds": time.monotonic() - begin}))
except errors.InputError as error:
    sys.exit(str(error).partition("; --debug")[0].partition(" Is it short")[0])
"""
_HUB = """
import json, sys, urllib.error, urllib.request
try:
    code = urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2])).status
except urllib.error.HTTPError as error:
    code = error.code
except urllib.error.URLError as error:
    sys.exit(str(error.reason))
print(json.dumps({"code": code}))
"""


@dataclass(frozen=True)
class Check:
    """One finding. `ok` is False only for what keeps studies from running, `warn` True for what does not, but makes
    them slower or leaves something out; `fix` says what to do then."""

    name: str
    ok: bool
    detail: str
    fix: str | None = None
    warn: bool = False

    @property
    def state(self) -> str:
        """ok, warn or fail."""
        return "fail" if not self.ok else "warn" if self.warn else "ok"


@dataclass(frozen=True)
class Answer:
    """What a subprocess said: its JSON, or why there is none."""

    value: dict[str, Any] | None
    problem: str = ""


class _Question:
    """A Python program in a subprocess of its own, started now and read later."""

    def __init__(self, code: str, *args: str) -> None:
        pipe = subprocess.PIPE
        command, env = own_python.run_code(code, *args), own_python.environment()
        self.process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=env)

    def answer(self, seconds: float) -> Answer:
        """The last line of its output as JSON; what went wrong if it fails or takes longer than `seconds`."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return Answer(None, f"no answer within {seconds:g} s")
        if self.process.returncode != 0:
            lines = err.strip().splitlines()
            return Answer(None, lines[-1] if lines else f"ended with exit code {self.process.returncode}")
        return Answer(json.loads(out.strip().splitlines()[-1]))


def diagnose(results: str, clean: bool = False) -> list[Check]:
    """Every check, in the order in which things are needed; `results`: a folder or URI for results; `clean`: tidy."""
    cleaned = [cleaned_up()] if clean else []
    hub = _Question(_HUB, hub_address(), str(HUB_SECONDS))
    torch = _Question(_TORCH)
    ray = _Question(_RAY)
    others = {name: _Question(_IMPORT.format(module=name)) for name in ("transformers", "peft", "optuna")}
    hub_answer = hub.answer(HUB_SECONDS + 0.5)
    torch_answer = torch.answer(IMPORT_SECONDS)
    return [
        Check("finebench", True, f"{__version__} in {files('finebench')}"),
        check_python(sys.version_info[:3]),
        check_torch(torch_answer.value, torch_answer.problem),
        *(_check_import(name, question.answer(IMPORT_SECONDS)) for name, question in others.items()),
        check_ray(ray.answer(IMPORT_SECONDS)),
        check_gpus(torch_answer.value, smi_gpus()),
        check_hub(hub_address(), hub_answer.value, hub_answer.problem),
        check_home(),
        check_cache(os.environ),
        check_temporary_folder(),
        check_disk(results),
        check_machine(cores(), os.cpu_count() or 1, has_amx()),
        check_shared_memory(Path("/dev/shm")),
        check_threads(os.environ, slots()),
        *cleaned,
    ]


def cleaned_up() -> Check:
    """Remove what runs that have ended have left here, and what of the cache nobody has used within a day."""
    try:
        folders, removed = clear_scratch(), user_cache.trim(0)
    except (FileNotFoundError, InputError) as error:
        return Check("cleaned", False, str(getattr(error, "strerror", error)), CACHE_SET)
    cache = f"cache entries: {removed.entries:,} ({removed.bytes / 1e6:,.0f} MB)"
    stays = f"{removed.left / 1e6:,.0f} MB used within a day stay"
    return Check("cleaned", True, f"removed: folders of ended runs: {folders:,}, {cache}; {stays}")


def check_python(version: tuple[int, ...]) -> Check:
    """3.11 or newer."""
    ok = version >= (3, 11)
    shown = ".".join(map(str, version))
    return Check("python", ok, shown, None if ok else "install Python 3.11 or newer and make a new environment with it")


def check_torch(found: Mapping[str, Any] | None, problem: str = "") -> Check:
    """It imports; which build it is."""
    if found is None:
        return Check("torch", False, f"cannot be imported: {problem}", "pip install -c constraints.txt torch")
    build = f"CUDA {found['cuda']}" if found["cuda"] else "CPU build"
    over = " and ".join(found.get("ranks") or ())
    ranks = f", several ranks a trial over {over}" if over else ", one rank a trial (no gloo)"
    return Check("torch", True, f"{found['version']}, {build}{', bf16' if found['bf16'] else ''}{ranks}")


def _check_import(name: str, answer: Answer) -> Check:
    if answer.value is None:
        return Check(name, False, f"cannot be imported: {answer.problem}", f"pip install -c constraints.txt '{name}'")
    return Check(name, True, str(answer.value["version"]))


def check_ray(answer: Answer) -> Check:
    """A Ray of our own starts."""
    if answer.value is None:
        fix = "what it says has to be mended; until then --debug runs a study without Ray, trial after trial"
        return Check("ray", False, f"cannot be started: {answer.problem}", fix)
    return Check("ray", True, f"{answer.value['version']}, started in {answer.value['seconds']:.1f} s")


def smi_gpus() -> list[str] | None:
    """The GPUs that the NVIDIA driver lists; None where there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        answer = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=SMI_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return [line for line in answer.stdout.splitlines() if line.startswith("GPU ")]


def check_gpus(found: Mapping[str, Any] | None, listed: list[str] | None) -> Check:
    """What torch can use, against what the driver lists; having none is no failure."""
    usable = found["gpus"] if found else []
    if usable:
        return Check("gpus", True, ", ".join(f"{name} ({memory / 2**30:.0f} GiB)" for name, memory in usable))
    if listed:
        fix = "install a torch build for this driver's CUDA version: https://pytorch.org/get-started/locally"
        return Check("gpus", True, f"the driver lists {len(listed)}, torch can use none", fix, warn=True)
    return Check("gpus", True, "none: trials run on the CPU, one core each")


def hub_address() -> str:
    """The hub that Hugging Face's libraries would ask."""
    return os.environ.get("HF_ENDPOINT") or DEFAULT_HUB


def check_hub(address: str, found: Mapping[str, Any] | None, problem: str = "") -> Check:
    """Whether models and data can be fetched; not being able to is no failure."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Check("hub", True, "not used: HF_HUB_OFFLINE is set")
    if found is not None and found["code"] < 500:
        return Check("hub", True, f"{address} answers")
    why = problem or f"it answered with status {found['code'] if found else '?'}"
    fix = "use the embedded default, or --model and --data"
    return Check("hub", True, f"{address} cannot be reached ({why})", fix, warn=True)


def check_home() -> Check:
    """There is a home folder."""
    try:
        return Check("home", True, str(home()))
    except FileNotFoundError as error:
        return Check("home", False, str(error.strerror), "set HOME to a folder that can be written")


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where Hugging Face's libraries keep models and data; raises InputError where that cannot be told."""
    return expanded(environ.get("HF_HOME", environ.get("XDG_CACHE_HOME", "~/.cache") + "/huggingface"))


def check_cache(environ: Mapping[str, str]) -> Check:
    """Hugging Face's folder and our own, or the nearest ones that exist above them, can be written."""
    try:
        folders = {"HF_HOME": cache_folder(environ), "FINEBENCH_CACHE": user_cache.cache_folder()}
        user_cache.limit()
    except (FileNotFoundError, InputError) as error:
        return Check("cache", False, str(getattr(error, "strerror", error)), CACHE_SET)
    wrong = {name: folder for name, folder in folders.items() if not writable(folder)}
    fix = "; ".join(f"make {nearest(one)} writable, or set {name} to another folder" for name, one in wrong.items())
    return Check("cache", True, ", ".join(map(str, folders.values())), fix or None, warn=bool(wrong))


def check_temporary_folder() -> Check:
    """Ray's files and sockets have a place."""
    folder, name = ray_folder(os.environ)
    try:
        check_temporary(ray=True)
    except InputError as error:
        detail, _, fix = str(error).partition("; ")
        return Check("temporary folder", False, detail, fix)
    return Check("temporary folder", True, f"{folder} ({name})")


def check_disk(results: str) -> Check:
    """Room for results and checkpoints where they lie."""
    if (path := local_path(results)) is None:
        return Check("disk", True, f"{results} is no disk of this machine")
    folder = nearest(path.absolute())
    free = shutil.disk_usage(folder).free / 1e9
    detail = f"{free:.0f} GB free for results in {folder}"
    if not writable(folder):
        return Check("disk", False, f"{detail}, which cannot be written", "make it writable, or choose other --results")
    few = free < MIN_DISK_GB
    return Check("disk", True, detail, f"free {MIN_DISK_GB:g} GB, or choose other --results" if few else None, warn=few)


def check_machine(usable: float, present: int, amx: bool) -> Check:
    """Cores that may be used, of those `present`, memory, and bf16 of the processor: for the record."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    part = f" of {present} (an affinity, a cpuset or a quota leaves no more)" if usable < present else ""
    return Check("machine", True, f"{usable:g}{part} cores, {memory:.0f} GiB memory{f'; {AMX}' if amx else ''}")


def check_shared_memory(folder: Path) -> Check:
    """Ray's object store lives there; containers often have too little."""
    if not folder.is_dir():
        return Check("shared memory", True, "none on this system; Ray uses a temporary folder")
    total = shutil.disk_usage(folder).total / 2**30
    few = total < MIN_SHM_GB
    fix = "start the container with --shm-size=4g; until then Ray uses a slower temporary folder"
    return Check("shared memory", True, f"{total:.1f} GiB in {folder}", fix if few else None, warn=few)


def check_threads(environ: Mapping[str, str], available: int) -> Check:
    """A thread count in the environment that is larger than the machine slows every trial."""
    given = {key: environ[key] for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if key in environ}
    if not given:
        return Check("threads", True, "not set; each trial gets as many threads as CPUs")
    shown = ", ".join(f"{key}={value}" for key, value in given.items())
    wrong = [key for key, value in given.items() if not value.isdigit() or not 1 <= int(value) <= available]
    fix = f"unset {' '.join(wrong)}, or set it to a number from 1 to {available}" if wrong else None
    return Check("threads", True, shown, fix, warn=bool(wrong))
