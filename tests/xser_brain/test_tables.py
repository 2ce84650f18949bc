"""Tables are made of artefacts: figures are recomputed from predictions.csv."""

import csv
import io
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import f1_score, recall_score

from data_prep import corpus
from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS
from xser_brain.cli import main
from xser_brain.evaluation.summary import shown_interval, summarise
from xser_brain.protocol import PAPER_SETTINGS
from xser_brain.reports.names import corpus_name, setting_name, system_name
from xser_brain.reports.paper import paper_counts, paper_results, paper_systems
from xser_brain.reports.render import latex_document
from xser_brain.reports.runs import SUBSETS, find_runs, group_runs
from xser_brain.reports.tables import (
    BEGIN,
    END,
    as_csv,
    as_markdown,
    gather,
    systems_table,
)

SETTING = {"source": ["a"], "non_target": ["b", "c"], "target": "d"}
BETTER = "Proposed > Baseline 2"


def write_run(
    folder,
    system="proposed",
    seed=1,
    accuracy=0.8,
    salt=0,
    setting=SETTING,
    values=(),
    labels=EMOTIONS,
    **changes,
):
    """A run of 60 made-up predictions of seven speakers; gives labels and predictions."""
    rng = np.random.default_rng([seed, len(system), salt])
    classes = len(labels)
    truth = np.arange(60) % classes
    guess = np.where(rng.random(60) < accuracy, truth, rng.integers(0, classes, 60))
    folder.mkdir(parents=True)
    with (folder / "predictions.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["ID", "language", "speaker", "emotion", "predicted", "subset"])
        for i, (t, p) in enumerate(zip(truth, guess, strict=True)):
            subset = "test" if i < 20 else "rest"
            row = [f"{i:02}", "de", f"s{i % 7}", labels[t], labels[p], subset]
            writer.writerow(row)
    record = {
        "setting": setting,
        "system": system,
        "seed": seed,
        "encoder": {"name": "ecapa"},
        "standin": False,
        "protocol_sha256": f"p {system}",
        "hparams_sha256": "h",
        "manifest_sha256": {"d": "m"},
        "counts": {"train": 9, "speakers": 8, "valid": 7, "test": 20, "target_all": 60},
        "zero_shot": system != "upper_bound",
        "target_test": {"n": 20, "labels": list(labels)},
        "target_all": {"n": 60},
        **changes,
    }
    (folder / "run.json").write_text(json.dumps(record))
    hparams = {"training.steps": 100, "run.system": system, **dict(values)}
    identity = {"hparams": hparams, "options": {"precision": "fp32"}, "protocol": ""}
    (folder / "identity.json").write_text(json.dumps(identity))
    return truth, guess


def table(report, start):
    """The table of a report whose title begins so."""
    return next(item for item in report.tables if item.title.startswith(start))


def row_of(found, *cells):
    """The row of a table that begins with some cells."""
    return next(list(row) for row in found.rows if tuple(row[: len(cells)]) == cells)


def uar_of(pairs):
    return [100 * recall_score(t, p, average="macro") for t, p in pairs]


def test_means_over_seeds(tmp_path):
    pairs = [write_run(tmp_path / str(s), seed=s) for s in (1, 2, 3)]
    uars = uar_of(pairs)
    f1s = [100 * f1_score(t, p, average="macro") for t, p in pairs]
    report = gather(tmp_path)
    row = row_of(table(report, "Intervals. ecapa, the whole"), "a to d", "Proposed")
    assert row[2] == "3"
    assert row[3] == f"{np.mean(uars):.1f} ± {np.std(uars, ddof=1):.1f}"
    assert row[5] == f"{np.mean(f1s):.1f} ± {np.std(f1s, ddof=1):.1f}"
    assert row[6:] == ["60", "7"]
    bounds, unit = row[4].split("] ")
    low, high = map(float, bounds.strip("[").split(","))
    assert low < np.mean(uars) < high
    assert unit == "speakers"
    assert row_of(table(report, "Table 2. ecapa, the whole"), "Proposed")[1] == (
        f"**{np.mean(uars):.1f} / {np.mean(f1s):.1f}**"
    )


def test_test_part_counts_its_utterances_only(tmp_path):
    truth, guess = write_run(tmp_path / "1")
    expected = uar_of([(truth[:20], guess[:20])])[0]
    report = gather(tmp_path)
    row = row_of(table(report, "Intervals. ecapa, the target's test"), "a to d")
    assert row[3] == f"{expected:.1f}"
    assert row[6] == "20"


def test_systems_stand_in_the_papers_order(tmp_path):
    for system in ("upper_bound", "proposed", "baseline1"):
        write_run(tmp_path / system, system=system)
    found = table(gather(tmp_path), "Table 2")
    assert [row[0] for row in found.rows] == ["Baseline 1", "Proposed", "Upper bound"]


def test_what_heard_the_target_is_not_scored_on_it(tmp_path):
    write_run(tmp_path / "1", system="upper_bound", accuracy=1.0, target_all=None)
    (tmp_path / "1/predictions.csv").write_text(
        "".join((tmp_path / "1/predictions.csv").open().readlines()[:21])
    )
    write_run(tmp_path / "2")
    report = gather(tmp_path)
    whole = table(report, "Table 2. ecapa, the whole")
    assert [row[0] for row in whole.rows] == ["Proposed"]
    part = table(report, "Table 2. ecapa, the target's test")
    assert row_of(part, "Upper bound")[1].startswith("100.0")
    assert "**" not in row_of(part, "Upper bound")[1]  # not zero-shot
    assert "**" in row_of(part, "Proposed")[1]


def test_a_sure_gain_is_marked_and_claimed(tmp_path):
    for seed in (1, 2):
        write_run(tmp_path / f"b{seed}", "baseline2", seed, 0.3)
        write_run(tmp_path / f"p{seed}", "proposed", seed, 1.0)
    report = gather(tmp_path)
    whole = table(report, "Table 2. ecapa, the whole")
    assert row_of(whole, "Proposed")[1] == "**100.0 / 100.0**†"
    row = row_of(table(report, "The paper's claims. ecapa, the whole"), BETTER)
    claim = next(c for c in report.claims if c.subset == "target_all")
    assert row[1] == "a to d"
    assert claim.p < 0.05
    assert claim.difference > 40
    assert claim.low < claim.difference < claim.high
    assert claim.unit == "speakers"


def test_seeds_that_differ_are_told(tmp_path):
    """As Welch's t-test has it, from scipy, of the seeds' UARs by scikit-learn."""
    pairs = {"baseline2": [], "proposed": []}
    for system, accuracy in (("baseline2", 0.4), ("proposed", 0.7)):
        for seed in (1, 2, 3):
            run = write_run(tmp_path / f"{system}{seed}", system, seed, accuracy)
            pairs[system].append(run)
    expected = scipy.stats.ttest_ind(
        uar_of(pairs["proposed"]), uar_of(pairs["baseline2"]), equal_var=False
    ).pvalue
    report = gather(tmp_path)
    claim = next(c for c in report.claims if c.subset == "target_all")
    assert claim.p_seeds == pytest.approx(expected)
    row = row_of(table(report, "The paper's claims. ecapa, the whole"), BETTER)
    assert row[5] == ("< 0.001" if expected < 0.001 else f"{expected:.3f}")


def test_equal_systems_are_not_marked(tmp_path):
    for system in ("baseline2", "proposed"):
        write_run(tmp_path / system, system, accuracy=1.0)
    report = gather(tmp_path)
    assert "†" not in row_of(table(report, "Table 2"), "Proposed")[1]
    assert all(claim.p == claim.p_holm == 1 for claim in report.claims)


def test_claims_use_the_seeds_that_both_have(tmp_path):
    pairs = {}
    for system, seeds in (("baseline2", (1, 2)), ("proposed", (2, 3))):
        for seed in seeds:
            pairs[system, seed] = write_run(tmp_path / f"{system}{seed}", system, seed)
    first, second = (uar_of([pairs[s, 2]])[0] for s in ("proposed", "baseline2"))
    claim = next(c for c in gather(tmp_path).claims if c.subset == "target_all")
    assert claim.difference == pytest.approx(first - second)


def papers_runs(folder, name, seeds=(1,), salt=None):
    """Two systems in one of the paper's settings."""
    salt = list(PAPER_SETTINGS).index(name) if salt is None else salt
    setting = PAPER_SETTINGS[name]
    record = {
        "source": list(setting.source),
        "non_target": list(setting.non_target),
        "target": setting.target,
    }
    for system in ("baseline2", "proposed"):
        for seed in seeds:
            write_run(
                folder / f"{name}{system}{seed}",
                system,
                seed,
                setting=record,
                salt=salt,
            )


def test_the_papers_figures_stand_beside(tmp_path):
    papers_runs(tmp_path, "EN-DE")
    found = table(gather(tmp_path), "Table 2")
    names = [row[0] for row in found.rows]
    assert names == [
        *("Baseline 2", "paper", "difference"),
        "Proposed",
        "paper",
        "difference",
    ]
    assert found.rows[4][1] == "94.6 / 94.4"
    assert found.rows[4][2] == ""  # the paper's average is over nine settings
    ours = float(found.rows[3][1].strip("*†‡").split(" / ")[0])
    shown = float(found.rows[5][1].replace("−", "-"))
    assert shown == pytest.approx(ours - 94.64, abs=0.1)
    settings = table(gather(tmp_path), "Table 1")
    assert row_of(settings, "EN-DE")[-2:] == ["20165", "288"]


def test_the_papers_average_stands_beside_all_nine(tmp_path):
    for name in PAPER_SETTINGS:
        papers_runs(tmp_path, name)
    report = gather(tmp_path)
    found = table(report, "Table 2")
    assert list(found.header) == ["system", *PAPER_SETTINGS, "average"]
    assert found.rows[4][-1] == "82.3 / 82.0"
    over = [claim for claim in report.claims if claim.setting == "all settings"]
    assert {claim.n for claim in over} == {9}
    assert {claim.unit for claim in over} == {"settings"}


def test_settings_that_came_out_the_same_count_once(tmp_path):
    for name, salt in (("EN-DE", 1), ("CN-DE", 1), ("FR-DE", 2)):
        papers_runs(tmp_path, name, salt=salt)
    over = [c for c in gather(tmp_path).claims if c.setting == "all settings"]
    assert {claim.n for claim in over} == {2}


def test_the_papers_averages_are_those_of_its_settings():
    """The facts in the package agree with each other."""
    for system in ("baseline1", "baseline2", "proposed", "upper_bound"):
        values = [paper_results()[name, system]["uar"] for name in PAPER_SETTINGS]
        average = paper_results()["average", system]["uar"]
        assert np.mean(values) == pytest.approx(average, abs=0.011)
    assert list(paper_counts()) == list(PAPER_SETTINGS)


@pytest.mark.parametrize("name", ["table1_settings.csv", "table2_results.csv"])
def test_the_papers_figures_are_those_known(name, shared):
    source = shared / "paper" / name
    if not source.is_file():
        pytest.skip(f"no {source}")
    packaged = {"1": "paper_table1.csv", "2": "paper_table2.csv"}[name[5]]
    from importlib import resources

    text = resources.files("xser_brain.reports").joinpath(packaged).read_text()
    assert text == source.read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol_sha256": "q"}, "different plans"),
        ({"manifest_sha256": {"d": "other"}}, "different manifests of d"),
        ({"values": {"training.steps": 200}}, "differ in training.steps 200 and 100"),
        ({"values": {"objectives.alpha": 0}}, "differ in objectives.alpha 0 and None"),
        ({"seed": 1}, "seed 1 of proposed is there twice"),
        ({"target_test": {"n": 19, "labels": [*EMOTIONS]}}, "tested 19 utterances"),
    ],
)
def test_runs_that_may_not_be_compared(tmp_path, change, message):
    write_run(tmp_path / "1", seed=1)
    write_run(tmp_path / "2", **{"seed": 2, **change})
    with pytest.raises(UserError, match=message):
        gather(tmp_path)


