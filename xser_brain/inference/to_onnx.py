"""Encoder, head and classifier as one ONNX graph, for use without Python or PyTorch."""

import json
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from data_prep.audio import SAMPLE_RATE, SHORTEST
from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS, write_atomic
from xser_brain.encoders.adapters import merge
from xser_brain.encoders.ecapa import ECAPAEncoder
from xser_brain.inference.folder import load
from xser_brain.inference.model import EmotionModel
from xser_brain.inference.recordings import LONGEST


class Graph(nn.Module):
    """A model on one utterance, without any step that depends on data.

    Batches, and the masks that they need, are left out.

    Arguments
    ---------
    model : EmotionModel
        The model; its LoRA is folded in, and what unpads batches is taken out.
    """

    def __init__(self, model: EmotionModel):
        super().__init__()
        self.model = model
        merge(model.encoder)
        for module in model.encoder.modules():
            module._forward_pre_hooks.clear()  # ECAPA's, which mask what is padding
        core = getattr(model.encoder, "core", None)
        stack = getattr(getattr(core, "model", None), "encoder", None)
        if hasattr(getattr(stack, "pos_conv_embed", None), "module"):  # data2vec's
            stack.pos_conv_embed = stack.pos_conv_embed.module

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Classify an utterance.

        Arguments
        ---------
        samples : (samples,) torch.Tensor
            16 kHz mono, at least 400.

        Returns
        -------
        (emotions,) torch.Tensor
            Calibrated probabilities.
        """
        ecapa = isinstance(self.model.encoder, ECAPAEncoder)
        pooled = self._ecapa(samples) if ecapa else self._pretrained(samples)
        return self.model.classify(self.model.head(pooled))[0].exp()

    def _pretrained(self, samples: torch.Tensor) -> torch.Tensor:
        """(samples,) to (1, layers, width)."""
        encoder, core = self.model.encoder, self.model.encoder.core
        whisper = hasattr(core, "log_mel")
        hidden = self._whisper(samples) if whisper else self._wav2vec2(samples)
        layers, shared = [hidden], {}
        for layer in core.transformer_layers:
            output = layer(layers[-1], attention_mask=None, **shared)
            if core.shares_bias:
                shared = {"position_bias": output[1]}
            layers.append(output[0] if isinstance(output, tuple) else output)
        layers[-1] = core.finish(layers[-1])
        chosen = layers[-1:] if encoder.last_only else layers
        return torch.stack([layer.mean(1) for layer in chosen], dim=1)

    def _whisper(self, samples: torch.Tensor) -> torch.Tensor:
        core = self.model.encoder.core
        hidden = core.log_mel(samples[: core.longest])[None]
        hidden = functional.gelu(core.encoder.conv1(hidden))
        hidden = functional.gelu(core.encoder.conv2(hidden)).transpose(1, 2)
        return hidden + core.encoder.embed_positions.weight[: hidden.shape[1]]

    def _wav2vec2(self, samples: torch.Tensor) -> torch.Tensor:
        core = self.model.encoder.core
        if core.normalise:
            variance, mean = torch.var_mean(samples, correction=0)
            samples = (samples - mean) / torch.sqrt(variance + 1e-7)
        local = core.model.feature_extractor(samples[None]).transpose(1, 2)
        return core.embed(local, torch.full((1,), local.shape[1]))

    def _ecapa(self, samples: torch.Tensor) -> torch.Tensor:
        encoder, network = self.model.encoder, self.model.encoder.network
        features = encoder.features(samples[None])
        features = features - features.mean(1, keepdim=True)
        hidden, outputs = features.transpose(1, 2), []
        for block in network.blocks:
            hidden = block(hidden)
            outputs.append(hidden)
        pooled = network.asp(network.mfa(torch.cat(outputs[1:], dim=1)))
        return network.fc(network.asp_bn(pooled)).transpose(1, 2)


def export_onnx(
    folder: str | Path, path: str | Path, encoder_source: str | None = None
) -> None:
    """Write an exported model as an ONNX file.

    Its input ``samples`` is (samples,) float32, 16 kHz mono, 400 samples or more; its
    output ``probabilities`` is (4,). Labels, sample rate and threshold stand in its
    metadata.

    Arguments
    ---------
    folder : path
        A model's folder.
    path : path
        The file.
    encoder_source : str, optional
        Where the pretrained encoder lies, if not where it was in training.

    Raises
    ------
    UserError
        If the model is damaged, or what writes ONNX is not installed.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"{error.name} is not installed: pip install 'xser-brain[onnx]'"
        ) from error
    model, config = load(Path(folder), encoder_source)
    fewest = round(SHORTEST * SAMPLE_RATE)
    length = torch.export.Dim("length", min=fewest, max=round(LONGEST * SAMPLE_RATE))
    program = torch.onnx.export(
        Graph(model).eval(),
        (torch.randn(SAMPLE_RATE),),
        input_names=["samples"],
        output_names=["probabilities"],
        dynamic_shapes=({0: length},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    program.model.metadata_props.update(
        labels=json.dumps(EMOTIONS),
        sample_rate=str(SAMPLE_RATE),
        threshold=str(config["calibration"]["threshold"]),
    )
    write_atomic(Path(path), program.model_proto.SerializeToString())
