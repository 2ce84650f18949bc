"""``xser``: train, alone or in grids; tables, figures and reports; use of models."""

import argparse
import shlex
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

from data_prep import __version__
from data_prep.errors import UserError
from data_prep.outside import printable
from xser_brain.cli import (
    arguments,
    embed,
    ensemble,
    evaluate,
    export,
    fewshot,
    predict,
    publish,
    recipes,
    serve,
    train,
    transductive,
)
from xser_brain.recipes import find
from xser_brain.training import launch, stopping

COMMANDS = {
    "recipes": recipes,
    "predict": predict,
    "embed": embed,
    "ensemble": ensemble,
    "evaluate": evaluate,
    "export": export,
    "publish": publish,
    "serve": serve,
    "transductive": transductive,
    "fewshot": fewshot,
}
SLURM_OPTIONS = {
    "partition": (str, "default: the cluster's own"),
    "time": (int, "minutes until a job is stopped and queued again; default: 240"),
    "cpus": (int, "of a run, or of each of its processes; default: 1"),
    "gpus": (int, "of a run, or of each of its processes; default: 0"),
    "memory": (float, "GB of a run; default: the cluster's own"),
    "parallel": (int, "runs at once; default: 32"),
    "requeues": (int, "how often a run may be out of time; default: 10"),
    "setup": (str, "lines of shell before a run, as 'module load cuda'"),
}


def _train(args: argparse.Namespace, rest: list[str]) -> int:
    return train.main(rest)


def _new(args: argparse.Namespace, rest: list[str]) -> int:
    from xser_brain.grids.new_recipe import new_recipe
    from xser_brain.protocol import Setting

    _refuse(rest, "new")
    setting = Setting(tuple(args.source), tuple(args.non_target), args.target)
    path, *others = new_recipe(args.recipes, setting, args.encoder)
    for other in others:
        print(other)
    print(f"{path}\nto run it: xser train {path} --data_root=DIR")
    return 0


def _grid(args: argparse.Namespace, rest: list[str]) -> int:
    from xser_brain.grids import grid

    given = {name: getattr(args, name) for name in SLURM_OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    if given and not args.slurm:
        raise UserError(f"--{next(iter(given))} is for clusters: pass --slurm with it")
    chosen = grid.read(find(args.grid)).narrowed(
        args.systems, args.encoders, args.seeds
    )
    processes, _ = launch.split(rest)
    grid.require_disk(args.results)
    if args.slurm or args.dry_run:
        planned = grid.plan(chosen, args.results, rest)
        if args.dry_run:
            for task in planned.tasks:
                print(shlex.join(["xser", "train", *task.argv]))
            print(f"# {len(planned.tasks)} to do, {len(planned.finished)} finished")
            return 0
        from xser_brain.grids.cluster import ClusterOptions, SlurmJobs

        options = ClusterOptions(**given, processes=processes)
        jobs = SlurmJobs(planned.tasks, args.results / "slurm", options)
        return _carried_out(args, planned, jobs, pause=10.0)
    gpus = [name.strip() for name in (args.devices or "").split(",")]
    gpus = [name for name in gpus if name]
    with grid.LocalJobs((), args.jobs, args.threads, gpus, processes) as jobs:
        planned = grid.plan(chosen, args.results, rest)
        jobs.add(planned.tasks)
        return _carried_out(args, planned, jobs, pause=0.0)


def _carried_out(args: argparse.Namespace, planned, jobs, pause: float) -> int:
    """Wait for the runs of a grid, and say what became of them."""
    from xser_brain.grids import grid

    try:
        # What a cluster does needs nobody to wait for it, unless it is typed away.
        with nullcontext() if args.slurm else stopping.heeded():
            states = grid.carry_out(planned, jobs, pause)
    except (KeyboardInterrupt, stopping.Stopped) as stop:
        stopped = stopping.Stopped(getattr(stop, "signum", signal.SIGINT))
        print(
            f"stopped by {stopped}: the same command goes on from here", file=sys.stderr
        )
        return stopped.code
    print(grid.summary(planned, states))
    print(f"everything written to {args.results.resolve()}: see `xser tables`")
    failed = [task for task in planned.tasks if states[task.name] == grid.FAILED]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(states)} runs failed (listed above): mend the cause "
            "and give the same command again, it does the rest"
        )
    return 0


