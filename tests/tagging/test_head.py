"""A head never answers in silence from numbers that are none, and answers the same whatever the program has set in torch."""

import numpy as np
import pytest
import torch

from fashionsearch import errors
from fashionsearch.tagging.head import LinearHead
from fashionsearch.tagging.head_fit import fit_head

RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(60, 5)).astype(np.float32)
LABELS = (EMBEDDINGS[:, 0] > 0).astype(np.int64)
PART = EMBEDDINGS[:20], LABELS[:20]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_head_of_nan_is_refused(value):
    weight, bias = np.zeros((2, 5), np.float32), np.zeros(2, np.float32)
    weight[1, 2] = value
    with pytest.raises(errors.WeightsError, match="the head's weight holds NaN or infinity"):
        LinearHead(weight, bias)
    bias[0], weight[1, 2] = value, 0
    with pytest.raises(errors.WeightsError, match="the head's bias"):
        LinearHead(weight, bias)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_embedding_of_nan_is_named(value):
    broken = EMBEDDINGS.copy()
    broken[7, 1] = value
    head = LinearHead(np.ones((2, 5), np.float32), np.zeros(2, np.float32))
    for call in (
        lambda: head.probabilities(broken),
        lambda: fit_head(broken, LABELS, validation=PART),
        lambda: fit_head(EMBEDDINGS, LABELS, validation=(broken, LABELS)),
        lambda: fit_head(EMBEDDINGS, LABELS, views=broken[None], validation=PART),
    ):
        with pytest.raises(errors.WeightsError, match="embedding of image 7 holds NaN or infinity"):
            call()


def test_numbers_near_the_end_of_float32_are_no_trouble():
    head = LinearHead(np.array([[1e20] * 5, [2e20] * 5], np.float32), np.zeros(2, np.float32))
    assert head.probabilities(np.full((1, 5), 1e30, np.float32)).tolist() == [[0, 1]]
    large, _ = fit_head(
        EMBEDDINGS * np.float32(1e25), LABELS, validation=(PART[0] * np.float32(1e25), PART[1])
    )
    plain, _ = fit_head(EMBEDDINGS, LABELS, validation=PART)
    np.testing.assert_allclose(
        large.probabilities(EMBEDDINGS * np.float32(1e25)), plain.probabilities(EMBEDDINGS), atol=1e-3
    )


def test_the_answers_are_those_of_a_fresh_process():
    expected, _ = fit_head(EMBEDDINGS, LABELS, validation=PART)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            found, _ = fit_head(EMBEDDINGS, LABELS, validation=PART)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found.weight, expected.weight)
    assert found.weight.dtype == np.float32
