"""From images to latents and back to images, batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from fashionsearch.autoencoder.decoder import Decoder
from fashionsearch.backbones import Backbone
from fashionsearch.device import torch_defaults
from fashionsearch.images import Images, iterate, ordered_map


def draw(
    encoder: Backbone, decoder: Decoder, images: Images, batch_size: int | None
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Yield resized pixels, uint8, and what is drawn of them, float32 in [0, 1]: (m, H, W, 3) each.

    Raises:
        ImageError: if an image can't be read.
    """
    stream = ordered_map(
        lambda numbered: encoder.preprocess.read(numbered[1], position=numbered[0]),
        enumerate(iterate(images)),
    )
    with contextlib.closing(stream):
        while batch := list(islice(stream, batch_size or encoder.placement.batch_size)):
            pixels = np.stack(batch)
            vectors = encoder.embed(pixels)
            with torch_defaults(), torch.inference_mode(), encoder.placement.autocast():
                drawn = decoder.eval()(torch.from_numpy(vectors).to(encoder.device)).float()
                images_drawn = drawn.permute(0, 2, 3, 1).cpu().numpy()
            yield pixels, images_drawn
