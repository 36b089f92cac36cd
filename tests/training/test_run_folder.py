"""A run's folder: what was begun is resumed from what is whole, and what is damaged is noticed."""

import json
import os
import threading

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.training import run_folder
from fashionsearch.training.run_folder import open_run_folder

TABLE = fs.datasets.make_catalogue(28, seed=0)
LABELS = TABLE["masterCategory"]
HELD_OUT = (TABLE.images[20:], LABELS[20:])


def fit(folder, epochs=3, validation=HELD_OUT, loggers=()):
    training = fs.FineTuning(epochs=epochs, batch_size=10, learning_rate=0.03, augment="flips")
    model = fs.Classifier(
        "cnn", weights=None, training=training, image_size=32, random_state=0, progress=False
    )
    return model.fit(
        TABLE.images[:20], LABELS[:20], validation=validation, checkpoints=folder, loggers=loggers
    )


def same(one, other):
    return one.backbone_.weights_hash == other.backbone_.weights_hash and (
        one.history_["validation_loss"] == other.history_["validation_loss"]
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run: the files of its folder, and the model."""
    folder = tmp_path_factory.mktemp("whole")
    model = fit(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}, model


@pytest.fixture
def run(whole, tmp_path):
    files, _ = whole
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def flip(path, where=0.6):
    content = bytearray(path.read_bytes())
    content[int(len(content) * where)] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (["last.ckpt"], r"last\.ckpt can't be used.*resumes from best\.ckpt"),
        (["best.ckpt"], r"best\.ckpt can't be used.*starts again"),
        (["last.ckpt", "best.ckpt"], r"last\.ckpt and best\.ckpt can't be used.*starts again"),
    ],
)
@pytest.mark.parametrize("how", ["a flipped bit", "half a file"])
def test_a_damaged_checkpoint_is_not_used(damaged, words, how, run, whole):
    for name in damaged:
        path = run / name
        flip(path) if how == "a flipped bit" else path.write_bytes(path.read_bytes()[:999])
    with pytest.warns(errors.DataWarning, match=words):
        again = fit(run)
    assert same(again, whole[1])
    assert same(fit(run), whole[1])  # which only reads, and says nothing


def test_a_best_checkpoint_that_is_gone_is_made_again(run, whole):
    (run / "best.ckpt").unlink()
    with pytest.warns(errors.DataWarning, match=r"best\.ckpt, which is missing, can't be used.*starts again"):
        assert same(fit(run), whole[1])


def test_without_validation_the_last_checkpoint_is_all_there_is(tmp_path):
    first = fit(tmp_path, epochs=2, validation=None)
    flip(tmp_path / "last.ckpt")
    with pytest.warns(errors.DataWarning, match=r"last\.ckpt can't be used.*starts again"):
        again = fit(tmp_path, epochs=2, validation=None)
    assert again.backbone_.weights_hash == first.backbone_.weights_hash


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
@pytest.mark.parametrize("kind", ["fifo", "/dev/zero", "folder"])
def test_what_is_no_file_is_never_waited_for(name, kind, run, whole):
    (run / name).unlink()
    if kind == "fifo":
        os.mkfifo(run / name)
    elif kind == "folder":
        (run / name).mkdir()
    else:
        (run / name).symlink_to(kind)
    found = []

    def check():
        with open_run_folder(run, 0) as folder, pytest.warns(errors.DataWarning, match=f"{name} can't be"):
            found.append(folder.resume_point(validated=True))

    thread = threading.Thread(target=check, daemon=True)
    thread.start()
    thread.join(20)
    assert found == [None if name == "best.ckpt" else run / "best.ckpt"]


@pytest.mark.parametrize("kind", ["fifo", "/dev/zero", "huge", "nested", "cut", "list"])
def test_a_damaged_run_json_is_named_at_once(kind, run):
    path = run / "run.json"
    whole_text = path.read_text()
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(2**40)
    elif kind == "/dev/zero":
        path.symlink_to(kind)
    else:
        path.write_text({"nested": "[" * 100_000, "cut": whole_text[:-9], "list": "[]"}[kind])
    with (
        pytest.raises(errors.CorruptFileError, match=r"run\.json is damaged.*delete the folder"),
        open_run_folder(run, 0),
    ):
        pass


def test_a_run_of_another_version_is_refused(run):
    content = json.loads((run / "run.json").read_text())
    for version, words in (
        (1, "an earlier fashionsearch; delete the folder"),
        (9, "a newer fashionsearch; upgrade"),
    ):
        (run / "run.json").write_text(json.dumps({**content, "format_version": version}))
        with pytest.raises(errors.StorageError, match=words), open_run_folder(run, 0):
            pass


@pytest.mark.parametrize("moment", [1, 2, 5, 6])
def test_a_kill_between_any_two_writes_leaves_a_run_that_resumes(moment, tmp_path, whole, monkeypatch):
    class Killed(BaseException):
        pass

    writes = []
    own = run_folder.write_atomically

    def killed(path, write):
        # Every second time it dies after the rename, and else before it, with the content hashed.
        writes.append(path)
        if len(writes) < moment + 3:
            return own(path, write)
        if moment % 2:
            own(path, write)
        else:
            own(path.with_name(".lost.new"), write)
        raise Killed

    monkeypatch.setattr(run_folder, "write_atomically", killed)
    with pytest.raises(Killed):
        fit(tmp_path)
    monkeypatch.undo()
    (tmp_path / ".lost.new").unlink(missing_ok=True)
    assert same(fit(tmp_path), whole[1])


def test_an_array_that_is_made_once_is_checked(tmp_path):
    made = []

    def make():
        made.append(1)
        return np.arange(6.0)

    with open_run_folder(tmp_path, 0) as folder:
        for _ in range(2):
            assert folder.cached_array("x", make).tolist() == list(range(6))
        flip(tmp_path / "x.npy", 0.9)
        with pytest.warns(errors.DataWarning, match=r"x\.npy is damaged.*made again"):
            assert folder.cached_array("x", make).tolist() == list(range(6))
        folder.finish()
    assert len(made) == 2
    assert not list(tmp_path.glob("*.npy"))


def test_scratch_lies_in_the_runs_folder_and_goes(run):
    with open_run_folder(run, 0) as folder:
        assert folder.scratch.parent == run
        (folder.scratch / "pixels").write_text("x")
    assert {path.name for path in run.iterdir()} == {"run.json", "last.ckpt", "best.ckpt", ".lock"}
