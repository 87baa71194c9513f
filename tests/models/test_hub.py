"""Models of the Hub, against a local server that answers the few calls that huggingface_hub makes."""

import base64
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image

from i2i import nets
from i2i.core.errors import I2IError
from i2i.models import format as model_file
from i2i.models import hub
from i2i.models.load import display_name

pytest.importorskip("huggingface_hub")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SCRIPT = "import sys; from i2i.models import hub; from pathlib import Path; from i2i.core.errors import I2IError\n"
SCRIPT += "try: print(hub.pull(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None))\n"
SCRIPT += "except I2IError as error: print(error, file=sys.stderr); sys.exit(1)"


class Handler(http.server.BaseHTTPRequestHandler):
    files: dict[str, bytes] = {}  # noqa: RUF012
    asked: list[str] = []  # noqa: RUF012

    def do_HEAD(self):
        self.asked.append(self.path)
        name, _, rest = self.path.lstrip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        if name == "user/empty":
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        if name == "user/secret":
            return self.answer(401, b"", {"X-Error-Message": "Invalid credentials"})
        if name not in ("user/good", "user/huge"):
            return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        if revision not in ("main", "v1", COMMIT):
            return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if file not in self.files:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        data = self.files[file]
        if name == "user/huge":  # no more than the announced size is ever sent
            huge = {"X-Linked-Size": str(hub.MAX_BYTES + 1), "X-Linked-Etag": '"0"', "X-Repo-Commit": COMMIT}
            return self.answer(200, data, {"ETag": '"0"', **huge})
        tag = hashlib.sha256(data).hexdigest()
        return self.answer(200, data, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})

    do_GET = do_HEAD

    def answer(self, status, data, headers):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    header = {"method": "pix2pix", "data": ["earth"], "licence": "CC0", "images": 20}
    path = model_file.save(folder / "model.safetensors", {"G": nets.build("unet", depth=3, width=2)}, header)
    (folder / "metrics.json").write_text(json.dumps({"count": 3, "model": {"l1": 0.125, "psnr": 20.5}}))
    (folder / "test.png").write_bytes(b"image")
    (folder / "config.yaml").write_text("width: 2\n")
    (folder / "secret.pt").write_bytes(b"pickle")
    (folder / "samples").mkdir()
    for images in (0, 10, 20):
        (folder / "samples" / f"{images:09d}.png").write_bytes(b"image of %d" % images)
    return path


@pytest.fixture
def pulled(tmp_path, model):
    """Runs `hub.pull` in a process of its own, as the library reads its variables once; gives (code, out, err)."""
    Handler.files = {p.name: p.read_bytes() for p in model.parent.iterdir() if p.is_file()}
    Handler.files[hub.SAMPLES] = b"samples"
    Handler.files["README.md"] = hub.card(model.parent, "user/good").encode()
    Handler.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = str(Path(__file__).resolve().parents[2])
    env = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and not k.startswith("HF_")}
    env |= {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "hf")}
    env |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": root, "HF_HUB_DISABLE_XET": "1"}

    def run(*words, command=False, **more):
        words = [sys.executable, *(["-m", "i2i"] if command else ["-c", SCRIPT]), *map(str, words)]
        done = subprocess.run(words, env={**env, **more}, capture_output=True, text=True, timeout=120)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout.strip(), done.stderr.strip()

    yield run
    server.shutdown()
    server.server_close()


def test_a_model_that_is_too_large_is_not_downloaded(pulled, tmp_path):
    code, out, err = pulled("hf:user/huge", tmp_path / "new")
    assert (code, out) == (1, ""), err
    assert "hf:user/huge is a file of 4.0 GB. The largest model that is downloaded has 4 GB." in err
    assert not (tmp_path / "new").exists()
    assert not [path for path in (tmp_path / "hf").rglob("*") if path.is_file() and path.stat().st_size > 1000]


