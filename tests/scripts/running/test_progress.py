import io

from scripts.running.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_work_shorter_than_the_interval_in_a_log_then_silent():
    log = io.StringIO()
    assert list(Progress(range(3), file=log)) == [0, 1, 2]
    assert log.getvalue() == ""


def test_long_work_in_a_log_then_lines_with_the_time_left():
    log = io.StringIO()
    with Progress(total=4, desc="A scan", file=log) as bar:
        for seconds in (31, 31, 10):
            bar.start_t -= seconds  # as if this time had passed
            bar.last_print_t -= seconds
            bar._shown -= seconds
            bar.update()
    first, second, last = log.getvalue().splitlines()
    assert first == "A scan: 1 of 4, 00:31 so far, 01:33 left"
    assert second.startswith("A scan: 2 of 4, 01:02 so far")
    assert last.startswith("A scan: 3 of 4, 01:12 so far")
    assert not {"\r", "\x1b"} & set(log.getvalue())


def test_terminal_then_a_bar():
    screen = Terminal()
    list(Progress(range(3), desc="scans", file=screen))
    assert "\rscans" in screen.getvalue()
    assert "3/3" in screen.getvalue()


def test_disabled_then_silent_on_a_terminal_too():
    screen = Terminal()
    list(Progress(range(3), disable=True, file=screen))
    assert screen.getvalue() == ""


def test_message_between_then_on_a_line_of_its_own(capsys):
    with Progress(total=5, file=io.StringIO()) as bar:
        bar.update()
        bar.write("a scan failed")
    assert capsys.readouterr().out == "a scan failed\n"
