"""All results of a folder as one self-contained HTML page, to send to others.

The page fetches nothing: style, script, figures and sounds are in it, and its content
security policy forbids everything else. Names of corpora, speakers and utterances are
foreign text and are escaped.
"""

import base64
import datetime
import hashlib
import io
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import soundfile
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from data_prep import audio, manifest
from data_prep.errors import UserError
from data_prep.manifest import Row, write_atomic
from data_prep.outside import inside
from data_prep.progress import bar
from xser_brain.artefacts import part_of_path
from xser_brain.evaluation.metrics import recalls, uar
from xser_brain.reports import figures, headline
from xser_brain.reports.headline import Comparison
from xser_brain.reports.names import setting_name, system_name
from xser_brain.reports.probes import probe_rows
from xser_brain.reports.render import Table
from xser_brain.reports.runs import (
    SUBSETS,
    Group,
    Outcome,
    incomplete,
    read_predictions,
)
from xser_brain.reports.tables import BESIDE, Report, gather

TITLE = "Zero-shot cross-lingual speech emotion recognition: results"
MISTAKES = 8  # shown of each setting
SECONDS = 10  # of an utterance's sound, at most
SOUND_MB = 12  # of sound in a page, at most: an e-mail takes about 25
DPI, WIDTH = 200, 130  # pixels an inch of a figure, and of these on the screen
FULL = 6  # inches of a figure that is shown as wide as the page
DARK_ABOVE = 63  # percent; on a darker cell white text is easier to read than black
BEFORE_TEST = ("training", "sampling", "normalisation", "model_selection")
NUMBER = re.compile(r"[*<>\s]*[+−-]?\d+(\.\d+)?(?![\w.])")


@dataclass(frozen=True)
class Picture:
    """The words beside a figure; ``missing`` are those in its place if there is none."""

    title: str
    caption: str
    missing: str


UAR = Picture(
    "UAR and its interval",
    "A dot is the mean UAR over seeds, the line its 95 % interval: what may be expected "
    "of other speakers, or utterances, as the figure says. The dashed line is chance. "
    "Hollow dots are no zero-shot systems. Whether two systems differ, the paired tests "
    "of the tables say, and not whether lines overlap.",
    "no system was scored",
)
OVERVIEW = Picture(
    "Systems by target and over the mean",
    "Of each zero-shot system the mean UAR over seeds, and its 95 % interval over other "
    "speakers of the target (over utterances where there are too few speakers), with the "
    "models as trained: about other languages and other seeds it says nothing. The best "
    "of several systems is the best by these very figures.",
    "no zero-shot system was scored in all settings",
)
DIFFERENCES = Picture(
    "Differences to another system",
    "How far each system is from one of them, on the same utterances and seeds. Filled "
    "dots differ by their paired 95 % interval; of many, one in twenty would by chance: "
    "corrected tests are in the tables.",
    "there are no two systems to compare.",
)
PICTURES = {
    "projection": Picture(
        "Embeddings in two dimensions",
        "Each point is an utterance of a validation part or of the target, beside those "
        "whose embeddings point the same way (t-SNE, first seed). Above by emotion: "
        "clusters of one colour are good. Below by language: a mixture is good. "
        "Sizes of clusters and the distances between them mean nothing.",
        "the runs kept no embeddings.",
    ),
    "curves": Picture(
        "Learning curves",
        "Losses, and the validation UAR of the training languages, over optimiser steps. "
        "A thin line is a seed, a thick one their mean, a circle the checkpoint that was "
        "chosen. Of the target, zero-shot systems have seen nothing by then.",
        "the runs left no training log.",
    ),
    "probes": Picture(
        "What can still be read from the embeddings",
        "How often a linear classifier is right about the language, or the speaker within "
        "a language, from embeddings of the training languages. A bar is the mean over "
        "seeds, a dot a seed, the line across it chance: the nearer to chance, the less "
        "is left. What a linear classifier does not find may still be there.",
        "the zero-shot runs kept no embeddings to probe.",
    ),
    "layers": Picture(
        "Layers of the encoder",
        "The weight of each layer in the embedding, the mean over seeds and their range; "
        "the dashed line is what all would have if they counted the same.",
        "these runs weigh no layers of the encoder.",
    ),
}


