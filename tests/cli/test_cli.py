"""The command line: what it prints, writes and answers with."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch import cli
from fashionsearch.cli import commands


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Drawn garments in class folders, and a CSV file that names them."""
    root = tmp_path_factory.mktemp("data") / "photos"
    root.mkdir()
    table = fs.datasets.make_catalogue(48, seed=1, size=(48, 64))
    rows = ["image,kind,colour,year"]
    for position, image in enumerate(table.images):
        kind = table["masterCategory"][position]
        (root / kind).mkdir(exist_ok=True)
        Image.fromarray(image).save(root / kind / f"{position}.png")
        rows.append(f"{kind}/{position}.png,{kind},{table['baseColour'][position]},{2010 + position % 5}")
    (root.parent / "products.csv").write_text("\n".join(rows))
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _shared_cache(cache, monkeypatch):
    monkeypatch.setenv("FASHIONSEARCH_CACHE", str(cache))


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def saved(photos, cache, tmp_path_factory):
    """A classifier and an index, made by the commands."""
    out = tmp_path_factory.mktemp("saved")
    with pytest.MonkeyPatch.context() as context:
        context.setenv("FASHIONSEARCH_CACHE", str(cache))
        assert (
            run(
                "train",
                photos.parent / "products.csv",
                "--image-root",
                photos,
                "--label",
                "kind",
                "--image-size",
                64,
                "--out",
                out / "classifier",
            )
            == 0
        )
        assert (
            run(
                "index",
                photos.parent / "products.csv",
                "--image-root",
                photos,
                "--encoder",
                out / "classifier",
                "--out",
                out / "catalogue",
            )
            == 0
        )
    return out


def test_train_reports_and_saves(photos, tmp_path, capsys):
    options = ("--image-size", 64, "--balanced", "--augmented-views", 1)
    assert run("train", photos, *options, "--out", tmp_path / "classifier") == 0
    output = capsys.readouterr().out
    assert "48 photos, 0 without label left out" in output
    assert "accuracy" in output
    classifier = fs.Classifier.load(tmp_path / "classifier")
    assert (classifier.class_weight, classifier.augmented_views) == ("balanced", 1)


@pytest.fixture
def evaluated(photos, saved):
    return (
        "evaluate",
        saved / "classifier",
        photos.parent / "products.csv",
        "--image-root",
        photos,
        "--label",
        "kind",
    )


def test_evaluate_prints_figures_as_a_table_or_as_json(evaluated, capsys):
    capsys.readouterr()
    assert run(*evaluated, "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["n"] == 48
    assert figures["intervals"]["accuracy"][0] <= figures["accuracy"] <= figures["intervals"]["accuracy"][1]
    assert run(*evaluated) == 0
    assert f"{figures['accuracy']:.4f}" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["at the end", "first", "with ="])
def test_a_file_after_json_is_still_written_with_a_warning(form, evaluated, tmp_path, capsys):
    file = tmp_path / "f.json"
    arguments = {
        "at the end": (*evaluated, "--json", file),
        "first": (evaluated[0], "--json", file, *evaluated[1:]),
        "with =": (*evaluated, f"--json={file}"),
    }[form]
    assert run(*arguments) == 0
    streams = capsys.readouterr()
    assert json.loads(file.read_text())["n"] == 48
    assert "accuracy" in streams.out
    assert "warning: --json prints to standard output, and will take no file's name" in streams.err


def test_embed_writes_vectors_without_pickle(photos, saved, tmp_path):
    assert (
        run("embed", photos, "--encoder", saved / "classifier", "--out", tmp_path / "deep" / "vectors.npz")
        == 0
    )
    with np.load(tmp_path / "deep" / "vectors.npz", allow_pickle=False) as arrays:
        assert arrays["embeddings"].shape == (48, 256)
        assert arrays["embeddings"].dtype == np.float32
        first = str(arrays["images"][0])
        expected = fs.Classifier.load(saved / "classifier").embed(first)
        np.testing.assert_allclose(arrays["embeddings"][:1], expected, atol=1e-4)


def test_search_prints_matches(photos, saved, capsys):
    capsys.readouterr()
    query = photos / "Apparel" / sorted(path.name for path in (photos / "Apparel").iterdir())[0]
    assert run("search", saved / "catalogue", query, "-k", 3) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(query)
    assert len(lines) == 4
    assert lines[1].split()[0] == "1.0000"
    assert lines[1].split()[1] == f"Apparel/{query.name}"


