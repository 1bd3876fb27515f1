"""deploy/: a RayJob for KubeRay, a task for SkyPilot, and the image that both run, without a cluster.

The two schemas here are extracts of our own: the keys that the files use, closed, so that a misspelt one fails. Their
sources: `ray.io_rayjobs.yaml` (v1) of ray-project/kuberay, Kubernetes' Pod v1, and `sky/utils/schemas.py` of SkyPilot
0.14. The files were also checked against those in full.
"""

import copy
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ray.autoscaler._private.util import prepare_config, validate_config
from ruamel.yaml import YAML
from typer.main import get_command

from finebench.bench import __version__
from finebench.bench.cli.app import app
from finebench.bench.driver.ray.ending import STOP_GRACE
from finebench.bench.study.load import load_study

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
QUANTITIES = {"type": "object", "additionalProperties": {"type": "string", "pattern": r"^\d+(Mi|Gi)?$"}}


def keys(needed: str = "", **properties: Any) -> dict[str, Any]:
    """A closed object, with the keys that it needs."""
    return {"type": "object", "additionalProperties": False, "required": needed.split(), "properties": properties}


def some(items: dict[str, Any]) -> dict[str, Any]:
    """A list of at least one."""
    return {"type": "array", "minItems": 1, "items": items}


CONTAINER = keys(
    "name image",
    name=TEXT,
    image=TEXT,
    resources=keys(requests=QUANTITIES, limits=QUANTITIES),
    volumeMounts=some(keys("name mountPath", name=TEXT, mountPath=TEXT)),
)
POD = keys(
    "containers",
    serviceAccountName=TEXT,
    terminationGracePeriodSeconds=NUMBER,
    tolerations=some(keys(key=TEXT, operator={"enum": ["Exists", "Equal"]}, effect={"enum": ["NoSchedule"]})),
    containers=some(CONTAINER),
    volumes=some(keys("name", name=TEXT, emptyDir=keys(medium={"enum": ["", "Memory"]}, sizeLimit=TEXT))),
)
START = {"type": "object", "additionalProperties": TEXT}
GROUP = {"rayStartParams": START, "template": keys("spec", spec=POD)}
WORKERS = keys(
    "groupName maxReplicas minReplicas template",
    groupName=TEXT, replicas=NUMBER, minReplicas=NUMBER, maxReplicas=NUMBER, **GROUP,
)  # fmt: skip
CLUSTER = keys(
    "headGroupSpec",
    rayVersion=TEXT,
    authOptions=keys(mode={"enum": ["disabled", "token"]}),
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=keys(version={"enum": ["v1", "v2"]}, idleTimeoutSeconds=NUMBER),
    headGroupSpec=keys("template", **GROUP),
    workerGroupSpecs=some(WORKERS),
)
RAYJOB = keys(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=keys("name", name={"type": "string", "pattern": r"^[a-z0-9-]{1,47}$"}),
    spec=keys(
        entrypoint=TEXT, runtimeEnvYAML=TEXT, backoffLimit=NUMBER, shutdownAfterJobFinishes=FLAG, rayClusterSpec=CLUSTER
    ),
)
SKY = keys(
    name=TEXT,
    num_nodes=NUMBER,
    resources=keys(
        accelerators={"type": "object", "additionalProperties": {"type": "number"}},
        cpus={"type": "string", "pattern": r"^\d+\+?$"},
        use_spot=FLAG,
        image_id=TEXT,
        disk_size=NUMBER,
        job_recovery=keys(strategy={"enum": ["FAILOVER", "EAGER_NEXT_REGION"]}, max_restarts_on_errors=NUMBER),
    ),
    envs={"type": "object", "additionalProperties": TEXT},
    secrets={"type": "object", "additionalProperties": {"type": ["string", "null"]}},
    run=TEXT,
)


