# SPDX-License-Identifier: Apache-2.0
"""Where the package finds its library and its version, as a wheel, as an editable installation, and among the sources."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

import sgp_torch
from sgp_torch import library


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The folders of the package: one of an installation and one of sources. No library lies in either."""
    monkeypatch.delenv("SGP_LIBRARY", raising=False)
    found = [tmp_path / "installed", tmp_path / "sources"]
    monkeypatch.setattr(sgp_torch, "__path__", [str(folder) for folder in found])
    return found


def add_library(folder: Path) -> str:
    path = folder / "lib" / "libsgp.so"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    return str(path)


def test_without_a_library_of_its_own_the_system_has_one(folders):
    assert library._path() == "libsgp.so.1"


@pytest.mark.parametrize("where", [0, 1])
def test_the_library_lies_in_a_folder_of_the_package(folders, where):
    path = add_library(folders[where])
    assert library._path() == path


def test_the_environment_comes_first(folders, monkeypatch):
    add_library(folders[0])
    monkeypatch.setenv("SGP_LIBRARY", "/elsewhere/libsgp.so")
    assert library._path() == "/elsewhere/libsgp.so"


def test_the_version_is_that_of_the_installation(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: {"sgp-torch": "7.8.9"}[name])
    assert sgp_torch.__version__ == "7.8.9"


def test_the_version_among_the_sources_is_that_of_the_library(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert sgp_torch.__version__ == library.load().sgp_version().decode()


def test_the_annotations_are_for_users_too():
    assert any((Path(folder) / "py.typed").exists() for folder in sgp_torch.__path__)
