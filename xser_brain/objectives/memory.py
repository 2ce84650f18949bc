"""Embeddings of earlier batches as further company for the contrastive loss."""

import torch

from data_prep.errors import UserError


class EmbeddingMemory(torch.nn.Module):
    """The last embeddings, first in, first out, without gradients.

    Cross-batch memory (Wang et al., "Cross-batch memory for embedding learning", CVPR
    2020): embeddings drift slowly once training has settled, so that those of the last
    batches are as good as new ones to compare with. Not part of the paper's method.

    All of its state is in buffers, and so in checkpoints.

    Arguments
    ---------
    size : int
        Embeddings remembered.
    width : int
        Of an embedding.
    start : int
        Batches added before any is recalled, while embeddings still change fast.

    Raises
    ------
    UserError
        If an argument has no meaning.

    Example
    -------
    >>> memory = EmbeddingMemory(size=3, width=1)
    >>> memory.recall() is None
    True
    >>> for batch in ([[1.0], [2.0]], [[3.0], [4.0]]):
    ...     memory.add(torch.tensor(batch), torch.tensor([0, 1]), torch.tensor([2, 2]))
    >>> embeddings, emotions, languages = memory.recall()
    >>> sorted(embeddings[:, 0].tolist())
    [2.0, 3.0, 4.0]
    """

    def __init__(self, size: int, width: int, start: int = 0) -> None:
        super().__init__()
        for name, value, least in (("size", size, 1), ("start", start, 0)):
            if value < least:
                raise UserError(
                    f"contrastive memory: its {name} is {value}: set at least {least}"
                )
        self.start = start
        self.register_buffer("embeddings", torch.zeros(size, width))
        self.register_buffer("emotions", torch.zeros(size, dtype=torch.long))
        self.register_buffer("languages", torch.zeros(size, dtype=torch.long))
        self.register_buffer("batches", torch.tensor(0))  # added so far
        self.register_buffer("utterances", torch.tensor(0))

    @torch.no_grad()
    def add(
        self,
        embeddings: torch.Tensor,
        emotions: torch.Tensor,
        languages: torch.Tensor,
    ) -> None:
        """Remember a batch, in place of the oldest utterances.

        Arguments
        ---------
        embeddings : (batch, width) torch.Tensor
            Utterance embeddings; those that are not finite are left out.
        emotions : (batch,) torch.Tensor
            Integer emotion of each utterance.
        languages : (batch,) torch.Tensor
            Integer language of each utterance.
        """
        size = len(self.embeddings)
        finite = embeddings.isfinite().all(dim=1).nonzero()[-size:, 0]
        places = torch.arange(len(finite), device=finite.device) + self.utterances
        places %= size
        self.embeddings[places] = embeddings[finite].float()
        self.emotions[places] = emotions[finite]
        self.languages[places] = languages[finite]
        self.batches += 1
        self.utterances += len(finite)

    def recall(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        """What is remembered; ask before adding the batch to be compared with it.

        Returns
        -------
        tuple of torch.Tensor, or None
            Embeddings (remembered, width), emotions and languages (remembered,), which
            hold until the next batch is added; None before ``start`` batches, and as
            long as nothing is remembered.
        """
        count = min(int(self.utterances), len(self.embeddings))
        if int(self.batches) < self.start or count == 0:
            return None
        columns = self.embeddings, self.emotions, self.languages
        return tuple(column[:count] for column in columns)
