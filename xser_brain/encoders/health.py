"""Warnings about checkpoints whose last layer says little about how things are said."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch.nn import functional

CONSTANT = 0.99  # mean pairwise cosine above which vectors hardly differ
# Time of transcribed speech, or "ft": wav2vec2-base-960h, data2vec-audio-base-10m,
# hubert-large-ls960-ft; but neither hubert-base-ls960 nor wav2vec2-xls-r-300m.
FINE_TUNED = re.compile(r"-(10m|1h|10h|100h|960h|ft)(?![a-z0-9])", re.IGNORECASE)


def mean_cosine(vectors: Iterable[torch.Tensor]) -> torch.Tensor:
    """Mean cosine similarity over all pairs of (..., width) utterances, two at least.

    From the sum s of the N unit vectors, as (|s|² - N) / (N (N - 1)).

    Example
    -------
    >>> mean_cosine(torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])).item()
    0.3333333333333333
    """
    total, count = 0.0, 0
    for vector in vectors:
        total = total + functional.normalize(vector.double(), dim=-1)
        count += 1
    return (total.square().sum(-1) - count) / (count * (count - 1))


def check_layers(
    pooled: Mapping[str, torch.Tensor] | torch.Tensor, threshold: float = CONSTANT
) -> list[str]:
    """Warn of a last layer that gives nearly the same vector for every utterance.

    Arguments
    ---------
    pooled : mapping of str to (layers, width) torch.Tensor, or one
             (utterances, layers, width) torch.Tensor
        Means over frames, as the cache gives them; some dozens of utterances do.
    threshold : float
        Mean pairwise cosine above which to warn.

    Returns
    -------
    list of str
        Warnings; empty if all is well, or with fewer than two utterances.

    Example
    -------
    >>> torch.manual_seed(0).initial_seed()
    0
    >>> pooled = torch.randn(20, 3, 8)
    >>> check_layers(pooled)
    []
    >>> pooled[:, 2] += 100
    >>> [warning.split(":")[0] for warning in check_layers(pooled)]
    ['layer 2, the last, gives nearly the same vector for every utterance']
    """
    if len(pooled) < 2:
        return []
    vectors = pooled.values() if isinstance(pooled, Mapping) else pooled
    cosines = mean_cosine(vectors)  # (layers,)
    last, best = len(cosines) - 1, int(cosines.argmin())
    if cosines[last] <= threshold:
        return []
    advice = f"the vectors of layer {best} differ most ({cosines[best]:.4f}): prefer it"
    if best == last:
        advice = "there is no better layer: use another checkpoint"
    return [
        f"layer {last}, the last, gives nearly the same vector for every utterance: "
        f"their mean pairwise cosine is {cosines[last]:.4f}; {advice}"
    ]


def check_source(config: object) -> list[str]:
    """Warn of a model that was fine-tuned to recognise words, by its configuration.

    Example
    -------
    >>> from transformers import HubertConfig
    >>> check_source(HubertConfig(architectures=["HubertModel"]))
    []
    >>> len(check_source(HubertConfig(architectures=["HubertForCTC"])))
    1
    """
    name = str(getattr(config, "name_or_path", "") or "").rstrip("/")
    signs = [a for a in config.architectures or [] if a.endswith("ForCTC")]
    signs += [match[0] for match in FINE_TUNED.finditer(name.rpartition("/")[2])]
    if not signs:
        return []
    return [
        f"{name or 'this model'} was fine-tuned for speech recognition "
        f"({', '.join(signs)}): its upper layers keep the words rather than how they "
        "are said; prefer lower layers or the checkpoint it was tuned from"
    ]