def test_runs_of_an_earlier_version_are_compared_by_their_plans(tmp_path):
    """Their manifests lacked a column, so that all hashes differ."""
    write_run(tmp_path / "1", seed=1)
    newer = {"manifest_schema": 4, "manifest_sha256": {"d": "other"}}
    write_run(tmp_path / "2", seed=2, **newer)
    assert gather(tmp_path)
    write_run(tmp_path / "3", seed=3, manifest_schema=4)
    with pytest.raises(UserError, match="different manifests of d"):
        gather(tmp_path)


def test_runs_that_heard_other_recordings(tmp_path):
    """As of EMOVO, of which earlier versions took the mean of two microphones."""
    write_run(tmp_path / "1", seed=1, audio_sha256={"d": "a"})
    write_run(tmp_path / "2", seed=2, audio_sha256={"d": "a"})
    gather(tmp_path)
    newer = {"manifest_schema": 4, "manifest_sha256": {"d": "other"}}
    write_run(tmp_path / "3", seed=3, audio_sha256={"d": "b"}, **newer)
    with pytest.raises(UserError, match="heard different recordings"):
        gather(tmp_path)


def test_other_budgets_of_other_systems_and_settings(tmp_path):
    other = {**SETTING, "target": "e"}
    write_run(tmp_path / "1", "baseline2")
    write_run(tmp_path / "2", "proposed", setting=other, values={"training.steps": 9})
    with pytest.raises(UserError, match=r"training\.steps 9 and 100"):
        gather(tmp_path)


