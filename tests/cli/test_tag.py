"""`fashionsearch tag`: a table at once, only new photos the second time, a report, and clear refusals."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch.cli import main


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    for number, photo in enumerate(fs.datasets.make_catalogue(5, seed=4).images):
        Image.fromarray(np.asarray(photo)).save(folder / f"{number}.png")
    return folder


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_is_tagged_at_once(shop, tmp_path, capsys):
    out = tmp_path / "tags.csv"
    assert main(["tag", str(shop), "--out", str(out)]) == 0
    found = rows(out)
    assert [row["image"] for row in found] == [str(shop / f"{number}.png") for number in range(5)]
    assert {"articleType", "baseColour confidence", "gender sure", "unfamiliar", "tagged_as"} <= found[
        0
    ].keys()
    said = capsys.readouterr().out
    assert "5 photos tagged" in said
    assert "for a person to look at" in said


def test_the_tagger_that_ships_has_a_name(shop, capsys):
    found = []
    for words in ([], ["--tagger", "fashion"]):
        assert main(["tag", str(shop / "0.png"), "--json", *words]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]


def test_a_second_run_tags_only_new_photos_and_keeps_what_a_person_wrote(shop, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes((shop / f"{number}.png").read_bytes())
    out = folder / "tags.csv"
    main(["tag", str(folder), "--out", str(out)])
    text = out.read_text(encoding="utf-8")
    first = rows(out)[0]["articleType"]
    out.write_text(text.replace(f"0.png,{first},", "0.png,Kimono,", 1), encoding="utf-8")
    (folder / "3.png").write_bytes((shop / "3.png").read_bytes())
    capsys.readouterr()
    main(["tag", str(folder), "--out", str(out)])
    assert "1 photo tagged, 3 tagged before" in capsys.readouterr().out
    found = rows(out)
    assert [row["image"] for row in found] == ["0.png", "1.png", "2.png", "3.png"]
    assert found[0]["articleType"] == "Kimono"
    images, corrections = fs.datasets.load_corrections(out)
    assert [image.name for image in images] == ["0.png"]
    assert corrections == {"articleType": ["Kimono"]}
    main(["tag", str(folder), "--out", str(out)])
    assert "has the tags of all 4 photos already" in capsys.readouterr().out
    main(["tag", str(folder), "--out", str(out), "--again"])
    assert rows(out)[0]["articleType"] == first


def test_the_report_shows_photos_and_their_tags(shop, tmp_path):
    report = tmp_path / "tags.html"
    main(
        [
            "tag",
            str(shop),
            "--out",
            str(tmp_path / "tags.csv"),
            "--report",
            str(report),
            "--confidence",
            "0.5",
        ]
    )
    page = report.read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 5
    assert "articleType" in page
    assert "at least 50 %" in page
    assert " of 5 photos are for a person" in page
    assert "<th>most often</th>" in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--confidence", "1.5"], "confidence=1.5 is not a number above 0 and below 1"),
        (["--tagger", "nowhere"], "nowhere"),
    ],
)
def test_what_it_refuses(shop, tmp_path, capsys, words, message):
    out = tmp_path / "tags.csv"
    assert main(["tag", str(shop), "--out", str(out), *words]) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("content", ["id,price\n1,2\n", "image,colour\na.png\n", "\x00"])
def test_a_file_that_is_no_table_of_tags_stays_as_it_is(shop, tmp_path, capsys, content):
    out = tmp_path / "tags.csv"
    out.write_text(content, encoding="utf-8")
    assert main(["tag", str(shop), "--out", str(out)]) == 1
    assert "--again to write it anew" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == content


def test_a_table_of_another_tagger_stays_as_it_is(shop, tmp_path, capsys):
    out = tmp_path / "tags.csv"
    out.write_text("image,colour,tagged_as\nz.png,Red,{}\n", encoding="utf-8")
    assert main(["tag", str(shop), "--out", str(out)]) == 1
    assert "columns of another tagger, and lacks 'articleType'" in capsys.readouterr().err


def test_the_command_loads_no_torch(shop, tmp_path):
    program = (
        "import json, sys\nfrom fashionsearch.cli import main\n"
        f"main(['tag', {str(shop)!r}, '--out', {str(tmp_path / 'tags.csv')!r}])\n"
        "print(json.dumps([name for name in ('torch', 'timm', 'sklearn', 'scipy', 'matplotlib') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
