from pathlib import Path

from scripts.storage.files import write_json
from scripts.study.cells import make_cells
from scripts.study.declaration import read_study
from scripts.study.folders import cell_rows
from scripts.study.sample_sources import Source
from scripts.study.workshop import RECORD, Workshop
from tests.scripts.study.studies import write_study


def test_finished_cells_then_their_folders_and_best_validation(tmp_path):
    (cell, *_) = cells = make_cells(read_study(write_study(tmp_path)), Source())
    workshop = Workshop(tmp_path / "work")
    assert cell_rows(cells, workshop, "val_dice_per_slice") == []
    (row, evaluation), *_ = cell.evaluations.items()
    assert cell.training is not None
    training = cell.training.out(workshop.work)
    training.mkdir(parents=True)
    table = "stage,val_dice_per_slice,best\n1,0.5,False\n2,0.75,True\n"
    (training / "stages.csv").write_text(table)
    write_json(evaluation.folder(workshop.work) / RECORD, {"key": evaluation.key})
    (found,) = cell_rows(cells, workshop, "val_dice_per_slice")
    assert (found["row"], found["seed"], found["fold"]) == (row, cell.seed, None)
    assert found["validation"] == 0.75
    assert Path(found["training"]) == training
    assert Path(found["evaluation"]) == evaluation.out(workshop.work)
    (training / "stages.csv").unlink()
    assert cell_rows(cells, workshop, "val_dice_per_slice")[0]["validation"] is None
