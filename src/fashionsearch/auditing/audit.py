"""`audit`: a doctor for catalogues."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashionsearch import errors
from fashionsearch.auditing import columns, features
from fashionsearch.auditing.contradictions import Catalogue, contradictions
from fashionsearch.auditing.duplicates import Pairs, duplicates, find_pairs, leaks
from fashionsearch.auditing.mislabels import mislabels, with_products
from fashionsearch.auditing.photos import Look, broken_photos, copies_of, look_at, thumbnails_of
from fashionsearch.datasets.table import Table
from fashionsearch.images import source_of, thumbnail_uri
from fashionsearch.images.decoding import Image
from fashionsearch.pretrained import learned_from
from fashionsearch.results import Audit, Leak, LeakFree
from fashionsearch.targets import UNKNOWN, Targets

if TYPE_CHECKING:
    from fashionsearch.encoder import Embeds

_FEWEST = 10  # photos, below which nothing can be learned of one by the others
_NEAREST = 5


def audit(
    table: Table,
    encoder: str | Embeds = "efficientnet_lite0",
    *,
    group: str | ArrayLike | None = None,
    split: str | ArrayLike | None = None,
    attributes: str | Sequence[str] | None = None,
    random_state: int | None = None,
    progress: bool = True,
) -> Audit:
    """Find what is probably wrong with a catalogue: labels, copies, leaks, broken photos, contradictions.

    A label is doubted by self-confidence (Northcutt et al. 2021, arXiv:1911.00068): how probable it is by small networks that
    learned from photos of other products alone, and by the nearest photos; other photos of the same product have a say
    where the labels of one product mostly agree. A class that only one product has can't be checked so, and ranks high.
    Labels count in an attribute where they are known; `""` is unknown.

    Args:
        table: photos and labels. Photos that can't be read are listed as broken.
        encoder: a backbone or its name, a tagger, a classifier, or anything else with `dim` and `embed`. Of a tagger, what
            lies below its embedding is used. One that was fine-tuned on this very table believes what is wrong in it.
        group: which photos are of one product: a column's name, or one value for each row, "" for a product of its own.
            Photos of one product are not duplicates of each other, but a leak where they are in two parts of a split.
        split: which part of a split a photo is in, likewise; "train" is what is learned from, else the first that comes.
        attributes: the columns to check; None is all that look like labels: text of at most four words on average, of 2 to
            1,000 different values, each on five photos or more on average.
        random_state: of folds and networks; None is 0.
        progress: show bars once something takes over two seconds.

    Returns:
        `Audit`: `mislabels`, `duplicates`, `leaks`, `broken` and `contradictions`, each with the most probable fault first,
        and with a split the `accuracies` with and without leaks. `report(path)` draws them, `to_csv(path)` writes them.

    Warns:
        DataWarning: if the accuracies leave out photos, because a network that ships has learned from them.

    Raises:
        DataError: if the table is empty or no column can be checked, a name is no column, or group or split have not one
            value for each row.
        InputError: if the encoder doesn't embed, or returns what are no finite embeddings.
        NotFittedError: if the encoder must learn first.

    Examples:
        >>> import fashionsearch as fs
        >>> table = fs.datasets.make_catalogue(60, seed=0, size=(48, 64))
        >>> backbone = fs.create_backbone("efficientnet_lite0", image_size=64)
        >>> found = fs.audit(table, backbone, attributes=["masterCategory"], progress=False)
        >>> len(found.broken), len(found.duplicates)
        (0, 0)
    """
    if not isinstance(table, Table):
        raise errors.InputError(
            f"{type(table).__name__} is not a table; make one with fashionsearch.datasets, such as load_csv or Table"
        )
    if not len(table):
        raise errors.DataError("the table has no rows, so there is nothing to check")
    groups = columns.texts_of(table, group, "group")
    parts = columns.texts_of(table, split, "split")
    names = columns.attributes_of(table, attributes, (group, split) if attributes is None else ())
    order = [] if parts is None else columns.order_of_parts(parts)
    embeds = features.embedder(encoder, progress=progress)
    images: list[Image] = list(table.images)
    sources = np.array([*(source_of(image) for image in images), None], dtype=object)[:-1]
    readable, looks, failures = look_at(images, progress=progress)
    rows = np.array(readable, dtype=np.intp)
    products = columns.products_of(groups, len(table))[rows]
    seen = _see(embeds, [images[row] for row in readable], looks) if len(rows) > 1 else None
    broken = broken_photos(readable, looks, failures, seen.likeness() if seen else np.zeros(0), sources)
    found = Audit(
        broken=tuple(broken),
        labels={name: table[name] for name in names},
        sources=sources,
        _thumbnail=partial(_thumbnail, images),
    )
    if seen is None:
        return found
    measured = np.ones(len(rows), dtype=bool)
    if parts is not None:
        measured = _unlearned(encoder, [images[row] for row in readable], parts[rows] != order[0])
    return _complete(
        found,
        seen,
        rows,
        products,
        None if parts is None else parts[rows],
        order,
        measured,
        random_state or 0,
        progress,
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is known of the m photos that can be read.

    Attributes:
        features: (m, dim) float32.
        neighbours: (m, k) places of the nearest others, and their cosines.
        pairs: which are the same, or nearly.
    """

    features: NDArray[np.float32]
    neighbours: tuple[NDArray[np.intp], NDArray[np.float64]]
    pairs: Pairs

    def likeness(self) -> NDArray[np.float64]:
        """Return (m,) the mean cosine of each photo with the nearest others."""
        return np.asarray(self.neighbours[1][:, :_NEAREST].mean(axis=1))


