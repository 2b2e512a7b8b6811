"""MONAI Label's own app on one package: inference, then training. Run in Label's environment."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def main(app_dir: Path, studies: Path, name: str, result: Path) -> None:
    """Infer ``case0`` into ``result``, and train one epoch on all cases."""
    if not app_dir.exists():
        shutil.copytree(Path(sys.prefix, "monailabel", "sample-apps", "monaibundle"), app_dir)
    shutil.copytree(result.parent / name, app_dir / "model" / name, dirs_exist_ok=True)
    from monailabel.config import settings

    settings.MONAI_LABEL_APP_DIR, settings.MONAI_LABEL_STUDIES = str(app_dir), str(studies)
    settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD = False
    sys.path.insert(0, str(app_dir))
    from main import MyApp

    conf = {"models": name, "zoo_source": "ngc", "sam2": "false", "preload": "false"}
    app = MyApp(str(app_dir), str(studies), conf)
    inferred = app.infer(request={"model": name, "image": "case0", "device": "cpu"})
    shutil.copyfile(inferred.get("file") or inferred["label"], result)
    model = app_dir / "model" / name / "models" / "model.pt"
    before = model.read_bytes()
    app.train(request={"model": name, "max_epochs": 1, "device": "cpu", "multi_gpu": False})
    if model.read_bytes() == before:
        raise SystemExit("training left models/model.pt as it was")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
