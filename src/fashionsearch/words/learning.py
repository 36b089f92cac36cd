"""Learns `Words` from titles and the embeddings of the photos that bear them, by contrast.

A title is to be nearer to its photo than to others, and a photo to its title (Radford et al. 2021, "Learning transferable
visual models from natural language supervision").
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from fashionsearch import errors
from fashionsearch.device import torch_defaults
from fashionsearch.embedding import progress_bar
from fashionsearch.words.misspelling import misspelt
from fashionsearch.words.tokens import Tokens, check_texts, pieces_of, tokens
from fashionsearch.words.words import LAYERS, Words

FEWEST = 20  # titles that differ
_MEMBERS = 3
HIDDEN, WIDTH, BENT = 64, 128, 256
_RANK = 256
MOST_PIECES = 20_000  # five megabytes; rarer ones say little of titles that are yet to come
_LEAST = 2  # titles that must have a piece
_EPOCHS = 10
_FEWEST_STEPS, _MOST_STEPS = 200, 1_000
_BATCH_SIZE = 1024
_LEARNING_RATE = 3e-3
_SHRINKAGE = 0.01  # of the mean variance, added to each when whitening
_SHORTENED = 0.5  # of the titles lose words, so that "red shirt" is understood though no title is as short
_KEPT = (0.2, 0.9)  # the share of words that such a title keeps
_MISSPELT = 0.2  # of the titles have an edit in most words
_MOST_KEPT = 64  # words of a title; of those beyond, all are kept
_SCALE, _LARGEST_SCALE = 14.0, 100.0


def learn_words(
    titles: Sequence[str],
    vectors: NDArray[np.float32],
    *,
    start: Words | None = None,
    members: int = _MEMBERS,
    most_pieces: int = MOST_PIECES,
    random_state: int = 0,
    progress: bool = False,
) -> Words:
    """Learn to embed texts from the titles of photos.

    The same `random_state` gives the same words, on one machine with as many threads.

    Args:
        titles: n texts.
        vectors: (n, dim) float32, the photos' embeddings, of length 1.
        start: words to go on from, of the same space; None starts anew.
        members: networks that are averaged, where nothing is started from.
        most_pieces: that are learned, the commonest, beside those of `start`.
        random_state: of first weights, batches and what is left out of titles.
        progress: show a bar.

    Raises:
        InputError: if a title is empty or too long, or fewer than 20 differ.
    """
    number = {text: place for place, text in enumerate(dict.fromkeys(check_texts(titles, "title")))}
    texts, which = list(number), np.array([number[text] for text in titles])
    if len(texts) < FEWEST:
        raise errors.InputError(
            f"{len(texts)} titles differ, and words are learned from at least {FEWEST}; give the titles of more items"
        )
    generator = np.random.default_rng(random_state)
    cached = functools.cache(pieces_of)
    read = [tokens(text, cached) for text in texts]
    wrong = [tokens(misspelt(text, generator), cached) for text in texts]
    hashes = _known(read, most_pieces, start)
    bags = _Bags([*read, *wrong], hashes)
    center, basis = _whitening(vectors) if start is None else (start.center, start.basis.astype(np.float32))
    white = torch.from_numpy((vectors - center) @ basis.T)
    networks = []
    count = members if start is None else start.table.shape[1]
    size = min(_BATCH_SIZE, len(texts))
    batches = max(len(titles) // size, 1)
    epochs = min(max(_EPOCHS, -(-_FEWEST_STEPS // batches)), max(_MOST_STEPS // batches, 1))
    with (
        torch_defaults(),
        torch.random.fork_rng(devices=[]),
        progress_bar(count * epochs, "learning words", "epoch", shown=progress) as advance,
    ):
        for member in range(count):
            torch.default_generator.manual_seed(int(generator.integers(2**31)))
            network = _Network(len(hashes), len(basis))
            if start is not None:
                network.take_over(start, member, hashes)
            _fit(network, bags, which, white, len(texts), size, epochs, generator, advance)
            networks.append(network)
    return _packed(networks, hashes, center, basis)


class _Bags:
    """The pieces of many texts, by their places among the known hashes."""

    def __init__(self, read: Sequence[Tokens], hashes: NDArray[np.uint32]) -> None:
        lengths = [len(each.hashes) for each in read]
        text = np.repeat(np.arange(len(read)), lengths)
        all_hashes = np.concatenate([each.hashes for each in read])
        places = np.minimum(np.searchsorted(hashes, all_hashes), len(hashes) - 1)
        known = hashes[places] == all_hashes
        self._places = places[known]
        self._first = np.minimum(np.concatenate([each.first for each in read])[known], _MOST_KEPT - 1)
        self._last = np.minimum(np.concatenate([each.last for each in read])[known], _MOST_KEPT - 1)
        self._counts = np.bincount(text[known], minlength=len(read))
        self._starts = np.cumsum(self._counts) - self._counts

    def draw(self, rows: NDArray[np.intp], kept: NDArray[np.bool_]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the places of pieces of texts, and where each text's begin, without those of words that aren't kept."""
        counts = self._counts[rows]
        query = np.repeat(np.arange(len(rows)), counts)
        at = (
            np.arange(len(query))
            - np.repeat(np.cumsum(counts) - counts, counts)
            + np.repeat(self._starts[rows], counts)
        )
        here = kept[query, self._first[at]] & kept[query, self._last[at]]
        starts = np.searchsorted(query[here], np.arange(len(rows)))
        return torch.from_numpy(self._places[at[here]]), torch.from_numpy(starts)


