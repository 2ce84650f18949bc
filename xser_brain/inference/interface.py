"""An exported model for SpeechBrain's ``EncoderClassifier.from_hparams``.

What its ``hyperparams.yaml`` names. The modules are empty until the pretrainer has found
the folder and fills them with the same model that ``Classifier`` loads.
"""

from collections.abc import Mapping

import torch
from speechbrain.dataio.encoder import CategoricalEncoder
from speechbrain.utils.fetching import FetchConfig, LocalStrategy
from speechbrain.utils.parameter_transfer import Pretrainer
from torch import nn

from data_prep import audio
from xser_brain.inference.loading import load
from xser_brain.inference.model import EmotionModel
from xser_brain.inference.sources import model_folder


class Normaliser:
    """Audio to 16 kHz mono, by the resampler that the model was trained with.

    Example
    -------
    >>> Normaliser()(torch.zeros(8000, 2), 8000).shape
    torch.Size([16000])
    """

    def __call__(self, signal: torch.Tensor, sample_rate: int) -> torch.Tensor:
        """(samples,) or (samples, channels) to (samples,)."""
        samples = signal.detach().cpu().numpy().reshape(len(signal), -1)
        return torch.from_numpy(audio.to_mono(samples, sample_rate)).to(signal.device)


class PassOn(nn.Module):
    """In the place of a normalisation by a corpus: the encoder does its own."""

    def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the waveforms as they are."""
        del lengths
        return waveforms


class Embedding(nn.Module):
    """Waveforms to embeddings."""

    model: EmotionModel

    def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Embed waveforms, 16 kHz mono and padded at the end: (batch, 1, width).

        ``lengths`` are shares of the longest.
        """
        samples = (lengths * waveforms.shape[1]).round().long()
        return self.model.embed(waveforms, samples)[:, None]


class Posteriors(nn.Module):
    """Embeddings to calibrated log-probabilities."""

    model: EmotionModel

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(batch, 1, width) to (batch, 1, labels)."""
        return self.model.classify(embeddings)


class FolderPretrainer(Pretrainer):
    """Fill the modules of ``hyperparams.yaml`` from the folder that it is in.

    Arguments
    ---------
    embedding_model : Embedding
        For waveforms to embeddings.
    classifier : Posteriors
        For embeddings to probabilities.
    label_encoder : CategoricalEncoder
        Gets the model's labels.
    """

    def __init__(
        self,
        embedding_model: Embedding,
        classifier: Posteriors,
        label_encoder: CategoricalEncoder,
    ):
        super().__init__()
        self.modules = embedding_model, classifier
        self.label_encoder = label_encoder
        self.folder = None

    def collect_files(
        self,
        default_source: str | None = None,
        local_strategy: LocalStrategy = LocalStrategy.SYMLINK,
        fetch_config: FetchConfig = FetchConfig(),  # noqa: B008
    ) -> Mapping:
        """Find the folder, on disk or on the hub; nothing is copied from it."""
        del local_strategy
        self.folder = model_folder(default_source, fetch_config.revision)
        return {}

    def load_collected(self) -> None:
        """Load the model."""
        model, config = load(self.folder)
        for module in self.modules:
            module.model = model
        self.label_encoder.update_from_iterable(config["labels"])
        self.label_encoder.expect_len(len(config["labels"]))
