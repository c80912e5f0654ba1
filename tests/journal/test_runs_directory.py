"""Where runs may lie, and what is said where they may not."""

import os
from pathlib import Path

import pytest

from rollout.errors import ConfigError, Exit, StorageError
from rollout.journal import runs_directory

MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 0:25 / /mnt/team rw,relatime - nfs4 filer:/team rw
31 30 0:26 / /mnt/team/scratch rw - tmpfs tmpfs rw
32 27 0:27 / /mnt/with\\040space rw - fuse.sshfs you@there:/ rw
33 27 0:28 / /mnt/twice rw - ext4 /dev/vdb rw
34 27 0:29 / /mnt/twice rw - cifs //filer/twice rw
35 27 0:30 / /mnt/odd\x0bname rw - nfs4 filer:/odd rw
"""


@pytest.mark.parametrize(
    "path, kind",
    [
        ("/var/runs", "ext4"),
        ("/mnt/team/runs", "nfs4"),
        ("/mnt/teams/runs", "ext4"),
        ("/mnt/team/scratch/runs", "tmpfs"),
        ("/mnt/with space", "fuse.sshfs"),
        ("/mnt/twice/runs", "cifs"),
        ("/mnt/odd\x0bname/runs", "nfs4"),
    ],
)
def test_the_nearest_mount_decides(path: str, kind: str) -> None:
    """A path lies on the file system that was mounted last at the longest beginning of it."""
    assert runs_directory.file_system(Path(path), MOUNTS) == kind


def test_nothing_is_claimed_of_an_unknown_system() -> None:
    """Without a table of mounts nothing is known."""
    assert runs_directory.file_system(Path("/var/runs"), "") == ""


def test_a_directory_is_made_private(tmp_path: Path) -> None:
    """A missing directory is made, for us alone."""
    runs_dir = tmp_path / "deep" / "runs"

    assert all(problem.code == "R0011" for problem in runs_directory.check(runs_dir))
    assert runs_dir.stat().st_mode & 0o777 == 0o700
    assert runs_dir.parent.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_could_be_created_is_not_created(tmp_path: Path) -> None:
    """The check of a missing directory changes nothing."""
    runs_directory.check_new(tmp_path / "deep" / "runs", allow_unsafe_fs=True)

    assert not (tmp_path / "deep").exists()


def test_a_directory_that_cannot_be_created_is_found_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only parent, a parent that is a file, and a file system without files are errors, and
    the help does not speak of owners and free space.
    """
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)

    for path in (tmp_path / "runs", tmp_path / "file" / "runs", Path("/proc/rollout-runs")):
        with pytest.raises(StorageError) as caught:
            runs_directory.check_new(path)
        (problem,) = caught.value.problems
        assert problem.code == "R0802" and "cannot be created" in problem.message
        assert problem.help == "name a directory that you can create or write with --runs-dir"


def test_a_directory_that_was_not_created_says_why() -> None:
    """A command that needs the runs directory reports the same error as the check."""
    with pytest.raises(StorageError) as caught:
        runs_directory.check(Path("/proc/rollout-runs"))

    (problem,) = caught.value.problems
    assert "cannot be created: No such file or directory" in problem.message
    assert problem.help == "name a directory that you can create or write with --runs-dir"


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs", "fuseblk", "virtiofs"])
def test_unsafe_file_systems_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """B-C07: network and user-space file systems are a matter of configuration, exit 78."""
    monkeypatch.setattr(runs_directory, "file_system", lambda _: kind)

    with pytest.raises(ConfigError) as caught:
        runs_directory.check(tmp_path)

    assert caught.value.exit is Exit.CONFIG
    assert runs_directory.check(tmp_path, allow_unsafe_fs=True) == []


def test_a_memory_file_system_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B-C07: it works, but not longer than the machine runs."""
    monkeypatch.setattr(runs_directory, "file_system", lambda _: "tmpfs")

    assert [problem.code for problem in runs_directory.check(tmp_path)] == ["R0011"]


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702, 0o2770])
def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever may write a directory may put links and other journals into it: exit 78."""
    tmp_path.chmod(mode)

    with pytest.raises(ConfigError) as caught:
        runs_directory.check(tmp_path)

    assert caught.value.exit is Exit.CONFIG
    assert "chmod 700" in (caught.value.problems[0].help or "")


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o710, 0o704])
def test_a_directory_that_others_may_read_is_warned_of(tmp_path: Path, mode: int) -> None:
    """A journal holds no secret, but it names instances, accounts and people."""
    tmp_path.chmod(mode)

    (warning,) = [one for one in runs_directory.check(tmp_path) if "may read" in one.message]

    assert warning.help == f"use `chmod 700 {tmp_path}`"


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    """What is no directory cannot hold runs, exit 74."""
    path = tmp_path / "runs"
    path.write_bytes(b"")

    with pytest.raises(StorageError) as caught:
        runs_directory.check(path)

    assert caught.value.exit is Exit.IO


def test_a_directory_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B-C07: files of another user are not written, exit 74."""
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)

    with pytest.raises(StorageError, match="another user"):
        runs_directory.check(tmp_path)


def test_a_directory_that_is_read_only_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B-C07: said before a run is begun, exit 74."""
    monkeypatch.setattr(os, "access", lambda *_: False)

    with pytest.raises(StorageError, match="may not be written"):
        runs_directory.check(tmp_path)


def test_a_runs_directory_that_is_a_link_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    """No half-created run is left behind, and the help names the directory itself."""
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    link = tmp_path / "runs"
    link.symlink_to(real)

    with pytest.raises(StorageError) as caught:
        runs_directory.check(link, allow_unsafe_fs=True)

    (problem,) = caught.value.problems
    assert (problem.code, problem.help) == (
        "R0802",
        f"name the directory itself: --runs-dir {real.resolve()}",
    )
    assert list(real.iterdir()) == []
