"""Search or tag by hand, each file after its SHA-256: `by_hand.py search catalogue photo.jpg`, `by_hand.py tag tagger …`."""

import hashlib
import json
import os
import sys
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import hnswlib
import numpy as np
import onnxruntime
import PIL.Image
import safetensors.numpy
import simplejpeg

SHIPPED = Path(__file__).parents[1] / "src" / "fashionsearch" / "pretrained"
task, folder, photo = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
manifest = json.loads((folder / "manifest.json").read_bytes())
files = folder / manifest["generation"]


def checked(path, expected=None):  # noqa: D103
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != (expected or manifest["files"][path.name]["sha256"]):
        raise SystemExit(f"{path} is damaged")
    return content


def embedded(output):  # noqa: D103
    sums = json.loads((SHIPPED / "shipped.json").read_bytes())["fashion"]
    checked(SHIPPED / "fashion.safetensors", sums["weights"])
    checked(SHIPPED / "fashion.onnx", sums["graph"])
    session = onnxruntime.InferenceSession(SHIPPED / "fashion.onnx", providers=["CPUExecutionProvider"])
    picture = PIL.Image.fromarray(simplejpeg.decode_jpeg(photo.read_bytes(), "RGB"))
    return session.run([output], {"pixels": np.asarray(picture.resize((160, 160), 3))[None]})[0]


if task == "search":
    index, items = (json.loads(checked(files / f"{name}.json")) for name in ("index", "items"))
    rows = safetensors.numpy.load(checked(files / "vectors.safetensors"))
    nodes = safetensors.numpy.load(checked(files / "graph.safetensors"))
    checked(files / "graph.hnsw")
    graph = hnswlib.Index(space=index["metric"], dim=index["dim"])
    graph.load_index(str(files / "graph.hnsw"))
    graph.set_ef(index["ef_search"])
    found, distances = graph.knn_query(embedded("embeddings"), k=5)
    for slot, distance in zip(np.argsort(nodes["labels"])[found[0]], distances[0], strict=True):
        fields = {f["name"]: f["values"][rows[f"field{n}"][slot]] for n, f in enumerate(items["fields"])}
        print(f"{1 - distance:.4f}  {items['ids'][slot]}  {items['sources'][slot] or ''}  {fields}")
else:
    tagger, heads = json.loads(checked(files / "tagger.json")), checked(files / "heads.safetensors")
    (vector,), heads = embedded("familiar"), safetensors.numpy.load(heads)
    for n, attribute in enumerate(tagger["attributes"]):
        powers = np.exp(heads[f"weight.{n}"] @ vector[:-1] + heads[f"bias.{n}"])
        value, chance = attribute["classes"][powers.argmax()], powers.max() / powers.sum()
        print(f"{attribute['name']}  {value}  {chance:.4f}")
    print("unfamiliar" if vector[-1] < tagger["familiar"] else "familiar")
