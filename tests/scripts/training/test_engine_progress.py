import io

from ignite.engine import Engine, Events

from scripts.running import progress
from scripts.training.engine_progress import EngineProgress


def run(stream, **options):
    engine = Engine(lambda engine, batch: batch)
    EngineProgress(file=stream, **options).attach(
        engine, event_name=Events.ITERATION_COMPLETED, closing_event_name=Events.EPOCH_COMPLETED
    )
    engine.run([1, 2, 3], max_epochs=2)


def test_epochs_in_a_log_then_silent_unless_they_are_long(monkeypatch):
    log = io.StringIO()
    run(log)
    assert log.getvalue() == ""
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    run(log, desc="studies")
    lines = log.getvalue().splitlines()
    assert any(line.startswith("studies [2/2]: 3 of 3, ") for line in lines)


def test_terminal_then_a_bar_for_each_epoch():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    run(screen)
    assert "Epoch [1/2]" in screen.getvalue()
    assert "Epoch [2/2]" in screen.getvalue()
