"""No library that a command imports reports its use or keeps files for that."""

import os
import subprocess
import sys


def test_libraries_with_telemetry_then_nothing_left_in_home_and_temporary_folder(tmp_path):
    places = {"HOME": tmp_path / "home", "TMPDIR": tmp_path / "tmp"}
    for place in places.values():
        place.mkdir()
    dropped = ("ORT_DISABLE_TELEMETRY", "MLFLOW_DISABLE_TELEMETRY", "XDG_CONFIG_HOME")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import scripts, onnxruntime, mlflow"],
        check=True,
        env={**kept, **{name: str(place) for name, place in places.items()}},
    )
    left = [path for place in places.values() for path in place.rglob("*") if path.is_file()]
    assert left == []
