"""Time encoders on a GPU: frozen, with LoRA and fine-tuned, beside bare ones and lobes.

    python benchmarks/gpu.py --dtype=bf16 --out=gpu.json
    python benchmarks/gpu.py --models wav2vec2-base --methods lora --compile

Random weights of the real sizes, noise of one length, so that nothing is padding. The
cases take turns, and ratios are those of their medians in one run:

* ``bare``: transformers' own encoder on the batch, forward and, where something trains,
  backward: no loss, no optimiser. Whisper's is given exactly this length, not 30 s;
* ``ours``: frozen, what a feature cache takes of it, in the host's memory; else a whole
  step: encoder, three objectives, backward, clipping, AdamW;
* ``lobe``: SpeechBrain's, forward and backward; Whisper's fills up to 30 s.

``of peak`` is model FLOPs (``flops.py``; of the audio there is, and once) over time and
the card's peak. ``peak GB`` is what a case holds and what its step takes at the highest.
What does not fit the memory has a row that says so. Without a GPU it runs on the CPU, with
neither; ``--models small-wav2vec2 small-whisper`` are for trying it there.
"""

import argparse
import gc
import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import flops
import torch
import transformers
from speechbrain.integrations.huggingface.wav2vec2 import Wav2Vec2
from speechbrain.integrations.huggingface.whisper import Whisper
from step import papers_objectives, total_loss
from timing import cuda_seconds, interleaved, markdown, seconds

from data_prep.manifest import EMOTIONS
from xser_brain.data.batches import Batch
from xser_brain.encoders.adapters import adapt, train_only_adapted, trainable
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.protocol import Labels

RATE = 16000
METHODS = ("frozen", "lora", "full")
CASES = ("bare", "ours", "lobe")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
NO_ROOM = ("out of memory", "can't allocate memory", "not enough memory")
LABELS = Labels(
    EMOTIONS,
    languages=("de", "en", "ur"),
    speakers=tuple(map(str, range(12))),
    corpora=("emodb", "ravdess", "urdu"),
    genders=("female", "male"),
)
# Dense TFLOPs of a card, in half precision and in fp32, by what its name contains; the
# makers' data sheets. The first that fits holds.
PEAKS = {
    "H200": (989, 67),
    "H100 PCIe": (756, 51),
    "H100": (989, 67),
    "B200": (2250, 75),
    "A100": (312, 19.5),
    "L40S": (362, 91.6),
    "L4": (121, 30.3),
    "A10": (125, 31.2),
    "RTX 6000 Ada": (364, 91.1),
    "RTX A6000": (155, 38.7),
    "RTX 4090": (165, 82.6),
    "RTX 3090": (71, 35.6),
    "V100": (125, 15.7),
    "T4": (65, 8.1),
}


def wav2vec2(**options) -> transformers.Wav2Vec2Config:
    """A configuration of the family: that of the base model, unless told otherwise."""
    return transformers.Wav2Vec2Config(
        layerdrop=0.0, apply_spec_augment=False, **options
    )


def whisper(width: int, layers: int, mels: int = 80, heads: int = 0) -> object:
    """A configuration of Whisper, whose decoder nothing needs."""
    return transformers.WhisperConfig(
        d_model=width,
        encoder_layers=layers,
        encoder_attention_heads=heads or width // 64,
        encoder_ffn_dim=4 * width,
        num_mel_bins=mels,
        decoder_layers=1,
        decoder_ffn_dim=8,
        decoder_attention_heads=heads or width // 64,
        vocab_size=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=1,
    )


XLSR = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
}
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": [32] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
MODELS = {
    "wav2vec2-base": lambda: wav2vec2(),
    "xls-r-300m": lambda: wav2vec2(**XLSR),
    "whisper-base": lambda: whisper(512, 6),
    "whisper-small": lambda: whisper(768, 12),
    "whisper-medium": lambda: whisper(1024, 24),
    "whisper-large-v3": lambda: whisper(1280, 32, mels=128),
    "small-wav2vec2": lambda: wav2vec2(**TINY),
    "small-whisper": lambda: whisper(32, 4, heads=4),
}
SMALL = ("small-wav2vec2", "small-whisper")


