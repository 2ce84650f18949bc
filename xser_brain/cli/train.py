"""``train.py`` of every recipe, and ``xser train``: the command line of a run."""

import os
import signal
import sys
from collections.abc import Sequence

from data_prep.errors import UserError
from data_prep.outside import printable
from xser_brain.recipes import find
from xser_brain.training import hparams, launch, mishaps, stopping

TEXT = "Train and score a recipe, as its train.py does."
HELP = f"""\
usage: xser train RECIPE [--key=value ...]
       python train.py hparams/X.yaml [--key=value ...]

{TEXT}
A RECIPE is a YAML file, or one that `xser recipes list` shows; --help after it shows its
keys. SpeechBrain's run options can be given too, as --device=cuda:1, --precision=bf16 or
--noprogressbar: --help_all shows them. --processes=N shares each batch among N
processes, each with a GPU of its own if there are any: the same method, N times the
memory. torchrun does the same, also over several machines.

A recipe is a program: the YAML names code that runs, some of it (!apply) while the
YAML is read, and Python files beside it can be named. Run a stranger's recipe as you
would run a stranger's program: read it first.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a recipe from the command line; ``train.py`` of every recipe is this.

    ``argv`` is ``hparams/X.yaml [--key=value ...]``, with all run options of
    SpeechBrain. Returns 0, 2 after a mistake that the user can mend, or 128
    and the number of the signal that stopped it.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    asked = {"-h", "--help", "--help_all"} & set(argv)
    named = [find(arg) for arg in argv if not arg.startswith("-")]
    try:
        if asked:
            # Among what is named may be values of options, as in `--device cpu`.
            recipes = sorted(named, key=lambda path: not path.is_file())[:1]
            print("\n".join([HELP, *map(hparams.explain, recipes)]))
            if "--help_all" not in asked:
                return 0
            argv = ["--help"]
        elif not named:
            raise UserError("pass a recipe: `xser recipes list` shows what there is")
        processes, argv = launch.split(argv)
        if processes > 1:
            with stopping.heeded():
                launch.launch(train, argv, processes)
        else:
            train(argv)
    except UserError as error:
        return _complain(str(error))
    except KeyboardInterrupt:  # what a run needs was still being imported
        return _stopped(stopping.Stopped(signal.SIGINT))
    except stopping.Stopped as stopped:
        return _stopped(stopped)
    return 0


def train(argv: Sequence[str]) -> None:
    """Carry out a run, or this process' part of it, in this process.

    ``argv`` is as for ``main``. UserError after a mistake that the user can mend, Stopped
    if a signal asked for it.
    """
    # What --help does not need takes seconds to import.
    from xser_brain.training.run import run

    recipe, run_opts, overrides = hparams.parse_arguments(argv)
    try:
        with stopping.heeded():
            run(find(recipe), overrides, run_opts)
    except UserError:
        raise
    except Exception as error:
        line = mishaps.explain(error)
        if line is None:
            raise
        raise UserError(line) from error


def _stopped(by: stopping.Stopped) -> int:
    if os.environ.get("RANK", "0") == "0":  # all processes have stopped
        print(f"stopped by {by}: the same command goes on from here", file=sys.stderr)
    return by.code


def _complain(message: str) -> int:
    print(f"error: {printable(message)}", file=sys.stderr)
    return 2
