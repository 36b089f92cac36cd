import PIL.Image

import fashionsearch as fs
from fashionsearch.app import html
from fashionsearch.app.catalogue import Catalogue
from fashionsearch.app.visit import Visit

BAD = "<img src=x onerror=alert(1)>'\""


def test_whatever_comes_from_elsewhere_is_escaped(uploads, upload, tmp_path):
    PIL.Image.new("RGB", (40, 60), "red").save(tmp_path / "a.png")
    index = fs.VisualIndex("fashion", progress=False)
    names = [f"{BAD} {number}" for number in range(3)]
    index.add(
        [tmp_path / "a.png"] * 3, ids=names, metadata={BAD: [BAD, "b", BAD], "title": names, "n": [1, 2, 3]}
    )
    visit = Visit(Catalogue(index, name=BAD, writable=True, opens_files=False), uploads)
    visit.act({"do": "photo", "path": upload(tmp_path / "a.png", "a'b<i>.png")})
    assert not visit.is_problem, visit.words
    visit.act({"do": "search", "form": [["text", BAD], [f"where:{BAD}", BAD]]})
    assert visit.found, visit.words
    visit.act({"do": "like", "place": 0, "turn": visit.turn})
    pages = [html.asking(visit), html.finding(visit)]
    visit.act({"do": "why", "place": 0, "turn": visit.turn})
    pages.append(html.window(visit))
    visit.act({"do": "remove", "place": 0, "turn": visit.turn})
    pages.append(html.window(visit))
    for page in pages:
        assert "<img src=x" not in page
        assert "<i>" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;&#x27;&quot;" in page


def test_an_item_without_a_picture_has_its_name_in_its_place(visit, drawn):
    assert "data:image" in html.finding(visit)
    index = fs.VisualIndex.load(drawn / "catalogue", progress=False)
    visit.catalogue = Catalogue(index, opens_files=False)
    page = html.finding(visit)
    assert "data:image" not in page
    assert "No picture of" in page
