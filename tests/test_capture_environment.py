"""What a run needs to be rebuilt, and that describing it is paid for once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlgit.tracking import environment


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_described", {})


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "mlgit" / "environments.json"


def install(folder: Path, info: str, content: bytes, file: str = "METADATA") -> None:
    (folder / info).mkdir(parents=True)
    (folder / info / file).write_bytes(content)


def test_describes_interpreter_machine_and_packages() -> None:
    described = environment.describe()
    assert described.keys() == {"python", "platform", "hardware", "packages"}
    assert described["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert described["platform"].keys() == {"system", "release", "machine"}
    hardware = described["hardware"]
    assert hardware["cpu"] and hardware["cores"] == os.cpu_count()
    assert 2**26 < hardware["memory"] < 2**50
    assert json.loads(json.dumps(described)) == described


def test_packages_are_those_of_importlib_metadata() -> None:
    expected: dict[str, str] = {}
    for found in metadata.distributions():
        expected.setdefault(environment.normalized(found.metadata["Name"]), found.version)
    assert environment.describe()["packages"] == expected


def test_names_no_person_and_no_place() -> None:
    described = environment.describe()
    text = json.dumps(described)
    for place in (str(Path.home()), sys.prefix, sys.executable, os.getcwd()):
        assert place not in text
    assert not [version for version in described["packages"].values() if "/" in version]
    assert os.uname().nodename not in described["platform"].values()


def test_package_names_are_normalized_and_versions_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(
        tmp_path, "a.dist-info", b"Name: Zoo_of.Names\nVersion: 2.0+cu118\n\nName: in the readme"
    )
    install(
        tmp_path, "b.egg-info", b"Metadata-Version: 1.0\r\nName: egg\r\nVersion: 1\r\n", "PKG-INFO"
    )
    (tmp_path / "c-3.egg-info").write_bytes(b"Name: lone-file\nVersion: 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    packages = environment.describe()["packages"]
    assert packages.items() >= {"zoo-of-names": "2.0+cu118", "egg": "1", "lone-file": "3"}.items()
    assert list(packages) == sorted(packages)


def test_the_first_on_the_path_hides_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "pytest-0.dist-info", b"Name: PyTest\nVersion: 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert environment.describe()["packages"]["pytest"] == "0"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"Name: damaged\n", b"Version: 1\n"])
def test_damaged_packages_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    install(tmp_path, "damaged.dist-info", content)
    (tmp_path / "empty.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    packages = environment.describe()["packages"]
    assert packages.keys().isdisjoint({"damaged", "empty"})
    assert "pytest" in packages


def test_a_finder_that_fails_is_not_ours_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def distributions() -> list[object]:
        raise RuntimeError("somebody's import hook")

    monkeypatch.setattr(metadata, "distributions", distributions)
    assert environment.describe()["packages"] == {}


def test_graphics_cards_are_nvmls(monkeypatch: pytest.MonkeyPatch) -> None:
    class NVMLError(Exception):
        pass

    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda index: b"NVIDIA A100" if index else "NVIDIA H100",
        nvmlDeviceGetMemoryInfo=lambda index: SimpleNamespace(total=(index + 1) * 2**30),
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert environment.describe()["hardware"]["gpus"] == [
        {"name": "NVIDIA H100", "memory": 2**30},
        {"name": "NVIDIA A100", "memory": 2**31},
    ]


def test_fingerprint_follows_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, project = tmp_path / "site-packages", tmp_path / "project"
    site.mkdir()
    project.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(site), str(project)])
    seen = [environment.fingerprint()]

    def changed() -> bool:
        seen.append(environment.fingerprint())
        return seen[-1] not in seen[:-1]

    assert not changed()
    (project / "model.pkl").touch()  # what scripts do where they stand
    assert not changed()
    install(project, "mine.egg-info", b"")
    assert changed()
    os.utime(site, ns=(0, 1))
    assert changed()
    os.utime(site, ns=(0, 2))
    assert changed()
    monkeypatch.setattr(sys, "path", sys.path[::-1])
    assert changed()
    monkeypatch.setattr(sys, "executable", "/another/python")
    assert changed()


def test_fingerprint_bears_what_importing_bears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = ["", "\0", "\udcff", str(tmp_path / "gone"), None, 3.5, tmp_path, b"bytes"]
    monkeypatch.setattr(sys, "path", strange)
    assert len(environment.fingerprint()) == 32


def test_capture_describes_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = environment.capture(cache)
    assert json.loads(cache.read_text()) == {environment.fingerprint(): first}
    assert os.listdir(cache.parent) == [cache.name]

    monkeypatch.setattr(environment, "describe", lambda: pytest.fail("described again"))
    first["packages"].clear()  # the caller's own, no business of the next
    in_process = environment.capture(cache)
    environment._described.clear()
    assert environment.capture(cache) == in_process
    assert in_process["packages"]


def test_a_known_environment_imports_nothing(cache: Path) -> None:
    environment.capture(cache)
    script = (
        "import sys; from pathlib import Path; from mlgit.tracking import environment\n"
        f"environment.capture(Path({str(cache)!r}))\n"
        "print(*{'importlib.metadata', 'platform', 'psutil', 'pynvml'} & sys.modules.keys())"
    )
    run = [sys.executable, "-c", script]
    imported = [subprocess.check_output(run, text=True, cwd=cwd_of_mlgit()) for _ in range(2)]
    assert "psutil" not in imported[0]
    assert imported[1] == "\n"


def cwd_of_mlgit() -> Path:
    return Path(environment.__file__).parents[2]


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"\xff", b"[]", b"null", b"[" * 100_000, b'{"%s": 1}', b'{"%s": {"python": {}}}'],
)
def test_a_damaged_cache_is_replaced(cache: Path, damage: bytes) -> None:
    cache.parent.mkdir()
    cache.write_bytes(damage.replace(b"%s", environment.fingerprint().encode()))
    described = environment.capture(cache)
    assert described == environment.describe()
    assert json.loads(cache.read_text()) == {environment.fingerprint(): described}


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for hopeless in (tmp_path / "file" / "cache.json", tmp_path / "folder"):
        environment._described.clear()
        assert environment.capture(hopeless)["python"]
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_the_cache_holds_the_last_eight(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = environment.describe()
    monkeypatch.setattr(environment, "describe", lambda: described)
    for number in range(20):
        monkeypatch.setattr(environment, "fingerprint", lambda name=str(number): name)
        environment.capture(cache)
    assert list(json.loads(cache.read_text())) == [str(number) for number in range(12, 20)]
    assert len(environment._described) <= 8


def test_writers_do_not_meet(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = environment.describe()
    monkeypatch.setattr(environment, "describe", lambda: described)
    counter = iter(range(10**6))
    monkeypatch.setattr(environment, "fingerprint", lambda: str(next(counter)))
    captured: list[object] = []
    threads = [
        threading.Thread(
            target=lambda: captured.extend(environment.capture(cache) for _ in "12345")
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert captured == [described] * 40
    assert 1 <= len(json.loads(cache.read_text())) <= 8
    assert os.listdir(cache.parent) == [cache.name]
