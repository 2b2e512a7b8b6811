from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser
from monai.utils import set_determinism

from scripts.bundle.record import BundleRun, git_revision, provenance, record_config, sha256_of

ROOT = Path(__file__).resolve().parents[3]
MODULE = "/somewhere/monai/bundle/__main__.py"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_provenance_names_what_a_result_depends_on() -> None:
    record = provenance(split="patient")
    assert record["split"] == "patient"
    assert all(record["versions"].values())
    assert {"python", "monai", "torch", "numpy", "pytorch-ignite", "SimpleITK"} == set(
        record["versions"]
    )
    assert record["cpu"]["cores"] == os.cpu_count()
    assert record["time"].endswith("+00:00")
    json.dumps(record)


def test_provenance_seed_is_the_one_set() -> None:
    set_determinism(seed=11)
    try:
        assert provenance()["seed"] == 11
        assert provenance(seed=4)["seed"] == 4
    finally:
        set_determinism(seed=None)


def test_provenance_tells_nothing_about_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "not-to-be-written")
    monkeypatch.setenv("HOSTNAME", "ward-7")
    text = json.dumps(provenance())
    assert "not-to-be-written" not in text
    assert "ward-7" not in text


def test_git_revision_of_a_checkout_and_its_changes(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.hooksPath=/dev/null"]
        subprocess.run(["git", *who, "-C", str(tmp_path), *words], check=True, capture_output=True)

    git("init")
    (tmp_path / "a.txt").write_text("1")
    git("add", "a.txt")
    git("commit", "-m", "one")
    clean = git_revision(tmp_path)
    assert len(clean["revision"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "a.txt").write_text("2")
    assert git_revision(tmp_path)["dirty"] is True
    (tmp_path / "site-packages").mkdir()
    inside = git_revision(tmp_path / "site-packages")
    assert inside["revision"] is None
    assert "not in a checkout of this software" in inside["reason"]


def test_git_revision_outside_a_checkout_is_null_with_a_reason(tmp_path: Path) -> None:
    found = git_revision(tmp_path)
    assert found["revision"] is None
    assert found["reason"]


def test_sha256_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert sha256_of(path) == hashlib.sha256(b"abc").hexdigest()


def test_bundle_run_reads_a_command_as_monai_does(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.json", {}), write(tmp_path / "b.json", {})
    files = f"['{first}','{second}']"
    words = ["run", "training", "--config_file", files, "--rate", "1e-3", "--net::size", "[1,2]"]
    run = BundleRun.of_command([MODULE, *words, "--tracking", "mlflow"])
    assert run is not None
    assert run.config_file == (str(first), str(second))
    assert run.arguments == {"run_id": "training", "tracking": "mlflow"}
    assert run.overrides == {"rate": 0.001, "net::size": [1, 2]}
    assert shlex.split(run.command("x.json"))[3:] == (
        ["run", "training", "--config_file", "x.json", "--tracking", "mlflow"]
    )


def test_run_of_a_package_then_repeated_with_its_modules_unless_they_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "a package"
    monkeypatch.setattr("scripts.bundle.record.ROOT", package)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    run = BundleRun({}, ("a package/configs/train.json",), {})
    assert shlex.split(run.command("x.json"))[:3] == ["env", f"PYTHONPATH={package}", "python"]
    assert BundleRun({}, ("other/configs/train.json",), {}).command("x").startswith("python ")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert shlex.split(run.command("x.json"))[1] == f"PYTHONPATH={package}:/elsewhere"
    monkeypatch.setenv("PYTHONPATH", f"/elsewhere:{package}")
    assert run.command("x.json").startswith("python ")
    monkeypatch.delenv("PYTHONPATH")
    package.mkdir()
    monkeypatch.chdir(package)
    run = BundleRun({}, ("configs/train.json",), {})
    assert run.command("x.json").startswith("python ")


def test_run_workflow_of_a_config_then_read_like_run(tmp_path: Path) -> None:
    config = write(tmp_path / "a.json", {"a": 1})
    words = ["--config_file", str(config), "--run_id", "training", "--a", "2"]
    run = BundleRun.of_command([MODULE, "run_workflow", "--workflow_type", "train", *words])
    assert run == BundleRun.of_command([MODULE, "run", *words])
    named = [MODULE, "run_workflow", "--workflow_name", "mine.Workflow", *words]
    assert BundleRun.of_command(named) is None


def test_bundle_run_reads_an_args_file(tmp_path: Path) -> None:
    config = write(tmp_path / "a.json", {"a": 1})
    args = write(tmp_path / "args.json", {"config_file": str(config), "a": 2, "run_id": "go"})
    run = BundleRun.of_command([MODULE, "run", "--args_file", str(args), "--a", "3"])
    assert run is not None
    assert (run.arguments, run.overrides) == ({"run_id": "go"}, {"a": 3})
    assert run.merged_config()["a"] == 3


@pytest.mark.parametrize(
    "argv", [["/x/pytest/__main__.py"], [MODULE, "ckpt_export"], [MODULE], [""]]
)
def test_bundle_run_of_another_command_is_none(argv: list[str]) -> None:
    assert BundleRun.of_command(argv) is None


def test_merged_config_resolves_macros_and_keeps_references(tmp_path: Path) -> None:
    other = write(tmp_path / "net.json", {"net": {"size": "@size", "twice": "$2 * @size"}})
    config = write(
        tmp_path / "configs" / "a.json",
        {"size": 3, "net": f"%{other}::net", "list": [1], "part": {"b": 1, "c": "@#b"}},
    )
    more = write(tmp_path / "configs" / "b.json", {"+list": [2], "part::b": 5})
    write(tmp_path / "configs" / "metadata.json", {"version": "0.1"})
    run = BundleRun({}, (str(config), str(more)), {"size": 4})
    assert run.merged_config() == {
        "_meta_": {"version": "0.1"},
        "size": 4,
        "net": {"size": "@size", "twice": "$2 * @size"},
        "list": [1, 2],
        "part": {"b": 5, "c": "@part::b"},
    }


def test_record_config_from_python_says_that_there_is_no_command(tmp_path: Path) -> None:
    record = record_config(tmp_path)
    assert record["config"] is None
    assert "not started as `python -m monai.bundle run`" in record["config_reason"]
    assert [path.name for path in tmp_path.iterdir()] == ["run_record.json"]


def test_recorded_config_alone_gives_the_same_run(tmp_path: Path) -> None:
    """Run a config made of two files, a macro and overrides; then what was recorded of it."""
    fragment = write(tmp_path / "fragments" / "numbers.json", {"numbers": {"a": 1, "b": "@shift"}})
    configs = tmp_path / "bundle" / "configs"
    first = write(
        configs / "train.json",
        {
            "imports": ["$import json", "$import pathlib", "$import types"],
            "output_dir": str(tmp_path / "one"),
            "shift": 10,
            "numbers": f"%{fragment}::numbers",
            "own": {"d": 1},
            "result": "$[@numbers, @own]",
            "record": {
                "_target_": "scripts.training.run_record.RunRecord",
                "output_dir": "@output_dir",
            },
            "training": [
                "$@record(types.SimpleNamespace(state=types.SimpleNamespace()))",
                "$pathlib.Path(@output_dir, 'result.json').write_text(json.dumps(@result))",
            ],
        },
    )
    second = write(configs / "more.json", {"own::c": 3, "+imports": ["$import math"]})
    write(configs / "metadata.json", {"version": "0.1"})

    def bundle(words: list[str]) -> None:
        environment = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *words]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    files = f"['{first}','{second}']"
    overrides = ["--shift", "20", "--own::d", "[1,2]"]
    bundle(["-m", "monai.bundle", "run", "training", "--config_file", files, *overrides])
    expected = [{"a": 1, "b": 20}, {"d": [1, 2], "c": 3}]
    assert read(tmp_path / "one" / "result.json") == expected
    record = read(tmp_path / "one" / "run_record.json")
    recorded = tmp_path / "one" / record["config"]
    for used in (fragment, first, second):
        used.unlink()
    rerun = shlex.split(record["rerun"])
    assert rerun[rerun.index("--config_file") + 1] == str(recorded)
    bundle([*rerun[1:], "--output_dir", str(tmp_path / "two")])
    assert read(tmp_path / "two" / "result.json") == expected
    assert read(recorded) == {
        **read(tmp_path / "two" / "run_config.json"),
        "output_dir": str(tmp_path / "one"),
    }


def test_merged_config_of_a_shipped_bundle_then_the_text_that_monai_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    folder = "bundles/lung_nodule_ct_segmentation/configs"
    files = (f"{folder}/train.json", "configs/runtime/small.json")
    parser = ConfigParser()
    parser.read_config(files)
    parser.read_meta(f"{folder}/metadata.json")
    parser["batch_size"] = 3
    parser.resolve_macro_and_relative_ids()
    merged = BundleRun({}, files, {"batch_size": 3}).merged_config()
    assert json.dumps(merged) == json.dumps(parser.get())
