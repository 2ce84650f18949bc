"""The one exception that stands for a mistake the user can mend."""


class UserError(ValueError):
    """Wrong input: one line that says what is wrong, where, and how to mend it.

    The command lines show the message alone and end with exit code 2; any other
    exception is a defect of the program and keeps its traceback.

    Example
    -------
    >>> raise UserError("no folder /corpora/emodb: pass --data_folder=DIR")
    Traceback (most recent call last):
        ...
    data_prep.errors.UserError: no folder /corpora/emodb: pass --data_folder=DIR
    """