def test_encoders_adapted_to_each_runs_corpora_lie_in_folders_of_their_own(tmp_path):
    for seed in (1, 2):
        values = {"model.encoder_source": f"/encoders/{seed}"}
        encoder = {"name": "ecapa", "adapted_on": ["a"]}
        write_run(tmp_path / str(seed), seed=seed, encoder=encoder, values=values)
    assert gather(tmp_path)
    write_run(tmp_path / "3", seed=3, values={"model.encoder_source": "/encoders/3"})
    message = "differ in model.encoder_source /encoders/3 and adapted before"
    with pytest.raises(UserError, match=message):
        gather(tmp_path)


def test_other_encoders_have_tables_of_their_own(tmp_path):
    write_run(tmp_path / "1")
    write_run(tmp_path / "2", encoder={"name": "whisper"}, values={"training.steps": 9})
    titles = [item.title for item in gather(tmp_path).tables]
    assert sum("Table 2. ecapa" in title for title in titles) == 2
    assert sum("Table 2. whisper" in title for title in titles) == 2
    assert sum("Table 1" in title for title in titles) == 1


def test_other_utterances_of_one_system(tmp_path):
    write_run(tmp_path / "1", seed=1)
    write_run(tmp_path / "2", seed=2)
    path = tmp_path / "2/predictions.csv"
    path.write_text(path.read_text().replace("\n07,", "\nxx,"))
    with pytest.raises(UserError, match="tested other utterances"):
        gather(tmp_path)


