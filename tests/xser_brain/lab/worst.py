"""A selection of one's own: the worst language decides."""

from xser_brain import Selection


class Worst(Selection):
    """The checkpoint whose worst language is best."""

    def score(self, validation):
        """The lowest UAR over training languages."""
        return min(validation.uar().values())

    def describe(self):
        """For run.json."""
        return "lowest UAR over training languages"
