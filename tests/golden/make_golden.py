"""Makes the golden folders: what the library at commit 8bf0d56 saved, and what it answered.

Run it with that commit on PYTHONPATH; its argument is the folder to write. The networks' weights are rounded to sixteen
values a layer, so that the archives stay small.
"""

import io
import json
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch

import fashionsearch as fs
from fashionsearch.index import visual_index

SIZE = 64
quiet = {"image_size": SIZE, "progress": False, "runtime": "torch", "random_state": 0}


def rounded(module: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for tensor in module.parameters():
            if tensor.ndim > 1:
                largest = tensor.abs().max()
                tensor.copy_((tensor / largest * 7).round() / 7 * largest)
    return module


def pack(folder: Path, out: Path) -> None:
    with tarfile.open(out / f"{folder.name}.tar.xz", "w:xz", preset=9) as archive:
        archive.add(folder, folder.name, filter=lambda entry: None if entry.name.endswith(".lock") else entry)


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        table = fs.datasets.make_catalogue(60, seed=0)
        small = [np.asarray(photo)[::2, ::2].copy() for photo in table.images]
        labels = table["masterCategory"]
        queries = small[:12]
        answers = {"photos": np.stack(queries)}
        weights = work / "weights.safetensors"
        first = rounded(fs.create_backbone("cnn", weights=None, image_size=SIZE, random_state=0).module)
        safetensors.numpy.save_file({k: v.numpy() for k, v in first.state_dict().items()}, weights)

        def keep(name, classifier):
            classifier.backbone_ = classifier.backbone_.variant(module=rounded(classifier.backbone_.module))
            classifier.save(work / name)
            pack(work / name, out)
            loaded = fs.Classifier.load(work / name, runtime="torch", progress=False)
            answers[f"{name}/predictions"] = loaded.predict(queries).astype(str)
            answers[f"{name}/probabilities"] = loaded.predict_proba(queries)
            answers[f"{name}/embeddings"] = loaded.embed(queries)
            return loaded

        frozen = fs.Classifier("cnn", weights=weights, **quiet).fit(small, labels)
        keep("classifier-frozen", frozen)
        short = {"epochs": 2, "batch_size": 16}
        tuned = fs.Classifier(
            "cnn",
            weights=weights,
            training=fs.FineTuning(**short, average_weights=True, small_first=False),
            **quiet,
        )
        keep("classifier-fine-tuned", tuned.fit(small, labels))
        cached = fs.Classifier(
            "cnn", weights=weights, training=fs.FineTuning(**short, unfreeze="last", cached_views=2), **quiet
        )
        keep("classifier-cached-views", cached.fit(small, labels))
        taught = fs.Classifier(
            "cnn",
            weights=weights,
            training=fs.FineTuning(**short, teacher=work / "classifier-fine-tuned", teacher_weight=0.5),
            **quiet,
        )
        keep("classifier-teacher", taught.fit(small, labels))

        encoder = fs.Autoencoder(
            "cnn", latent_dim=8, weights=weights, training=fs.FineTuning(**short), **quiet
        ).fit(small)
        encoder.backbone_ = encoder.backbone_.variant(module=rounded(encoder.backbone_.module))
        if hasattr(encoder, "decoder_"):
            rounded(encoder.decoder_)
        encoder.save(work / "autoencoder")
        pack(work / "autoencoder", out)
        loaded = fs.Autoencoder.load(work / "autoencoder", runtime="torch", progress=False)
        answers["autoencoder/embeddings"] = loaded.embed(queries)
        answers["autoencoder/reconstructions"] = loaded.reconstruct(queries)

        fs.export(frozen, work / "export")
        pack(work / "export", out)

        visual_index._EXACT_BYTES = 4096  # so few vectors have a graph
        index = fs.VisualIndex(frozen, m=8, ef_construction=60, ef_search=40, progress=False)
        names = [f"item-{i}" for i in range(len(small))]
        metadata = [
            {
                "type": label,
                "year": 2000 + i % 7,
                "price": i / 4,
                "sold": i % 3 == 0,
                "note": None if i % 5 else "é",
            }
            for i, label in enumerate(labels)
        ]
        index.add(small, ids=names, metadata=metadata)
        index.add(
            [small[3], small[3], small[7]],
            ids=["twin-a", "twin-b", "twin-c"],
            metadata=[{"type": "twin"}] * 3,
        )
        index.remove(names[40:45])
        index.update("item-2", {"year": 1999, "new": True})
        assert index.has_graph
        index.save(work / "index-photos")
        pack(work / "index-photos", out)
        loaded = fs.VisualIndex.load(work / "index-photos", runtime="torch", progress=False)
        wheres = [None, {"type": "twin"}, {"year": {"gte": 2003}}, {"sold": True, "price": {"lt": 8}}]
        for number, where in enumerate(wheres):
            for exact in (False, True):
                found = loaded.search(queries, k=5, where=where, exact=exact)
                key = f"index-photos/{number}-{exact}"
                answers[f"{key}/ids"] = np.where(found.ids == None, "", found.ids).astype(str)  # noqa: E711
                answers[f"{key}/similarities"] = found.similarities
        item = loaded.get("item-2")
        answers["index-photos/item/vector"] = item.vector
        answers["index-photos/item/metadata"] = np.array(json.dumps(item.metadata))

        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(300, 24)).astype(np.float32)
        vectors[100:110] = vectors[100]
        plain = fs.VisualIndex(dim=24, metric="euclidean", progress=False)
        plain.add_vectors(vectors, metadata={"group": (np.arange(300) % 4).tolist()})
        plain.remove(range(0, 50, 2))
        assert plain.has_graph
        plain.save(work / "index-vectors")
        pack(work / "index-vectors", out)
        loaded = fs.VisualIndex.load(work / "index-vectors", progress=False)
        answers["index-vectors/queries"] = vectors[::20]
        for number, where in enumerate((None, {"group": 3})):
            found = loaded.search_vectors(vectors[::20], k=5, where=where)
            answers[f"index-vectors/{number}/ids"] = found.ids.astype(np.int64)
            answers[f"index-vectors/{number}/similarities"] = found.similarities
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **answers)
        (out / "answers.npz").write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