def test_tuning_has_a_place_of_its_own(tmp_path):
    write_run(tmp_path / "1", seed=1)
    write_run(
        tmp_path / "2", seed=1, purpose="tuning", setting={**SETTING, "target": "u"}
    )
    assert {g.setting.target for g in gather(tmp_path).groups} == {"d"}
    assert {g.setting.target for g in gather(tmp_path, "tuning").groups} == {"u"}
    write_run(tmp_path / "3", seed=7, purpose="tuning")
    with pytest.raises(UserError, match="tuned on d .*/3"):
        gather(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "1", '{"seed": 1}', '{"setting": null}'],
    ids=["empty", "cut", "list", "number", "part", "null"],
)
def test_broken_run_json(tmp_path, text, capsys):
    write_run(tmp_path / "1")
    (tmp_path / "1/run.json").write_text(text)
    assert main(["tables", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "run.json, the record of a run, is damaged" in error


def test_truncated_run_json(tmp_path, capsys):
    write_run(tmp_path / "1")
    path = tmp_path / "1/run.json"
    path.write_bytes(path.read_bytes()[:-40])
    assert main(["tables", str(tmp_path)]) == 2
    assert "run.json, the record of a run, is damaged" in capsys.readouterr().err


def test_no_runs(tmp_path, capsys):
    assert main(["tables", str(tmp_path)]) == 2
    assert "no finished run below" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: None, "is missing"),
        (lambda text: text[: len(text) // 2], "predictions.csv"),
        (lambda text: text.replace("angry", "furious"), "is damaged"),
        (lambda text: "\n".join(text.splitlines()[:30]) + "\n", "29 utterances"),
        (lambda text: "", "the column ID is missing"),
    ],
    ids=["missing", "cut", "label", "rows", "empty"],
)
def test_damaged_predictions(tmp_path, damage, message):
    write_run(tmp_path / "1")
    path = tmp_path / "1/predictions.csv"
    text = damage(path.read_text())
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(UserError, match=message):
        gather(tmp_path)


def test_formats_agree(tmp_path, capsys):
    for seed in (1, 2):
        write_run(tmp_path / f"b{seed}", "baseline2", seed, 0.5)
        write_run(tmp_path / f"p{seed}", "proposed", seed, 0.9)
    report = gather(tmp_path)
    rows = list(csv.DictReader(io.StringIO(as_csv(report.scores))))
    markdown, latex = as_markdown(report), latex_document(report.tables)
    assert len(rows) == 4
    for row in rows:
        for text in (markdown, latex):
            assert f"{float(row['uar']):.1f} / {float(row['macro_f1']):.1f}" in text
    for style, expected in (("markdown", markdown), ("latex", latex)):
        assert main(["tables", str(tmp_path), f"--format={style}"]) == 0
        assert capsys.readouterr().out.strip() == expected.strip()
    assert main(["tables", str(tmp_path), f"--out={tmp_path / 'out'}"]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"tables.md", "tables.tex", "results.csv", "claims.csv"}


@pytest.mark.slow
def test_latex_compiles(tmp_path):
    if not shutil.which("pdflatex"):
        pytest.skip("no pdflatex: apt-get install texlive-latex-recommended")
    for name in PAPER_SETTINGS:
        papers_runs(tmp_path / "runs", name, seeds=(1, 2))
    report = gather(tmp_path / "runs")
    (tmp_path / "tables.tex").write_text(latex_document(report.tables))
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "tables.pdf").stat().st_size > 10_000


