"""The tree of tests mirrors the tree of sources: a test of a file is found by the file's name."""

from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
SOURCES = {"benchmarks": ROOT / "benchmarks", "scripts": ROOT / "scripts"}
OF_THE_WHOLE = {
    "golden/test_golden.py",  # folders saved by an earlier version
    "index/engines/test_conformance.py",  # every engine
    "index/test_interruption.py",
    "index/test_damage.py",
    "index/test_power.py",
    "index/test_full_disk.py",
    "index/test_threads.py",
    "index/test_stateful.py",  # every call of an index, stopped at every line
    "plugin/test_plugin.py",  # the example beside it, installed
    "test_data_frames.py",  # every call that takes a column
    "test_docs.py",
    "test_imports.py",
    "test_notebooks.py",
    "test_public_api.py",
    "test_tree.py",
}


def test_every_file_of_tests_is_named_after_what_it_tests():
    strangers = []
    for path in sorted(TESTS.rglob("test_*.py")):
        place = path.relative_to(TESTS)
        if place.as_posix() in OF_THE_WHOLE:
            continue
        tree, *below = place.parent.parts or ("",)
        source = (
            SOURCES[tree].joinpath(*below) if tree in SOURCES else ROOT / "src/fashionsearch" / place.parent
        )
        name = path.stem.removeprefix("test_")
        # tests/images/test_images.py tests what the package offers.
        files = [source / f"{name}.py", source / f"{name}.sh"]
        if not any(map(Path.exists, files)) and not (source / name).is_dir() and name != source.name:
            strangers.append(place.as_posix())
    assert strangers == []


def test_no_file_of_the_library_is_over_400_lines():
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "src").rglob("*.py")
    }
    assert lengths
    assert {path: length for path, length in lengths.items() if length > 400} == {}
