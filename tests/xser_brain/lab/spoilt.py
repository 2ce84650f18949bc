"""Objectives that go wrong at the eighth step."""

from xser_brain.objectives import Objective


class Spoilt(Objective):
    """What is asked for, from the eighth step of twelve on."""

    def __init__(self, how, **options):
        super().__init__(**options)
        self.how = how

    def forward(self, heard, progress):
        """Fine, no number, infinite, with a gradient that is none, or then an error."""
        value = heard.embeddings.mean() * 0
        if progress * 12 < 7:
            return value
        if self.how == "gradient":
            return (heard.embeddings * 0).sum().sqrt()
        if self.how == "then an error":
            if progress * 12 > 8:
                raise RuntimeError("the device is at its wits' end")
            return value + float("nan")
        return value + float(self.how)