def read(name: str) -> dict[str, Any]:
    return YAML(typ="safe").load((DEPLOY / name).read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def pinned() -> str:
    """Ray's version in constraints.txt."""
    found = re.search(r"^ray==(\S+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def check_run(words: list[str]) -> dict[str, Any]:
    """What a `finebench run` command is parsed to; its study and overrides are checked too."""
    assert words[:2] == ["finebench", "run"]
    params = get_command(app).commands["run"].make_context("run", words[2:]).params  # type: ignore[attr-defined]
    load_study(params["study"], params["set_"] or [])
    return dict(params)


@pytest.mark.parametrize(("name", "schema"), [("rayjob.yaml", RAYJOB), ("skypilot.yaml", SKY)])
def test_a_file_has_the_keys_of_its_schema_and_no_others(name: str, schema: dict[str, Any]) -> None:
    jsonschema.validate(read(name), schema)


@pytest.mark.parametrize(
    ("name", "schema", "path", "value"),
    [
        ("rayjob.yaml", RAYJOB, ["spec", "backofLimit"], 2),
        ("rayjob.yaml", RAYJOB, ["spec", "rayClusterSpec", "workerGroupSpecs", 0, "maxReplicas"], "8"),
        ("rayjob.yaml", RAYJOB, ["spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"], 0),
        ("skypilot.yaml", SKY, ["resources", "use_spots"], True),
        ("skypilot.yaml", SKY, ["resources", "job_recovery", "strategy"], "AGAIN"),
    ],
)
def test_the_schemas_would_refuse_a_mistake(name: str, schema: dict[str, Any], path: list[Any], value: Any) -> None:
    document = copy.deepcopy(read(name))
    part = document
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def test_the_rayjob_runs_a_study_on_workers_alone() -> None:
    spec = read("rayjob.yaml")["spec"]
    params = check_run(shlex.split(spec["entrypoint"]))
    assert params["address"] == "auto"
    assert "://" in params["results"]
    assert int(YAML(typ="safe").load(spec["runtimeEnvYAML"])["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"]) > STOP_GRACE
    cluster = spec["rayClusterSpec"]
    assert cluster["rayVersion"] == pinned()
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    assert cluster["authOptions"] == {"mode": "token"}
    [group] = cluster["workerGroupSpecs"]
    [worker] = group["template"]["spec"]["containers"]
    assert (group["minReplicas"], worker["resources"]["limits"]["nvidia.com/gpu"]) == (0, "1")
    assert group["template"]["spec"]["terminationGracePeriodSeconds"] > STOP_GRACE


def test_the_skypilot_task_runs_a_study_on_the_first_node() -> None:
    task = read("skypilot.yaml")
    [line] = [line for line in task["run"].splitlines() if "finebench run" in line]
    values = task["envs"] | {"head": "10.0.0.1"}
    words = shlex.split(re.sub(r"\$(\w+)", lambda match: str(values[match[1]]), line))
    params = check_run(words[1:])
    assert words[0] == "exec"
    assert params["address"] == "10.0.0.1:6379"
    assert "://" in params["results"]
    assert (task["envs"]["RAY_AUTH_MODE"], task["secrets"]) == ("token", {"RAY_AUTH_TOKEN": None})
    assert subprocess.run(["bash", "-n"], input=task["run"], text=True, check=False).returncode == 0


def test_all_run_one_image() -> None:
    """The RayJob's pods, SkyPilot's machines, and cluster.yaml where it is given the image."""
    image = f"REGISTRY/finebench:{__version__}"
    cluster = read("rayjob.yaml")["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    images = {one["image"] for group in groups for one in group["template"]["spec"]["containers"]}
    assert images | {read("skypilot.yaml")["resources"]["image_id"].removeprefix("docker:")} == {image}
    assert f"-t {image} " in (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    page = (ROOT / "docs/how-to/containers.md").read_text(encoding="utf-8")
    [section] = re.findall(r"```text\n(docker:.*?)```", page, re.DOTALL)
    given = YAML(typ="safe").load(section)
    assert given["docker"]["image"] == image
    launcher = YAML(typ="safe").load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    validate_config(prepare_config(launcher | given))


def test_the_image_holds_what_finebench_is_installed_from() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    copied = {word for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE) for word in line.split()[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    mounts = YAML(typ="safe").load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))["file_mounts"]
    assert copied == set(mounts.values())
    installs = re.findall(r"pip install .*", text)
    assert len(installs) == 2
    assert all("-c constraints.txt" in line for line in installs)
    assert f'"ray[default,tune]=={pinned()}"' in installs[0]
    last = [line for line in text.splitlines() if line.startswith(("FROM", "RUN", "COPY", "ENV", "WORKDIR"))]
    assert last[0].startswith("FROM docker.io/library/python:3.")
