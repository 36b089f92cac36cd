"""What is done to photos."""

import numpy as np
import pytest
from harness import distortions


@pytest.mark.parametrize("name", distortions.DISTORTIONS)
def test_a_distortion_changes_a_photo_the_same_way_each_time(name, table):
    photos = table.images[:3]
    first, second = (distortions.distorted(photos, name, seed=0) for _ in range(2))
    for photo, changed, again in zip(photos, first, second, strict=True):
        assert changed.dtype == np.uint8
        assert changed.ndim == 3
        assert np.array_equal(changed, again)
        # Drawn garments lie on tinted paper, which is no white background to replace.
        assert name == "clutter" or changed.shape != photo.shape or not np.array_equal(changed, photo)
    # A photo's change doesn't depend on the photos beside it.
    assert np.array_equal(distortions.distorted(photos[:1], name, seed=0)[0], first[0])


def test_clutter_replaces_the_background_alone():
    photo = np.full((80, 60, 3), 255, np.uint8)
    photo[20:60, 15:45] = (200, 30, 30)
    photo[35:45, 25:35] = 255  # white inside the garment is not background
    changed = distortions.clutter(photo, np.random.default_rng(0))
    assert np.array_equal(changed[20:60, 15:45], photo[20:60, 15:45])
    assert (changed[:20] < 235).all()
    assert len(np.unique(changed[:20].reshape(-1, 3), axis=0)) > 3