def _see(embeds: Embeds, images: list[Image], looks: list[Look]) -> _Seen:
    reduced = features.reduced(features.embed(embeds, images))
    neighbours = features.neighbours_of(reduced)
    return _Seen(reduced, neighbours, find_pairs(copies_of(looks), thumbnails_of(looks), neighbours))


def _complete(
    found: Audit,
    seen: _Seen,
    rows: NDArray[np.intp],
    products: NDArray[np.intp],
    parts: NDArray[np.str_] | None,
    order: list[str],
    measured: NDArray[np.bool_],
    seed: int,
    progress: bool,
) -> Audit:
    """Return an audit with what photos and labels say, beside the broken photos that it has."""
    from dataclasses import replace

    from fashionsearch.auditing.out_of_fold import out_of_fold

    doubles = duplicates(seen.pairs, products, rows, found.sources)
    leaked: list[Leak] = []
    if parts is not None:
        leaked = leaks(seen.pairs, products, parts, order, rows, found.sources)
    targets = _targets({name: labels[rows] for name, labels in found.labels.items()})
    found = replace(found, duplicates=tuple(doubles), leaks=tuple(leaked))
    if len(rows) < _FEWEST:
        return found
    # A copy must not give a label away, whatever product it is called.
    near = [(int(one), int(other)) for one, other in seen.pairs.near]
    apart = columns.joined(products, [*_chain(seen.pairs.copies), *near])
    neighbours = features.of_others(seen.neighbours, apart)
    said = out_of_fold(seen.features, targets, apart, neighbours, seed=seed, progress=progress)
    together = {name: with_products(each, targets.of(name), products) for name, each in said.items()}
    accuracies: list[LeakFree] = []
    if parts is not None:
        clean = ~np.isin(rows, [leak.row for leak in leaked])
        accuracies = _accuracies(seen.features, targets, parts, order, measured, clean, seed)
    return replace(
        found,
        mislabels=tuple(mislabels(together, targets, rows, found.sources)),
        contradictions=tuple(
            contradictions(Catalogue(targets, said, products, seen.pairs.copies, rows, found.sources))
        ),
        accuracies=tuple(accuracies),
    )


def _unlearned(encoder: object, images: list[Image], later: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (m,) bool: which photos no shipped network learned from, and warn where some of the later parts are others."""
    learned = learned_from(encoder, images)
    if (learned & later).any():
        warnings.warn(
            f"the accuracies leave out {int((learned & later).sum()):,} of {int(later.sum()):,} photos, which the encoder "
            "learned from",
            errors.DataWarning,
            stacklevel=3,
        )
    return ~learned


def _targets(labels: dict[str, NDArray[np.str_]]) -> Targets:
    """Return class indices of labels, in which "" is unknown."""
    classes, found = {}, []
    for name, values in labels.items():
        known = values != ""
        classes[name], inverse = np.unique(values[known], return_inverse=True)
        indices = np.full(len(values), UNKNOWN, dtype=np.int64)
        indices[known] = inverse
        found.append(indices)
    return Targets(np.stack(found, axis=1), classes)


def _chain(numbers: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Return pairs of places that join all photos of the same number."""
    first = np.unique(numbers, return_index=True)[1]
    return [(int(first[number]), place) for place, number in enumerate(numbers.tolist())]


def _accuracies(
    vectors: NDArray[np.float32],
    targets: Targets,
    parts: NDArray[np.str_],
    order: list[str],
    measured: NDArray[np.bool_],
    clean: NDArray[np.bool_],
    seed: int,
) -> list[LeakFree]:
    """Return how well the labels of each later part's measured photos are predicted from the first part's."""
    from fashionsearch.auditing.out_of_fold import predict

    learned = parts == order[0]
    if np.count_nonzero(learned) < _FEWEST:
        return []
    said = predict(vectors[learned], targets.indices[learned], targets, vectors, seed=seed)
    found = []
    for name, probabilities in said.items():
        labels = targets.of(name)
        right = probabilities.argmax(axis=1) == labels
        for part in order[1:]:
            known = (parts == part) & (labels != UNKNOWN) & measured
            if known.any():
                without = known & clean
                found.append(
                    LeakFree(
                        name,
                        order[0],
                        part,
                        float(right[known].mean()),
                        float(right[without].mean()) if without.any() else float("nan"),
                        int(np.count_nonzero(known)),
                        int(np.count_nonzero(known & ~clean)),
                    )
                )
    return found


def _thumbnail(images: Sequence[Image], row: int) -> str:
    return thumbnail_uri(images[row], side=160)