def write(config: object, folder: Path) -> None:
    """Write a model with random weights, as a hub has it."""
    torch.manual_seed(0)
    if config.model_type == "whisper":
        transformers.WhisperModel(config).save_pretrained(folder)
        extractor = transformers.WhisperFeatureExtractor(config.num_mel_bins)
    else:
        transformers.Wav2Vec2Model(config).save_pretrained(folder)
        extractor = transformers.Wav2Vec2FeatureExtractor()
    extractor.save_pretrained(folder)


class Work:
    """What is done to a batch: its size, how an encoder adapts, in which precision.

    Arguments
    ---------
    folder : path
        Of the encoder.
    method : str
        ``frozen``, ``lora`` or ``full``.
    batch : int
        Utterances.
    seconds : float
        Of each.
    device : str
        Where.
    dtype : torch.dtype
        Of autocast.
    compiled : bool
        Whether ``torch.compile`` takes bare encoders and ours.
    checkpointed : bool
        Whether ours, if it trains, keeps but the inputs of its layers.
    """

    def __init__(
        self,
        folder: Path,
        method: str,
        batch: int,
        seconds: float,
        device: str,
        dtype: torch.dtype = torch.float32,
        compiled: bool = False,
        checkpointed: bool = False,
    ):
        self.folder, self.method, self.device = str(folder), method, device
        self.dtype, self.compiled, self.checkpointed = dtype, compiled, checkpointed
        self.batch, self.samples = batch, round(seconds * RATE)

    def case(self, name: str) -> Callable[[], object]:
        """One of ``CASES``, with its encoder on the device."""
        return getattr(self, name)()

    def _autocast(self):
        kind = torch.device(self.device).type
        return torch.autocast(kind, self.dtype, enabled=self.dtype != torch.float32)

    def _waveforms(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(self.batch, self.samples, generator=generator)
        return (0.1 * noise).to(self.device)

    def _batch(self) -> Batch:
        numbers = torch.arange(self.batch)
        return Batch(
            [str(number) for number in range(self.batch)],
            emotions=numbers // 3 % 4,
            languages=numbers // 12 % 3,
            speakers=numbers % 12,
            corpora=numbers // 12 % 3,
            genders=numbers % 2,
            waveforms=self._waveforms(),
            lengths=torch.full((self.batch,), self.samples),
        ).to(self.device)

    def _adapted(self, model: torch.nn.Module, layers: torch.nn.ModuleList) -> None:
        model.requires_grad_(False)
        adapt(layers, self.method)
        train_only_adapted(model, self.method != "frozen")

    def _passes(
        self, model: torch.nn.Module, hidden: Callable[[], torch.Tensor]
    ) -> Callable[[], None]:
        """Forward, and backward if anything trains."""

        def step() -> None:
            with (
                torch.set_grad_enabled(self.method != "frozen"),
                self._autocast(),
            ):
                total = hidden().mean(1).sum()
            if self.method != "frozen":
                total.backward()
                model.zero_grad(set_to_none=True)

        return step

    def bare(self) -> Callable[[], object]:
        """Transformers' own encoder."""
        config = transformers.AutoConfig.from_pretrained(self.folder)
        inputs = self._waveforms()
        if config.model_type == "whisper":
            core = PretrainedEncoder(self.folder).core.to(self.device)
            inputs = core.log_mel(inputs)
            inputs = inputs[..., : inputs.shape[-1] // 2 * 2]
            config.max_source_positions = inputs.shape[-1] // 2
            kind = type(core.encoder)
            model = kind(config).to(self.device)
            layers = model.layers
        else:
            model = transformers.AutoModel.from_pretrained(self.folder)
            model = model.to(self.device)
            model.feature_extractor._requires_grad = False
            layers = model.encoder.layers
        self._adapted(model, layers)
        encode = torch.compile(model) if self.compiled else model
        return self._passes(model, lambda: encode(inputs).last_hidden_state)

    def ours(self) -> Callable[[], object]:
        """What the feature cache does, or a whole training step."""
        encoder = PretrainedEncoder(
            self.folder,
            adaptation=self.method,
            gradient_checkpointing=self.checkpointed and self.method != "frozen",
            compile_encoder=self.compiled,
        ).to(self.device)
        batch = self._batch()
        if self.method == "frozen":
            encoder.eval()

            @torch.no_grad()
            def extract() -> object:
                with self._autocast():
                    vectors = encoder(batch.waveforms, batch.lengths)
                return vectors.float().cpu().numpy()

            return extract
        encoder.train()
        classifier = torch.nn.Linear(encoder.width, len(EMOTIONS)).to(self.device)
        objectives = papers_objectives(encoder.width, LABELS).to(self.device)
        parameters = [
            *trainable(encoder).values(),
            *classifier.parameters(),
            *objectives.parameters(),
        ]
        optimizer = torch.optim.AdamW(parameters, lr=1e-5)

        def step() -> None:
            with self._autocast():
                embeddings = encoder(batch.waveforms, batch.lengths)[:, 0]
                logits = classifier(embeddings)
                loss = total_loss(objectives, embeddings, logits, batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return step

    def lobe(self) -> Callable[[], object]:
        """SpeechBrain's lobe."""
        config = transformers.AutoConfig.from_pretrained(self.folder)
        inputs, frozen = self._waveforms(), self.method == "frozen"
        if config.model_type == "whisper":
            lobe = Whisper(self.folder, self.folder, encoder_only=True, freeze=frozen)
            layers = lobe.model.encoder.layers
        else:
            lobe = Wav2Vec2(
                self.folder, self.folder, freeze=frozen, freeze_feature_extractor=True
            )
            layers = lobe.model.encoder.layers
        lobe = lobe.to(self.device)
        self._adapted(lobe.model, layers)
        return self._passes(lobe, lambda: lobe(inputs))


class Meter:
    """Makes cases, one beside the other, and notes what they hold and take.

    Arguments
    ---------
    device : str
        Where they run.
    """

    def __init__(self, device: str):
        self.device, self.on_gpu = device, torch.device(device).type == "cuda"
        self.cases: dict[str, Callable[[], object]] = {}
        self.gigabytes: dict[str, float] = {}
        self.failed: list[str] = []

    def _held(self) -> int:
        return torch.cuda.memory_allocated(self.device) if self.on_gpu else 0

    def add(self, name: str, make: Callable[[], Callable[[], object]]) -> None:
        """Make a case and run it once; of one that does not fit nothing is left."""
        before = self._held()
        try:
            case = make()
            case()
            self._wait()
            if self.on_gpu:
                torch.cuda.reset_peak_memory_stats(self.device)
            case()
            self._wait()
        except (RuntimeError, MemoryError) as error:
            if not no_room(error):
                raise
            self.failed.append(name)
            case = make = None
        if name in self.failed:
            gc.collect()
            if self.on_gpu:
                torch.cuda.empty_cache()
            return
        if self.on_gpu:
            highest = torch.cuda.max_memory_allocated(self.device)
            self.gigabytes[name] = (highest - before) / 1e9
        self.cases[name] = case

    def _wait(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def medians(self, repeats: int) -> dict[str, float]:
        """Seconds of each case that fits: the median, cases in turns."""
        clock = cuda_seconds if self.on_gpu else seconds
        times = interleaved(self.cases, repeats, clock=clock)
        return {name: statistics.median(values) for name, values in times.items()}


def no_room(error: BaseException) -> bool:
    """Whether an error says that the memory does not suffice."""
    kinds = torch.OutOfMemoryError, MemoryError
    return isinstance(error, kinds) or any(words in str(error) for words in NO_ROOM)


def peak_of(device: str, dtype: torch.dtype, given: float | None) -> float | None:
    """TFLOPs of a card at its best: as given, or by its name; None if not known."""
    if given or torch.device(device).type != "cuda":
        return given
    name = torch.cuda.get_device_name(device)
    for part, (half, single) in PEAKS.items():
        if part in name:
            return single if dtype == torch.float32 else half
    return None


def rows_of(
    model: str,
    method: str,
    medians: dict[str, float],
    failed: Sequence[str],
    gigabytes: dict[str, float],
    tflop: float,
    batch: int,
    peak: float | None,
) -> list[dict]:
    """Rows of the table: numbers, or None where there is none."""
    rows = []
    for name in [*medians, *failed]:
        took, bare, lobe = (medians.get(n) for n in (name, "bare", "lobe"))
        rows.append(
            {
                "model": model,
                "method": method,
                "case": name,
                "ms": took and 1000 * took,
                "utterances/s": took and batch / took,
                "TFLOP": tflop,
                "of peak": took and peak and tflop / took / peak,
                "peak GB": gigabytes.get(name),
                "of bare": took and bare and took / bare,
                "faster than lobe": took and lobe and lobe / took,
            }
        )
    return rows


def shown(row: dict) -> dict:
    """A row in words: what did not fit says so, what is not known is a dash."""
    lacking = "out of memory" if row["ms"] is None else None
    cells = {name: "-" if value is None else value for name, value in row.items()}
    return {**cells, "ms": lacking or cells["ms"]}


def measure(args: argparse.Namespace) -> list[dict]:
    """All rows."""
    rows, dtype = [], DTYPES[args.dtype]
    peak = peak_of(args.device, dtype, args.peak_tflops)
    for model in args.models:
        config = MODELS[model]()
        with tempfile.TemporaryDirectory() as folder:
            write(config, Path(folder))
            for method in args.methods:
                work = Work(
                    Path(folder),
                    method,
                    args.batch,
                    args.seconds,
                    args.device,
                    dtype,
                    args.compile,
                    args.gradient_checkpointing,
                )
                meter = Meter(args.device)
                for name in args.cases:
                    meter.add(name, lambda work=work, name=name: work.case(name))
                tflop = args.batch * flops.of(config, args.seconds).step(method) / 1e12
                rows += rows_of(
                    model,
                    method,
                    meter.medians(args.repeats) if meter.cases else {},
                    meter.failed,
                    meter.gigabytes,
                    tflop,
                    args.batch,
                    peak,
                )
                del meter, work
                gc.collect()
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print a Markdown table, and write it down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    everyone = [name for name in MODELS if name not in SMALL]
    parser.add_argument("--models", nargs="+", choices=[*MODELS], default=everyone)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument("--batch", type=int, default=36, help="utterances")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each utterance")
    parser.add_argument("--dtype", choices=[*DTYPES], default="bf16")
    parser.add_argument("--compile", action="store_true", help="bare and ours")
    parser.add_argument("--gradient_checkpointing", action="store_true", help="ours")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument(
        "--peak_tflops", type=float, help="of the card, in place of the table's"
    )
    parser.add_argument("--out", type=Path, help="JSON file of all rows")
    args = parser.parse_args(argv)
    rows = measure(args)
    kind = torch.device(args.device).type
    name = torch.cuda.get_device_name(args.device) if kind == "cuda" else "cpu"
    about = {
        "device": name,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "batch": args.batch,
        "seconds": args.seconds,
        "dtype": args.dtype,
        "compile": args.compile,
        "gradient_checkpointing": args.gradient_checkpointing,
        "repeats": args.repeats,
        "peak TFLOPs": peak_of(args.device, DTYPES[args.dtype], args.peak_tflops),
    }
    print(", ".join(f"{key} {value}" for key, value in about.items()) + "\n")
    print(markdown([shown(row) for row in rows]))
    if args.out:
        args.out.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
