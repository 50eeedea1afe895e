"""A class of hostile submissions: none is believed, none disturbs its neighbours, nothing is left behind."""

import io
import json
import os
import re
import socket
import tarfile
import time
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest
from conftest import PROJECT, put

pytestmark = pytest.mark.skipif(os.uname().sysname != "Linux", reason="a class is graded on Linux")

SET = "sorted_list"
FOLDER = Path(__file__).parent / "hostile"
HOSTILE = sorted(FOLDER.glob("*.py"))
LIMITS = {"seconds": 1.5, "total": 15.0, "memory": 512 << 20}
NAMES = ["make_sorting_tokens", "ov_tables"]
RIGHT = {
    "make_sorting_tokens": """
        bos = torch.full((len(lists), 1), BOS)
        mid = torch.full((len(lists), 1), MID)
        return torch.cat([bos, lists, mid, lists.sort(dim=1).values], dim=1)
    """,
    "ov_tables": """
        w_ovu = model.W_V[0, 0] @ model.W_O[0, 0] @ model.W_U
        return model.W_E @ w_ovu, model.W_pos @ w_ovu
    """,
}
MARKUP = "<script>alert(2)</script>"
ARCHIVES = {  # name -> (what the problem or a note must say, whether make_sorting_tokens passes)
    "zip_bomb.zip": ("MB", False),
    "zip_liar.zip": ("", False),
    "tar_bomb.tar.gz": ("MB when unpacked", False),
    "xz_bomb.tar.xz": ("MB when unpacked", False),
    "traversal.zip": ("leads out", True),
    "traversal.tar.gz": ("leads out", True),
    "links.zip": ("a link", False),
    "links.tar": ("a link", False),
    "devices.tar": ("not a file", True),
    "junk.zip": ("cannot be read", False),
    "junk.tar.gz": ("cannot be read", False),
    "cut.tar.gz": ("cannot be read", False),
    "empty.zip": ("layout of exercises", False),
    "many_files.zip": ("files", False),
}
FOLDERS = {
    "links": ("a link", False),
    "pipes": ("not a file", True),
    "large": ("left out", False),
    "binary": ("", False),
    "latin": ("", False),
    "nested_source": ("", False),
    "empty": ("layout of exercises", False),
    MARKUP.replace("/", "_"): ("", True),
    "\x1b[31mred": ("", True),
}


