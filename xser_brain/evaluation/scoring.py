"""Score finished models, whoever trained them, as a run scores its own target."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_prep.manifest import Row
from data_prep.outside import printable
from xser_brain.evaluation.material import Material, parts
from xser_brain.evaluation.summary import summarise
from xser_brain.inference.calibration import expected_calibration_error
from xser_brain.inference.classifier import Classifier

LENGTHS = (2.0, 4.0, 8.0)  # seconds at which utterances are parted


@dataclass(frozen=True)
class Heard:
    """What a model has heard of something while it was trained.

    Arguments
    ---------
    corpus : bool, optional
        Whether that corpus, be it its training part only; None if it is not told.
    languages, unheard : tuple of str
        Of the languages that it is in, those of training, and the others.
    standin : bool
        Whether the model has heard nothing but synthetic speech.
    """

    corpus: bool | None
    languages: tuple[str, ...]
    unheard: tuple[str, ...]
    standin: bool = False

    @classmethod
    def of(cls, config: dict, material: Material) -> "Heard":
        """Compare a model's configuration with what it is scored on."""
        training = config["training"]
        known = {code.casefold() for code in training["languages"]}
        spoken = sorted({row.language for row in material.rows} - {""})
        return cls(
            material.corpus in training["corpora"] if material.corpus else None,
            tuple(code for code in spoken if code.casefold() in known),
            tuple(code for code in spoken if code.casefold() not in known),
            training["standin"],
        )

    def __str__(self) -> str:
        heard, unheard = (
            printable(", ".join(x)) for x in (self.languages, self.unheard)
        )
        if self.corpus:
            return "this corpus"
        if heard:
            other = "other corpora" if self.corpus is False else "corpora"
            never = f"; never {unheard}" if unheard else ""
            return f"{other} of its language ({heard}){never}"
        if unheard:
            return f"nothing of its language ({unheard})"
        return "its language is not told"


@dataclass(frozen=True)
class Scored:
    """What a model said of a corpus or table.

    Arguments
    ---------
    model : str
        What it is called.
    labels : tuple of str
        The model's.
    material : Material
        What it was scored on.
    heard : Heard
        What of that it was trained on.
    rows : list of Row
        The utterances that have a label, by ID; their ``emotion`` is the label.
    probabilities : (utterances, labels) numpy.ndarray
        Calibrated.
    seconds : (utterances,) numpy.ndarray
        How long they are.
    failed : dict of str to str
        Path to the reason, of recordings that could not be scored.
    """

    model: str
    labels: tuple[str, ...]
    material: Material
    heard: Heard
    rows: list[Row]
    probabilities: np.ndarray
    seconds: np.ndarray
    failed: dict[str, str]

    def part(self, name: str) -> np.ndarray:
        """Which utterances are in a part: ``test`` or ``all``."""
        if name == "all":
            return np.ones(len(self.rows), bool)
        test = {row.ID for row in parts(self.rows)["test"]}
        return np.array([row.ID in test for row in self.rows])

    @property
    def true(self) -> np.ndarray:
        """Classes, as positions in the labels."""
        return np.array([self.labels.index(row.emotion) for row in self.rows])

    @property
    def predicted(self) -> np.ndarray:
        """The same, as the model has them."""
        return self.probabilities.argmax(-1)

    def figures(self, chosen: np.ndarray) -> dict:
        """All that ``summarise`` says of some utterances, and ``calibration_error``.

        Arguments
        ---------
        chosen : (utterances,) bool numpy.ndarray
            Which.

        Returns
        -------
        dict
            With ``speakers``, how many there are, and the expected calibration error in
            percent.
        """
        pairs = zip(self.rows, chosen, strict=True)
        speakers = [row.speaker for row, own in pairs if own]
        true = self.true[chosen]
        return {
            **summarise(true, self.predicted[chosen], speakers, self.labels),
            "speakers": len({*speakers} - {""}),
            "calibration_error": expected_calibration_error(
                self.probabilities[chosen], true
            ),
        }

    def by(self, attribute: str, chosen: np.ndarray) -> dict[str, dict]:
        """Figures of each speaker, sex or length, where it is told.

        Arguments
        ---------
        attribute : str
            ``speaker``, ``gender`` or ``length``.
        chosen : (utterances,) bool numpy.ndarray
            Among which utterances.

        Returns
        -------
        dict of str to dict
            As ``figures``; lengths from short to long, all else by name.
        """
        if attribute == "length":
            bins = np.digitize(self.seconds, LENGTHS)
            groups = {LENGTH_NAMES[n]: bins == n for n in range(len(LENGTH_NAMES))}
        else:
            values = np.array([getattr(row, attribute) for row in self.rows])
            groups = {
                name: values == name for name in sorted({*values.tolist()} - {""})
            }
        found = {name: own & chosen for name, own in groups.items()}
        return {name: self.figures(own) for name, own in found.items() if own.any()}


LENGTH_NAMES = (
    f"under {LENGTHS[0]:g} s",
    *(f"{a:g} to {b:g} s" for a, b in zip(LENGTHS, LENGTHS[1:], strict=False)),
    f"{LENGTHS[-1]:g} s and more",
)


def score(
    classifier: Classifier, name: str, material: Material, progress: bool = False
) -> Scored:
    """Have a model label a corpus or table.

    Arguments
    ---------
    classifier : Classifier
        The model; one whose windows cut no utterance, as a run cuts none.
    name : str
        What it is called.
    material : Material
        What it is scored on.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    Scored

    Raises
    ------
    UserError
        If no utterance has a label of the model, or none can be scored.
    """
    rows = material.labelled(classifier.labels)
    paths = [material.paths[row.ID] for row in rows]
    kept, shares, seconds, failed = [], [], [], {}
    for row, result in zip(
        rows, classifier.classify(paths, progress=progress), strict=True
    ):
        if result.error:
            failed[result.path] = result.error
            continue
        kept.append(row)
        shares.append([*result.probabilities.values()])
        seconds.append(result.end - result.start)
    width = len(classifier.labels)
    return Scored(
        name,
        classifier.labels,
        material,
        Heard.of(classifier.config, material),
        kept,
        np.array(shares).reshape(-1, width),
        np.array(seconds),
        failed,
    )


def in_common(scored: Sequence[Scored]) -> list[Scored]:
    """The same with those utterances only that all models could score.

    Arguments
    ---------
    scored : sequence of Scored
        Of one material, and of models with the same labels.

    Returns
    -------
    list of Scored
    """
    common = set.intersection(*({row.ID for row in item.rows} for item in scored))
    found = []
    for item in scored:
        kept = np.array([row.ID in common for row in item.rows], bool)
        rows = [row for row in item.rows if row.ID in common]
        shares, seconds = item.probabilities[kept], item.seconds[kept]
        found.append(replace(item, rows=rows, probabilities=shares, seconds=seconds))
    return found