def _tables(args: argparse.Namespace, rest: list[str]) -> int:
    from xser_brain.reports import tables

    _refuse(rest, "tables")
    report = tables.gather(args.results, args.purpose, args.reference)
    if args.update:
        tables.update_document(args.update, tables.as_markdown(report))
        print(f"tables written into {args.update}")
    if args.out:
        for path in tables.write_all(report, args.out):
            print(path)
    if not (args.update or args.out):
        texts = {
            "markdown": lambda: tables.as_markdown(report),
            "latex": lambda: tables.latex_document(report.tables),
            "csv": lambda: tables.as_csv(report.scores),
        }
        print(texts[args.format]())
    return 0


def _figures(args: argparse.Namespace, rest: list[str]) -> int:
    from xser_brain.reports.figures import draw_all
    from xser_brain.reports.runs import find_runs

    _refuse(rest, "figures")
    out = args.out or args.results / "figures"
    paths = draw_all(find_runs(args.results), out, args.method, args.reference)
    print(f"{len(paths)} files written to {out.resolve()}")
    return 0


def _report(args: argparse.Namespace, rest: list[str]) -> int:
    from xser_brain.reports.html import write

    _refuse(rest, "report")
    out = args.out or args.results / "report.html"
    draw = not args.no_figures
    path = write(args.results, out, args.data_root, draw, args.reference)
    size = path.stat().st_size / 1e6
    print(f"report written to {path.resolve()} ({size:.1f} MB)")
    return 0


def _add_reference(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reference",
        metavar="SYSTEM",
        help="the system that others are compared with; default: baseline2, or the "
        "first that there is",
    )


def _command(args: argparse.Namespace, rest: list[str]) -> int:
    _refuse(rest, args.command)
    arguments.import_modules(getattr(args, "modules", ()))
    return COMMANDS[args.command].run(args)


def _cache_list(args: argparse.Namespace, rest: list[str]) -> int:
    from xser_brain.features.store import table

    _refuse(rest, "cache list")
    print(table(_groups(args.folder)))
    print(f"in {args.folder.resolve()}")
    return 0


def _cache_clear(args: argparse.Namespace, rest: list[str]) -> int:
    from xser_brain.features.store import remove, table

    _refuse(rest, "cache clear")
    chosen = [g for g in _groups(args.folder) if g.key.startswith(args.encoder)]
    if not chosen:
        raise UserError(
            f"{args.folder} holds nothing of {args.encoder or 'any encoder'}: see "
            f"`xser cache list {args.folder}`"
        )
    print(table(chosen))
    if not args.yes:
        try:
            answer = input("Remove this? [y/N] ")
        except EOFError as error:
            raise UserError("nobody to ask: pass --yes to remove this") from error
        if answer.strip().lower() not in ("y", "yes"):
            print("nothing removed")
            return 0
    used = remove(args.folder, [group.key for group in chosen])
    for key in used:
        print(f"left {key}: a run uses it")
    print(f"removed {len(chosen) - len(used)} of {len(chosen)} from {args.folder}")
    return 0


def _groups(folder: Path) -> list:
    from xser_brain.features.store import groups

    if not folder.is_dir():
        raise UserError(
            f"no folder {folder}: pass the one that holds the features, <results>/"
            "features unless a run was given another"
        )
    return groups(folder)


def _refuse(rest: list[str], command: str) -> None:
    if rest:
        raise UserError(f"unknown option {rest[0]}: see `xser {command} --help`")


