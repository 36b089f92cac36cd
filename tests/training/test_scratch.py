"""Scratch folders: gone with their block, and those of killed processes with the next."""

import signal
import subprocess
import sys

from fashionsearch.training.scratch import scratch_folder

HOLD = """
import sys
from pathlib import Path
from fashionsearch.training.scratch import scratch_folder

with scratch_folder(Path(sys.argv[1]), "s-") as folder:
    (folder / "file").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


def held(root):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline().strip()


def test_it_goes_when_the_block_ends(tmp_path):
    with scratch_folder(tmp_path, "s-") as folder:
        (folder / "inner").mkdir()
    assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_left_goes_and_what_is_in_use_stays(tmp_path):
    (tmp_path / "s-mine").mkdir()  # no lock beside it: somebody else's
    outside = tmp_path / "precious"
    outside.mkdir()
    (tmp_path / "s-link").symlink_to(outside)
    (tmp_path / "s-link.lock").touch()
    killed, left = held(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    alive, used = held(tmp_path)  # which removes what the killed one left
    with scratch_folder(tmp_path, "s-"):
        names = {path.name for path in tmp_path.iterdir() if path.suffix != ".lock"}
    alive.communicate()
    assert left.rpartition("/")[2] not in names
    assert {used.rpartition("/")[2], "s-mine", "precious"} <= names
    assert outside.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"s-mine", "s-link", "precious"}
