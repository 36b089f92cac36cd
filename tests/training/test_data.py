"""Photos in a file, and batches that depend on seed and epoch alone."""

import numpy as np
import pytest
import torch

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.training.augmentation import AUGMENTATIONS
from fashionsearch.training.data import (
    PhotoDataset,
    Sampling,
    SequentialBatchSampler,
    ShuffledBatchSampler,
    balanced_shares,
    decode_photos,
)

PREPROCESS = fs.Preprocess((16, 12))


@pytest.fixture
def photos(tmp_path):
    return decode_photos(
        fs.datasets.make_catalogue(9, seed=0).images, PREPROCESS, tmp_path / "pixels", progress=False
    )


def test_pixels_are_those_that_are_embedded(photos):
    images = fs.datasets.make_catalogue(9, seed=0).images
    read = photos.read([4, 0])
    assert read.shape == (2, 3, 16, 12)
    assert read.dtype == torch.uint8
    assert np.array_equal(read[0].permute(1, 2, 0).numpy(), PREPROCESS.resized(images[4]))
    assert len(photos) == 9


def test_the_digest_tells_photos_apart(photos, tmp_path):
    others = fs.datasets.make_catalogue(9, seed=1).images
    assert decode_photos(others, PREPROCESS, tmp_path / "x", progress=False).digest != photos.digest


def test_a_bad_photo_is_named(tmp_path):
    with pytest.raises(errors.ImageError, match=r"image 1 \(nowhere.jpg\): there is no such file"):
        decode_photos(
            [np.zeros((4, 4, 3), np.uint8), "nowhere.jpg"], PREPROCESS, tmp_path / "x", progress=False
        )


def test_a_folder_that_can_not_be_written_is_named(tmp_path):
    with pytest.raises(errors.StorageError, match="TMPDIR"):
        decode_photos([np.zeros((4, 4, 3), np.uint8)], PREPROCESS, tmp_path / "nowhere" / "x", progress=False)


def epoch(batches, number=0):
    batches.set_epoch(number)
    return list(batches)


def test_an_epoch_is_known_from_its_seed_and_number():
    first, again, later, other = (
        epoch(ShuffledBatchSampler(20, batch_size=6, seed=seed), number)
        for seed, number in ((1, 0), (1, 0), (1, 1), (2, 0))
    )
    assert first == again
    assert first != later
    assert first != other
    positions = [position for batch in first for position, _ in batch]
    assert len(positions) == 18
    assert len(set(positions)) == 18


def test_processes_share_the_batches_of_one():
    alone = epoch(ShuffledBatchSampler(20, batch_size=6, seed=1))
    halves = [
        epoch(ShuffledBatchSampler(20, batch_size=6, seed=1, rank=rank, processes=2)) for rank in (0, 1)
    ]
    for whole, first, second in zip(alone, *halves, strict=True):
        assert sorted(whole) == sorted(first + second)
        assert len(first) == len(second)


def test_few_photos_are_one_batch():
    assert [len(batch) for batch in epoch(ShuffledBatchSampler(5, batch_size=32, seed=0))] == [5]


@pytest.mark.parametrize(("n", "processes"), [(7, 1), (7, 2), (8, 2), (1, 2)])
def test_validation_sees_every_photo_and_every_process_as_many_batches(n, processes):
    shares = [
        list(SequentialBatchSampler(n, batch_size=2, rank=rank, processes=processes))
        for rank in range(processes)
    ]
    assert len({len(share) for share in shares}) == 1
    seen = [key for share in shares for batch in share for key in batch]
    assert {position for position, _ in seen} == set(range(n))
    assert all(seed is None for _, seed in seen)
    assert len(seen) - n < processes


def test_a_batch_is_augmented_by_its_seeds(photos):
    data = PhotoDataset(photos, torch.arange(9), AUGMENTATIONS["strong"])
    changed, targets = data.__getitems__([(3, 11), (5, None)])
    assert targets.tolist() == [3, 5]
    assert torch.equal(changed[1], photos.read([5])[0])
    assert torch.equal(changed[0], AUGMENTATIONS["strong"].apply_tensor(photos.read([3])[0], 11))
    assert torch.equal(photos.read([3]), photos.read([3]))


def test_copies_of_a_photo_stand_together_and_differ_in_their_draws():
    batches = epoch(ShuffledBatchSampler(20, batch_size=8, seed=1, sampling=Sampling(copies=2)))
    assert [len(batch) for batch in batches] == [8] * 5
    for batch in batches:
        for one, other in zip(batch[::2], batch[1::2], strict=True):
            assert one[0] == other[0]
            assert one[1] != other[1]
    assert sorted(position for batch in batches for position, _ in batch[::2]) == list(range(20))


def test_rare_classes_are_evened_out():
    labels = np.array([0] * 900 + [1] * 90 + [2] * 10 + [-1] * 24)
    shares = balanced_shares(labels, 1.0)
    np.testing.assert_allclose(
        [shares[labels == kind].sum() for kind in (0, 1, 2)], shares[labels == 0].sum()
    )
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(balanced_shares(labels, 0.0), 1 / len(labels))
    sampler = ShuffledBatchSampler(len(labels), batch_size=64, seed=0, sampling=Sampling(shares=shares))
    seen = labels[[position for batch in epoch(sampler) for position, _ in batch]]
    assert 200 < (seen == 2).sum() < 450
