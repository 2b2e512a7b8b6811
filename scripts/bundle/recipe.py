"""Commands ``python -m scripts.bundle run`` for a bundle with overlays."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.storage.shipped import shipped

LAUNCH = "scripts.bundle"  # monai.bundle, with files of the installation, and sooner


@dataclass(frozen=True)
class Recipe:
    """A bundle, and the config files that are laid over each of its configs.

    Example:
        >>> Recipe("bundles/b", ("small.json",)).command("training", "train", seed=1)[4:]
        ['--config_file', "['bundles/b/configs/train.json', 'small.json']", '--seed', '1']
    """

    bundle: str
    overlays: tuple[str, ...]

    def command(self, run_id: str, config: str, **overrides: object) -> list[str]:
        """Return Python's arguments for ``scripts.bundle run RUN_ID`` with a config of the bundle.

        This is ``monai.bundle run``, which starts two seconds later. Files of ``bundles/`` and
        ``configs/`` that are not in the current folder are those of the installation.
        """
        files = [f"{self.bundle}/configs/{config}.json", *self.overlays]
        found = [str(shipped(file)) for file in files]
        words = {key: "null" if value is None else str(value) for key, value in overrides.items()}
        options = [text for key, word in words.items() for text in (f"--{key}", word)]
        return ["-m", LAUNCH, "run", run_id, "--config_file", repr(found), *options]
