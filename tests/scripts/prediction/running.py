"""The command line of predict, as tests run it."""

from __future__ import annotations

import json

from scripts.__main__ import main


def words(options, source, output, *others):
    """The arguments of a prediction with a bundle of one convolution."""
    said = ["predict", "--bundle", str(options.bundle), "--source", str(source)]
    said += ["--output", str(output), "--config_file", ",".join(options.config_files)]
    said += ["--ckpt_path", ",".join(options.checkpoints), "--device", "cpu"]
    return [*said, "--engine", options.engine, *others]


def say(*arguments):
    """Run the command; return its exit code."""
    try:
        main(words(*arguments))
    except SystemExit as stop:
        return stop.code
    return 0


def summary_of(output):
    """What the command writes about all studies."""
    return json.loads((output / "summary.json").read_text())
