"""A home that is not there or cannot be written, temporary folders that do not do: named as such, or done without."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from finebench.bench.cli import entry
from finebench.bench.cli.exit_codes import EXIT_BAD_INPUT
from finebench.bench.data.token_cache import Tokenised
from finebench.bench.data.token_cache import cached as cached_tokens
from finebench.bench.driver.ray import local_ray
from finebench.bench.driver.run import dump_study
from finebench.bench.models.hub import resolve_model
from finebench.bench.util import places
from finebench.bench.util.errors import InputError
from finebench.bench.util.places import LONGEST_SOCKET, check_temporary, expanded, nearest, ray_folder, truly, writable
from finebench.bench.util.user_cache import cache_folder, cached, keep
from tests.bench.lives import ROOT
from tests.bench.tiny import run_tiny, tiny_study

TOKEN = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE")
NOBODY = "no home folder: HOME is not set, and user id 12345 is not in the password database"

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")


def as_nobody(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a user that the system does not know, who may read everything and owns nothing."""
    become = ["setpriv", "--reuid", "12345", "--clear-groups"]
    become += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment
    command = [*become, sys.executable, "-m", "finebench", *arguments]
    return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True)


@pytest.fixture
def open_folder() -> Path:
    """A folder in which anybody can write, below none that is closed."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    return folder


@needs_root
@pytest.mark.parametrize("command", [["plan", "quickstart"], ["status", "x"], ["run", "quickstart", "--results", "x"]])
def test_no_home_and_no_entry_in_the_password_database(command: list[str]) -> None:
    ended = as_nobody(*command)
    assert ended.returncode == EXIT_BAD_INPUT
    assert ended.stderr == f"finebench: {NOBODY}; name a folder that can be written: HOME=/path finebench …\n"


@needs_root
def test_help_needs_no_home() -> None:
    assert as_nobody("--help").returncode == 0
    assert as_nobody("--version").returncode == 0


@pytest.mark.slow
@needs_root
def test_a_home_that_cannot_be_written_costs_no_run(open_folder: Path) -> None:
    """As in a container that is given a user id: HOME is / then. Ray would keep a token there, finebench its cache."""
    study = open_folder / "tiny.yaml"
    study.write_text(
        dump_study(tiny_study(methods={"head": {"lr": [1e-2]}}, budget={"steps": 2}, training={"evals": 1}))
    )
    ended = as_nobody("run", str(study), "--results", str(open_folder / "r"), HOME="/")
    assert ended.returncode == 0, ended.stderr
    assert "cache folder /.cache/finebench/tokens: cannot be written: Permission denied" in ended.stdout


def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("FINEBENCH_CACHE", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 12345)


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a worker of a cluster, say, which need not know the driver's user."""
    no_home(monkeypatch)
    with pytest.raises(FileNotFoundError, match=NOBODY):
        cache_folder()
    keep("kind", "key", 1)
    assert cached("kind", "key") is None
    notes: list[str] = []
    made = Tokenised(np.zeros(3, np.int32), np.arange(4), None)
    assert cached_tokens("key", 3, lambda: made, notes.append) is made
    assert notes == [
        f"cache folder: {NOBODY}; each worker tokenises for itself. FINEBENCH_CACHE=DIR chooses another folder"
    ]


@pytest.mark.parametrize("path", ["~nobody-of-this-name/model", "~/model"])
def test_a_tilde_that_stands_for_nothing(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    no_home(monkeypatch)
    with pytest.raises(InputError, match=f"'{path}': no home folder is known"):
        resolve_model(path)
    with pytest.raises(InputError, match="give the whole path"):
        expanded(path)


def test_ray_gets_a_token_of_its_own_where_none_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TOKEN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    local_ray._bring_token()
    assert "RAY_AUTH_TOKEN" not in os.environ  # Ray makes one
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/given")
    local_ray._bring_token()
    assert "RAY_AUTH_TOKEN" not in os.environ
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    local_ray._bring_token()
    token = os.environ["RAY_AUTH_TOKEN"]
    assert len(token) == 64
    del os.environ["RAY_AUTH_TOKEN"]  # monkeypatch would put it back
    local_ray._bring_token()
    assert os.environ.pop("RAY_AUTH_TOKEN") != token


def test_a_temporary_folder_whose_path_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    long = tmp_path / ("x" * (108 - len(str(tmp_path)) - 1))
    monkeypatch.setenv("TMPDIR", str(long))
    with pytest.raises(InputError) as refused:
        run_tiny(tmp_path / "r", debug=False)
    assert str(refused.value).startswith(f"temporary folder {long} (TMPDIR): too long a path: ")
    assert f"the system allows {LONGEST_SOCKET}; set RAY_TMPDIR to a short path" in str(refused.value)
    assert not (tmp_path / "r").exists()
    check_temporary(ray=False)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    check_temporary(ray=True)


def test_the_longest_folder_that_is_let_through_is_short_enough_for_ray() -> None:
    """Ray's own name of a session and its longest socket, with the longest process id of Linux."""
    session = "/ray/session_2026-01-31_23-59-59_999999_4194304/sockets/plasma_store"
    assert len("/ray") + places._IN_A_SESSION == len(session)


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_temporary_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "f").touch()
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setattr(places, "LONGEST_SOCKET", 1000)
    monkeypatch.setenv(name, str(tmp_path / "f"))
    assert ray_folder(os.environ) == (tmp_path / "f", name)
    with pytest.raises(InputError, match=rf"temporary folder {tmp_path}/f \({name}\): Ray cannot write there"):
        check_temporary(ray=True)


def test_no_temporary_folder_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(InputError, match=r"no temporary folder can be written .* set TMPDIR"):
        check_temporary(ray=False)


def test_what_does_not_exist_yet_is_judged_by_what_it_would_be_made_in(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert writable(tmp_path / "not" / "yet")
    assert not writable(tmp_path / "file" / "x")


def test_windows_is_refused_with_one_sentence_that_names_wsl(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is asked, `--help` too; WSL is Linux."""
    monkeypatch.setattr(entry, "hold", lambda: None)
    monkeypatch.setattr(sys, "argv", ["finebench", "--help"])
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(sys, "platform", "win32")
        with pytest.raises(SystemExit) as stopped:
            entry.main()
    assert stopped.value.code == EXIT_BAD_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("finebench: finebench does not run on Windows itself")
    assert "WSL" in err
    assert err.count("\n") == 1


def test_what_the_system_does_not_look_for_is_not_there(tmp_path: Path) -> None:
    assert not truly((tmp_path / ("a" * 300)).is_file)
    assert truly(tmp_path.is_dir)
    assert nearest(tmp_path / ("a" * 300) / "b") == tmp_path