def test_standins_are_told(tmp_path):
    write_run(tmp_path / "1", standin=True)
    assert "say nothing about real speech" in as_markdown(gather(tmp_path))


def test_an_empty_column(tmp_path):
    """Settings of which not all systems are done."""
    write_run(tmp_path / "1", "baseline2")
    write_run(tmp_path / "2", "baseline2", setting={**SETTING, "target": "e"})
    write_run(tmp_path / "3", "proposed")
    report = gather(tmp_path)
    found = systems_table(
        [s for s in report.scores if s.subset == "target_all"], [], "t"
    )
    assert row_of(found, "Proposed")[2:] == ["", ""]
    assert row_of(found, "Baseline 2")[-1] != ""


def test_update_of_a_document(tmp_path, capsys):
    write_run(tmp_path / "runs/1")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nstale row\n{END}\nafter\n")
    assert main(["tables", str(tmp_path / "runs"), f"--update={page}"]) == 0
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n**Table 1")
    assert text.endswith(f"{END}\nafter\n")
    assert "stale row" not in text
    assert as_markdown(gather(tmp_path / "runs")) in text
    page.write_text("no marks")
    assert main(["tables", str(tmp_path / "runs"), f"--update={page}"]) == 2
    assert "add them" in capsys.readouterr().err


