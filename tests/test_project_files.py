"""Files around the code: CI, container, citation, templates."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import i2i

ROOT = Path(__file__).parents[1]
YAML_FILES = [*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml", ROOT / "CITATION.cff"]


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.name)
def test_yaml_can_be_read(path):
    assert yaml.safe_load(path.read_text())


def test_the_workflow_runs_what_ci_runs():
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["ci"]["steps"]
    assert ".ci/run" in [step.get("run") for step in steps]
    assert (ROOT / ".ci/run").stat().st_mode & 0o100
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"^stage make ([\w-]+)", (ROOT / ".ci/run").read_text(), re.M)) <= targets


def test_a_bug_report_asks_for_version_and_traceback():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text())["body"]
    required = " ".join(str(field) for field in form if field.get("validations", {}).get("required"))
    assert "i2i --version" in required
    assert "I2I_DEBUG=1" in required


def test_the_citation_names_this_version():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == i2i.__version__


def test_the_container_copies_all_that_the_package_is_built_of():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = re.findall(r"^COPY (?!--from)(.*)$", (ROOT / "Dockerfile").read_text(), re.M)
    copied = {name for line in lines for name in line.split()[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    sources = set(project["tool"]["setuptools"]["package-dir"].values())
    assert {"pyproject.toml", "i2i", project["project"]["readme"], *project["project"]["license-files"]} <= copied
    assert sources <= copied
    ignored = set((ROOT / ".dockerignore").read_text().split())
    assert not ignored & copied
