"""Language-aware supervised contrastive loss (Mi, Ma & Toda 2026, section 2.2)."""

import torch

from data_prep.errors import UserError
from xser_brain import waiting
from xser_brain.numbers import number
from xser_brain.objectives.base import Heard, Objective

NORMALISATIONS = ("weights", "positives")
LEAST = 1e-6  # of numbers that must be positive
BLOCK = 1024  # anchors whose logits are made at once, which halves the peak memory


class LanguageAwareSupCon(Objective):
    r"""Pulls utterances of one emotion together, across languages above all.

    The positives P(i) of the anchor i are the other utterances of the batch with its
    emotion, weighted by language_weight where the languages differ and by 1 where they
    agree. With z the embeddings scaled to unit length and T the temperature,

    .. math:: L_i = -\frac{1}{W_i} \sum_{p \in P(i)} w_{ip}
              \log \frac{\exp(z_i z_p / T)}{\sum_{a \ne i} \exp(z_i z_a / T)}

    is averaged over the anchors that have a positive; a batch without any gives zero,
    with zero gradients. A language_weight of 1 is the loss of Khosla et al.,
    "Supervised Contrastive Learning", NeurIPS 2020. An all-zero embedding has the
    cosine similarity 0 with every other.

    Remembered embeddings, if given, are further positives p and others a of every
    anchor (but no anchors), as in Wang et al., "Cross-batch memory for embedding
    learning", CVPR 2020; see ``xser_brain.objectives.memory``.

    The weighted sum over the positives is linear in z: the sums of z over emotions and
    over (emotion, language) cells give it, and the logits stay the only
    (batch, batch) matrix with a gradient.

    Arguments
    ---------
    temperature : float
        Divides the cosine similarities; not stated in the paper.
    language_weight : float
        The paper's lambda, the weight of positives of another language.
    normalise_by : str
        What W_i is: "weights" for the sum of the weights, "positives" for their number.

    **options
        See ``Objective``.

    Raises
    ------
    UserError
        If an argument has no meaning.

    Example
    -------
    >>> supcon = LanguageAwareSupCon(temperature=1.0)
    >>> embeddings = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    >>> emotions, languages = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0])
    >>> supcon.loss(embeddings, emotions, languages)  # log(1 + 1/e)
    tensor(0.3133)
    """

    def __init__(
        self,
        temperature: float = 0.07,
        language_weight: float = 2.5,
        normalise_by: str = "weights",
        **options,
    ) -> None:
        super().__init__(**options)
        self.temperature = number("temperature", temperature, least=LEAST)
        self.language_weight = number(
            "language_weight (lambda)", language_weight, least=LEAST
        )
        if normalise_by not in NORMALISATIONS:
            raise UserError(
                f"contrastive loss: cannot normalise by {normalise_by!r}: "
                f"choose one of {', '.join(NORMALISATIONS)}"
            )
        self.normalise_by = normalise_by

    def forward(self, heard: Heard, progress: float) -> torch.Tensor:
        """See ``Objective.forward``."""
        earlier = heard.remembered
        return self.loss(
            heard.embeddings,
            heard.emotions,
            heard.languages,
            earlier and (earlier.embeddings, earlier.emotions, earlier.languages),
        )

    def loss(
        self,
        embeddings: torch.Tensor,
        emotions: torch.Tensor,
        languages: torch.Tensor,
        remembered: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """The loss of a batch, in fp32 whatever the autocast.

        Arguments
        ---------
        embeddings : (batch, width) torch.Tensor
            Utterance embeddings, of any length and float type.
        emotions : (batch,) torch.Tensor
            Integer emotion of each utterance.
        languages : (batch,) torch.Tensor
            Integer language of each utterance.
        remembered : tuple of torch.Tensor, optional
            Embeddings (remembered, width), emotions and languages (remembered,) of
            earlier batches; see ``xser_brain.objectives.Memory``.

        Returns
        -------
        loss : () torch.Tensor
            The mean over the anchors that have a positive, fp32.
        """
        anchors = len(embeddings)
        candidates = embeddings, emotions, languages
        if remembered is not None:
            candidates = map(torch.cat, zip(candidates, remembered, strict=True))
        with torch.autocast(embeddings.device.type, enabled=False):
            return self._loss(anchors, *candidates)

    def _loss(self, anchors, embeddings, emotions, languages):
        """The loss of the first embeddings, the anchors, among all."""
        z = _unit_length(embeddings.float())  # (candidates, width)
        emotions, languages = numbered(emotions), numbered(languages)
        cells = numbered(emotions * len(z) + languages)
        # A column of ones makes every sum of embeddings carry its count along.
        rows = torch.cat([z, torch.ones_like(z[:, :1])], dim=1)  # (…, width + 1)
        same_emotion = _sum_over_others(anchors, rows, emotions)
        same_cell = _sum_over_others(anchors, rows, cells)
        weighted = same_cell + self.language_weight * (same_emotion - same_cell)
        positives, weights = same_emotion[:, -1], weighted[:, -1]  # (anchors,) each
        similarity = (z[:anchors] * weighted[:, :-1]).sum(dim=1) / self.temperature
        scaled = z[:anchors] / self.temperature  # (anchors, width)
        log_others = torch.cat(
            [
                _log_sum_over_others(block, z, first=i * BLOCK)
                for i, block in enumerate(scaled.split(BLOCK))
            ]
        )  # (anchors,)

        has_positive = positives > 0
        total = weights if self.normalise_by == "weights" else positives
        per_anchor = (weights * log_others - similarity) / total.where(has_positive, 1)
        per_anchor = per_anchor.where(has_positive, 0)
        return per_anchor.sum() / has_positive.sum().clamp(min=1)


def _unit_length(embeddings):
    """Rows scaled to length 1; an all-zero row stays, with a finite gradient."""
    length = torch.linalg.vector_norm(embeddings, dim=1, keepdim=True)
    return embeddings / length.where(length > 0, 1)


def _sum_over_others(anchors, rows, groups):
    """For each of the first rows, the sum of its group's others: (anchors, width)."""
    known = waiting.at_once(groups.device)  # how many there are
    names = groups.unique() if known else torch.arange(len(rows), device=groups.device)
    members = (groups[:, None] == names).to(rows.dtype)  # (candidates, groups)
    return (members.T @ rows)[groups[:anchors]] - rows[:anchors]


def numbered(labels: torch.Tensor) -> torch.Tensor:
    """Number labels from 0 in their order, those that are equal alike.

    What ``torch.unique`` gives as the inverse, for which it would wait for a GPU.

    Arguments
    ---------
    labels : (utterances,) torch.Tensor
        Integers.

    Returns
    -------
    (utterances,) int64 torch.Tensor

    Example
    -------
    >>> numbered(torch.tensor([7, -1, 7, 3]))
    tensor([2, 0, 2, 1])
    """
    ordered, places = labels.sort()
    differs = torch.zeros_like(places)
    differs[1:] = ordered[1:] != ordered[:-1]
    return torch.empty_like(places).scatter_(0, places, differs.cumsum(0))


def _log_sum_over_others(block, z, first):
    """Log-sum-exp of anchors' logits, the first of which is a given row: (block,)."""
    logits = block @ z.T  # (block, candidates)
    # Finite, not -inf: a batch of one has no other utterance to sum over.
    logits.diagonal(first).fill_(torch.finfo(z.dtype).min)
    return logits.logsumexp(dim=1)
