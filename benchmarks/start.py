"""Time what a command takes to answer: processor time, the kernel's included.

    python benchmarks/start.py CLIP MODEL [MODEL ...] --repeats 5

A new process each time: ``xser predict`` of one clip by each model, and the same without
any of it: importing torch, and the help texts.
"""

import argparse
import resource
import statistics
import subprocess
import sys

from timing import interleaved, markdown


def processor_seconds(case) -> float:
    """Processor time, user and system, of the processes that a call waits for."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    case()
    return used() - before


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    xser = ["-m", "xser_brain"]
    commands = {
        "import torch": ["-c", "import torch"],
        "xser --help": [*xser, "--help"],
        "xser train --help": [*xser, "train", "--help"],
    }
    for model in args.models:
        predict = ["predict", model, args.clip, "--device=cpu", "--noprogressbar"]
        commands[f"xser predict {model} CLIP"] = [*xser, *predict]
    cases = {
        name: lambda command=command: subprocess.run(
            [sys.executable, *command], check=True, capture_output=True
        )
        for name, command in commands.items()
    }
    times = interleaved(cases, args.repeats, clock=processor_seconds)
    print(
        markdown(
            [
                {"command": name, "median CPU s": f"{statistics.median(own):.2f}"}
                for name, own in times.items()
            ]
        )
    )


if __name__ == "__main__":
    main()
