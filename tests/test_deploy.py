"""The manifests in deploy/ can be parsed, and the program accepts their command lines."""

from __future__ import annotations

import configparser
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from rollout import specfile
from rollout.cli import main, options
from rollout.model.schedule import OnDue
from tests.e2e.stage import stage

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"


class Unit(configparser.RawConfigParser):
    """Parser of a systemd unit: keys are case-sensitive and can repeat."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=False, delimiters=("=",), comment_prefixes=("#",))
        self.lines = (DEPLOY / "systemd" / name).read_text("utf-8").splitlines()
        self.read_string("\n".join(self.lines))

    def optionxform(self, optionstr: str) -> str:
        return optionstr

    def all(self, key: str) -> list[str]:
        return [line.partition("=")[2] for line in self.lines if line.startswith(f"{key}=")]


def cron_job() -> dict[str, Any]:
    """Return the spec of the CronJob."""
    documents = list(YAML(typ="safe").load_all(DEPLOY / "kubernetes" / "cronjob.yaml"))
    assert [document["kind"] for document in documents] == ["CronJob", "PersistentVolumeClaim"]
    spec: dict[str, Any] = documents[0]["spec"]
    return spec


def pod() -> dict[str, Any]:
    """Return the spec of the CronJob's pods."""
    spec: dict[str, Any] = cron_job()["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def command_lines() -> list[list[str]]:
    """Return every command line of all manifests; `rollout` is the first word."""
    unit = Unit("rollout@.service")
    lines = [shlex.split(line.replace("%i", "prod")) for line in unit.all("ExecStart")]
    lines += [one["command"] for one in (*pod()["initContainers"], *pod()["containers"])]
    return lines


def workflow() -> dict[str, Any]:
    """Return the GitHub workflow."""
    read: dict[str, Any] = YAML(typ="safe").load(DEPLOY / "github" / "rotation.yaml")
    return read


def workflow_lines() -> list[list[str]]:
    """Return every command line of the GitHub workflow that starts with `rollout`."""
    scripts = [
        step["run"] for job in workflow()["jobs"].values() for step in job["steps"] if "run" in step
    ]
    lines = [line.partition("|")[0] for script in scripts for line in script.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("rollout ")]


def services() -> dict[str, Any]:
    """Return the services of the Compose file."""
    read: dict[str, Any] = YAML(typ="safe").load(DEPLOY / "compose" / "compose.yaml")["services"]
    return read


def compose_lines() -> list[list[str]]:
    """Return the command line of each service."""
    return [["rollout", *service["command"]] for service in services().values()]


def names_in_environment() -> list[str]:
    """Return every environment variable that a manifest sets for the program."""
    unit = Unit("rollout@.service")
    names = [line.partition("=")[0] for line in unit.all("Environment")]
    containers = (*pod()["initContainers"], *pod()["containers"])
    names += [variable["name"] for one in containers for variable in one["env"]]
    names += [name for one in services().values() for name in one.get("environment", ())]
    return names + list(workflow()["env"])


@pytest.mark.parametrize(
    "line", [*command_lines(), *workflow_lines(), *compose_lines()], ids=" ".join
)
def test_command_lines_are_accepted(line: list[str]) -> None:
    """Manifests use only commands and options that exist."""
    assert line[0].rpartition("/")[2] == "rollout"

    command, _, _ = main.make_app().parse_args(line[1:])

    assert command.__name__ in line[1:3]


@pytest.mark.parametrize("line", command_lines(), ids=" ".join)
def test_no_command_prompts(line: list[str]) -> None:
    """A scheduled start never prompts: it has --no-input, and an apply has --confirm."""
    assert "--no-input" in line
    assert line[1] != "apply" or "--confirm" in line


SCHEMAS = [
    ("vendor.github-workflows", "github/rotation.yaml"),
    ("vendor.compose-spec", "compose/compose.yaml"),
]


@pytest.mark.parametrize("schema, file", SCHEMAS)
def test_files_match_the_schemas_of_their_readers(schema: str, file: str) -> None:
    """The published schema of each reader accepts the file."""
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, DEPLOY / file],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout


def test_kubernetes_knows_every_field() -> None:
    """The schema of Kubernetes accepts the manifests, and knows each of their fields."""
    for document in YAML(typ="safe").load_all(DEPLOY / "kubernetes" / "cronjob.yaml"):
        kubernetes_validate.validate(document, "1.33", strict=True)


def test_the_workflow_applies_a_reviewed_plan_behind_an_environment() -> None:
    """The plan of a pull request is a comment, and the apply waits for the environment's reviewers.
    No two applies overlap, and an earlier run is resumed first.
    """
    jobs = workflow()["jobs"]

    assert jobs["apply"]["environment"] == "production"
    assert jobs["apply"]["needs"] == "prepare"
    assert jobs["apply"]["concurrency"]["cancel-in-progress"] is False
    assert jobs["plan"]["permissions"]["pull-requests"] == "write"
    assert workflow()["permissions"] == {"contents": "read"}
    ours = [line[1:3] for line in workflow_lines()[-3:]]
    assert ours == [["resume", "--last"], ["apply", "prod.plan.json"], ["audit", "verify"]]


