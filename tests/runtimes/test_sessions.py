"""A server that loads a model and then forks: the children answer, and end, within seconds."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fashionsearch as fs

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")

PROGRAM = """
import os, sys, time, warnings
import numpy as np

warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of a fork beside threads, which is the point here


def in_child(work):
    child = os.fork()
    if not child:
        try:
            work()
            sys.exit(0)  # as a server's worker ends, with everything freed
        except Exception as error:
            print(repr(error), flush=True)
            sys.exit(3)
    for _ in range(600):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0, f"the child ended with {status}"
            return
        time.sleep(0.1)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise SystemExit("the child hangs")


def in_threads(work):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result()


if __name__ == "__main__":
    import fashionsearch as fs

    kind, folder, runtime = sys.argv[1:]
    photos = np.load(folder + "/photos.npy")
    expected = np.load(folder + "/expected.npy")
    loaded = getattr(fs, kind).load(folder + "/" + kind, runtime=runtime, progress=False)
    answer = {"Classifier": "predict_proba", "VisualIndex": "search"}.get(kind, "embed")

    def use():
        found = getattr(loaded, answer)(photos)
        if kind == "VisualIndex":
            assert found.ids[:, 0].tolist() == list(range(len(photos))), found.ids
        else:
            np.testing.assert_allclose(found, expected, atol=1e-3)

    in_child(use)  # loaded, then forked
    use()
    in_child(use)  # used, then forked
    in_child(lambda: in_threads(use))
    in_child(lambda: None)  # forked, and never used
    in_child(lambda: in_child(use))
    use()
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    table = fs.datasets.make_catalogue(24, seed=0)
    options = {"image_size": 64, "random_state": 0, "progress": False}
    photos = np.stack([fs.images.read_image(photo) for photo in table.images])
    np.save(folder / "photos.npy", photos)
    backbone = fs.create_backbone("cnn", weights=None, **options)
    backbone.save(folder / "Backbone")
    short = fs.FineTuning(epochs=1)
    classifier = fs.Classifier("cnn", weights=None, training=short, **options)
    classifier.fit(photos, table["masterCategory"]).save(folder / "Classifier")
    autoencoder = fs.Autoencoder("cnn", training=short, perceptual=0, **options)
    autoencoder.fit(photos).save(folder / "Autoencoder")
    index = fs.VisualIndex(backbone, progress=False)
    index.add(photos)
    index.save(folder / "VisualIndex")
    answers = {
        "Backbone": backbone.embed(photos),
        "Classifier": classifier.predict_proba(photos),
        "Autoencoder": autoencoder.embed(photos),
        "VisualIndex": np.zeros(0),
    }
    return folder, answers


CASES = [
    ("Backbone", "torch"),
    ("Backbone", "onnx"),
    ("Backbone", "openvino"),  # after "onnx", whose export it uses
    ("VisualIndex", "torch"),
    # Around a backbone, as an index is.
    pytest.param("Classifier", "torch", marks=pytest.mark.slow),
    pytest.param("Autoencoder", "torch", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kind", "runtime"), CASES)
def test_the_child_of_a_fork_answers(kind, runtime, saved, tmp_path, monkeypatch):
    if runtime == "openvino":
        pytest.importorskip("openvino")
    folder, answers = saved
    monkeypatch.setenv("FASHIONSEARCH_CACHE", str(folder / "cache"))
    if runtime == "onnx":  # an export may take longer than a child is waited for
        fs.Backbone.load(folder / kind, runtime=runtime).embed(np.load(folder / "photos.npy"))
    np.save(folder / "expected.npy", answers[kind])
    program = tmp_path / "server.py"
    program.write_text(PROGRAM)
    threads = {"OMP_NUM_THREADS": "2"}  # with one there is nothing to wait for
    run = subprocess.run(
        [sys.executable, str(program), kind, str(folder), runtime],
        env={**os.environ, **threads},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert run.returncode == 0, run.stdout + run.stderr
