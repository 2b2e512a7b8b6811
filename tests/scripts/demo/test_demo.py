import json

from scripts.demo.demo import data_steps, summarise, training_steps


def test_steps_then_each_reads_what_an_earlier_one_wrote(tmp_path):
    steps = [*data_steps(tmp_path, 4, seed=3), *training_steps(tmp_path, seed=3)]
    text = [" ".join(step.command) for step in steps]
    assert f"--source {tmp_path / 'phantoms'}" in text[1]
    assert f"--encoder_weights {tmp_path}/pretraining/encoder.pt" in text[3]
    assert f"--ckpt_path {tmp_path}/training/model.pt" in text[4]
    assert all("--seed 3" in line for line in text)


def test_summary_then_the_best_stage_is_marked(tmp_path):
    for name in ("training", "evaluation"):
        (tmp_path / name).mkdir()
    (tmp_path / "training" / "stages.csv").write_text(
        "name,sensitivity,specificity,dice,iou,best\nA: block5,0.5,0.99,0.4,0.3,False\n"
        "B: block4,0.9,0.999,0.81,0.7,True\n"
    )
    figures = {"dice_per_nodule_mean": {"value": 0.8123, "n": 5}}
    (tmp_path / "evaluation" / "summary.json").write_text(json.dumps({"figures": figures}))
    lines = summarise(tmp_path)
    marked = [line for line in lines if line.endswith("<- best")]
    assert len(marked) == 1
    assert marked[0].startswith("B: block4")
    assert "0.812 (n = 5)" in lines[-1]