def header(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^# (what|must|says|neighbour): (.*)$", path.read_text(encoding="utf-8"), re.M))


def source(*names: str) -> dict[str, bytes]:
    """The files of an honest submission with these exercises done."""
    from kata.stubs import stub

    files = {}
    for file in PROJECT.files(SET):
        text = stub((PROJECT.solutions / SET / f"{file}.py").read_text(encoding="utf-8"))
        for exercise in PROJECT.catalog(SET):
            if exercise.name in names and exercise.file == f"{file}.py":
                text = put(text, exercise.name, RIGHT[exercise.name])
        files[f"{SET}/{file}.py"] = text.encode()
    return files


def lay(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def make_archives(top: Path) -> None:
    files = source(*NAMES)
    bomb = b"\0" * (110 << 20)
    with zipfile.ZipFile(top / "zip_bomb.zip", "w", zipfile.ZIP_DEFLATED) as z:
        for i in range(40):
            z.writestr(f"{SET}/part{i}.py", bomb[: 2 << 20])
        z.writestr(f"{SET}/dataset.py", files[f"{SET}/dataset.py"])
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr(f"{SET}/dataset.py", bomb[: 30 << 20])
    real, said = (30 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    (top / "zip_liar.zip").write_bytes(whole.getvalue().replace(real, said))
    for name, mode, fast in (
        ("tar_bomb.tar.gz", "w:gz", {"compresslevel": 1}),
        ("xz_bomb.tar.xz", "w:xz", {"preset": 0}),
    ):
        with tarfile.open(top / name, mode, **fast) as t:
            for each in ("large.bin", f"{SET}/dataset.py"):
                info = tarfile.TarInfo(each)
                info.size = len(bomb)
                t.addfile(info, io.BytesIO(bomb))
    outside = b"import os\n"
    with zipfile.ZipFile(top / "traversal.zip", "w") as z:
        for name in (f"../../../{SET}/evil.py", "/tmp/kata_evil.py", "C:\\evil.py", f"{SET}/../../evil.py"):
            z.writestr(name, outside)
        for name, data in files.items():
            z.writestr(f"repository/exercises/{name}", data)
    with tarfile.open(top / "traversal.tar.gz", "w:gz") as t:
        for name in ("../../evil.py", "/tmp/kata_evil.py"):
            info = tarfile.TarInfo(name)
            info.size = len(outside)
            t.addfile(info, io.BytesIO(outside))
        for name, data in files.items():
            info = tarfile.TarInfo(f"./exercises/{name}")
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    target = str(PROJECT.solutions / SET / "dataset.py")
    with zipfile.ZipFile(top / "links.zip", "w") as z:
        info = zipfile.ZipInfo(f"{SET}/dataset.py")
        info.external_attr = 0o120777 << 16
        z.writestr(info, target)
        z.writestr(f"{SET}/circuits.py", files[f"{SET}/circuits.py"])
    with tarfile.open(top / "links.tar", "w") as t:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            info = tarfile.TarInfo(f"{SET}/dataset.py")
            info.type, info.linkname = kind, target
            t.addfile(info)
        info = tarfile.TarInfo(f"{SET}/circuits.py")
        info.size = len(files[f"{SET}/circuits.py"])
        t.addfile(info, io.BytesIO(files[f"{SET}/circuits.py"]))
    with tarfile.open(top / "devices.tar", "w") as t:
        for kind in (tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"{SET}/zero{kind.decode()}.py")
            info.type, info.devmajor, info.devminor = kind, 1, 5
            t.addfile(info)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    (top / "junk.zip").write_bytes(b"PK\x03\x04" + os.urandom(1000))
    (top / "junk.tar.gz").write_bytes(os.urandom(1000))
    (top / "cut.tar.gz").write_bytes((top / "traversal.tar.gz").read_bytes()[:700])
    zipfile.ZipFile(top / "empty.zip", "w").close()
    with zipfile.ZipFile(top / "many_files.zip", "w") as z:
        for i in range(3000):
            z.writestr(f"{SET}/f{i}.py", b"")


def make_folders(top: Path) -> None:
    files = source(*NAMES)
    other = {k: v for k, v in files.items() if "dataset" not in k}
    lay(top / "links", other)
    (top / "links" / SET / "dataset.py").symlink_to(PROJECT.solutions / SET / "dataset.py")
    (top / "links" / "trigrams").symlink_to(PROJECT.solutions / "trigrams")
    lay(top / "pipes", files)
    os.mkfifo(top / "pipes" / SET / "pipe.py")
    lay(top / "large", other)
    with (top / "large" / SET / "dataset.py").open("wb") as file:
        file.truncate(100 << 20)
    lay(top / "binary", {**other, f"{SET}/dataset.py": bytes(range(256)) * 40})
    lay(top / "latin", {**other, f"{SET}/dataset.py": files[f"{SET}/dataset.py"] + "\nx = 'é'".encode("latin-1")})
    deep = b"import torch\nx = " + b"-" * 200_000 + b"1\ny = " + b"(" * 100_000 + b"\n"
    lay(top / "nested_source", {**other, f"{SET}/dataset.py": deep})
    (top / "empty").mkdir()
    lay(top / MARKUP.replace("/", "_"), files)
    lay(top / "\x1b[31mred", files)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The whole class, graded once: name -> results.json."""
    from kata.classroom import grading

    top = tmp_path_factory.mktemp("class")
    for path in HOSTILE:
        lay(top / path.stem, {**source("ov_tables"), f"{SET}/dataset.py": path.read_bytes()})
    for name in ("a_honest", "m_honest", "z_honest"):
        lay(top / name, source(*NAMES))
    make_archives(top)
    make_folders(top)
    there = course_files()
    out = tmp_path_factory.mktemp("results")
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 48_613)) as server:
        patch.setenv("KATA_TEST_SECRET", "hunter2")
        server.settimeout(0.01)
        began = time.monotonic()
        grading.run(PROJECT, [top], out, sets=[SET], seed=7, workers=2, limits=LIMITS, say=said.append)
        took = time.monotonic() - began
        with pytest.raises(TimeoutError):
            server.accept()
    results = {}
    for path in out.glob("submissions/*/results.json"):
        data = json.loads(path.read_text(encoding="utf-8"))
        results[data["extra_data"]["name"]] = data
    return {"results": results, "out": out, "said": said, "took": took, "there": there, "top": top}


def course_files() -> dict[str, int]:
    """The course's files that nobody else writes to: weights and configurations, with their sizes."""
    return {str(p): p.stat().st_size for p in PROJECT.data.rglob("*.safetensors")} | {
        str(p): 0 for p in (*PROJECT.solutions.rglob("*.py"), *PROJECT.checks.rglob("test_*.py"))
    }


def verdict(data: dict, exercise: str) -> dict:
    (test,) = [t for t in data["tests"] if t["name"] == f"{SET}.{exercise}"]
    return test["extra_data"]["verdict"] | {"points": test["score"]}


def find(graded: dict, shown: str) -> dict:
    """A result by what the submission is called."""
    safe = re.sub(r"[^\w.\- ]", "_", shown, flags=re.A)
    matches = [d for n, d in graded["results"].items() if n == safe or n.rsplit("-", 1)[0] == safe.strip(". ")]
    assert len(matches) == 1, (shown, sorted(graded["results"]))
    return matches[0]


def test_there_are_enough_of_them():
    assert len(HOSTILE) + len(ARCHIVES) + len(FOLDERS) >= 25
    assert all({"what", "must"} <= set(header(p)) for p in HOSTILE)


@pytest.mark.parametrize("path", HOSTILE, ids=lambda p: p.stem)
def test_a_hostile_submission_is_not_believed(graded, path):
    expected = header(path)
    data = find(graded, path.stem)
    got = verdict(data, "make_sorting_tokens")
    told = "\n".join([got["headline"], *got["evidence"]])
    assert got["status"] in expected["must"].split(", "), told
    assert expected.get("says", "") in told
    assert (got["points"] > 0) == (got["status"] == "passed")
    others = {t["name"] for t in data["tests"] if t["score"]} - {f"{SET}.make_sorting_tokens"}
    assert others <= {f"{SET}.ov_tables"}, "nothing else is passed"
    if expected.get("neighbour", "passed") == "passed":
        assert verdict(data, "ov_tables")["status"] == "passed", "its own right answer counts"


@pytest.mark.parametrize(("name", "must"), [*ARCHIVES.items(), *FOLDERS.items()])
def test_a_hostile_package_is_taken_apart_safely(graded, name, must):
    says, passes = must
    shown = name
    for ending in (".zip", ".tar.gz", ".tar.xz", ".tar"):
        shown = shown.removesuffix(ending)
    matches = [
        d for d in graded["results"].values() if any(d["extra_data"]["name"] == n for n in names_of(graded, name))
    ]
    assert len(matches) == 1
    data = matches[0]
    told = data["extra_data"]["problem"] + "\n".join(data["extra_data"]["notes"])
    assert says in told
    assert (verdict(data, "make_sorting_tokens")["status"] == "passed") is passes
    assert not Path("/tmp/kata_evil.py").exists()


def names_of(graded, name):
    from kata.classroom import intake

    return [e.name for e in intake.find([graded["top"]], PROJECT) if e.path.name == name]


def test_neighbours_are_not_disturbed(graded, tmp_path):
    """An honest submission in the midst of them gets what it gets alone, to the byte apart from times."""
    from kata.classroom import grading

    alone = tmp_path / "m_honest"
    lay(alone, source(*NAMES))
    out = tmp_path / "results"
    grading.run(PROJECT, [alone], out, sets=[SET], seed=7, workers=1, limits=LIMITS, say=lambda text: None)
    for name in ("results.json", "page.html", "junit.xml"):
        texts = [
            timeless((folder / "submissions" / "m_honest" / name).read_text(encoding="utf-8"))
            for folder in (graded["out"], out)
        ]
        assert texts[0] == texts[1], name
    for name in ("a_honest", "m_honest", "z_honest"):
        assert all(verdict(find(graded, name), e)["status"] == "passed" for e in NAMES)


def timeless(text: str) -> str:
    return re.sub(r'("execution_time": |time="|"course": ")[\w.]+', r"\1", text)  # other files may be at work on


def test_the_course_is_as_it_was(graded):
    now = course_files()
    assert {k for k in graded["there"] if k not in now} == set()
    assert {k for k, v in graded["there"].items() if now[k] != v} == set()


def test_the_results_are_ours(graded):
    """Nobody has written into the results, and every submission has one of each."""
    out = graded["out"]
    assert {p.name for p in out.iterdir()} == {"class.csv", "index.html", "run.json", "submissions"}
    for folder in (out / "submissions").iterdir():
        assert {p.name for p in folder.iterdir()} == {"results.json", "junit.xml", "page.html"}
    assert len(list((out / "submissions").iterdir())) == len(HOSTILE) + len(ARCHIVES) + len(FOLDERS) + 3


def test_nothing_is_left_running(graded):
    from kata.classroom.fences import FIRST_USER

    left = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if FIRST_USER <= os.stat(f"/proc/{pid}").st_uid < FIRST_USER + 100:
                left.append(pid)
        except OSError:
            pass
    assert left == []


def test_nothing_takes_long(graded):
    """Each is stopped by its own limits; the class goes on beside it."""
    assert graded["took"] < 90
    for name, data in graded["results"].items():
        assert data["execution_time"] <= LIMITS["total"] + 4, name


def test_every_output_is_escaped(graded):
    files = [p for p in graded["out"].rglob("*") if p.is_file()]
    for path in files:
        text = path.read_bytes()
        assert b"\x1b" not in text and b"\0" not in text and b"\xe2\x80\xae" not in text, path
        if path.suffix == ".html":
            assert b"<script" not in text and b"<img src=x" not in text, path
        if path.suffix == ".xml":
            ET.fromstring(text)
    page = (graded["out"] / "submissions" / "html_and_ansi" / "page.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    page = (graded["out"] / "index.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(2)&lt;_script&gt;" in page
    assert all("\x1b" not in line for line in graded["said"])


def test_no_page_asks_for_anything(graded):
    for path in graded["out"].rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "default-src 'none'" in text
        for reference in re.findall(r'(?:src|href)="([^"]*)"', text):
            assert reference.startswith(("data:", "#", "submissions/", "../../index.html")), reference
