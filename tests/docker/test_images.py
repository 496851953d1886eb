"""The images that are built here: found again by their content, different where the content is, and able to run."""

from __future__ import annotations

import json
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound

from conformance.endpoints import images, rootfs


def test_built_once(engine: docker.DockerClient, image: str) -> None:
    made = engine.images.get(image).id
    assert images.build(engine) == image
    assert engine.images.get(image).id == made


def test_an_edit_makes_another_image_on_the_same_python(
    engine: docker.DockerClient, image: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    edited = tmp_path / "edited.py"
    edited.write_text("x = 1\n")
    files = rootfs.package_files()
    monkeypatch.setattr(rootfs, "package_files", lambda: {**files, f"{rootfs.LIBRARY}/edited.py": edited})
    other = images.build(engine)
    assert other != image
    assert images.present(engine, other)
    bases = {each.tags[0] for each in engine.images.list(name="beam-conformance-python")}
    assert len(bases) == 1
    engine.images.remove(other)


def test_it_holds_what_it_needs_and_nothing_of_the_machine(engine: docker.DockerClient, image: str) -> None:
    probe = "import conformance.harness.__main__, conformance.runner, ssl, ctypes, os, json; print(json.dumps(os.listdir('/')))"
    said = engine.containers.run(image, ["-c", probe], entrypoint=[str(rootfs.interpreter())], remove=True, network_mode="host")
    top = set(json.loads(said))
    assert {"opt", "tmp", "etc"} <= top
    assert not {"home", "var", "boot"} & top


def test_variables_reach_the_worker_unchanged(engine: docker.DockerClient, image: str) -> None:
    values = {"A": "plain", "B": "with blank, 'single' and ü", "EMPTY": ""}
    with images.Variants(engine, image) as variants:
        name = variants.make(values)
        environment = dict(each.split("=", 1) for each in engine.images.get(name).attrs["Config"]["Env"])
        assert {key: environment.get(key) for key in values} == values
        assert environment["PYTHONPATH"] == rootfs.LIBRARY
    with pytest.raises(ImageNotFound):
        engine.images.get(name)


@pytest.mark.parametrize("value", ['"quoted"', "back\\slash", "$HOME", "${HOME:-x}", "it's", "end\\", "tab\t", "日本"])
def test_awkward_variables(engine: docker.DockerClient, image: str, value: str) -> None:
    with images.Variants(engine, image) as variants:
        found = engine.images.get(variants.make({"A": value})).attrs["Config"]["Env"]
    assert f"A={value}" in found