def test_a_model_is_fetched_with_its_card_and_nothing_else(pulled, model, tmp_path):
    code, out, err = pulled("hf:user/good@v1", tmp_path / "new")
    assert code == 0, err
    assert Path(out).read_bytes() == model.read_bytes()
    assert {p.name for p in (tmp_path / "new").iterdir()} == {hub.FILE, "README.md", *hub.RUN_FILES}
    assert {p.rpartition("/")[2] for p in Handler.asked} == {hub.FILE, "README.md", *hub.RUN_FILES}
    code, _, err = pulled("hf:user/other", HF_HUB_OFFLINE="1")
    assert code == 1
    assert "hf:user/other is not in the cache, and HF_HUB_OFFLINE is set." in err
    code, out, err = pulled("hf:user/good@v1", HF_HUB_OFFLINE="1")
    assert code == 0, err
    assert Path(out).read_bytes() == model.read_bytes()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("hf:user/none", "There is no hf:user/none on the Hub."),
        ("hf:user/secret", "refused access to hf:user/secret"),
        ("hf:user/good@v9", "no such revision"),
        ("hf:user/empty", "hf:user/empty has no model.safetensors"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(pulled, address, said):
    code, _, err = pulled(address)
    assert code == 1
    assert said in err.splitlines()[-1]


def test_a_damaged_file_is_refused_and_leaves_no_folder(pulled, tmp_path):
    data = bytearray(Handler.files[hub.FILE])
    data[-5] ^= 255
    Handler.files[hub.FILE] = bytes(data)
    code, _, err = pulled("hf:user/good", tmp_path / "new")
    assert code == 1
    assert "damaged" in err
    assert not (tmp_path / "new").exists()


def test_names_and_card(model):
    assert hub.split("hf:user/name@v1.0") == ("user/name", "v1.0")
    assert display_name("hf:user/name@v1.0") == "name"
    for wrong in ("hf:name", "hf:../x", "hf:a/b/c", "hf:a/b@", "hf:a/..b"):
        with pytest.raises(I2IError, match="not a model's name on the Hub"):
            hub.split(wrong)
    text = hub.card(model.parent, "user/good")
    for part in ("pix2pix trained on earth", "| model | 0.125 | 20.5 |", "(test.png)", "width: 2", "CC0"):
        assert part in text


class Taking(http.server.BaseHTTPRequestHandler):
    """The calls by which huggingface_hub pushes a folder: who may write is known by the token."""

    kept: dict[str, bytes] = {}  # noqa: RUF012
    blobs: dict[str, bytes] = {}  # noqa: RUF012
    asked: list[str] = []  # noqa: RUF012

    def take(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append(f"{self.command} {self.path}")
        signed = self.path.startswith("/blobs/")  # large files go to a store, by an address that is secret itself
        if not signed and self.headers.get("Authorization") != "Bearer hf_good":
            return self.say(401, {"error": "Invalid username or password."})
        here = f"http://{self.headers['Host']}"
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            return self.say(200, {"url": f"{here}/{name}", "name": name, "id": "1"})
        if self.path == "/api/validate-yaml":
            return self.say(200, {"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            names = [f["path"] for f in json.loads(body)["files"]]
            modes = ["lfs" if n.endswith(".safetensors") else "regular" for n in names]
            files = [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in zip(names, modes)]
            return self.say(200, {"files": files})
        if self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**o, "authenticated": True, "actions": {"upload": {"href": f"{here}/blobs/{o['oid']}"}}}
                for o in json.loads(body)["objects"]
            ]
            return self.say(200, {"transfer": "basic", "objects": objects})
        if self.path.startswith("/blobs/"):
            self.blobs[self.path.removeprefix("/blobs/")] = body
            return self.say(200, {})
        if "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    self.kept[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    self.kept[value["path"]] = self.blobs[value["oid"]]
            url = f"{here}/user/good/commit/{COMMIT}"
            return self.say(200, {"success": True, "commitOid": COMMIT, "commitUrl": url})
        return self.say(404, {"error": "not found"})

    do_GET = do_HEAD = do_POST = do_PUT = take

    def say(self, status, answer):
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def pushed(tmp_path):
    """Runs `i2i models push` in a process of its own, against a server that takes models; gives (code, out, err)."""
    Taking.kept, Taking.blobs, Taking.asked = {}, {}, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and not k.startswith("HF_")}
    env |= {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "hf")}
    env |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "HF_HUB_DISABLE_XET": "1"}

    def run(*words, **more):
        words = [sys.executable, "-m", "i2i", "models", "push", *map(str, words)]
        done = subprocess.run(words, env={**env, **more}, capture_output=True, text=True, timeout=120)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    yield run
    server.shutdown()
    server.server_close()


def test_push_sends_the_model_its_card_and_nothing_else(pushed, model):
    code, out, err = pushed(model.parent, "hf:user/good", HF_TOKEN="hf_good")
    assert code == 0, err
    assert "/user/good" in out
    assert set(Taking.kept) == {hub.FILE, "README.md", *hub.RUN_FILES}
    assert Taking.kept[hub.FILE] == model.read_bytes()
    assert Taking.kept[hub.SAMPLES] == b"image of 20"  # the last of its samples
    text = Taking.kept["README.md"].decode()
    assert text.startswith("---\nlibrary_name: i2i")
    for part in ("| model | 0.125 | 20.5 |", "(test.png)", f"({hub.SAMPLES})", "| images seen | 20 |"):
        assert part in text