def test_environment_variables_exist() -> None:
    """Manifests set only `ROLLOUT_` variables that the program reads."""
    ours = [name for name in names_in_environment() if name.startswith("ROLLOUT_")]

    assert set(ours) <= set(options.ENVIRONMENT)


def test_resume_precedes_apply() -> None:
    """Both schedulers resume first and apply only if the resume succeeded."""
    assert [line[1] for line in command_lines()] == ["resume", "apply", "resume", "apply"]
    assert Unit("rollout@.service")["Service"]["Type"] == "oneshot"


def test_a_missed_start_is_not_caught_up() -> None:
    """Restarts happen only at the scheduled hour: a missed start is not caught up."""
    assert Unit("rollout@.timer")["Timer"]["Persistent"] == "false"
    assert cron_job()["startingDeadlineSeconds"] <= 3600


def test_no_scheduler_starts_a_failed_run_again() -> None:
    """No scheduler retries a failed start, because `resume` continues the run. Two starts never
    overlap.
    """
    assert Unit("rollout@.service")["Service"]["Restart"] == "no"
    assert cron_job()["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert cron_job()["concurrencyPolicy"] == "Forbid"
    assert pod()["restartPolicy"] == "Never"


def test_the_stop_timeout_is_long_enough_to_drain() -> None:
    """Both schedulers wait after SIGTERM for longer than a call's timeout and a sync."""
    assert pod()["terminationGracePeriodSeconds"] >= 120
    assert int(Unit("rollout@.service")["Service"]["TimeoutStopSec"]) >= 120


def test_runs_are_kept_on_a_volume() -> None:
    """The runs directory is on a volume that is kept, so a second start finds the proofs of the
    first.
    """
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}

    assert "persistentVolumeClaim" in volumes["runs"]
    assert Unit("rollout@.service")["Service"]["StateDirectory"] == "rollout"


def test_compose_runs_a_scheduler_next_to_the_emulator() -> None:
    """The scheduler is restarted, drains on SIGTERM, and shares only the emulator's loopback."""
    scheduler = services()["scheduler"]

    assert scheduler["restart"] == "unless-stopped"
    assert scheduler["stop_grace_period"] == "180s"
    assert scheduler["network_mode"] == "service:emulator"
    assert all(one["read_only"] for one in services().values())
    assert "runs:/var/lib/rollout" in scheduler["volumes"]


def test_the_compose_project_is_valid() -> None:
    """Its spec has a schedule, and `rollout validate` accepts it."""
    project = DEPLOY / "compose" / "project"
    spec = specfile.load(project / "demo.yaml", project).spec

    assert spec.schedule is not None and spec.schedule.on_due is OnDue.PLAN_AND_APPLY
    assert services()["schedule"]["command"][-2:] == [spec.name, "--no-input"]


UNSHARE = ("unshare", "--user", "--map-root-user", "--uts", "sh", "-c")
MAX_DOWN = 4


def as_pod(host: str, words: list[str]) -> tuple[str, ...]:
    """Return a container's command line with the manifest's variables, under its pod's host."""
    [container, *_] = pod()["containers"]
    variables = {one["name"]: one["value"] for one in container["env"]} | {
        "ROLLOUT_RUNS_DIR": "runs"
    }
    given = " ".join(f"{name}={value}" for name, value in variables.items())
    command = [sys.executable, "-m", *words]
    return (*UNSHARE, f'hostname {host}; exec env {given} "$@"', "sh", *command)


def test_the_next_pod_finishes_the_run_of_a_killed_pod(tmp_path: Path) -> None:
    """The CronJob's next pod, which has another host name, finishes the run of a killed pod. The
    pod after it has nothing to do.
    """
    if subprocess.run([*UNSHARE, "hostname pod-0"], check=False, capture_output=True).returncode:
        pytest.skip("unshare --uts is not permitted on this machine")
    [resume], [apply] = (
        [one["command"] for one in pod()[kind]] for kind in ("initContainers", "containers")
    )
    with stage(tmp_path, size=12, options=("--boot-time", "1s")) as made:
        made.write_spec("prod", max_down=str(MAX_DOWN))
        (tmp_path / "plans").mkdir()
        (tmp_path / "prod.yaml").rename(tmp_path / "plans" / "prod.yaml")
        first = made.run(program=as_pod("rollout-prod-1", resume))
        killed = made.begin(program=as_pod("rollout-prod-1", apply))
        while not made.restarts():
            assert killed.poll() is None, killed.communicate()
            time.sleep(0.05)
        killed.kill()
        killed.communicate()

        finished = made.run(program=as_pod("rollout-prod-2", resume))
        restarts = made.restarts()
        again = made.run(program=as_pod("rollout-prod-2", apply))

        assert first.returncode == 0, "nothing to resume yet"
        assert finished.returncode == 0, finished.stdout + finished.stderr
        assert set(restarts.values()) == {1}
        assert again.returncode == 0, again.stderr
        assert made.restarts() == restarts
        assert made.wrong(plan_of(tmp_path), down_max=MAX_DOWN) == ""


def plan_of(folder: Path) -> str:
    """Return the plan of the only run in a project directory."""
    [plan] = folder.glob("runs/r-*/plan.json")
    return str(plan.relative_to(folder))
