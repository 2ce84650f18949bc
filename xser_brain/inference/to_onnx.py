"""Encoder, head and classifier as one ONNX graph, for use without Python or PyTorch."""

import json
from pathlib import Path

import torch
from torch import nn

from data_prep.audio import SAMPLE_RATE, SHORTEST
from data_prep.errors import UserError
from data_prep.manifest import write_atomic
from xser_brain.inference.loading import load
from xser_brain.inference.model import EmotionModel
from xser_brain.inference.recordings import LONGEST


class _Graph(nn.Module):
    """A model on utterances of one length, without any step that depends on data."""

    def __init__(self, model: EmotionModel):
        super().__init__()
        self.encoder, self.model = model.encoder.graph(), model

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        pooled = self.encoder(samples)  # (batch, layers, width)
        return self.model.classify(self.model.head(pooled)).exp()


def export_onnx(
    folder: str | Path, path: str | Path, encoder_source: str | None = None
) -> None:
    """Write an exported model as an ONNX file.

    Its input ``samples`` is (batch, samples) float32, 16 kHz mono, 400 samples or more;
    its output ``probabilities`` is (batch, labels). All utterances of a call are of one
    length, as padding would be heard. Labels, sample rate and threshold stand in its
    metadata.

    Arguments
    ---------
    folder : path
        A model's folder.
    path : path
        The file.
    encoder_source : str, optional
        Where the pretrained encoder is, if it has moved since training.

    Raises
    ------
    UserError
        If the model is damaged, its encoder has a step that ONNX cannot hold, or what
        writes ONNX is not installed.
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
    try:
        program = torch.onnx.export(
            _Graph(model).eval(),
            (torch.randn(2, SAMPLE_RATE),),
            input_names=["samples"],
            output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("batch"), 1: length},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UserError(
            f"torch.onnx cannot write the encoder {model.encoder.family} "
            f"({reason[:200]}): give its class a method graph, as Encoder describes it"
        ) from error
    program.model.metadata_props.update(
        labels=json.dumps(config["labels"]),
        sample_rate=str(SAMPLE_RATE),
        threshold=str(config["calibration"]["threshold"]),
    )
    write_atomic(Path(path), program.model_proto.SerializeToString())
