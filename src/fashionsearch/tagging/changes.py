"""Changes to a tagger that need no training: a class more, a class less, and what a person corrected.

Each is a function from one `State` to another; the network stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

from fashionsearch import errors
from fashionsearch.device import torch_defaults
from fashionsearch.images import Images
from fashionsearch.tagging.head import LinearHead
from fashionsearch.tagging.state import State, unit
from fashionsearch.targets import UNKNOWN, Targets, read_labels

if TYPE_CHECKING:
    from fashionsearch.tagging.answers import Labels

_PULL = 1e-5  # towards the prototype
# How frequent the class is taken to be, in classes of average size: more finds more of it, and takes more from others.
_FREQUENT = 1.5
_SAME = 0.9998  # cosine from which on two embeddings are of one picture
_KEEPING = 30.0  # how much all that was learned from counts beside all that was corrected
_NEARNESS = 0.001  # of corrected heads to what they were
_KEPT = 5000  # photos that stand for all where there are more


def add_class(
    state: State, attribute: str, name: Any, embeddings: NDArray[np.float32], parent: Any = None
) -> State:
    """Return a state with one class more, told from the others by a handful of photos.

    Its row of the head starts as the photos' mean direction, scaled as the other rows are (weight imprinting, Qi et al.
    2018, arXiv:1712.07136), and is then fitted to tell these photos from those that were learned from; the other rows stay
    as they are.

    Args:
        state: before.
        attribute: of the class.
        name: of the class.
        embeddings: (n, dim) of its photos.
        parent: the class above it, where the taxonomy has an attribute above; None is that which most of the photos are.

    Raises:
        InputError: if there is no such attribute or parent, or the name can't be a class beside the others.
        DataError: if there is no photo.
    """
    state.check_names({attribute: None})
    classes = _with_name(state.targets.classes[attribute], name, attribute)
    if not len(embeddings):
        raise errors.DataError(f"there is no photo of {name!r}; give at least one, five or more are better")
    embeddings = unit(embeddings)
    above = _class_above(state, attribute, parent, embeddings)
    head, number = state.heads[attribute], len(classes) - 1
    weight, bias = _new_row(head, embeddings, _labelled(state, attribute))
    indices = np.full((len(embeddings), len(state.heads)), UNKNOWN, dtype=np.int64)
    indices[:, state.place(attribute)] = number
    corrected, corrections = _merged(state.corrected, state.corrections, embeddings, indices)
    return replace(
        state,
        heads={
            **state.heads,
            attribute: LinearHead(
                np.concatenate([head.weight, weight[None]]), np.append(head.bias, bias).astype(np.float32)
            ),
        },
        taxonomy=state.taxonomy.with_class(attribute, above),
        targets=Targets(
            _overruled(state, embeddings, indices), {**state.targets.classes, attribute: classes}
        ),
        corrected=corrected,
        corrections=corrections,
    )


def _with_name(classes: NDArray[Any], name: Any, attribute: str) -> NDArray[Any]:
    known = classes.tolist()
    name = name.item() if isinstance(name, np.generic) else name
    if type(name) is not type(known[0]) or name == "":
        raise errors.InputError(
            f"name={name!r} can't be a class of {attribute!r}, whose classes are such as {known[0]!r}; give "
            f"{type(known[0]).__name__}"
        )
    if name in known:
        raise errors.InputError(
            f"{name!r} is a class of {attribute!r} already; use correct to teach more of it"
        )
    return np.array([*known, name], dtype=object if classes.dtype.kind == "O" else None)


def _class_above(state: State, attribute: str, parent: Any, embeddings: NDArray[np.float32]) -> int | None:
    name = state.taxonomy.parents.get(attribute)
    if name is None:
        if parent is not None:
            raise errors.InputError(
                f"parent={parent!r} is given, and the taxonomy has no attribute above {attribute!r}; leave it out"
            )
        return None
    if parent is None:
        said = state.heads[name].logits(embeddings).argmax(axis=1)
        return int(np.bincount(said).argmax())
    known = state.targets.classes[name].tolist()
    if parent not in known:
        raise errors.InputError(
            f"parent={parent!r} is no class of {name!r}, the attribute above {attribute!r}; its classes are "
            f"{', '.join(map(str, known))}.{errors.did_you_mean(parent, known)}"
        )
    return int(known.index(parent))


def _new_row(
    head: LinearHead, photos: NDArray[np.float32], others: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """Return weight (dim,) and bias of a class, by logistic regression with the other classes' logits as they are."""
    mean = photos.mean(axis=0).astype(np.float64)
    mean /= max(float(np.linalg.norm(mean)), 1e-12)
    start = mean * float(np.linalg.norm(head.weight, axis=1).mean())
    against_others = logsumexp(head.logits(others), axis=1) if len(others) else np.zeros(0)
    against_photos = logsumexp(head.logits(photos), axis=1)
    n = max(1, len(others))
    share = _FREQUENT * n / len(head.bias) / len(photos)

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight, bias = values[:-1], values[-1]
        wrongly = others @ weight + bias - against_others
        missed = against_photos - photos @ weight - bias
        value = (np.logaddexp(0, wrongly).sum() + share * np.logaddexp(0, missed).sum()) / n
        up, down = expit(wrongly) / n, share * expit(missed) / n
        pull = weight - start
        slope = others.T @ up - photos.T @ down + 2 * _PULL * pull
        return float(value + _PULL * pull @ pull), np.append(slope, up.sum() - down.sum())

    bias = float(against_photos.mean() - (photos @ start).mean())
    found = minimize(loss, np.append(start, bias), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return found.x[:-1].astype(np.float32), float(found.x[-1])


def _labelled(state: State, attribute: str) -> NDArray[np.float32]:
    """Return embeddings of the photos whose label of an attribute is known, corrections among them."""
    place = state.place(attribute)
    learned, corrected = state.targets.indices[:, place], state.corrections[:, place]
    return np.concatenate([state.embeddings[learned != UNKNOWN], state.corrected[corrected != UNKNOWN]])


def remove_class(state: State, attribute: str, name: Any) -> State:
    """Return a state without a class; what was one is taken for the most similar of the others.

    Raises:
        InputError: if there is no such attribute or class, or only one class would be left.
    """
    state.check_names({attribute: None})
    classes = state.targets.classes[attribute]
    known = classes.tolist()
    name = name.item() if isinstance(name, np.generic) else name
    if name not in known or type(name) is not type(known[0]):
        raise errors.InputError(
            f"{name!r} is no class of {attribute!r}.{errors.did_you_mean(name, known)} The classes are "
            f"{', '.join(map(str, known))}"
        )
    if len(known) < 3:
        raise errors.InputError(
            f"removing {name!r} would leave {attribute!r} with a single class; keep at least two"
        )
    index, place, head = known.index(name), state.place(attribute), state.heads[attribute]

    def without(indices: NDArray[np.int64]) -> NDArray[np.int64]:
        changed, column = indices.copy(), indices[:, place]
        changed[:, place] = np.where(column == index, UNKNOWN, column - (column > index))
        return changed

    return replace(
        state,
        heads={
            **state.heads,
            attribute: LinearHead(np.delete(head.weight, index, axis=0), np.delete(head.bias, index)),
        },
        taxonomy=state.taxonomy.without_class(attribute, index),
        targets=Targets(
            without(state.targets.indices), {**state.targets.classes, attribute: np.delete(classes, index)}
        ),
        corrections=without(state.corrections),
    )


def correct(state: State, embeddings: NDArray[np.float32], labels: Mapping[str, NDArray[np.int64]]) -> State:
    """Return a state whose heads follow a person's corrections, and otherwise say what they said.

    On photos that were learned from, a head keeps to its own probabilities (learning without forgetting, Li and Hoiem 2016,
    arXiv:1606.09282), and so stays calibrated.

    Args:
        state: before.
        embeddings: (n, dim) of the corrected photos.
        labels: attribute -> (n,) class indices, −1 where nothing was corrected.
    """
    fresh = np.full((len(embeddings), len(state.heads)), UNKNOWN, dtype=np.int64)
    for name, column in labels.items():
        fresh[:, state.place(name)] = column
    embeddings = unit(embeddings)
    corrected, corrections = _merged(state.corrected, state.corrections, embeddings, fresh)
    indices = _overruled(state, embeddings, fresh)
    changed = replace(
        state,
        targets=Targets(indices, state.targets.classes),
        corrected=corrected,
        corrections=corrections,
    )
    touched = [name for name, column in labels.items() if (column != UNKNOWN).any()]
    return replace(changed, heads={**state.heads, **{name: _refitted(changed, name) for name in touched}})


def _merged(
    old: NDArray[np.float32],
    old_indices: NDArray[np.int64],
    new: NDArray[np.float32],
    new_indices: NDArray[np.int64],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return all corrections, of which a later one of the same picture overrules an earlier one."""
    if len(old):
        same = new @ old.T > _SAME
        for row in np.flatnonzero(same.any(axis=1)):
            said = new_indices[row] != UNKNOWN
            old_indices = old_indices.copy()
            old_indices[np.ix_(same[row], said)] = new_indices[row][said]
        again = same.any(axis=1)
        new, new_indices = new[~again], new_indices[~again]
    return np.concatenate([old, new]), np.concatenate([old_indices, new_indices])


def _overruled(state: State, embeddings: NDArray[np.float32], fresh: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the learned labels without those that a correction of the same picture contradicts."""
    indices = state.targets.indices.copy()
    if len(indices):
        for row, vector in enumerate(embeddings):
            same = state.embeddings @ vector > _SAME
            indices[np.ix_(same, fresh[row] != UNKNOWN)] = UNKNOWN
    return indices


def _refitted(state: State, attribute: str) -> LinearHead:
    place, head = state.place(attribute), state.heads[attribute]
    given = state.corrections[:, place] != UNKNOWN
    kept = state.embeddings[state.targets.indices[:, place] != UNKNOWN]
    if len(kept) > _KEPT:
        kept = kept[np.random.default_rng(0).permutation(len(kept))[:_KEPT]]
    with torch_defaults():
        before = torch.from_numpy(head.probabilities(kept))
        photos, others = torch.from_numpy(state.corrected[given]).double(), torch.from_numpy(kept).double()
        wanted = torch.from_numpy(state.corrections[given, place])
        weight = torch.from_numpy(head.weight).double().requires_grad_(True)
        bias = torch.from_numpy(head.bias).double().requires_grad_(True)
        start = weight.detach().clone()
        optimiser = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            value = torch.nn.functional.cross_entropy(photos @ weight.T + bias, wanted)
            if len(others):
                said = torch.log_softmax(others @ weight.T + bias, dim=1)
                value = value - _KEEPING * (before * said).sum(dim=1).mean()
            value = value + _NEARNESS * (weight - start).square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimiser.step(loss)  # type: ignore[no-untyped-call]
    return LinearHead(weight.detach().numpy().astype(np.float32), bias.detach().numpy().astype(np.float32))


def corrected_indices(state: State, images: Images, labels: Labels) -> dict[str, NDArray[np.int64]]:
    """Return attribute -> (n,) class indices of corrected labels, −1 where nothing was corrected.

    Raises:
        InputError: if a name is no attribute, or a label no class.
        DataError: if an attribute has not one label for each image.
    """
    if isinstance(labels, Mapping) and not labels:
        return {}  # as load_corrections reads a file in which nothing was changed
    found = {}
    for attribute, given in state.check_names(labels).items():
        values, known = read_labels(images, given, f"labels of {attribute!r}")
        place = {name: index for index, name in enumerate(state.targets.classes[attribute].tolist())}
        spelled = {str(name): name for name in place}
        indices = np.full(len(known), UNKNOWN, dtype=np.int64)
        for position in np.flatnonzero(known).tolist():
            label = values[position].item() if isinstance(values[position], np.generic) else values[position]
            if isinstance(label, str) and label not in place:  # a table says numbers as text
                label = spelled.get(label, label)
            if label not in place:
                raise errors.InputError(
                    f"position {position} is corrected to {label!r}, which is no class of {attribute!r}."
                    f"{errors.did_you_mean(label, place)} add_class({attribute!r}, {label!r}, images) makes it one"
                )
            indices[position] = place[label]
        found[attribute] = indices
    return found
