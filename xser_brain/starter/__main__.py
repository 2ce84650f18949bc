"""Make ``starter`` of finished runs: ``python -m xser_brain.starter MODEL RESULTS``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch

from data_prep.errors import UserError
from xser_brain.inference import config as schema
from xser_brain.inference.loading import load
from xser_brain.inference.sources import model_folder
from xser_brain.models.export import write
from xser_brain.reports.tables import gather
from xser_brain.starter import FOLDER

SYSTEM = "robust"  # whose figures on languages left out are shown
ENCODER = "openai/whisper-base"  # as the hub has it; what lies elsewhere may be a copy


def make(
    run: Path, results: Path, folder: Path, encoder: str, encoder_source: str | None
) -> None:
    """Write the model of a run, with figures on languages left out.

    Arguments
    ---------
    run : Path
        Trained on everything.
    results : Path
        Folder of runs of the same system, each language left out in turn.
    folder : Path
        Where to; a model that is there is replaced.
    encoder : str
        Name of the encoder on the hub. Its weights may there have more digits than those
        that were trained with.
    encoder_source : str, optional
        Where the encoder lies, if not where it was in training.

    Raises
    ------
    UserError
        If there are no such runs.
    """
    source = model_folder(run)
    model, config = load(source, encoder_source)
    config["encoder"] |= {
        "source": encoder,
        "revision": None,
        "sha256_half": model.encoder.pretrained_sha256(half=True),
    }
    config["left_out"] = _left_out(results)
    schema.check(config, "starter")
    write(folder, config, safetensors.torch.load_file(source / schema.WEIGHTS))


def _left_out(results: Path) -> list[dict]:
    """Figures on each whole corpus that was left out, as the tables have them."""
    report = gather(results)
    languages = {
        group.setting.target: run["setting"]["languages"]["target"]
        for group in report.groups
        for run in group.runs
    }
    scores = {
        score.setting: score
        for score in sorted(report.scores, key=lambda score: score.n)
        if score.system == SYSTEM and not score.absent
    }
    targets = {group.name: group.setting.target for group in report.groups}
    if not scores:
        raise UserError(f"{results} holds no runs of {SYSTEM}: give the grid first")
    return [
        {
            "target": targets[setting],
            "language": languages[targets[setting]],
            "utterances": score.n,
            "uar": round(score.uar, 2),
            "low": round(score.uar_low, 2),
            "high": round(score.uar_high, 2),
            "unit": score.unit,
        }
        for setting, score in sorted(scores.items())
        if score.uar_low is not None
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the command."""
    parser = argparse.ArgumentParser(prog="python -m xser_brain.starter")
    parser.add_argument("run", type=Path, help="trained on everything")
    parser.add_argument("results", type=Path, help="runs with languages left out")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR")
    parser.add_argument("--encoder", default=ENCODER, metavar="NAME")
    parser.add_argument("--encoder_source", metavar="DIR")
    args = parser.parse_args(argv)
    try:
        make(args.run, args.results, args.out, args.encoder, args.encoder_source)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"written to {args.out.resolve()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
