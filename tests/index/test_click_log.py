"""Logs of clicks: learned from, reported, kept, and refused where they can't be used."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors

DIM = 6


def are_good(vector, others):
    return np.linalg.norm(vector[:2] - others[:, :2], axis=1) < 0.4


def click_log(index, count=2500, power=1.0, seed=0):
    """Return pages of an index, whose items are good by two of the axes, and are looked at by their places."""
    rng = np.random.default_rng(seed)
    ids = list(index)
    vectors = {item: index.get(item).vector for item in ids}
    asked = [ids[place] for place in rng.integers(len(ids), size=count)]
    shown = {item: index.search(id=item, k=10).ids[0].tolist() for item in set(asked)}
    log = []
    for item in asked:
        good = are_good(vectors[item], np.stack([vectors[other] for other in shown[item]]))
        seen = rng.random(10) < np.arange(1, 11.0) ** -power
        hits = seen & (rng.random(10) < np.where(good, 0.8, 0.1))
        log.append((item, shown[item], [other for other, hit in zip(shown[item], hits, strict=True) if hit]))
    return log


@pytest.fixture(scope="module")
def vectors():
    found = np.random.default_rng(0).normal(size=(400, DIM)).astype(np.float32)
    found *= [2, 1.6, 1.3, 1.0, 0.8, 0.6]  # so that the axes are those of the goodness
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture
def index(vectors):
    found = fs.VisualIndex(dim=DIM)
    found.add_vectors(vectors, ids=[f"i{number}" for number in range(len(vectors))])
    return found


@pytest.fixture(scope="module")
def log(vectors):
    found = fs.VisualIndex(dim=DIM)
    found.add_vectors(vectors, ids=[f"i{number}" for number in range(len(vectors))])
    return click_log(found)


def precision(index, vectors):
    found = index.search_vectors(vectors, 11).ids[:, 1:]
    return np.mean([
        are_good(vector, vectors[[int(item[1:]) for item in row]]).mean()
        for vector, row in zip(vectors, found, strict=True)
    ])  # fmt: skip


def test_what_is_learned_helps_and_the_estimate_says_how_much(index, log, vectors):
    before = precision(index, vectors)
    report = index.learn_clicks(log)
    assert precision(index, vectors) == before  # not in use yet
    index.use_clicks(True)
    gain = precision(index, vectors) - before
    assert gain > 0.01
    assert abs(0.7 * gain - report.gain) < 0.02  # a good one is clicked by 0.7 more
    assert report.interval[0] < report.gain < report.interval[1]
    assert abs(report.naive_gain - 0.7 * gain) > abs(report.gain - 0.7 * gain)
    assert abs(report.looked_at[9] - 0.1) < 0.06
    index.use_clicks(False)
    assert precision(index, vectors) == before


def test_the_report_shows_itself(index, log):
    report = index.learn_clicks(log)
    assert repr(report).startswith("ClickReport: ")
    assert "2,500 pages" in repr(report)
    assert "gain in precision@10" in report._repr_html_()
    with pytest.raises(AttributeError):
        report.gain = 1


def test_it_is_kept_in_saved_and_in_opened_folders(index, log, vectors, tmp_path):
    index.learn_clicks(log)
    index.use_clicks(True)
    found = index.search_vectors(vectors[:5], 5).ids.tolist()
    index.save(tmp_path / "saved")
    assert fs.VisualIndex.load(tmp_path / "saved").search_vectors(vectors[:5], 5).ids.tolist() == found
    with fs.VisualIndex.open(tmp_path / "saved") as opened:
        assert opened.search_vectors(vectors[:5], 5).ids.tolist() == found
        opened.use_clicks(False)
    with fs.VisualIndex.open(tmp_path / "saved", read_only=True) as reader:
        assert reader.search_vectors(vectors[:5], 5).ids.tolist() != found
        with pytest.raises(errors.StorageError, match="read_only"):
            reader.use_clicks(True)


def test_queries_are_ids_vectors_photos_and_texts(log, vectors, tmp_path):
    class Encoder:
        dim = DIM

        def embed(self, images):
            return np.stack([np.resize(np.asarray(image, np.float32) + 1, DIM) for image in images])

        def embed_text(self, texts):
            return np.stack([np.full(DIM, float(len(text))) for text in texts])

    index = fs.VisualIndex(Encoder())
    index.add_vectors(vectors, ids=[f"i{number}" for number in range(len(vectors))])
    mixed = [(vectors[int(query[1:])], *rest) for query, *rest in log[:500]] + log[500:]
    others = [np.zeros((4, 4, 3), np.uint8), "two words"]
    report = index.learn_clicks([*mixed, *((query, ["i1", "i2"], ["i1"]) for query in others)])
    assert report.pages == 2502
    plain = fs.VisualIndex(dim=DIM)
    plain.add_vectors(vectors, ids=[f"i{number}" for number in range(len(vectors))])
    with pytest.raises(errors.InputError, match="knows no words"):
        plain.learn_clicks([*log, ("two words", ["i1"], [])])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda log: [], "0 clicks on 0 pages"),
        (lambda log: log[:20], "at least 200 clicks"),
        (lambda log: [*log, ("i1", ["i2", "gone"], [])], "doesn't hold: 'gone'"),
        (lambda log: [*log, ("i1", ["i2"], ["i3"])], "entry 2500.*click on 'i3', which it doesn't show"),
        (lambda log: [*log, ("i1", ["i2", "i2"], [])], "shows 'i2' twice"),
        (lambda log: [*log, ("i1", ["i2"])], "entry 2500 of the log"),
        (lambda log: [*log, (7, ["i2"], [])], "query 7 is no id"),
        (lambda log: [*log, (None, ["i2"], [])], "query None"),
        (lambda log: [*log, (np.zeros(DIM), ["i2"], [])], "all zeros"),
        (lambda log: [*log, (np.ones(DIM + 1), ["i2"], [])], "shape"),
    ],
)
def test_what_cannot_be_used_is_named_and_changes_nothing(index, log, change, message):
    with pytest.raises(errors.InputError, match=message):
        index.learn_clicks(change(log))
    with pytest.raises(errors.InputError, match="nothing was learned from clicks"):
        index.use_clicks(True)
    index.use_clicks(False)
    with pytest.raises(errors.InputError, match="True or False"):
        index.use_clicks("yes")


def test_clicks_need_the_cosine(log):
    with pytest.raises(errors.InputError, match="cosine"):
        fs.VisualIndex(dim=DIM, metric="euclidean").learn_clicks(log)


def test_clicks_that_say_nothing_are_an_error(index, log):
    against = [(query, shown, shown[-2:]) for query, shown, _ in log]
    with pytest.raises(errors.InputError, match="don't rise with the likeness"):
        index.learn_clicks(against)


def test_a_log_whose_clicks_are_all_in_one_half_is_split_anew(index, log):
    numbers = {item: number for number, item in enumerate(dict.fromkeys(item for item, _, _ in log))}
    is_first = np.random.default_rng(0).permutation(len(numbers)) < len(numbers) // 2
    for half in (True, False):
        cut = [
            (item, shown, hits if is_first[numbers[item]] is np.bool_(half) else [])
            for item, shown, hits in log
        ]
        report = index.learn_clicks(cut)
        assert np.isfinite([report.gain, report.precision, *report.interval]).all()


def test_clicks_of_one_query_or_on_one_item_say_nothing(index, log):
    ids = list(index)
    shown = index.search(id=ids[0], k=10).ids[0].tolist()
    pages = [(item, shown, []) for item in ids[20:40]] + [(ids[0], shown, shown[:3])] * 100
    with pytest.raises(errors.DataError, match="all clicks of the log are of one query"):
        index.learn_clicks(pages)
    alone = fs.VisualIndex(dim=DIM)
    alone.add_vectors(np.ones((1, DIM)), ids=["a"])
    queries = np.random.default_rng(0).normal(size=(20, DIM))
    with pytest.raises(errors.DataError, match="holds one item"):
        alone.learn_clicks([(query, ["a"], ["a"] if n % 2 else []) for n, query in enumerate(queries)] * 30)
