"""What is planned for each task."""

import numpy as np
from harness import names, tasks

import fashionsearch as fs


def test_every_step_gives_the_figures_it_promises(bench, tmp_path, candidate):
    each = candidate("baseline-pixels-pca-16-knn")
    steps = [step for step in names.TASKS if step != "clothing"]
    for measurement in tasks.plan(bench, each, 0, steps):
        made, fitted = measurement.measure()
        assert tuple(figure.metric for figure in made) == measurement.metrics
        assert fitted.encoder.seconds >= 0
    assert {measurement.step for measurement in tasks.plan(bench, each, 0, steps)} == {*steps}


def test_an_unknown_label_is_relevant_to_nothing():
    table = fs.datasets.Table(
        images=[np.zeros((4, 4, 3), np.uint8)] * 3,
        data={"articleType": np.array(["Shirts", "", "Shirts"]), "baseColour": np.array(["Red", "Red", ""])},
    )
    assert tasks.keys(table, ("articleType",)).tolist() == ["Shirts", "", "Shirts"]
    assert tasks.keys(table, ("articleType", "baseColour")).tolist() == ["Shirts | Red", "", ""]