def test_groups_hold_what_they_should(tmp_path):
    for seed in (3, 1):
        write_run(tmp_path / f"p{seed}", "proposed", seed)
    write_run(tmp_path / "b", "baseline1", 1)
    (group,) = group_runs(find_runs(tmp_path))
    assert list(group.systems) == ["baseline1", "proposed"]
    assert [run["seed"] for run in group.systems["proposed"]] == [1, 3]
    assert group.seeds("baseline1", "proposed") == {1}
    outcome = group.outcome("proposed", "target_all")
    assert outcome.predicted.shape == (2, 60)
    assert outcome.confusions().sum() == 120


# --- Systems, labels and metrics of one's own


SIX = (*EMOTIONS, "fear", "disgust")
OWN = {"trains_on": "all", "objectives": ["emotion", "spread"]}


def six(**changes) -> dict:
    """What a run of six emotions says of its labels."""
    return {"labels": SIX, "label_set": "six", **changes}


def test_systems_that_nobody_knows_stand_after_the_papers(tmp_path):
    for system in ("zeal", "proposed", "mixup", "baseline2"):
        write_run(tmp_path / system, system, **OWN)
    expected = ["baseline2", "proposed", "mixup", "zeal"]
    (group,) = group_runs(find_runs(tmp_path))
    assert list(group.systems) == expected
    report = gather(tmp_path)
    for start in ("Table 2. ecapa, the whole", "Intervals. ecapa, the whole"):
        names = [row[start[0] == "I"] for row in table(report, start).rows]
        assert names == ["Baseline 2", "Proposed", "Mixup", "Zeal"]
    rows = list(csv.DictReader(io.StringIO(as_csv(report.scores))))
    assert {row["system"] for row in rows} == set(expected)


def test_own_zero_shot_systems_are_tested_against_the_reference(tmp_path):
    for system, accuracy in (("baseline2", 0.3), ("proposed", 0.35), ("mixup", 1.0)):
        write_run(tmp_path / system, system, accuracy=accuracy, **OWN)
    bound = {"trains_on": "target", "zero_shot": False}
    write_run(tmp_path / "bound", "bound", accuracy=1.0, **bound)
    report = gather(tmp_path)
    tested = [c for c in report.claims if c.subset == "target_all"]
    pairs = [(claim.better, claim.worse) for claim in tested]
    assert pairs == [("proposed", "baseline2"), ("mixup", "baseline2")]
    # One family: the smaller of two p-values is doubled.
    assert tested[1].p < tested[0].p
    assert tested[1].p_holm == pytest.approx(2 * tested[1].p)
    title = "The paper's claims, and other systems against Baseline 2. ecapa, the whole"
    assert row_of(table(report, title), "Mixup > Baseline 2")
    whole = table(report, "Table 2. ecapa, the whole")
    assert row_of(whole, "Mixup")[1] == "**100.0 / 100.0**†"
    assert row_of(whole, "Bound")[1] == "100.0 / 100.0"  # neither best nor tested


@pytest.mark.parametrize("reference", [True, False])
def test_without_the_reference_own_systems_are_not_tested(tmp_path, reference):
    write_run(tmp_path / "1", "mixup", **OWN)
    if reference:
        write_run(tmp_path / "2", "baseline2", **OWN)
    assert bool(gather(tmp_path).claims) == reference


