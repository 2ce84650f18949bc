"""The trained parts of a run as one module: waveforms in, calibrated emotions out."""

import hashlib

import torch
from torch import nn

from xser_brain.encoders import Encoder
from xser_brain.encoders.adapters import trainable_state
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.model import EmbeddingHead


class EmotionModel(nn.Module):
    """Encoder, head and classifier of a run.

    Arguments
    ---------
    encoder : Encoder
        As the run trained it.
    head : EmbeddingHead
        From the encoder's layers to the embedding.
    classifier : torch.nn.Linear
        From the embedding to logits.
    temperature : float
        What the logits are divided by (Guo et al. 2017).
    statistics : (2, width) torch.Tensor, optional
        Mean and standard deviation of training embeddings.

    Example
    -------
    >>> from xser_brain.encoders.ecapa import ECAPAEncoder
    >>> encoder = ECAPAEncoder(width=8, n_mels=20, channels=8).eval()
    >>> model = EmotionModel(encoder, EmbeddingHead(1, 8), nn.Linear(8, 4))
    >>> model(torch.rand(2, 9000), torch.tensor([9000, 7000])).shape
    torch.Size([2, 4])
    """

    def __init__(
        self,
        encoder: Encoder,
        head: EmbeddingHead,
        classifier: nn.Linear,
        temperature: float = 1.0,
        statistics: torch.Tensor | None = None,
    ):
        super().__init__()
        self.encoder, self.head, self.classifier = encoder, head, classifier
        self.temperature = temperature
        self.register_buffer("statistics", statistics)

    def embed(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Embed utterances.

        Arguments
        ---------
        waveforms : (batch, samples) torch.Tensor
            16 kHz mono, padded at the end.
        lengths : (batch,) torch.Tensor
            Samples of each utterance.

        Returns
        -------
        (batch, width) torch.Tensor
        """
        return self.head(self.encoder(waveforms, lengths))

    def classify(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Calibrated log-probabilities.

        Arguments
        ---------
        embeddings : (..., width) torch.Tensor
            From ``embed``.

        Returns
        -------
        (..., emotions) float32 torch.Tensor
        """
        logits = self.classifier(embeddings).float()
        return (logits / self.temperature).log_softmax(-1)

    def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """From waveforms to calibrated log-probabilities; see ``embed``."""
        return self.classify(self.embed(waveforms, lengths))

    def trained(self) -> dict[str, torch.Tensor]:
        """What a pretrained encoder must be given beside its own weights.

        Returns
        -------
        dict of str to torch.Tensor
            By name in this module.
        """
        encoder = (
            trainable_state(self.encoder)
            if isinstance(self.encoder, PretrainedEncoder)
            else self.encoder.state_dict()
        )
        rest = {k: v for k, v in self.state_dict().items() if k[:8] != "encoder."}
        return {**{f"encoder.{name}": value for name, value in encoder.items()}, **rest}


def pretrained_sha256(encoder: PretrainedEncoder) -> str:
    """Hash the weights that were not trained, whatever file and names they came under.

    Arguments
    ---------
    encoder : PretrainedEncoder
        As adapted, before its parameters are frozen for use.

    Returns
    -------
    str
    """
    digests = []
    for parameter in encoder.parameters():
        if not parameter.requires_grad:
            array = parameter.detach().float().cpu().contiguous()
            digest = hashlib.sha256(repr(tuple(array.shape)).encode())
            digest.update(array.flatten().view(torch.uint8).numpy().data)
            digests.append(digest.digest())
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def input_facts(encoder: PretrainedEncoder) -> dict:
    """What decides on how a pretrained encoder hears a waveform, beside its weights.

    Arguments
    ---------
    encoder : PretrainedEncoder
        The encoder.

    Returns
    -------
    dict
        ``normalise`` of the wav2vec 2.0 families, ``n_fft``, ``hop`` and ``mels`` of
        Whisper; None where it does not apply.
    """
    core = encoder.core
    filters = getattr(core, "mel_filters", None)
    return {
        "normalise": getattr(core, "normalise", None),
        "n_fft": getattr(core, "n_fft", None),
        "hop": getattr(core, "hop", None),
        "mels": None if filters is None else len(filters),
    }
