"""A model as a folder that transformers reads by itself, without this package.

Its classifiers of sequences have a weighted sum of layers, a linear projector, the mean
over frames and a linear classifier. Nothing of that is curved, so that

    softmax(C (W mean_t(sum_l w_l h_lt) + b) + c) / T)

is all that can be said: LoRA is merged into the encoder, the temperature divides C and c,
and without a projection W is the identity. A layer norm divides by the deviation of each
utterance's own vector, which no W can do; adapters are curved; and Whisper hears 30 s of
padding there, and the utterance alone here. Those are refused.
"""

import copy
import shutil
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModelForAudioClassification, Wav2Vec2FeatureExtractor

from data_prep.audio import SAMPLE_RATE
from data_prep.errors import UserError
from data_prep.manifest import write_atomic
from xser_brain.encoders.adapters import merge
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.encoders.weights import ADAPTED_ON
from xser_brain.head import EmbeddingHead
from xser_brain.inference.loading import load
from xser_brain.inference.model import EmotionModel
from xser_brain.models.card import card

WEIGHTS = "model.safetensors"
FILES = {"README.md", "config.json", "preprocessor_config.json", WEIGHTS}
UNFINISHED = ".unfinished"


def export_transformers(
    folder: str | Path, out: str | Path, encoder_source: str | None = None
) -> None:
    """Write an exported model so that ``transformers.pipeline`` loads it.

    ``pipeline("audio-classification", model=out)`` gives the same probabilities, and
    runs no code of the folder. An older folder of this kind is replaced.

    Arguments
    ---------
    folder : path
        A model's folder.
    out : path
        The folder to write.
    encoder_source : str, optional
        Where the pretrained encoder is, if it has moved since training.

    Raises
    ------
    UserError
        If the model is damaged or has a part that transformers lacks, or the folder
        holds something else.
    """
    out = Path(out)
    if out.exists() and not (
        out.is_dir() and {path.name for path in out.iterdir()} <= FILES
    ):
        raise UserError(f"{out} holds something else: pass another --output=DIR")
    model, config = load(Path(folder), encoder_source)
    _require_expressible(model)
    classifier = _classifier(model, config["labels"], config["training"]["corpora"])
    temporary = out.with_name(out.name + UNFINISHED)
    shutil.rmtree(temporary, ignore_errors=True)
    write_atomic(temporary / "README.md", card(config, library="transformers").encode())
    classifier.save_pretrained(temporary)
    # With a mask only where the encoder was trained with one, as transformers has it;
    # data2vec knows layer norms alone, and does not say so.
    norm = getattr(model.encoder.core.config, "feat_extract_norm", "layer")
    Wav2Vec2FeatureExtractor(
        sampling_rate=SAMPLE_RATE,
        do_normalize=model.encoder.core.normalise,
        return_attention_mask=norm == "layer",
    ).save_pretrained(temporary)
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)


def _require_expressible(model: EmotionModel) -> None:
    """Refuse what transformers has no place for; say what to train instead."""

    def refused(what: str, mend: str) -> UserError:
        return UserError(f"transformers cannot hold this model: {what}: {mend}")

    encoder = model.encoder
    if not isinstance(encoder, PretrainedEncoder):
        mend = "train with --encoder=wav2vec2, hubert, wavlm, xlsr or data2vec"
        raise refused(f"it has no encoder of the family {encoder.family}", mend)
    if encoder.core.config.model_type == "whisper":
        raise refused(
            "its Whisper hears 30 s of padding, ours the utterance alone, so that scores "
            "would differ",
            "train with --encoder=wav2vec2, hubert, wavlm, xlsr or data2vec",
        )
    if encoder.adaptation in ("adapters", "paper"):
        raise refused(
            "it has no bottleneck adapters", "train with --adaptation=lora or full"
        )
    if encoder.pooling != "mean" or not isinstance(model.head, EmbeddingHead):
        raise refused(
            "it has another pooling than the mean over frames, or several vectors side by "
            "side",
            "train with --pooling=mean a system that optimises objectives, as "
            "--system=baseline2",
        )
    if model.head.hidden:
        raise refused(
            "it has no hidden layer before the projection", "train with --hidden=0"
        )
    if any(isinstance(module, nn.LayerNorm) for module in model.head.modules()):
        raise refused(
            "it has no layer norm after the mean over frames",
            "train with --training.head.norm=False, or with --projection=0",
        )


def _classifier(
    model: EmotionModel, labels: list[str], corpora: list[str]
) -> nn.Module:
    """The same model, of transformers' own classes."""
    encoder, head, last = model.encoder, model.head, model.classifier
    core = merge(encoder).core
    core.expect_no_padding()
    config = copy.deepcopy(core.config)
    if encoder.adaptation != "frozen":
        setattr(config, ADAPTED_ON, corpora)
    config.update(
        {
            "id2label": dict(enumerate(labels)),
            "label2id": {label: index for index, label in enumerate(labels)},
            "use_weighted_layer_sum": not encoder.last_only,
            "classifier_proj_size": head.width,
            "add_adapter": False,
            # The last of all layers is what follows the norm that ends a stack of
            # pre-norm layers; some versions of transformers would take what precedes it.
            "tie_last_hidden_states": True,
        }
    )
    classifier = AutoModelForAudioClassification.from_config(config)
    inner = getattr(classifier, classifier.base_model_prefix)
    found = core.model.state_dict()
    inner.load_state_dict({name: found[name] for name in inner.state_dict()})
    linear = [m for m in head.modules() if isinstance(m, nn.Linear)]
    with torch.no_grad():
        if head.layer_weights is not None:
            classifier.layer_weights.copy_(head.layer_weights)
        projector = classifier.projector
        if linear:
            projector.load_state_dict(linear[0].state_dict())
        else:
            nn.init.eye_(projector.weight)
            projector.bias.zero_()
        classifier.classifier.weight.copy_(last.weight / model.temperature)
        classifier.classifier.bias.copy_(last.bias / model.temperature)
    return classifier.eval()