def test_six_emotions_are_scored_and_named(tmp_path):
    pairs = [write_run(tmp_path / str(seed), seed=seed, **six()) for seed in (1, 2)]
    report = gather(tmp_path)
    whole = table(report, "Intervals. ecapa, the whole")
    named = "label set six (neutral, happy, angry, sad, fear, disgust)"
    assert all(named in item.title for item in report.tables)
    assert "Settings, in utterances of the label set six" in report.tables[0].title
    assert whole.rows[0][3].startswith(f"{np.mean(uar_of(pairs)):.1f} ± ")
    assert report.groups[0].title == f"a (+ b, c) to d, ecapa, {named}"
    assert {(s.classes, s.label_set) for s in report.scores} == {(6, named)}


def test_the_papers_labels_are_not_named(tmp_path):
    write_run(tmp_path / "1", label_set="paper")
    assert "label set" not in as_markdown(gather(tmp_path))


def test_the_papers_figures_do_not_stand_beside_other_labels(tmp_path):
    setting = PAPER_SETTINGS["EN-DE"]
    record = {name: getattr(setting, name) for name in SETTING}
    write_run(tmp_path / "1", setting=record, **six())
    report = gather(tmp_path)
    assert [row[0] for row in table(report, "Table 2").rows] == ["Proposed"]
    assert table(report, "Table 1").rows[0][0] == "MELD to EMO-DB"
    assert "train (paper)" not in table(report, "Table 1").header


