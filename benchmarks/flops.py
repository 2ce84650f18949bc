"""Floating-point operations of speech encoders, by formula from their configuration.

Multiplications and additions of matrix products and convolutions, two a pair, as
``torch.utils.flop_counter`` counts them, of utterances without padding. What is done
twice to save memory counts once: that is what a share of a card's peak goes by.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Flops:
    """Of the forward pass of one utterance.

    Arguments
    ---------
    front : int
        All that comes before the transformer, and is frozen.
    linear : int
        Linear layers of one transformer layer.
    attention : int
        What grows with the square of the frames, in one layer.
    inputs : int
        Those of ``linear`` that a layer's own input goes through: three projections.
    layers : int
        Of the transformer.

    Example
    -------
    >>> Flops(front=5, linear=8, attention=2, inputs=3, layers=2).step("frozen")
    25
    """

    front: int
    linear: int
    attention: int
    inputs: int
    layers: int

    def step(self, method: str) -> int:
        """Of one utterance, forward, and backward where something trains.

        Arguments
        ---------
        method : str
            ``frozen``: forward alone; ``lora``: backward with respect to activations
            alone (branches of so low a rank are left out); ``full``: to weights, too.

        Returns
        -------
        int
        """
        once = self.front + self.layers * (self.linear + self.attention)
        backward = {"frozen": 0, "lora": 1, "full": 2}[method]
        if not backward:
            return once
        # Nothing is propagated back into the front end.
        products = backward * self.linear + 2 * self.attention
        return once + self.layers * products - self.inputs


def of(config: object, seconds: float, rate: int = 16000) -> Flops:
    """Of an utterance, by an encoder's configuration.

    Arguments
    ---------
    config : transformers.PretrainedConfig
        Of wav2vec 2.0 (XLS-R, too) or Whisper.
    seconds : float
        How long it is.
    rate : int
        Of samples, in Hz.

    Returns
    -------
    Flops
    """
    samples = round(seconds * rate)
    if config.model_type == "whisper":
        return _whisper(config, samples)
    return _wav2vec2(config, samples)


def _whisper(config: object, samples: int) -> Flops:
    width = config.d_model
    mels = samples // 160
    frames = (mels - 1) // 2 + 1
    front = 2 * 3 * width * (mels * config.num_mel_bins + frames * width)
    return _transformer(
        front, frames, width, config.encoder_ffn_dim, config.encoder_layers
    )


def _wav2vec2(config: object, samples: int) -> Flops:
    front, frames, channels = 0, samples, 1
    for wide, kernel, stride in zip(
        config.conv_dim, config.conv_kernel, config.conv_stride, strict=True
    ):
        frames = (frames - kernel) // stride + 1
        front += 2 * frames * kernel * channels * wide
        channels = wide
    width = config.hidden_size
    front += 2 * frames * channels * width
    kernel = config.num_conv_pos_embeddings
    positions = frames + (kernel % 2 == 0)  # one too many, which is cut off
    front += (
        2 * positions * kernel * width * width // config.num_conv_pos_embedding_groups
    )
    return _transformer(
        front, frames, width, config.intermediate_size, config.num_hidden_layers
    )


def _transformer(front: int, frames: int, width: int, inner: int, layers: int) -> Flops:
    return Flops(
        front=front,
        linear=2 * frames * (4 * width * width + 2 * width * inner),
        attention=4 * frames * frames * width,
        inputs=2 * frames * 3 * width * width,
        layers=layers,
    )