def parser() -> argparse.ArgumentParser:
    """The command line of ``xser``; heavy imports wait until a command runs."""
    main = argparse.ArgumentParser(prog="xser", description=__doc__)
    main.add_argument("--version", action="version", version=f"xser {__version__}")
    subcommands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # Its options are the recipe's, and so is its help.
    sub = subcommands.add_parser("train", help=train.TEXT, add_help=False)
    sub.set_defaults(function=_train)
    text = "Write a new recipe into the current folder."
    sub = subcommands.add_parser("new", help=text, description=text)
    names = "names of `python -m data_prep list`"
    sub.add_argument("--source", nargs="+", required=True, help=names)
    sub.add_argument("--non_target", nargs="*", default=(), help=names)
    sub.add_argument("--target", required=True, help="one such name")
    sub.add_argument("--encoder", default="ecapa", help="default: %(default)s")
    sub.add_argument(
        "--recipes", type=Path, default=Path(), help="another folder than the current"
    )
    sub.set_defaults(function=_new)
    text = "Carry out a grid of settings, systems, encoders and seeds."
    sub = subcommands.add_parser(
        "grid",
        help=text,
        description=text + " Finished runs are not done again, broken ones go on from "
        "their checkpoints. All other options (--key=value) go to every run, as "
        "--processes=N, by which several processes share one.",
    )
    sub.add_argument("grid", type=Path, help="a YAML file, as paper.yaml")
    sub.add_argument(
        "--results", type=Path, default=Path("results"), help="default: %(default)s"
    )
    for name, kind, text in (
        ("seeds", int, "instead of the grid's"),
        ("systems", str, "instead of the grid's"),
        ("encoders", str, "instead of the grid's or the recipes'"),
    ):
        sub.add_argument(f"--{name}", type=kind, nargs="+", help=text)
    sub.add_argument(
        "--jobs", type=int, help="runs at once; default: one a GPU, or one a core"
    )
    sub.add_argument(
        "--threads", type=int, help="CPU threads a run; default: the cores shared out"
    )
    sub.add_argument(
        "--devices",
        help="GPUs as 0,1,2: one run on each, or on N with --processes=N; 0,0,0: three "
        "runs at once on the first; default: the CPU",
    )
    sub.add_argument(
        "--dry_run", action="store_true", help="only print the commands of what is left"
    )
    cluster = sub.add_argument_group(
        "SLURM", "Job arrays; what is stopped by SLURM is queued again and goes on."
    )
    cluster.add_argument("--slurm", action="store_true", help="run on a cluster")
    for name, (kind, text) in SLURM_OPTIONS.items():
        nargs = "+" if name == "setup" else None
        cluster.add_argument(f"--{name}", type=kind, nargs=nargs, help=text)
    sub.set_defaults(function=_grid)
    text = "Show the results of finished runs: the paper's tables, with statistics."
    sub = subcommands.add_parser("tables", help=text, description=text)
    sub.add_argument("results", type=Path, help="folder of runs, searched all through")
    sub.add_argument(
        "--format", choices=("markdown", "latex", "csv"), default="markdown"
    )
    sub.add_argument(
        "--out", type=Path, metavar="DIR", help="write all formats into this folder"
    )
    sub.add_argument(
        "--update",
        type=Path,
        metavar="FILE",
        help="put the tables between the lines <!-- xser tables --> and "
        "<!-- end of xser tables --> of this file",
    )
    sub.add_argument(
        "--purpose",
        choices=("result", "tuning"),
        default="result",
        help="tuning: the runs that hyperparameters were chosen by; never both",
    )
    sub.add_argument(
        "--reference",
        metavar="SYSTEM",
        help="tell, too, what each other system gains on this one, over all settings",
    )
    sub.set_defaults(function=_tables)
    text = "Draw finished runs: projections, confusions, curves, probes, layers."
    sub = subcommands.add_parser("figures", help=text, description=text)
    sub.add_argument("results", type=Path, help="folder of runs, searched all through")
    sub.add_argument(
        "--out", type=Path, metavar="DIR", help="default: figures below the results"
    )
    sub.add_argument(
        "--method", choices=("tsne", "umap"), default="tsne", help="of the projections"
    )
    _add_reference(sub)
    sub.set_defaults(function=_figures)
    text = "Write finished runs, their tables and figures as one HTML page."
    sub = subcommands.add_parser("report", help=text, description=text)
    sub.add_argument("results", type=Path, help="folder of runs, searched all through")
    sub.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: report.html below the results",
    )
    sub.add_argument(
        "--data_root",
        type=Path,
        metavar="DIR",
        help="the corpora, for the sound of the surest mistakes",
    )
    sub.add_argument("--no_figures", action="store_true", help="tables only")
    _add_reference(sub)
    sub.set_defaults(function=_report)
    for name, command in COMMANDS.items():
        sub = subcommands.add_parser(name, help=command.TEXT, description=command.TEXT)
        command.add_arguments(sub)
        sub.set_defaults(function=_command)
    text = "Show or remove the features that runs have kept on disk."
    sub = subcommands.add_parser("cache", help=text, description=text)
    actions = sub.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text, function in (
        ("list", "Show what is kept of which encoder.", _cache_list),
        ("clear", "Remove what no run uses at the moment.", _cache_clear),
    ):
        sub = actions.add_parser(name, help=text, description=text)
        sub.add_argument("folder", type=Path, help="the features folder of the runs")
        sub.set_defaults(function=function)
    sub.add_argument(
        "--encoder", default="", metavar="KEY", help="only this one, as list shows it"
    )
    sub.add_argument("--yes", action="store_true", help="do not ask")
    return main


def main(argv: list[str] | None = None) -> int:
    """Run a command; 0, 2 after a mistake that the user can mend, 130 after Ctrl-C."""
    args, rest = parser().parse_known_args(argv)
    try:
        return args.function(args, rest)
    except UserError as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        stopped = stopping.Stopped(signal.SIGINT)
        print(f"stopped by {stopped}", file=sys.stderr)
        return stopped.code