class _Network(nn.Module):
    """The mean of pieces' vectors, through a layer; and photos, through two. Both are made 1 long.

    A second layer of the text says where in the photos' own space to look for candidates.
    """

    def __init__(self, pieces: int, rank: int) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(pieces, HIDDEN, mode="mean")
        nn.init.normal_(self.table.weight, std=0.1)
        self.said, self.probe = nn.Linear(HIDDEN, WIDTH), nn.Linear(HIDDEN, rank)
        self.straight, self.bent = nn.Linear(rank, WIDTH), nn.Linear(rank, BENT)
        self.dropout, self.unbent = nn.Dropout(0.1), nn.Linear(BENT, WIDTH, bias=False)
        self.scales = nn.Parameter(torch.full((2,), math.log(_SCALE)))

    def forward(self, places: torch.Tensor, starts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = self.table(places, starts)
        return F.normalize(self.said(mean), dim=1), F.normalize(self.probe(mean), dim=1)

    def see(self, white: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.straight(white) + self.unbent(self.dropout(F.relu(self.bent(white)))), dim=1)

    @torch.no_grad()
    def take_over(self, words: Words, member: int, hashes: NDArray[np.uint32]) -> None:
        """Go on from words whose hashes are among these; new pieces start at nothing."""
        self.table.weight.zero_()
        places = torch.from_numpy(np.searchsorted(hashes, words.hashes).astype(np.int64))
        known = words.table[:, member].astype(np.float32) * words.scale[:, member, None].astype(np.float32)
        self.table.weight[places] = torch.from_numpy(known)
        for name in LAYERS:
            getattr(self, name).weight.copy_(
                torch.from_numpy(words.layers[name][member].T.astype(np.float32))
            )
            if f"{name}_bias" in words.layers:
                getattr(self, name).bias.copy_(
                    torch.from_numpy(words.layers[f"{name}_bias"][member].astype(np.float32))
                )


def _known(read: Sequence[Tokens], most: int, start: Words | None) -> NDArray[np.uint32]:
    """Return the hashes of the pieces that enough titles have, ascending, and those known before."""
    found, counts = np.unique(np.concatenate([np.unique(each.hashes) for each in read]), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    chosen = found[order[counts[order] >= min(_LEAST, counts.max())]]
    return np.union1d(chosen, () if start is None else start.hashes).astype(np.uint32)


def _whitening(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean, and (r, dim) directions in which vectors have equal spread, so that they are 1 long on average.

    Raises:
        InputError: if all vectors are the same.
    """
    exact = vectors.astype(np.float64)
    center = exact.mean(axis=0)
    if np.abs(exact - center).max() < 1e-6:
        raise errors.InputError(
            "all photos with a title have the same vector, so no word can tell them apart; add others"
        )
    variances, axes = np.linalg.eigh(
        np.cov(exact, rowvar=False, bias=True).reshape(exact.shape[1], exact.shape[1])
    )
    variances, axes = np.maximum(variances[::-1][:_RANK], 0), axes[:, ::-1][:, :_RANK]
    basis = (axes / np.sqrt(variances + _SHRINKAGE * variances.mean())).T
    length = np.linalg.norm((exact - center) @ basis.T, axis=1).mean()
    return center.astype(np.float32), (basis / length).astype(np.float32)


def _fit(
    network: _Network,
    bags: _Bags,
    which: NDArray[np.intp],
    white: torch.Tensor,
    texts: int,
    size: int,
    epochs: int,
    generator: np.random.Generator,
    advance: Callable[[int], object],
) -> None:
    """Learn in one cycle; photos of one title are alike, and no contrast to each other."""
    batches = max(len(which) // size, 1)
    optimiser = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, _LEARNING_RATE, total_steps=epochs * batches, pct_start=0.2
    )
    network.train()
    for _ in range(epochs):
        order = generator.permutation(len(which))
        for begin in range(0, batches * size, size):
            photos = order[begin : begin + size]
            titles = which[photos]
            share = np.where(
                generator.random(len(photos)) < _SHORTENED, generator.uniform(*_KEPT, len(photos)), 1.0
            )
            kept = generator.random((len(photos), _MOST_KEPT)) < share[:, None]
            rows = titles + texts * (generator.random(len(photos)) < _MISSPELT)
            said, probes = network(*bags.draw(rows, kept))
            seen = white[torch.from_numpy(photos)]
            alike = torch.from_numpy(titles[:, None] == titles[None]).float()
            wanted = alike / alike.sum(dim=1, keepdim=True)
            first, second = network.scales.exp()
            loss = _contrast(first * (said @ network.see(seen).T), wanted)
            loss = loss + _contrast(second * (probes @ seen.T), wanted)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                network.scales.clamp_(max=math.log(_LARGEST_SCALE))
        advance(1)
    network.eval()


def _contrast(scores: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return how far titles are from choosing their photos, and photos their titles; `wanted` is symmetric."""
    return F.cross_entropy(scores, wanted) + F.cross_entropy(scores.T, wanted)


@torch.no_grad()
def _packed(
    networks: Sequence[_Network],
    hashes: NDArray[np.uint32],
    center: NDArray[np.float32],
    basis: NDArray[np.float32],
) -> Words:
    table = np.stack([network.table.weight.numpy() for network in networks], axis=1)
    scale = (np.maximum(np.abs(table).max(axis=2), 1e-6) / 127).astype(np.float16)
    whole = (
        np.rint(table / np.maximum(scale[:, :, None].astype(np.float32), 1e-8))
        .clip(-127, 127)
        .astype(np.int8)
    )
    layers = {}
    for name in LAYERS:
        each = [getattr(network, name) for network in networks]
        layers[name] = np.stack([layer.weight.numpy().T for layer in each]).astype(np.float16)
        if each[0].bias is not None:
            layers[f"{name}_bias"] = np.stack([layer.bias.numpy() for layer in each]).astype(np.float16)
    return Words(hashes, whole, scale, center.astype(np.float32), basis.astype(np.float16), layers)
