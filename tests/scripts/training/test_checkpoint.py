"""Checkpoints: starting, resuming and refusing runs, and the files on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.losses import DiceLoss

from custom_nets.definition import with_defaults
from scripts.storage.locks import LOCK, InUseError
from scripts.training import tensor_files
from scripts.training.checkpoint import TrainingCheckpoint
from scripts.training.engine_events import keep_state
from scripts.training.tensor_files import refuse_outdated
from tests.scripts.storage.holding import held_by_another
from tests.scripts.training import resumable_run
from tests.scripts.training.resumable_run import make, stop_after
from tests.scripts.training.tiny_training import TinyTraining


def test_stop_when_a_checkpoint_is_there_then_the_log_says_how_to_resume(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stop_after(tmp_path, 2)
    lines = [line for line in caplog.messages if "--resume true" in line]
    assert len(lines) == 1
    assert "stopped in epoch 3 by KeyboardInterrupt" in lines[0]
    assert "checkpoint_00002.pt" in lines[0]


def test_stop_when_there_is_no_checkpoint_then_nothing_is_promised(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stop_after(tmp_path, 0)
    assert "--resume" not in caplog.text


def test_resume_when_no_file_can_be_read_then_it_is_refused(tmp_path: Path) -> None:
    stop_after(tmp_path, 2)
    for file in (tmp_path / "checkpoints").iterdir():
        file.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"none of .*checkpoint_00002.pt, .* can be read; move"):
        make(tmp_path, resume=True).run()


def test_start_when_the_folder_holds_a_run_then_it_is_refused_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    stop_after(tmp_path, 2)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.pt")}
    with pytest.raises(FileExistsError, match="pass resume=true to continue it, another output"):
        resumable_run.make(tmp_path, resume=False).run()
    assert before == {file: file.read_bytes() for file in tmp_path.rglob("*.pt")}


@pytest.mark.parametrize("resume", [False, True])
def test_start_when_the_folder_holds_a_result_only_then_it_is_refused(
    tmp_path: Path, resume: bool
) -> None:
    (tmp_path / "model.pt").write_bytes(b"forty hours")
    with pytest.raises(
        FileExistsError, match=r"model.pt belongs to an earlier run; pass another outp"
    ):
        resumable_run.make(tmp_path, resume=resume).run()
    assert (tmp_path / "model.pt").read_bytes() == b"forty hours"


def small(folder: Path, *, val_interval: int = 1, **options: Any) -> Any:
    """A trainer with a checkpoint handler of these options."""
    training = TinyTraining(folder, val_interval=val_interval)
    objects = {"network": training.network, "optimizer": training.optimizer}
    checkpoint = TrainingCheckpoint(folder, objects, **options)
    return training.trainer([training.validation, training.stages, checkpoint])


def test_start_when_overwriting_then_the_old_checkpoints_go(tmp_path: Path) -> None:
    small(tmp_path, interval=3).run()
    other = tmp_path / "checkpoints" / "notes.pt"
    other.write_text("not ours")
    small(tmp_path, overwrite=True).run()
    names = sorted(file.name for file in (tmp_path / "checkpoints").iterdir())
    assert names == ["checkpoint_00003.pt", "checkpoint_00004.pt", "notes.pt"]


def test_result_when_the_run_that_overwrites_it_is_stopped_then_refused_and_resume_replaces_it(
    tmp_path: Path,
) -> None:
    small(tmp_path).run()
    trainer = small(tmp_path, overwrite=True)
    trainer.add_event_handler(Events.EPOCH_STARTED(once=3), _interrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    with pytest.raises(ValueError, match="model.pt is the result of an earlier run"):
        refuse_outdated(tmp_path / "model.pt")
    small(tmp_path, resume=True).run()
    refuse_outdated(tmp_path / "model.pt")


def _interrupt(engine: Engine) -> None:
    raise KeyboardInterrupt


def test_checkpoints_when_an_interval_is_given_then_they_are_that_far_apart_and_one_ends_the_run(
    tmp_path: Path,
) -> None:
    small(tmp_path, interval=3).run()
    names = sorted(file.name for file in (tmp_path / "checkpoints").iterdir())
    assert names == ["checkpoint_00003.pt", "checkpoint_00004.pt"]


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "strategy": (
        {"strategy": {**resumable_run.THREE_STAGES, "name": "other"}},
        "strategy.name: 'three' then, 'other' now",
    ),
    "learning rate": (
        {"learning_rate": 0.01},
        r"strategy.stages\[0\].learning_rate: 0.02 then, 0.01 now",
    ),
    "metric": (
        {"ignore_empty": True},
        "validation_metrics.val_dice.metric_fn.*ignore_empty: False then, True now",
    ),
    "optimiser": ({"optimizer": torch.optim.AdamW}, "optimizer class: 'Adam' then, 'AdamW' now"),
}


@pytest.mark.parametrize(("options", "message"), CHANGES.values(), ids=CHANGES.keys())
def test_resume_when_settings_differ_then_it_is_refused_and_says_which(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    stop_after(tmp_path, 1)
    with pytest.raises(ValueError, match=f"written with other settings: {message}"):
        resumable_run.make(tmp_path, resume=True, **options).run()


def test_resume_when_given_settings_differ_then_it_is_refused_and_says_which(
    tmp_path: Path,
) -> None:
    small(tmp_path, settings={"split": "patient"}).run()
    with pytest.raises(ValueError, match="split: 'patient' then, 'nodule' now"):
        small(tmp_path, settings={"split": "nodule"}, resume=True).run()


def test_resume_when_other_epochs_are_validated_then_refused_as_the_result_would_be_another(
    tmp_path: Path,
) -> None:
    small(tmp_path).run()
    (tmp_path / "checkpoints" / "checkpoint_00004.pt").unlink()
    with pytest.raises(ValueError, match="val_interval: 1 then, 2 now"):
        small(tmp_path, val_interval=2, resume=True).run()


def test_resume_when_the_loss_differs_then_refused_until_accepted_and_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stop_after(tmp_path, 1)
    loss = DiceLoss(sigmoid=True, jaccard=True)
    message = r"loss.jaccard: False then, True now; .* or, for a change .* --accepted_changes loss$"
    with pytest.raises(ValueError, match=message):
        resumable_run.make(tmp_path, resume=True, loss=loss).run()
    resumable_run.make(tmp_path, resume=True, loss=loss, accepted_changes="loss").run()
    assert "resume: changed on purpose: loss.jaccard: False then, True now" in caplog.text
    change = {"after_epoch": 1, "changes": ["loss.jaccard: False then, True now"]}
    newest = max((tmp_path / "checkpoints").iterdir())
    for file in (tmp_path / "model.pt", newest):
        assert torch.load(file, weights_only=True)["changes"] == [change]


def test_resume_when_only_workers_differ_then_allowed_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stop_after(tmp_path, 1)
    caplog.set_level("INFO")
    resumable_run.make(tmp_path, resume=True, workers=1).run()
    assert "num_workers: 0 then, 1 now" in caplog.text


def test_resume_when_the_network_differs_then_it_names_the_tensor(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    plain_engine(tmp_path, network).run([0], max_epochs=1)
    with pytest.raises(ValueError, match=r"network tensors.weight\[0\]: 2 then, 3 now"):
        plain_engine(tmp_path, torch.nn.Linear(2, 3), resume=True).run([0], max_epochs=2)


def test_resume_when_an_earlier_version_recorded_less_then_its_defaults_count(
    tmp_path: Path,
) -> None:
    network = torch.nn.Linear(2, 2)
    older = {"_target_": "custom_nets.unet.TransferUNet", "encoder": "vgg16"}
    plain_engine(tmp_path, network, settings={"network_def": older}).run([0], max_epochs=1)
    now = {"network_def": with_defaults(older), "data_files": {"volume_patch_size": [8, 8, 8]}}
    other = {**now, "network_def": {**now["network_def"], "decoder_stride": 2}}
    with pytest.raises(ValueError, match=r"network_def.decoder_stride: 1 then, 2 now"):
        plain_engine(tmp_path, network, settings=other, resume=True).run([0], max_epochs=2)
    resumed = plain_engine(tmp_path, network, settings=now, resume=True)
    resumed.run([0], max_epochs=2)
    assert resumed.state.epoch == 2


def test_resume_when_norms_on_skips_are_chosen_by_the_encoder_then_the_same_network(
    tmp_path: Path,
) -> None:
    network = torch.nn.Linear(2, 2)
    older = {"_target_": "custom_nets.unet.TransferUNet", "encoder": "resnet18"}
    plain_engine(tmp_path, network, settings={"network_def": older}).run([0], max_epochs=1)
    asked = {"network_def": {**with_defaults(older), "skip_norm": "auto"}}
    resumed = plain_engine(tmp_path, network, settings=asked, resume=True)
    resumed.run([0], max_epochs=2)
    assert resumed.state.epoch == 2
    asked["network_def"]["skip_norm"] = "all"
    with pytest.raises(ValueError, match=r"network_def.skip_norm: 'none' then, 'all' now"):
        plain_engine(tmp_path, network, settings=asked, resume=True).run([0], max_epochs=3)


def test_resume_when_an_epoch_has_other_iterations_then_it_is_refused(tmp_path: Path) -> None:
    network = torch.nn.Linear(1, 1)
    plain_engine(tmp_path, network).run([0, 0], max_epochs=1)
    with pytest.raises(ValueError, match="epoch_length: 2 then, 3 now"):
        plain_engine(tmp_path, network, resume=True).run([0, 0, 0], max_epochs=2)
    engine = plain_engine(tmp_path, network, resume=True, accepted_changes=["epoch_length"])
    engine.run([0, 0, 0], max_epochs=2)
    assert (engine.state.epoch, engine.state.iteration) == (2, 6)


def plain_engine(folder: Path, network: torch.nn.Module, **options: Any) -> Engine:
    """A trainer without stages, as pretraining has it: each iteration adds 1 to the weights."""

    def step(engine: Engine, batch: int) -> None:
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1.0)

    engine = Engine(step)
    TrainingCheckpoint(folder, {"network": network}, **options).attach(engine)
    return engine


def test_resume_when_there_are_no_stages_then_it_continues_for_more_epochs(tmp_path: Path) -> None:
    network = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(network.weight)
    plain_engine(tmp_path, network).run([0, 0], max_epochs=2)
    torch.nn.init.zeros_(network.weight)
    engine = plain_engine(tmp_path, network, resume=True)
    engine.run([0, 0], max_epochs=3)
    assert (engine.state.epoch, network.weight.item()) == (3, 6.0)


def test_resume_when_the_weights_lie_in_another_order_in_memory_then_the_moments_too(
    tmp_path: Path,
) -> None:
    def engine(layout: torch.memory_format, **options: Any) -> tuple[Engine, torch.nn.Module, Any]:
        network = torch.nn.Conv2d(2, 4, 3).to(memory_format=layout)  # type: ignore[call-overload]
        optimizer = torch.optim.Adam(network.parameters(), fused=True)

        def step(engine: Engine, batch: int) -> None:
            network(torch.rand(1, 2, 5, 5)).sum().backward()
            optimizer.step()

        trainer = Engine(step)
        objects = {"network": network, "optimizer": optimizer}
        TrainingCheckpoint(tmp_path, objects, **options).attach(trainer)
        return trainer, network, optimizer

    engine(torch.contiguous_format)[0].run([0], max_epochs=1)
    trainer, network, optimizer = engine(torch.channels_last, resume=True)
    trainer.run([0], max_epochs=2)
    weight = network.weight
    assert not weight.is_contiguous()
    assert optimizer.state[weight]["exp_avg"].stride() == weight.stride()


def test_save_when_a_state_cannot_be_read_again_then_the_first_epoch_says_so(
    tmp_path: Path,
) -> None:
    class Odd:
        def state_dict(self) -> dict[str, Any]:
            return {"loss": DiceLoss()}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            raise NotImplementedError

    engine = plain_engine(tmp_path, torch.nn.Linear(1, 1))
    keep_state(engine, "odd", Odd())
    with pytest.raises(ValueError, match=r"checkpoint_00001.pt: not a readable checkpoint"):
        engine.run([0], max_epochs=3)


def test_save_when_the_disk_is_full_then_it_names_the_file_and_keeps_the_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = plain_engine(tmp_path, torch.nn.Linear(1, 1))

    def full(content: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file")

    @engine.on(Events.EPOCH_STARTED(once=2))
    def _fill() -> None:
        monkeypatch.setattr(tensor_files.torch, "save", full)

    with pytest.raises(OSError, match=r"cannot write .*checkpoint_00002.pt: .* make room"):
        engine.run([0], max_epochs=3)
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["checkpoint_00001.pt"]


def test_start_when_the_folder_cannot_be_written_then_it_is_refused_before_training(
    tmp_path: Path,
) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    engine = plain_engine(tmp_path, torch.nn.Linear(1, 1))
    with pytest.raises(OSError, match=r"output_dir: cannot write into .*checkpoints: .*; choose"):
        engine.run([0], max_epochs=1)
    assert engine.state.iteration == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resume": True, "overwrite": True}, "resume, overwrite: give only one of them"),
        ({"interval": 0}, "interval: must be at least 1 epoch, got 0"),
        ({"objects": {"network": 3}}, r"objects: must have a state_dict each, got \['network'\]"),
        ({"objects": {}}, "objects: must have a state_dict each, got none"),
    ],
)
def test_checkpoint_when_an_argument_makes_no_sense_then_it_is_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    objects = options.pop("objects", {"network": torch.nn.Linear(1, 1)})
    with pytest.raises(ValueError, match=message):
        TrainingCheckpoint(tmp_path, objects, **options)


def test_folder_that_another_process_trains_in_then_refused_and_its_checkpoints_kept(
    tmp_path: Path,
) -> None:
    trainer = make(tmp_path, resume=False)
    trainer.run()
    before = sorted(tmp_path.rglob("*"))
    with held_by_another(tmp_path / LOCK) as holder:
        with pytest.raises(
            InUseError, match=f"output_dir: process {holder.pid} on .* is writing into"
        ):
            make(tmp_path, resume=True).run()
        assert [path for path in sorted(tmp_path.rglob("*")) if path.name != LOCK] == before


def test_folder_then_locked_until_the_run_ends_also_by_an_error(tmp_path: Path) -> None:
    trainer = make(tmp_path, resume=False)
    seen = []
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda: seen.append((tmp_path / LOCK).is_file())
    )
    trainer.run()
    assert all(seen)
    assert not (tmp_path / LOCK).exists()
    with pytest.raises(FileExistsError, match="belongs to an earlier run"):
        make(tmp_path, resume=False).run()
    assert not (tmp_path / LOCK).exists()


def test_resume_when_weights_are_not_finite_then_refused_by_the_tensors_name(
    tmp_path: Path,
) -> None:
    stop_after(tmp_path, 2)
    file = tmp_path / "checkpoints" / "checkpoint_00002.pt"
    content = torch.load(file, weights_only=True)
    name = next(iter(content["network"]))
    content["network"][name].view(-1)[0] = float("nan")
    torch.save(content, file)
    with pytest.raises(ValueError, match=rf"resume: network in .*not finite in 1 of .*: {name} "):
        make(tmp_path, resume=True).run()
