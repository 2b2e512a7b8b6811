"""``python -m scripts.bundle run``: as MONAI's own, without modules that the run does not use."""

import json
import subprocess
import sys

from tests.bundles.config_files import ROOT

SLOW = ("mlflow", "matplotlib.pyplot", "torch.distributed.fsdp")
CONFIG = {
    "imports": ["$import sys"],
    "answer": 42,
    "run": [
        "$print('answer', @answer)",
        f"$print('slow', [name for name in {SLOW} if name in sys.modules])",
    ],
}


def test_program_then_runs_a_config_without_slow_modules(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CONFIG))
    words = ["run", "run", "--config_file", str(config), "--answer", "43"]
    ran = subprocess.run(
        [sys.executable, "-m", "scripts.bundle", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert "answer 43\n" in ran.stdout
    assert "slow []\n" in ran.stdout
