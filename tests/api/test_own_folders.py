"""The user's own folders and files, named as ours or as a library's, change nothing."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.util.own_python import every_python_installed_first, libraries_first, reordered

STUDY = """
name: small
tasks: [mini-mrpc]
methods: {head: {lr: 1e-2}}
fractions: [0.1]
seeds: 2
budget: {steps: 2}
training: {evals: 1}
plugins: [./mine.py]
"""
RAISES = 'raise RuntimeError("the file of the user was imported")\n'
FOLDERS = ("bench", "analysis", "tests")
LIBRARIES = ("tokenizers", "torch", "transformers", "pandas", "pyarrow", "optuna")
STANDARD = ("random", "json", "logging", "queue")
"""Of the standard library, what Python and Ray do not import before any line of ours runs."""
PLUGIN = """
import own_helper
from finebench.bench.methods import Method

class Mine(Method):
    name = "mine"
    def apply(self, model):
        return model
"""
SCRIPT = """
import sys
import finebench as fb
before = list(sys.path)
import own_helper
results = fb.Study.from_yaml("study.yaml").run("out")
print(list(results.trials_df()["status"]), sys.path == before)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a study whose plugin needs a module that lies beside all this."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(RAISES)
    for name in (*LIBRARIES, *STANDARD):
        (tmp_path / f"{name}.py").write_text(RAISES)
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "own_helper.py").write_text("")
    return tmp_path


def python(folder: Path, *arguments: str, **environment: str) -> None:
    """Run Python there; the study's two trials must be stored."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["status"] for row in ResultsFolder(str(folder / "out")).rows()] == ["ok", "ok"]


def command(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("finebench")), "run", "study.yaml", "--results", "out", *arguments]


def test_a_run_in_one_process_whatever_pythonpath_holds(folder: Path) -> None:
    python(folder, *command("--debug"), PYTHONPATH=str(folder))


@pytest.mark.slow
def test_ray_and_its_workers_whatever_the_working_directory_and_pythonpath_hold(folder: Path) -> None:
    """Ray's own processes, too: with a `random.py` in PYTHONPATH they would end as they start."""
    python(folder, *command(), PYTHONPATH=f"{folder}{os.pathsep}")


@pytest.mark.slow
def test_a_script_beside_such_files(folder: Path) -> None:
    """Python itself looks beside a script first; for what finebench imports, last. The script keeps its own order."""
    (folder / "script.py").write_text(SCRIPT)
    python(folder, "script.py")


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Another's Ray, in processes of its own; its address."""
    started = (
        "import ray.cluster_utils, sys\n"
        "from finebench.bench.driver.ray.workarounds import quick_start\n"
        "with quick_start(lambda: None):\n"
        "    head = {'num_cpus': 2, 'include_dashboard': False}\n"
        "    cluster = ray.cluster_utils.Cluster(initialize_head=True, head_node_args=head)\n"
        "print(cluster.address, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", started], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, "no Ray could be started"
        yield address
        process.communicate()  # which closes what it reads from: it ends


@pytest.mark.slow
def test_a_job_with_such_a_working_dir(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As Ray's job server starts it (`ray job submit --working-dir`): in the folder, which stands first in PYTHONPATH
    there and in the workers. What hides a module that Ray's own worker begins with ends it there, and the job with it,
    without any line of ours, and is left out."""
    for name in (*STANDARD, "pyarrow"):
        (folder / f"{name}.py").unlink()
    config = json.dumps({"runtime_env": {"working_dir": str(folder)}})
    with cluster(tmp_path_factory.mktemp("elsewhere")) as address:
        job = {"PYTHONPATH": str(folder), "RAY_JOB_CONFIG_JSON_ENV_VAR": config}
        python(folder, *command("--address", address), **job)


@pytest.mark.parametrize("given", ["{user}", "{user}:{site}"])
def test_every_python_that_is_started_finds_what_is_installed_first(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What PYTHONPATH names is still found; where the machine customises its Python, that is done as well."""
    user, site = str(tmp_path / "user"), str(tmp_path / "site")
    for made in (user, site):
        Path(made).mkdir()
    Path(user, "random.py").write_text(RAISES)
    Path(user, "own_helper.py").write_text("")
    Path(site, "sitecustomize.py").write_text("import builtins\nbuiltins.customised = True\n")
    pythonpath = given.format(user=user, site=site).replace(":", os.pathsep)
    monkeypatch.setenv("PYTHONPATH", pythonpath)
    asked = (
        "import builtins, importlib.util, os, random\n"
        "from finebench.bench.util.own_python import installed_first\n"
        "installed_first()\n"
        "found = importlib.util.find_spec('own_helper') is not None\n"
        "print(hasattr(builtins, 'customised'), found, 'PYTHONPATH_LAST' in os.environ, os.environ['PYTHONPATH'])\n"
    )
    starts = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    with every_python_installed_first():
        said = subprocess.check_output([sys.executable, "-c", starts, asked], text=True, cwd=tmp_path)
    assert os.environ["PYTHONPATH"] == pythonpath
    assert said.split() == [str(site in pythonpath), "True", "False", pythonpath]


def test_libraries_come_first_in_the_block_and_the_users_order_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = list(sys.path)

    @libraries_first()
    def fails() -> None:
        assert sys.path == reordered(before)
        sys.path.insert(0, "/added")
        raise ValueError("after it was added")

    with pytest.raises(ValueError, match="after it was added"):
        fails()
    assert sys.path == ["/added", *before]


def test_blocks_of_two_threads_that_end_in_the_order_of_their_start_give_the_users_order_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study runs in the background while its results are loaded: neither block is inside the other."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = list(sys.path)
    run, load = libraries_first(), libraries_first()
    thread = threading.Thread(target=run.__enter__)
    thread.start()
    thread.join()
    with ExitStack() as main:
        main.enter_context(load)
        run.__exit__(None, None, None)
        assert sys.path == reordered(before)
    assert sys.path == before


def test_what_stands_before_the_library_goes_last() -> None:
    library = [path for path in sys.path if path and "site-packages" not in path and "lib/python" in path]
    given = ["/home/user/project", *library, "/opt/site"]
    assert reordered(given) == [*library, "/opt/site", "/home/user/project"]
