"""Objectives that make the embeddings of languages alike."""

import torch

from xser_brain.objectives.base import Heard, Objective


class Coral(Objective):
    """Equal means and covariances of the embeddings of all languages in a batch.

    Sun & Saenko, "Deep CORAL: correlation alignment for deep domain adaptation", ECCV
    2016 Workshops: the squared Frobenius distance of covariances over 4 width², here
    with that of the means over width added, averaged over pairs of languages. Languages
    with fewer than two utterances in the batch do not take part.

    Arguments
    ---------
    **options
        See ``Objective``.
    """

    requires = ("languages",)

    def forward(self, heard: Heard, progress: float) -> torch.Tensor:
        """See ``Objective.forward``; zero, with zero gradients, without a pair."""
        embeddings = heard.embeddings.float()
        width = embeddings.shape[1]
        groups = [
            embeddings[heard.languages == language]
            for language in heard.languages.unique().tolist()
        ]
        groups = [group for group in groups if len(group) > 1]
        means = [group.mean(0) for group in groups]
        covariances = [group.T.cov() for group in groups]
        pairs = [
            (means[i] - means[j]).square().sum() / width
            + (covariances[i] - covariances[j]).square().sum() / (4 * width**2)
            for i in range(len(groups))
            for j in range(i)
        ]
        return torch.stack(pairs).mean() if pairs else 0.0 * embeddings.sum()