def write(
    results: Path,
    out: Path,
    data_root: Path | None = None,
    draw: bool = True,
    reference: str | None = None,
) -> Path:
    """Write the report of a folder of results.

    Arguments
    ---------
    results : Path
        Searched all through for finished runs.
    out : Path
        The HTML file.
    data_root : Path, optional
        Where the corpora lie, for the sound of the surest mistakes.
    draw : bool
        Whether to draw figures.
    reference : str, optional
        The system to compare with, see ``xser_brain.reports.headline.comparisons``.

    Returns
    -------
    Path
        The HTML file.

    Raises
    ------
    UserError
        If there is no run, runs may not stand in one table, there is no folder
        ``data_root``, or the file cannot be written.
    """
    if data_root is not None and not Path(data_root).is_dir():
        raise UserError(f"no folder {data_root}: pass the one that holds the corpora")
    text = page(gather(results), data_root, draw, reference)
    write_atomic(out, text.encode("utf-8", errors="replace"))
    return Path(out)


def page(
    report: Report,
    data_root: Path | None = None,
    draw: bool = True,
    reference: str | None = None,
) -> str:
    """Make the page of a report.

    Arguments
    ---------
    report : Report
        From ``xser_brain.reports.tables.gather``.
    data_root : Path, optional
        Where the corpora lie.
    draw : bool
        Whether to draw figures.
    reference : str, optional
        The system to compare with, see ``xser_brain.reports.headline.comparisons``.

    Returns
    -------
    str
        HTML.
    """
    environment = Environment(
        loader=PackageLoader("xser_brain.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"bold": _bold, "numeric": _numeric, "counted": _counted}
    style, script = (
        Markup(environment.loader.get_source(environment, name)[0])  # nosec B704 # ours
        for name in ("report.css", "report.js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    groups = report.groups
    runs = [run for group in groups for run in group.runs]
    compared = headline.comparisons(report, reference)
    drawn = _draw(_figures(report, compared)) if draw else {}
    sounds = _Sounds(data_root, int(SOUND_MB * 10**6))
    return environment.get_template("report.html.j2").render(
        title=TITLE,
        date=datetime.date.today().isoformat(),
        version=version("xser-brain"),
        style=style,
        script=script,
        script_hash=f"sha256-{digest}",
        total={
            "runs": len(runs),
            "settings": len({group.setting for group in groups}),
            "systems": len({run["system"] for run in runs}),
            "encoders": list(dict.fromkeys(group.encoder for group in groups)),
            "time": _time(sum(run.get("seconds") or 0 for run in runs)),
        },
        standins=sum(bool(run.get("standin")) for run in runs),
        audit=_audit(runs),
        findings=_findings(compared),
        pictures=drawn.get("headline", []),
        incomplete=incomplete(runs),
        labels=groups[0].labels,
        dark_above=DARK_ABOVE,
        beside=BESIDE,
        tables=report.tables,
        uar=drawn.get("uar", []),
        sections=[
            {
                "title": _title(group),
                "trained": group.trained,
                "standin": group.standin,
                **_results(group),
                "mistakes": _mistakes(group, sounds),
                "pictures": drawn.get(place, []),
            }
            for place, group in enumerate(groups)
        ],
        runs=[_about(group, run) for group in groups for run in group.runs],
    )


def _title(group: Group) -> str:
    """A setting's name for a heading; what it lacks is said below."""
    paper = f"{group.paper}: " if group.paper else ""
    return f"{paper}{setting_name(group.setting.name)}, {group.encoder}{group.kind}"


def _findings(compared: Sequence[Comparison]) -> list[str]:
    """What comes out: the first comparison in full, of further encoders a sentence."""
    if not compared:
        return []
    first, *others = compared
    found = [headline.sentence(first), headline.by_target(first)]
    return [text for text in found + [headline.sentence(c) for c in others] if text]


def _bold(text: str) -> Markup:
    """Escaped text, its ``**bold**`` made bold."""
    marked = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(text)))
    return Markup(marked)  # nosec B704 # escaped one line above


def _numeric(table: Table) -> list[bool]:
    """Which columns hold numbers."""
    columns = [
        [row[i] for row in table.rows if row[i]] for i in range(len(table.header))
    ]
    return [bool(cells) and all(map(NUMBER.match, cells)) for cells in columns]


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _audit(runs: Sequence[Mapping]) -> dict:
    """What the runs' own records say of being zero-shot."""
    zero_shot = [run for run in runs if run["zero_shot"]]
    recorded = [run for run in zero_shot if run.get("audit")]
    broken = [str(run["folder"]) for run in recorded if _saw_target(run["audit"])]
    return {
        "zero_shot": len(zero_shot),
        "unrecorded": len(zero_shot) - len(recorded),
        "broken": broken,
        "confirmed": len(recorded) - len(broken),
        "others": [
            system_name(name)
            for name in sorted(
                {r["system"] for r in runs} - {r["system"] for r in zero_shot}
            )
        ],
    }


def _saw_target(audit: Mapping) -> bool:
    """Whether a stage before the test saw a corpus or a language of the test."""
    return any(
        set(audit[stage][what]) & set(audit["evaluation"][what])
        for stage in BEFORE_TEST
        for what in ("corpora", "languages")
    )


def _outcome(group: Group, system: str) -> tuple[Outcome, str]:
    """On the whole target, or on its test part if the rest was trained on."""
    outcome = group.outcome(system, "target_all")
    if outcome is not None:
        return outcome, SUBSETS["target_all"]
    return group.outcome(system, "target_test"), SUBSETS["target_test"]


def _results(group: Group) -> dict:
    """Confusions of each system, and how many of each emotion it recognises."""
    confusions, rows = [], []
    for system, runs in group.systems.items():
        outcome, subset = _outcome(group, system)
        counts = outcome.confusions()
        mean = counts.mean(0)
        totals = np.maximum(mean.sum(1, keepdims=True), 1)
        n, result = len(outcome.ids), float(uar(counts).mean())
        confusions.append(
            {
                "system": system_name(system),
                "uar": result,
                "n": n,
                "subset": subset,
                "rows": [
                    [
                        {"share": share, "count": f"{count:.1f}".removesuffix(".0")}
                        for share, count in zip(*row, strict=True)
                    ]
                    for row in zip(100 * mean / totals, mean, strict=True)
                ],
            }
        )
        found = [
            "" if np.isnan(value) else f"{value:.1f}"
            for value in recalls(counts).mean(0)
        ]
        rows.append(
            [
                system_name(system),
                *found,
                f"{result:.1f}",
                str(len(runs)),
                str(n),
                subset,
            ]
        )
    header = ["system", *group.labels, "UAR", "seeds", "utterances", "of"]
    notes = ["Recall in percent, means over seeds; UAR is the mean over emotions."]
    title = "How many utterances of each emotion are recognised"
    return {"confusions": confusions, "recall": Table(title, header, rows, notes)}


def _mistakes(group: Group, sounds: "_Sounds") -> dict | None:
    """Surest mistakes of the proposed system, or else of the first zero-shot one."""
    zero_shot = [run["system"] for run in group.runs if run["zero_shot"]]
    system = next(iter(zero_shot), next(iter(group.systems)))
    if "proposed" in group.systems:
        system = "proposed"
    runs = group.systems[system]
    outcome, subset = _outcome(group, system)
    probabilities, labels = [_probabilities(run) for run in runs], group.labels
    if None in probabilities:
        return None
    mean = np.mean([[of[i] for i in outcome.ids] for of in probabilities], axis=0)
    predicted = mean.argmax(1)
    wrong = np.flatnonzero(predicted != outcome.true)
    surest = wrong[np.argsort(-mean.max(1)[wrong], kind="stable")][:MISTAKES]
    agree = (outcome.predicted == predicted).sum(0)
    utterances, note = sounds.of_target(runs[0])
    rows = []
    for place in surest:
        clip, lacking = sounds.clip(utterances.get(outcome.ids[place]))
        rows.append(
            {
                "ID": outcome.ids[place],
                "speaker": outcome.speakers[place],
                "true": labels[outcome.true[place]],
                "predicted": labels[predicted[place]],
                "probability": 100 * mean[place].max(),
                "agree": agree[place],
                "clip": clip,
                "note": lacking,
            }
        )
    return {
        "system": system_name(system),
        "seeds": len(runs),
        "n": len(outcome.ids),
        "subset": subset,
        "wrong": len(wrong),
        "sound": bool(utterances),
        "note": note,
        "rows": rows,
    }


def _probabilities(run: Mapping) -> dict[str, list[float]] | None:
    """Of each emotion, by utterance; None if they were not kept."""
    rows = read_predictions(run)
    names = [f"p_{emotion}" for emotion in run["labels"]]
    if not all(row.get(name) for row in rows for name in names):
        return None
    try:
        found = {row["ID"]: [float(row[name]) for name in names] for row in rows}
    except ValueError as error:
        raise UserError(
            f"{run['folder'] / 'predictions.csv'} is damaged ({error}): train that run "
            "again"
        ) from error
    return found


@dataclass
class _Sounds:
    """Utterances as sound, as long as there is room in the page."""

    data_root: Path | None
    room: int
    read: dict[Path, dict[str, Row]] = field(default_factory=dict)

    def of_target(self, run: Mapping) -> tuple[dict[str, Row], str]:
        """Utterances of a run's target by ID, and what is said of their sound."""
        if self.data_root is None:
            return {}, "To listen to them, pass --data_root=DIR, where the corpora lie."
        folder = run["folder"].resolve()
        try:
            target = part_of_path(run["setting"]["target"])
        except UserError as error:
            return {}, f"There is no sound: {error}."
        paths = (above / "manifests" / f"{target}.csv" for above in folder.parents)
        path = next(filter(Path.is_file, paths), None)
        if path is None:
            return {}, f"There is no sound: no manifest of {target} lies with the runs."
        note = (
            f"At most {SECONDS} s of an utterance are in the page, as 16 kHz mono, and at "
            f"most {SOUND_MB} MB of sound in all."
        )
        try:
            if path not in self.read:
                self.read[path] = {row.ID: row for row in manifest.read(path)}
            digest = manifest.read_sidecar(path)["sha256"]
        except UserError as error:
            return {}, f"There is no sound: {error}."
        if digest != run.get("manifest_sha256", {}).get(target):
            note += f" The manifest of {target} has changed since these runs."
        return self.read[path], note

    def clip(self, row: Row | None) -> tuple[str | None, str]:
        """The utterance in base64, and what to say of it."""
        if row is None or not row.has_audio:
            return None, "not on disk"
        try:
            samples = audio.load(str(inside(self.data_root, row.path(self.data_root))))
        except UserError:
            return None, "not below the corpora"
        except audio.AudioError as error:
            return None, str(error)
        # Every browser plays FLAC (not all play Vorbis), and every libsndfile writes it.
        buffer = io.BytesIO()
        kept = samples[: SECONDS * audio.SAMPLE_RATE]
        soundfile.write(buffer, kept, audio.SAMPLE_RATE, "PCM_16", format="FLAC")
        encoded = base64.b64encode(buffer.getvalue()).decode()
        if len(encoded) > self.room:
            return None, "left out, to keep the page small"
        self.room -= len(encoded)
        cut = len(kept) < len(samples)
        return encoded, f"the first {SECONDS} s" if cut else ""


def _figures(
    report: Report, compared: Sequence[Comparison]
) -> dict[tuple[int | str, str], tuple[Picture, str, Callable[[], Figure | None]]]:
    """What to draw: where (a section, or a place in ``groups``) and a name, to how."""
    jobs, scores = {}, {}
    for item in compared:
        jobs["headline", item.what] = (
            OVERVIEW, item.what, partial(figures.draw_compared, item)
        )  # fmt: skip
        jobs["headline", f"{item.what}, differences"] = (
            DIFFERENCES, item.what, partial(figures.draw_against, item)
        )  # fmt: skip
    for score in report.scores:
        what = f"{score.encoder}, {SUBSETS[score.subset]}"
        what += f", {score.label_set}" if score.label_set else ""
        what += ", synthetic stand-ins" if score.standin else ""
        scores.setdefault(what, []).append(score)
    for what, found in scores.items():
        rows = figures.uar_rows(found)
        lacking = {score.incomplete: None for score in found if score.incomplete}
        what += f", incomplete: {'; '.join(lacking)}" if lacking else ""
        jobs["uar", what] = UAR, what, partial(figures.draw_uar, rows, what)
    for place, group in enumerate(report.groups):
        title, systems = group.title, group.systems
        functions = {
            "projection": partial(figures.draw_projection, systems, title),
            "curves": partial(figures.draw_curves, systems, title),
            "probes": partial(_probes, group),
            "layers": partial(figures.draw_layer_weights, systems, title),
        }
        for name, picture in PICTURES.items():
            jobs[place, name] = picture, title, functions[name]
    return jobs


def _probes(group: Group) -> Figure | None:
    return figures.draw_probes(probe_rows(group.runs), group.title)


def _draw(jobs: Mapping) -> dict[int | str, list[dict]]:
    """Draw figures; where they go, to what the template needs of each."""
    places = {}
    with bar(jobs.items(), desc="figures", unit="figure") as shown:
        for (place, name), (picture, what, draw) in shown:
            shown.set_postfix_str(name)
            places.setdefault(place, []).append(_drawn(picture, what, draw()))
    return places


def _drawn(picture: Picture, what: str, figure: Figure | None) -> dict:
    if figure is None:
        return {"title": picture.title, "png": None, "missing": picture.missing}
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    pixels = struct.unpack(">II", buffer.getvalue()[16:24])
    width, height = (round(size * WIDTH / DPI) for size in pixels)
    panels = [axes.get_title() or axes.get_title("left") for axes in figure.axes]
    named = "; ".join(dict.fromkeys(" ".join(p.split()) for p in panels if p))
    return {
        "title": picture.title,
        "caption": picture.caption,
        "alt": f"{picture.title}: {what}. Panels: {named}.",
        "png": base64.b64encode(buffer.getvalue()).decode(),
        "width": width,
        "height": height,
        "full": figure.get_figwidth() >= FULL,
    }


def _about(group: Group, run: Mapping) -> dict:
    """A run, for the table of runs."""
    seconds, memory = run.get("seconds"), run.get("peak_memory_mb")
    encoder, manifests = dict(run["encoder"]), run.get("manifest_sha256", {})
    encoder.pop("name")
    return {
        "setting": setting_name(group.name),
        "system": system_name(run["system"]),
        "encoder": group.encoder,
        "seed": run["seed"],
        "steps": run.get("steps", ""),
        "seconds": "" if seconds is None else seconds,
        "time": "" if seconds is None else _time(seconds),
        "memory": "" if memory is None else f"{memory:.0f}",
        "device": run.get("device", ""),
        "protocol": run["protocol_sha256"],
        "hparams": run.get("hparams_sha256", ""),
        "facts": {
            "folder": run["folder"],
            "plan": run["protocol_sha256"],
            "hyperparameters": run.get("hparams_sha256", ""),
            "trained on": run["trains_on"],
            "objectives": ", ".join(run["objectives"]),
            **{f"manifest of {name}": value for name, value in manifests.items()},
            "encoder": _listed(encoder),
            "options": _listed(run.get("options", {})),
            "versions": _listed(run.get("versions", {})),
        },
    }


def _listed(values: Mapping) -> str:
    return "; ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in values.items()
    )
