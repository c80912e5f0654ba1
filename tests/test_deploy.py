"""The manifests under deploy/: they parse, and the program accepts their command lines."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from rollout.cli import main, options

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"


class Unit(configparser.RawConfigParser):
    """A systemd unit: keys keep their case and may repeat."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=False, delimiters=("=",), comment_prefixes=("#",))
        self.lines = (DEPLOY / "systemd" / name).read_text("utf-8").splitlines()
        self.read_string("\n".join(self.lines))

    def optionxform(self, optionstr: str) -> str:
        return optionstr

    def all(self, key: str) -> list[str]:
        return [line.partition("=")[2] for line in self.lines if line.startswith(f"{key}=")]


def cron_job() -> dict[str, Any]:
    """The CronJob's spec."""
    documents = list(YAML(typ="safe").load_all(DEPLOY / "kubernetes" / "cronjob.yaml"))
    assert [document["kind"] for document in documents] == ["CronJob", "PersistentVolumeClaim"]
    spec: dict[str, Any] = documents[0]["spec"]
    return spec


def pod() -> dict[str, Any]:
    """The spec of its pods."""
    spec: dict[str, Any] = cron_job()["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def command_lines() -> list[list[str]]:
    """Every command line of all manifests, `rollout` first."""
    unit = Unit("rollout@.service")
    lines = [shlex.split(line.replace("%i", "prod")) for line in unit.all("ExecStart")]
    lines += [one["command"] for one in (*pod()["initContainers"], *pod()["containers"])]
    return lines


def names_in_environment() -> list[str]:
    """Every variable that a manifest sets for the program."""
    unit = Unit("rollout@.service")
    names = [line.partition("=")[0] for line in unit.all("Environment")]
    containers = (*pod()["initContainers"], *pod()["containers"])
    return names + [variable["name"] for one in containers for variable in one["env"]]


@pytest.mark.parametrize("line", command_lines(), ids=" ".join)
def test_command_lines_are_accepted(line: list[str]) -> None:
    """No manifest names a command or an option that does not exist."""
    assert line[0].rpartition("/")[2] == "rollout"

    command, _, _ = main.make_app().parse_args(line[1:])

    assert command.__name__ == line[1]


@pytest.mark.parametrize("line", command_lines(), ids=" ".join)
def test_nothing_is_ever_asked(line: list[str]) -> None:
    """A scheduled start never waits for an answer, and an apply names what it confirms."""
    assert "--no-input" in line
    assert line[1] != "apply" or "--confirm" in line


def test_environment_is_known() -> None:
    """No manifest sets a variable that the program would refuse."""
    assert names_in_environment()
    options.check_environment(dict.fromkeys(names_in_environment(), ""))


def test_open_runs_are_finished_before_new_ones_begin() -> None:
    """Both schedulers resume first, and only a resume that ended well lets an apply begin."""
    assert [line[1] for line in command_lines()] == ["resume", "apply", "resume", "apply"]
    assert Unit("rollout@.service")["Service"]["Type"] == "oneshot"


def test_a_missed_start_is_not_caught_up() -> None:
    """Restarts happen at the hour somebody chose, or not at all."""
    assert Unit("rollout@.timer")["Timer"]["Persistent"] == "false"
    assert cron_job()["startingDeadlineSeconds"] <= 3600


def test_no_scheduler_starts_a_failed_run_again() -> None:
    """Resuming is ours; a blind retry is not. Two starts never overlap."""
    assert Unit("rollout@.service")["Service"]["Restart"] == "no"
    assert cron_job()["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert cron_job()["concurrencyPolicy"] == "Forbid"
    assert pod()["restartPolicy"] == "Never"


def test_a_stop_leaves_time_to_drain() -> None:
    """SIGTERM is answered within a call time-out and a sync; both schedulers wait longer."""
    assert pod()["terminationGracePeriodSeconds"] >= 120
    assert int(Unit("rollout@.service")["Service"]["TimeoutStopSec"]) >= 120


def test_runs_are_kept_on_a_volume() -> None:
    """The proofs of earlier runs survive, so that a second start has nothing to do."""
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}

    assert "persistentVolumeClaim" in volumes["runs"]
    assert Unit("rollout@.service")["Service"]["StateDirectory"] == "rollout"