def test_search_by_likes(photos, saved, capsys):
    capsys.readouterr()
    names = sorted(path.name for path in (photos / "Apparel").iterdir())
    liked, other, query = f"Apparel/{names[0]}", photos / "Apparel" / names[1], photos / "Apparel" / names[2]
    assert run("search", saved / "catalogue", "-k", 4, "--like", liked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"what is like {liked}"
    assert len(lines) == 5
    assert liked not in [line.split()[1] for line in lines[1:]]
    assert run("search", saved / "catalogue", query, "--like", liked, "--unlike", other, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["query"] == str(query)
    assert len(answer["matches"]) == 5


@pytest.mark.filterwarnings("always::fashionsearch.errors.DataWarning")
def test_search_filters_and_prints_json(photos, saved, capsys):
    capsys.readouterr()
    query = next((photos / "Apparel").iterdir())
    code = run(
        "search",
        saved / "catalogue",
        query,
        "--json",
        "--where",
        "kind=Footwear,Accessories",
        "--where",
        "year>=2012",
    )
    assert code == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["query"] == str(query)
    assert answer["matches"]
    for match in answer["matches"]:
        assert match["metadata"]["kind"] in ("Footwear", "Accessories")
        assert int(match["metadata"]["year"]) >= 2012
    assert run("search", saved / "catalogue", query, "--where", "year>2050") == 0
    printed = capsys.readouterr()
    assert "nothing fits" in printed.out
    assert "'year' was to be gt 2050, and holds most often 20" in printed.err


def test_bad_photos_stop_or_are_left_out(photos, tmp_path, capsys):
    for position in range(4):
        (tmp_path / "photos" / "ab"[position % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (60 * position, 9, 9)).save(
            tmp_path / "photos" / "ab"[position % 2] / f"{position}.png"
        )
    (tmp_path / "photos" / "a" / "broken.jpg").write_bytes(b"no photo")
    assert run("index", tmp_path / "photos", "--out", tmp_path / "index") == 1
    assert "broken.jpg): is not a JPEG" in capsys.readouterr().err
    assert run("index", tmp_path / "photos", "--out", tmp_path / "index", "--skip-bad") == 0
    streams = capsys.readouterr()
    assert "left out: image 2" in streams.err
    assert "4 photos in" in streams.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere", "--out", "x"], "nowhere: there is no such folder"),
        (["search", "nowhere", "photo.jpg"], "nowhere"),
        (["evaluate", "nowhere", "nowhere"], "nowhere"),
        (["explain", "nowhere", "photo.jpg", "--out", "why.png"], "nowhere"),
        (["embed", "nowhere", "--out", "x.npz"], "no such folder"),
        (["demo", "--data", "nowhere"], "nowhere: there is no such folder"),
    ],
)
def test_what_can_not_be_done_is_said_in_one_line(arguments, message, capsys):
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("fashionsearch: ")
    assert error.count("\n") == 1


def test_more_errors(photos, saved, capsys, tmp_path):
    for arguments, message in (
        (
            ("train", photos.parent / "products.csv", "--image-root", photos, "--out", tmp_path / "t"),
            "Name one with --label",
        ),
        (
            (
                "train",
                photos.parent / "products.csv",
                "--image-root",
                photos,
                "--label",
                "knd",
                "--out",
                tmp_path / "t",
            ),
            "Did you mean 'kind'",
        ),
        (("train", photos, "--backbone", "vgg91", "--out", tmp_path / "t"), "Did you mean 'vgg19'"),
        (
            ("train", photos.parent / "products.csv", "--image-column", "file", "--out", tmp_path / "t"),
            "no column 'file'",
        ),
        (
            ("embed", photos, "--encoder", saved / "classifier", "--out", tmp_path / "v.csv"),
            "ends in .npz",
        ),
        (("search", saved / "catalogue", "gone.jpg"), "gone.jpg): there is no such file"),
        (("search", saved / "catalogue", "gone.jpg", "--where", "kind"), "is not FIELD=VALUE"),
        (("search", saved / "catalogue", "gone.jpg", "-k", "0"), "k=0"),
        (
            ("search", saved / "catalogue"),
            "nothing says what to search for; name a photo, or give --text, --like or --towards",
        ),
        (
            ("search", saved / "catalogue", "--unlike", "x.jpg"),
            "name a photo, or give --text, --like or --towards",
        ),
        (("search", saved / "catalogue", "--like", "nobody"), "like names 'nobody'"),
    ):
        assert run(*arguments) == 1, arguments
        assert message in capsys.readouterr().err


def test_wrong_command_lines_exit_with_2(capsys):
    for arguments in ([], ["tain"], ["train"], ["search"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 2
    for command in ("demo", "train", "evaluate", "explain", "embed", "index", "search", "export"):
        with pytest.raises(SystemExit) as stop:
            cli.main([command, "--help"])
        assert stop.value.code == 0
        assert "examples:\n  fashionsearch" in capsys.readouterr().out


SLOW = {
    "numpy",
    "PIL",
    "scipy",
    "sklearn",
    "matplotlib",
    "torch",
    "timm",
    "torchvision",
    "lightning",
    "onnxruntime",
}


def imported(arguments, folder):
    """Return the exit code of a command in a process of its own, what it printed, and which slow packages it imported."""
    script = """
import json, sys
from fashionsearch import cli
try:
    code = cli.main(sys.argv[2:])
except SystemExit as stop:
    code = stop.code
print(json.dumps([code, sorted(set(json.loads(sys.argv[1])) & set(sys.modules))]))
"""
    words = [sys.executable, "-c", script, json.dumps(sorted(SLOW)), *map(str, arguments)]
    ran = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    *printed, last = ran.stdout.splitlines()
    code, slow = json.loads(last)
    return code, printed, ran.stderr, set(slow)


def test_what_is_wrong_is_told_before_anything_slow_is_imported(tmp_path):
    (tmp_path / "photos").mkdir()
    for arguments in (
        ["search", "missing", "photo.jpg"],
        ["search", "missing", "photo.jpg", "--where", "kind"],
        ["evaluate", "missing", "photos"],
        ["explain", "missing", "photo.jpg", "--out", "why.png"],
        ["train", "missing", "--out", "out"],
        ["index", "missing", "--out", "out"],
        ["embed", "missing", "--out", "out.npz"],
        ["demo", "--data", "missing"],
        ["remove", "missing", "1"],
        ["add", "missing", "photos"],
        ["info", "missing"],
        ["facets", "missing", "colour"],
        ["tag", "missing"],
    ):
        code, printed, told, slow = imported(arguments, tmp_path)
        assert (code, printed, slow) == (1, [], set()), arguments
        assert told.startswith("fashionsearch: "), arguments
        assert told.count("\n") == 1, arguments
    assert list(tmp_path.iterdir()) == [tmp_path / "photos"], "nothing is left behind"


def test_a_tables_columns_are_looked_at_before_anything_slow_is_imported(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "photo.png")
    (tmp_path / "photos.csv").write_text("image,kind\nphoto.png,x\n")
    for arguments in (
        ["train", "photos.csv", "--out", "out"],
        ["train", "photos.csv", "--label", "knd", "--out", "out"],
    ):
        code, _, _, slow = imported(arguments, tmp_path)
        assert (code, slow - {"numpy", "PIL"}) == (1, set()), arguments


def test_help_imports_nothing_slow(tmp_path):
    for arguments in (["--help"], ["search", "--help"], ["--version"], ["tain"], ["completion", "bash"]):
        assert imported(arguments, tmp_path)[3] == set(), arguments


def test_what_embeds_nothing_imports_no_network(typed_index, tmp_path):
    folder = tmp_path / "opened"
    shutil.copytree(typed_index[0], folder)
    fs.VisualIndex.open(folder).close()
    for arguments in (
        ["search", typed_index[0], "--id", "a"],
        ["search", folder, "--id", "a", "--where", "size=38", "--json"],
        ["facets", folder, "size"],
        ["info", folder],
        ["update", folder, "a", "size=3"],
        ["remove", folder, "a"],
    ):
        code, printed, told, slow = imported(arguments, tmp_path)
        assert (code, slow, told) == (0, {"numpy"}, ""), (arguments, told)
        assert printed, arguments


@pytest.mark.parametrize(
    ("condition", "ids"),
    [("sold=true", ["a"]), ("sold=false", ["b"]), ("size=true", ["a"]), ("size=38", ["b", "c"])],
)
def test_a_filter_matches_typed_values_and_text(condition, ids, typed_index, capsys):
    folder, photo = typed_index
    assert run("search", folder, photo, "--json", "--where", condition) == 0
    answer = json.loads(capsys.readouterr().out)
    assert sorted(match["id"] for match in answer["matches"]) == ids


@pytest.fixture(scope="module")
def typed_index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("typed")
    photo = folder / "photo.png"
    Image.new("RGB", (9, 9), "red").save(photo)
    index = fs.VisualIndex(fs.create_backbone("cnn", weights=None, image_size=32, random_state=0))
    metadata = {"sold": [True, False, None], "size": ["true", "38", 38]}
    index.add([photo] * 3, ids=["a", "b", "c"], metadata=metadata)
    index.save(folder / "index")
    return folder / "index", photo


def test_search_can_build_the_graph_again(typed_index, capsys):
    folder, photo = typed_index
    assert run("search", folder, photo, "--rebuild", "-k", 3) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_an_index_takes_its_ids_from_a_column(photos, saved, tmp_path, capsys):
    listing = tmp_path / "products.csv"
    rows = (photos.parent / "products.csv").read_text().splitlines()
    listing.write_text("\n".join([rows[0] + ",sku", *(f"{row},sku-{n}" for n, row in enumerate(rows[1:]))]))
    given = ("--image-root", photos, "--encoder", saved / "classifier", "--out", tmp_path / "index")
    assert run("index", listing, *given, "--id-column", "sku") == 0
    assert set(fs.VisualIndex.load(tmp_path / "index")) == {f"sku-{n}" for n in range(48)}
    assert run("index", listing, *given, "--id-column", "skus") == 1
    assert "Did you mean 'sku'" in capsys.readouterr().err


def test_training_keeps_to_the_parts_that_the_folders_name(photos, tmp_path, capsys):
    for part, chosen in (("train", slice(0, 6)), ("test", slice(6, 9))):
        for kind in ("Apparel", "Footwear"):
            folder = tmp_path / "data" / part / kind
            folder.mkdir(parents=True)
            for photo in sorted((photos / kind).iterdir())[chosen]:
                (folder / photo.name).write_bytes(photo.read_bytes())
    assert run("train", tmp_path / "data", "--image-size", 48, "--out", tmp_path / "classifier") == 0
    output = capsys.readouterr().out
    assert "parts as the photos lie: 9 to train on, 3 for validation, 6 for the test" in output
    assert "Evaluation of 6 predictions" in output


def test_interrupted_exits_with_130(monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "table_of", interrupt)
    assert cli.main(["embed", "x", "--out", "x.npz"]) == 130


def test_it_runs_as_a_module_and_writes_to_a_closed_pipe():
    version = subprocess.run(
        [sys.executable, "-m", "fashionsearch", "--version"], capture_output=True, text=True, check=True
    )
    assert version.stdout.strip() == f"fashionsearch {fs.__version__}"


LEARN = ("--image-size", 32, "--epochs", 2)


def test_a_network_learns_and_explains(photos, tmp_path, capsys):
    out, why = tmp_path / "classifier", tmp_path / "why.png"
    arguments = ("train", photos, "--fine-tune", *LEARN, "--checkpoints", tmp_path / "run", "--out", out)
    assert run(*arguments) == 0
    assert "validation_loss" in capsys.readouterr().out
    assert fs.Classifier.load(out).training == fs.FineTuning(epochs=2)
    assert (tmp_path / "run" / "last.ckpt").exists()
    photo = next(photos.rglob("*.png"))
    assert run("explain", out, photo, "--class", "Footwear", "--out", why) == 0
    with Image.open(why) as picture:
        assert picture.format == "PNG"
    assert run("explain", out, photo, "--class", "Hats", "--out", why) == 1
    assert "label='Hats' is not a class" in capsys.readouterr().err
    assert run("explain", out, photo, "--out", tmp_path / "why.nothing") == 1
    assert "can't be written" in capsys.readouterr().err


def test_a_network_learns_from_scratch(photos, tmp_path):
    out = tmp_path / "classifier"
    assert run("train", photos, "--backbone", "cnn", "--weights", "none", *LEARN, "--out", out) == 0
    classifier = fs.Classifier.load(out)
    assert classifier.weights is None
    assert classifier.backbone_.origin == "trained"
    student = ("train", photos, "--backbone", "cnn", "--weights", "none", *LEARN, "--teacher", out)
    assert run(*student, "--out", tmp_path / "student") == 0
    assert fs.Classifier.load(tmp_path / "student").training == fs.FineTuning(epochs=2, teacher=out)


def test_an_autoencoder_learns_and_serves_a_search(photos, tmp_path, capsys):
    out, catalogue = tmp_path / "encoder", tmp_path / "catalogue"
    assert run("train", photos, "--autoencoder", "--latent-dim", 8, *LEARN, "--out", out) == 0
    assert "mean squared error of" in capsys.readouterr().out
    assert fs.Autoencoder.load(out).dim == 8
    assert run("index", photos, "--encoder", out, "--out", catalogue) == 0
    photo = next(photos.rglob("*.png"))
    assert run("search", catalogue, photo, "-k", 1) == 0
    assert str(photo) in capsys.readouterr().out
    assert run("embed", photos, "--encoder", out, "--out", tmp_path / "vectors.npz") == 0
    with np.load(tmp_path / "vectors.npz") as vectors:
        assert vectors["embeddings"].shape == (48, 8)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--epochs", 3), "--epochs is for a network that learns; add --fine-tune"),
        (("--learning-rate", 0.1), "--learning-rate is for a network that learns"),
        (("--teacher", "classifier"), "--teacher is for a network that learns"),
        (
            ("--autoencoder", "--teacher", "classifier"),
            "training has teacher='classifier', and an autoencoder",
        ),
        (("--checkpoints", "run"), "--checkpoints is for a network that learns"),
        (("--latent-dim", 8), "--latent-dim is for an autoencoder"),
        (("--autoencoder", "--balanced"), "an autoencoder learns without labels"),
        (("--autoencoder", "--augmented-views", 2), "an autoencoder learns without labels"),
        (("--fine-tune", "--augmented-views", 2), "augmented_views=2 are for a head on a frozen backbone"),
        (("--fine-tune", "--epochs", 0), "epochs=0 is not a whole number"),
        (("--fine-tune", "--augment", "much"), "augment='much' is not one of none, flips, light, strong"),
    ],
)
def test_options_that_nobody_would_hear_are_refused(arguments, words, photos, tmp_path, capsys):
    assert run("train", photos, *arguments, "--out", tmp_path / "x") == 1
    assert words in capsys.readouterr().err


def test_export_writes_a_folder_and_names_its_script(saved, photos, tmp_path, capsys):
    served, small = tmp_path / "served", tmp_path / "small"
    table = fs.datasets.make_catalogue(12, seed=0, size=(24, 32))
    backbone = fs.create_backbone("cnn", weights=None, image_size=32, random_state=0)
    kinds = np.resize(["Accessories", "Apparel", "Footwear"], 12)
    fs.Classifier(backbone, progress=False).fit(table.images, kinds).save(small)
    assert run("export", small, "--out", served) == 0
    assert f"try it with: python {served / 'use.py'} PHOTO" in capsys.readouterr().out
    assert json.loads((served / "model.json").read_text())["classes"] == [
        "Accessories",
        "Apparel",
        "Footwear",
    ]
    for arguments, message in (
        (("export", "efficientnet_lite1000", "--out", served), "Did you mean 'efficientnet_lite0'"),
        (("export", saved / "catalogue", "--out", served), "holds a saved index, not a classifier"),
        (("export", saved / "classifier", "--out", served, "--format", "onx"), "Did you mean 'onnx'"),
        (("export", saved / "classifier", "--out", photos), "which is not of an export"),
    ):
        assert run(*arguments) == 1, arguments
        assert message in capsys.readouterr().err


def test_a_saved_backbone_is_an_encoder(photos, tmp_path):
    fs.create_backbone("cnn", weights=None, image_size=32, random_state=0).save(tmp_path / "backbone")
    assert run("embed", photos, "--encoder", tmp_path / "backbone", "--out", tmp_path / "v.npz") == 0
    assert run("export", tmp_path / "backbone", "--out", tmp_path / "served") == 0


def test_audit_writes_a_table_and_a_page_and_says_what_was_found(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fashionsearch.auditing.out_of_fold._ROUNDS", 1)
    shutil.copytree(photos, tmp_path / "photos")
    folder = tmp_path / "photos" / "Apparel"
    first = sorted(folder.iterdir())[0]
    (folder / "zz-copy.png").write_bytes(first.read_bytes())
    (folder / "zz-broken.png").write_bytes(b"no photo")
    monkeypatch.chdir(tmp_path)
    assert run("audit", "photos", "--out", "found", "--split", "prt") == 1
    assert "no column 'prt'" in capsys.readouterr().err
    assert run("audit", "photos", "--out", "found") == 0
    printed = capsys.readouterr().out
    assert "Audit of 50 photos, by label:" in printed
    assert "1 exact" in printed
    lines = (tmp_path / "found" / "audit.csv").read_text("utf-8").splitlines()
    assert any("zz-copy.png" in line and ",duplicate," in line for line in lines)
    assert any("zz-broken.png" in line and ",broken," in line for line in lines)
    assert "data:image/jpeg" in (tmp_path / "found" / "audit.html").read_text("utf-8")
    table = tmp_path / "found" / "audit.csv"
    assert fs.datasets.load_corrections(table) == ([], {})
    wrong = next(line for line in lines if ",mislabel," in line)
    label = wrong.split(",")[8]
    assert label in ("Accessories", "Apparel", "Footwear")
    table.write_text("\n".join([lines[0], wrong.replace(f",{label},", ",Kimono,", 1)]), "utf-8")
    images, corrections = fs.datasets.load_corrections(table)
    assert corrections == {"label": ["Kimono"]}
    assert images[0].exists()
