"""How an autoencoder lies in a folder.

```text
autoencoder.json       options, and the history of the fit
decoder.safetensors    the decoder's tensors
backbone.*             the encoder, as `Backbone` writes it
```
"""

from __future__ import annotations

import numpy as np
import torch

from fashionsearch import storage
from fashionsearch.autoencoder.decoder import Decoder
from fashionsearch.backbones import Backbone
from fashionsearch.device import Execution
from fashionsearch.estimator import ImageEstimator
from fashionsearch.results import History
from fashionsearch.saved_options import options_to_json, read_history


def writers(
    estimator: ImageEstimator, decoder: Decoder, history: History, prefix: str
) -> dict[str, storage.Writer]:
    """Return what `storage.save` needs to keep an autoencoder."""
    config = {"options": options_to_json(estimator), "history": [dict(row) for row in history.rows]}
    tensors = {name: tensor.detach().cpu().numpy() for name, tensor in decoder.state_dict().items()}
    return {
        f"{prefix}autoencoder.json": storage.write_json(config),
        f"{prefix}decoder.safetensors": storage.write_arrays(tensors),
        **estimator.backbone_.writers(prefix),
    }


def read(
    saved: storage.Saved, config: storage.Fields, execution: Execution, prefix: str
) -> tuple[Backbone, Decoder, History]:
    """Return an autoencoder's encoder, decoder and history.

    Args:
        saved: the folder.
        config: its `autoencoder.json`.
        execution: how the network is to be run.
        prefix: of the files.

    Raises:
        CorruptFileError: if a file isn't what was saved, or they contradict each other.
    """
    history = read_history(config)
    encoder = Backbone.read(saved, execution, prefix)
    config.fields("options").whole("latent_dim", least=encoder.dim, most=encoder.dim)
    size = encoder.preprocess.image_size
    with torch.device("meta"):  # the shapes are compared before anything of their size is made
        wanted = Decoder(encoder.dim, size).state_dict()
    # Without the counters of batches, which say nothing of a picture, and which version 0.1 saved in another shape.
    expected = {name: (np.float32, tuple(tensor.shape)) for name, tensor in wanted.items() if tensor.ndim}
    arrays = saved.arrays(f"{prefix}decoder.safetensors", expected)
    decoder = Decoder(encoder.dim, size)
    decoder.load_state_dict({name: torch.from_numpy(arrays[name]) for name in expected}, strict=False)
    # In the layout it was trained in: another one adds up in another order.
    return encoder, decoder.to(encoder.device).to(memory_format=torch.channels_last).eval(), history
