"""Tiny runs and encoders, for the tests of training."""

from pathlib import Path

import torch
import transformers

from xser_brain.objectives import Heard

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes/en_de/hparams/iemocap_to_emodb.yaml"
SIZES = {
    "steps": 12,
    "validate_every": 3,
    "warmup": 2,
    "crop": 1.0,
    "width": 16,
    "channels": 16,
    "n_mels": 16,
    "attention_channels": 8,
}
TINY = {
    "source": "ravdess",
    "non_target": "[esd, urdu]",
    "splits": "speaker",
    **SIZES,
}
ECAPA_KEYS = ("width", "channels", "n_mels", "attention_channels")
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": [32] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
FAMILIES = {
    "wav2vec2": ("Wav2Vec2", {}),
    "wav2vec2-layer-norm": ("Wav2Vec2", LAYER_NORM),
    "hubert": ("Hubert", {}),
    "hubert-layer-norm": ("Hubert", LAYER_NORM),
    "wavlm": ("WavLM", {}),
    "wavlm-layer-norm": ("WavLM", LAYER_NORM),
    "data2vec": ("Data2VecAudio", {}),
}
KINDS = {
    "ecapa": {"encoder": "ecapa"},
    "cached": {"encoder": "wav2vec2"},
    "lora": {"encoder": "wav2vec2", "adaptation": "lora", "lora_rank": 2},
}
ATTRIBUTES = ("emotions", "languages", "speakers", "corpora", "genders")


def heard(embeddings: torch.Tensor, classes: int = 4, **known: torch.Tensor) -> Heard:
    """What an objective gets of a batch; what is not given is unknown."""
    unknown = torch.full((len(embeddings),), -1)
    indices = {name: known.pop(name, unknown) for name in ATTRIBUTES}
    logits = known.pop("logits", torch.zeros(len(embeddings), classes))
    return Heard(embeddings, logits, **indices, **known)


def without_ecapa(options: dict) -> dict:
    """Options of a run whose encoder is another."""
    return {key: value for key, value in options.items() if key not in ECAPA_KEYS}


def write_encoder(folder: Path, family: str, do_normalize: bool = True) -> Path:
    """Write a small encoder with random weights, as a hub has it; returns its folder."""
    name, options = FAMILIES[family]
    config = getattr(transformers, f"{name}Config")(**SMALL, **options)
    torch.manual_seed(5)
    model = getattr(transformers, f"{name}Model")(config)
    with torch.no_grad():  # fresh norms would hide one that is left out
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=do_normalize)
    extractor.save_pretrained(folder)
    return folder
