"""A finished zero-shot run, to be scored again under another protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.errors import UserError
from xser_brain import artefacts
from xser_brain.artefacts import Record


@dataclass(frozen=True)
class Finished:
    """What such a run says of its target.

    Arguments
    ---------
    folder : Path
        The run's.
    record : Record
        Its run.json.
    rows : sequence of dict
        Of predictions.csv: one an utterance that was scored.
    """

    folder: Path
    record: Record
    rows: Sequence[dict[str, str]]

    @classmethod
    def read(cls, folder: str | Path) -> "Finished":
        """Read a run; UserError if it is not finished, or was trained on its target."""
        folder = Path(folder)
        if not (folder / artefacts.RUN).is_file():
            raise UserError(f"{folder} holds no finished run: pass the folder of one")
        record = artefacts.read_run(folder)
        if not record["zero_shot"]:
            raise UserError(
                f"{folder} was trained on its target: there is nothing to adapt"
            )
        labels = record["target_test"]["labels"]
        return cls(folder, record, artefacts.read_predictions(folder, labels))

    @property
    def labels(self) -> list[str]:
        """The classes."""
        return self.record["target_test"]["labels"]

    @property
    def target(self) -> str:
        """The target's name, as a part of a path."""
        return artefacts.part_of_path(self.record["setting"]["target"])

    @property
    def speakers(self) -> list[str]:
        """Of each utterance that was scored; empty where they are not known."""
        return [row["speaker"] for row in self.rows]

    def classes(self, column: str = "emotion") -> np.ndarray:
        """Of each utterance, as positions in ``labels``: ``emotion`` or ``predicted``."""
        return np.array([self.labels.index(row[column]) for row in self.rows])

    def about(self) -> dict:
        """What names the run in the files that lie beside its own."""
        names = ("setting", "system", "seed")
        return {
            **{name: self.record[name] for name in names},
            "encoder": self.record["encoder"]["name"],
            "labels": self.labels,
        }
