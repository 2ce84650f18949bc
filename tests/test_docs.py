"""The site of documents has what readers look for; ``make docs`` itself runs in CI."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_what_one_builds_upon_is_in_the_reference():
    pages = [path.read_text() for path in (ROOT / "docs/api").glob("*.md")]
    modules = set(re.findall(r"automodule:: ([\w.]+)", "\n".join(pages)))
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(xser_brain[\w.]*)\.[A-Z]\w+`", guide))
    assert len(named) >= 5
    assert named <= modules
    for public in ("data_prep", "xser_brain.api", "xser_brain.protocol"):
        assert public in modules


def test_the_site_refuses_links_that_lead_nowhere():
    done = subprocess.run(
        ["make", "-n", "docs"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert re.search(r"-m sphinx .*-W .*-c docs \.", done.stdout)
    assert "\nmake docs\n" in (ROOT / ".ci/run").read_text()
