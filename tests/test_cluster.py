"""cluster.yaml as Ray's own launcher sees it, without a cloud."""

import json
import re
import shlex
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from click import Command
from click.testing import CliRunner
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts import scripts
from ruamel.yaml import YAML

from finebench.bench.results import deltas, lock
from finebench.bench.training.worker import checkpoint_policy

ROOT = Path(__file__).parent.parent
FILE = ROOT / "cluster.yaml"


@pytest.fixture
def cluster() -> dict[str, Any]:
    return YAML(typ="safe").load(FILE.read_text(encoding="utf-8"))


def test_ray_accepts_it(cluster: dict[str, Any]) -> None:
    filled = prepare_config(cluster)
    validate_config(filled)
    assert filled["provider"]["type"] == "aws"


def test_ray_would_refuse_a_misspelt_key(cluster: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="idle_timeout_minute"):
        validate_config(prepare_config(cluster | {"idle_timeout_minute": 5}))


def test_the_head_takes_no_trial_and_costs_no_gpu(cluster: dict[str, Any]) -> None:
    filled = prepare_config(cluster)
    head = filled["available_node_types"][filled["head_node_type"]]
    assert head["resources"] == {"CPU": 0, "GPU": 0}
    assert head["max_workers"] == 0
    (start,) = [line for line in filled["head_start_ray_commands"] if "--head" in line]
    assert "--num-cpus=0" in start
    assert "--num-gpus=0" in start


def test_workers_are_spot_machines_with_gpus_that_go_when_idle(cluster: dict[str, Any]) -> None:
    filled = prepare_config(cluster)
    types = filled["available_node_types"]
    workers = {name: node for name, node in types.items() if name != filled["head_node_type"]}
    assert workers
    for node in workers.values():
        assert node["min_workers"] == 0
        assert 1 <= node["max_workers"] <= filled["max_workers"]
        assert node["resources"]["GPU"] >= 1
        assert node["resources"]["CPU"] >= node["resources"]["GPU"]
        assert node["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert node["node_config"]["ImageId"] == types["head"]["node_config"]["ImageId"]
    assert filled["idle_timeout_minutes"] <= 10
    assert filled["provider"]["cache_stopped_nodes"] is False


POLICY = ROOT / "deploy" / "aws-worker-policy.json"
PROFILE = "finebench-worker"


def test_every_worker_may_write_checkpoints(cluster: dict[str, Any]) -> None:
    """Without a profile of its own a node has no rights at all: each spot worker that goes takes its trials' work with
    it. The head keeps Ray's own profile."""
    types = cluster["available_node_types"]
    for name, node in types.items():
        expected = None if name == cluster["head_node_type"] else {"Name": PROFILE}
        assert node["node_config"].get("IamInstanceProfile") == expected
    header = FILE.read_text(encoding="utf-8").partition("cluster_name:")[0]
    for command in ("create-role", "put-role-policy", "create-instance-profile", "add-role-to-instance-profile"):
        assert re.search(rf"aws iam {command} [^\n]*{PROFILE}", header)
    assert f"file://{POLICY.relative_to(ROOT)}" in header
    assert re.search(rf"put-role-policy --role-name ray-autoscaler-v1 [^\n]*iam:PassRole[^\n]*role/{PROFILE}", header)


def allowed(action: str, name: str) -> bool:
    """Whether the policy lets a worker do this to an object; "": to the bucket."""
    statements = json.loads(POLICY.read_text(encoding="utf-8"))["Statement"]
    resource = f"arn:aws:s3:::YOUR-BUCKET/{name}".rstrip("/")
    return any(
        fnmatchcase(action, one) and fnmatchcase(resource, where)
        for statement in statements
        for one in _list(statement["Action"])
        for where in _list(statement["Resource"])
    )


def _list(given: str | list[str]) -> list[str]:
    return given if isinstance(given, list) else [given]


@pytest.mark.parametrize("folder", ["doering2024", "a/b"])
def test_workers_may_do_what_they_do_and_no_more(folder: str) -> None:
    """They read the driver's file and checkpoints, and write checkpoints and deltas: of what is not there, S3 says so
    (404) only to who may list the bucket, and else that it is forbidden. A large file is put in parts."""
    checkpoint, delta = f"{folder}/{checkpoint_policy.file('id')}", f"{folder}/{deltas.FOLDER}/id.safetensors"
    assert allowed("s3:ListBucket", "")
    assert allowed("s3:GetObject", f"{folder}/{lock.FILE}")
    assert allowed("s3:GetObject", checkpoint)
    for action in ("s3:PutObject", "s3:AbortMultipartUpload"):
        assert allowed(action, checkpoint)
        assert allowed(action, delta)
        assert not any(
            allowed(action, f"{folder}/{name}") for name in ("_driver.json", "study.yaml", "trials/x.parquet")
        )
    assert not allowed("s3:DeleteObject", checkpoint)  # the driver deletes them
    assert not allowed("s3:GetObject", f"{folder}/study.yaml")


def test_nothing_listens_to_the_world(cluster: dict[str, Any]) -> None:
    (start,) = [line for line in cluster["head_start_ray_commands"] if "--head" in line]
    assert "--dashboard-host=127.0.0.1" in start
    assert "--disable-usage-stats" in start
    assert "0.0.0.0" not in FILE.read_text(encoding="utf-8")


def test_every_start_command_is_one_that_ray_parses(cluster: dict[str, Any]) -> None:
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        for line in cluster[key]:
            program, name, *arguments = shlex.split(line.rpartition(";")[2])
            assert program == "ray"
            parse(name, arguments)


def test_every_node_gets_the_pinned_ray(cluster: dict[str, Any]) -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = re.search(r"^ray==(\S+)", pins, re.MULTILINE)
    assert pinned is not None
    (install,) = [line for line in cluster["setup_commands"] if "pip install" in line]
    assert f'"ray[default,tune]=={pinned[1]}"' in install
    assert "constraints.txt" in install
    assert cluster["head_setup_commands"] == cluster["worker_setup_commands"] == []


def test_what_the_nodes_install_from_is_all_mounted(cluster: dict[str, Any]) -> None:
    mounts = {Path(remote).name: ROOT / local for remote, local in cluster["file_mounts"].items()}
    assert all(local.exists() for local in mounts.values())
    needed = {"src", "bench", "analysis", "search_spaces", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    assert set(mounts) == needed
    assert len({Path(remote).parent for remote in cluster["file_mounts"]}) == 1


def ray_lines(text: str) -> list[list[str]]:
    """The `ray …` commands of a text, one per line, comment signs and explanations apart."""
    found = (re.match(r"#?\s*(ray (?:up|exec|down|dashboard) .*?)(?:\s{4,}.*)?$", line) for line in text.splitlines())
    return [shlex.split(match[1]) for match in found if match]


def parse(name: str, arguments: list[str]) -> None:
    """Parse a command with Ray's own parser, running nothing; raises where Ray would refuse it."""
    command = scripts.cli.commands[name]
    assert isinstance(command, Command)
    command.make_context(name, list(arguments))


@pytest.mark.parametrize("file", ["cluster.yaml", "README.md"])
def test_the_documented_lines_start_submit_and_bring_down(file: str) -> None:
    lines = ray_lines((ROOT / file).read_text(encoding="utf-8"))
    assert [line[1] for line in lines][:3] == ["up", "exec", "down"]
    for _, name, *arguments in lines:
        assert "cluster.yaml" in arguments
        parse(name, arguments)


def test_ray_would_refuse_a_misspelt_option() -> None:
    assert CliRunner().invoke(scripts.cli, ["down", "--yess", "cluster.yaml"]).exit_code == 2