def test_label_sets_do_not_mix(tmp_path, capsys):
    write_run(tmp_path / "1")
    write_run(tmp_path / "2", "baseline2", **six())
    assert main(["tables", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "label set six (neutral, happy, angry, sad, fear, disgust)" in error
    assert "label set paper (neutral, happy, angry, sad)" in error


def test_systems_may_differ_in_what_is_theirs(tmp_path):
    spread = {"system.objectives.spread.weight": 0.1, "system.trains_on": "all"}
    write_run(tmp_path / "1", "baseline2", values={"system.trains_on": "all"})
    write_run(tmp_path / "2", "spread", values=spread)
    gather(tmp_path)
    other = {**spread, "system.objectives.spread.weight": 0.2}
    write_run(tmp_path / "3", "spread", seed=2, values=other)
    with pytest.raises(UserError) as refusal:
        gather(tmp_path)
    assert "system.objectives.spread.weight 0.2 and 0.1" in str(refusal.value)
    assert "call one of them other than spread" in str(refusal.value)


def measured(test, whole):
    """What a run with a metric of its own says of it."""
    return {
        "metrics": {"war": "mylab.war"},
        "target_test": {"n": 20, "labels": list(EMOTIONS), "war": test},
        "target_all": {"n": 60, "war": whole},
    }


def test_a_metric_of_ones_own_is_a_column(tmp_path):
    for seed, values in ((1, (50.0, 60.0)), (2, (51.0, 70.0))):
        write_run(tmp_path / f"p{seed}", "proposed", seed, **measured(*values))
    write_run(tmp_path / "b", "baseline2", values={"run.metrics.other.!": "!name:f"})
    report = gather(tmp_path)
    for start, text in (("the target's", "50.5 ± 0.7"), ("the whole", "65.0 ± 7.1")):
        found = table(report, f"Intervals. ecapa, {start}")
        assert list(found.header)[5:8] == ["macro-F1", "war", "utterances"]
        assert row_of(found, "a to d", "Proposed")[6] == text
        assert row_of(found, "a to d", "Baseline 2")[6] == ""
    rows = list(csv.DictReader(io.StringIO(as_csv(report.scores))))
    found = {(r["system"], r["subset"]): r["metric_war"] for r in rows}
    assert found["proposed", "target_all"] == "65.0"
    assert found["baseline2", "target_all"] == ""


def test_one_metric_has_one_meaning(tmp_path):
    write_run(tmp_path / "1", **measured(50.0, 60.0))
    other = {**measured(50.0, 60.0), "metrics": {"war": "yours.war"}}
    write_run(tmp_path / "2", seed=2, **other)
    with pytest.raises(UserError, match=r"metric war is yours\.war in .*mylab\.war"):
        gather(tmp_path)


# --- Runs as they are written


def in_words(line: str) -> str:
    """A row of a table of earlier versions, which had the names of files."""
    cells = []
    for cell in line.split(" | "):
        ends = re.fullmatch(r"(\| )?(.*?)( \|)?", cell)
        words = [
            setting_name(name) if "_to_" in name
            else corpus_name(name) if name in corpus.registry()
            else system_name(name) if name in paper_systems()
            else name
            for name in re.split(r"(, | > )", ends[2])
        ]  # fmt: skip
        cells.append((ends[1] or "") + "".join(words) + (ends[3] or ""))
    return " | ".join(cells)


def test_runs_of_earlier_versions_have_the_tables_that_they_had(tmp_path):
    """Runs and tables from before runs told their labels, objectives and metrics."""
    data = Path(__file__).parent / "data/earlier_runs.zip"
    with zipfile.ZipFile(data) as stored:
        stored.extractall(tmp_path)
    report = gather(tmp_path)
    marks = ("|", "**")  # rows and titles; notes may be put into other words
    now, then = (
        [line for line in text.splitlines() if line.startswith(marks)]
        for text in (as_markdown(report), (tmp_path / "tables.md").read_text("utf-8"))
    )
    assert now == [in_words(line) for line in then]
    for now, then in zip(
        csv.DictReader(as_csv(report.claims).splitlines()),
        csv.DictReader((tmp_path / "claims.csv").read_text("utf-8").splitlines()),
        strict=True,
    ):
        assert [*now] == [*then]
        for name, value in then.items():
            try:  # quantiles of other releases of scipy differ in the eighth digit
                assert float(now[name]) == pytest.approx(float(value), rel=1e-6)
            except ValueError:
                assert now[name] == value
    runs = {run["system"]: run for run in find_runs(tmp_path)}
    assert {name: run["trains_on"] for name, run in runs.items()} == {
        "baseline1": "source", "baseline2": "all", "proposed": "all",
        "upper_bound": "target",
    }  # fmt: skip
    assert all(run["labels"] == list(EMOTIONS) for run in runs.values())


@pytest.mark.parametrize("speakers", [4, 7])
def test_a_run_and_its_table_have_the_same_interval(tmp_path, speakers):
    """run.json as ``summarise`` makes it, the table from predictions.csv."""
    truth, guess = write_run(tmp_path / "1")
    path = tmp_path / "1/predictions.csv"
    rows = list(csv.DictReader(path.open()))
    for i, row in enumerate(rows):
        row["speaker"] = f"s{i % speakers}"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    report = gather(tmp_path)
    for subset, n in (("target_test", 20), ("target_all", 60)):
        names = [row["speaker"] for row in rows[:n]]
        said = summarise(truth[:n], guess[:n], names, EMOTIONS)
        (score,) = (s for s in report.scores if s.subset == subset)
        bounds, unit = shown_interval(said)
        assert ([score.uar_low, score.uar_high], score.unit) == (bounds, unit)
        assert score.uar == said["uar"] and score.macro_f1 == said["macro_f1"]
        title = f"Intervals. ecapa, {SUBSETS[subset]}"
        low, high = bounds
        assert table(report, title).rows[0][4] == f"[{low:.1f}, {high:.1f}] {unit}"


def test_a_trained_run_and_its_table_have_the_same_interval(finished, record):
    run = record(finished)
    for score in gather(finished).scores:
        bounds, unit = shown_interval(run[score.subset])
        assert ([score.uar_low, score.uar_high], score.unit) == (bounds, unit)
        assert score.uar == run[score.subset]["uar"]
        assert f"{bounds[0]:.1f}-{bounds[1]:.1f} over {unit}" in (
            finished / "model/README.md"
        ).read_text("utf-8")