def test_push_without_leave_is_one_sentence(pushed, model):
    for token in ({}, {"HF_TOKEN": "hf_bad"}):
        code, _, err = pushed(model, "hf:user/good", **token)
        assert code == 1
        assert "The Hub refused access to hf:user/good" in err
        assert "hf auth login" in err
    assert not Taking.kept


@pytest.mark.slow
def test_the_command_pulls_and_translates_by_the_hub_s_name(pulled, model, tmp_path):
    """`i2i translate --model hf:user/good`, and `i2i models pull` into a folder that is then a model."""
    Image.new("RGB", (16, 16), "teal").save(tmp_path / "photo.png")
    words = [tmp_path / "photo.png", "--model", "hf:user/good", "-o", tmp_path / "out.png", "--device", "cpu"]
    code, _, err = pulled("translate", *words, command=True)
    assert code == 0, err
    code, _, err = pulled("models", "pull", "hf:user/good", "-o", tmp_path / "good", command=True)
    assert code == 0, err
    words[2] = tmp_path / "good"
    words[4] = tmp_path / "again.png"
    code, _, err = pulled("translate", *words, command=True, HF_HUB_OFFLINE="1")
    assert code == 0, err
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "again.png").read_bytes()


@pytest.mark.parametrize(
    "revision",
    [
        "../../x",
        "..",
        ".",
        "a..b",
        "a/../b",
        "/a",
        "a/",
        "a//b",
        ".git",
        "a/.b",
        "a.lock",
        "a.lock/b",
        "a.",
        "-x",
        "a b",
        "a\\b",
        "a\nb",
        "a\0b",
        "é",
        "a?b",
        "a#b",
        "a%2e%2e",
        "a:b",
        "a~1",
        "a^",
        "@{",
        "@",
        "x" * 201,
        "refs/../../x",
        "a/..",
    ],
)
def test_revisions_that_are_none(revision):
    for address in (f"hf:a/b@{revision}", f"a/b@{revision}"):
        with pytest.raises(I2IError, match="not a model's name on the Hub"):
            hub.split(address)


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT, "refs/pr/1", "feature/new_model-2", "1.0.0-rc.1", "_x"])
def test_revisions(revision):
    assert hub.split(f"hf:a/b@{revision}") == ("a/b", revision)


@pytest.mark.parametrize(
    "name", ["a/b\n", "a/é", "a/" + "b" * 97, "a\\b/c", "a/b?x", "a/b#x", "a/b%2f", "./b", "a/-b", "a/b/"]
)
def test_names_that_are_none(name):
    with pytest.raises(I2IError, match="not a model's name on the Hub"):
        hub.split(f"hf:{name}")


def test_a_card_shows_words_of_strangers_as_text(tmp_path):
    """The model of somebody else, passed on: nothing in its header or run becomes HTML, a link or an image."""
    from tests.core.test_escape import BLOCKS, HOSTILE, MARKS, tokens

    fine = tokens(hub.card(_strange(tmp_path / "fine", "words"), "user/good"))
    expected = [t.type for t in fine if t.type in (*MARKS, *BLOCKS)]
    for i, text in enumerate([*HOSTILE, "```\n# closed\n<b>\n````", "x\n---\ntags: [evil]\n---"]):
        card = hub.card(_strange(tmp_path / str(i), text), "user/good")
        found = tokens(card)
        assert [t.type for t in found if t.type in (*MARKS, *BLOCKS)] == expected, text
        assert "\x1b" not in card
        assert card.split("\n---\n")[0].splitlines()[1:] == [  # the head is ours alone
            "library_name: i2i",
            "pipeline_tag: image-to-image",
            "tags: [i2i, gan]",
        ]


def _strange(folder, text):
    folder.mkdir()
    header = {"method": text, "data": [text, "earth"], "licence": text, "version": text}
    model_file.save(folder / hub.FILE, {"G": nets.build("unet", depth=3, width=2)}, header)
    scores = {text: {"l1": 0.5, f"{text}2": 1, "odd": True, "huge": 10**200}, "model": {"l1": 0.25}}
    (folder / "metrics.json").write_text(json.dumps(scores))
    (folder / "config.yaml").write_text(f"# {text}\nwidth: 2\n")
    return folder
