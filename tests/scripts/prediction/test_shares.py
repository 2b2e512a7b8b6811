"""Several processes under torchrun share a folder of studies out."""

import json
import os
import subprocess
import sys

import pytest

from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import ROOT, write_nifti


def torchrun(options, source, output):
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    words += ["-m", "scripts", "predict", "--bundle", str(options.bundle), "--source", str(source)]
    words += ["--output", str(output), "--config_file", options.config_files[0], "--device", "cpu"]
    words += ["--ckpt_path", options.checkpoints[0], "--products", "mask"]
    return subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.parametrize("bad", [False, True], ids=["all good", "one bad"])
def test_two_processes_then_every_study_once_one_summary_and_the_exit_code(
    liver_options, tmp_path, bad
):
    for name in ("a", "b", "c"):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", abdomen())
    if bad:
        (tmp_path / "in" / "b.nii.gz").write_bytes(b"\x1f\x8b\x08")  # the second process'
    done = torchrun(liver_options, tmp_path / "in", tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    statuses = {study["study"]: study["status"] for study in summary["studies"]}
    expected = {"a": "predicted", "b": "failed" if bad else "predicted", "c": "predicted"}
    assert statuses == expected, done.stderr[-3000:]
    assert bool(done.returncode) is bad
    assert summary["provenance"]["processes"] == 2
    masks = {path.parent.name for path in (tmp_path / "out").glob("*/mask.nii.gz")}
    assert masks == {name for name, status in expected.items() if status == "predicted"}
