"""Published weights by name, fetched from a server on this machine."""

import functools
import http.server
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from i2i import nets
from i2i.core.errors import I2IError, I2IWarning
from i2i.data import cards, download
from i2i.inference.generate import generate
from i2i.models import format as model_file
from i2i.models import zoo
from i2i.models.load import load
from tests.cli.program import i2i

SHEETS = {"biggan_digits": (40, 10), "dcgan_digits": (40, 10)}  # images and columns of the shipped sheets


class Handler(http.server.SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A folder that a local server shows as the authors' host, and the paths asked for; the cache is empty."""
    folder = tmp_path / "host"
    folder.mkdir()
    Handler.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("I2I_MODELS_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(download, "WAIT", 0.0)
    yield folder
    server.shutdown()
    server.server_close()


def put(host, name, net):
    path = host / zoo.card(name).path
    path.parent.mkdir(parents=True)
    torch.save(net.state_dict(), path)


def test_every_card_is_complete():
    assert len(zoo.CARDS) == 18 + 5 + 3
    assert zoo.card("cyclegan_style_ukiyoe").path == "cyclegan/pretrained_models/style_ukiyoe.pth"
    assert zoo.card("pix2pix_day2night").path == "pix2pix/models-pytorch/day2night.pth"
    for name in zoo.CARDS:
        card = zoo.card(name)
        assert card.name == name
        assert card.reads != card.makes
        assert card.note
        assert "arXiv" in card.paper
        assert all(a.startswith(("https://efros", "https://github.com/xinntao/")) for a in card.addresses)
        assert card.largest > 40_000_000


def test_unknown_names_list_the_nearest():
    with pytest.raises(I2IError, match=r"Did you mean .*pix2pix_edges2shoes"):
        zoo.card("pix2pix_edges2shoe")


def test_a_model_is_fetched_once_converted_and_used(host):
    torch.manual_seed(0)
    net = nets.build("resnet", blocks=2, width=2).eval()
    put(host, "cyclegan_horse2zebra", net)
    told = []
    path = zoo.get("cyclegan_horse2zebra", progress=lambda *a: told.append(a))
    assert told[-1][0] > 0
    assert [p.name for p in path.parent.iterdir() if not p.name.startswith(".")] == ["cyclegan_horse2zebra.safetensors"]
    header = model_file.read_header(path)
    assert header["data"] == ["horse2zebra"]
    assert header["train_mode_norm"] is False
    assert len(header["source_sha256"]) == 64
    assert header["networks"]["G"] == {"type": "resnet", "arguments": net.arguments}
    assert zoo.get("cyclegan_horse2zebra") == path
    assert Handler.asked == ["/cyclegan/pretrained_models/horse2zebra.pth"]
    model = load("cyclegan_horse2zebra", "cpu")
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(model(x), net(x), atol=1e-6)
    assert model.name == "cyclegan_horse2zebra"
    image = Image.fromarray(np.zeros((9, 9, 3), np.uint8))
    assert model(image).size == (9, 9)


def test_pix2pix_models_use_the_statistics_of_the_image(host):
    torch.manual_seed(0)
    net = nets.build("unet", depth=3, width=2, norm="batch", dropout=True)
    put(host, "pix2pix_edges2shoes", net)
    model = load("pix2pix_edges2shoes", "cpu")
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    for module in net.modules():
        module.train(not isinstance(module, torch.nn.Dropout))
    assert torch.allclose(model(x), net(x.clone()), atol=1e-5)


def test_what_goes_wrong_leaves_nothing_behind(host):
    name = "cyclegan_map2sat"
    path = host / zoo.card(name).path
    with pytest.raises(I2IError, match="404"):
        zoo.get(name)
    path.parent.mkdir(parents=True)
    path.write_text("<html>moved</html>")
    with pytest.raises(I2IError, match="is not the published network"):
        zoo.get(name)
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(I2IError, match="not recognized"):
        zoo.get(name)
    assert not [p for p in zoo.cache().iterdir() if not p.name.startswith(".")]
    path.unlink()
    put_again = nets.build("resnet", blocks=1, width=2)
    torch.save(put_again.state_dict(), path)
    assert zoo.get(name).is_file()


def test_another_file_than_at_the_first_download_is_refused(host, monkeypatch):
    name = "cyclegan_map2sat"
    put(host, name, nets.build("resnet", blocks=1, width=2))
    with pytest.warns(I2IWarning, match=f"Nobody has published a hash of the model {name}"):
        path = zoo.get(name)
    record = path.with_name(f".{name}.sha256")
    assert record.read_text().startswith(model_file.read_header(path)["source_sha256"])
    path.unlink()
    torch.save(nets.build("resnet", blocks=2, width=2).state_dict(), host / zoo.card(name).path)
    with pytest.raises(I2IError, match=r"another one than at its first download.*remove .*sha256"):
        zoo.get(name)
    assert not path.exists()
    record.unlink()
    with pytest.warns(I2IWarning, match="is recorded"):
        zoo.get(name)


def test_a_file_larger_than_the_network_is_refused(host, monkeypatch):
    name = "cyclegan_map2sat"
    put(host, name, nets.build("resnet", blocks=1, width=2))
    with open(host / zoo.card(name).path, "r+b") as file:
        file.truncate(zoo.card(name).largest + 1)
    with pytest.raises(I2IError, match="allowed are"):
        zoo.get(name)


def test_discriminators_are_no_translators(tmp_path):
    torch.save(nets.build("patchgan", channels=3, width=2).state_dict(), tmp_path / "latest_net_D.pth")
    with pytest.raises(I2IError, match="makes no images"):
        load(tmp_path / "latest_net_D.pth", "cpu")


SHIPPED = [p.stem for p in sorted(zoo.shipped().glob("*.yaml"))]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_small_and_complete(name):
    card, path = zoo.card(name), zoo.get(name)
    assert path.stat().st_size < 3e6
    assert path.with_suffix(".png").is_file()
    assert card.addresses == ()
    assert card.figures
    assert "arXiv" in card.paper
    header = model_file.read_header(path)
    assert card.kind == header.get("kind", "translate")
    assert (card.method, card.size) == (header["method"], header["size"])
    assert card.scale == header.get("scale", 1)
    assert not any("/" in str(source) for source in header["data"])
    for source in set(header["data"]) & set(cards.names()):  # what `i2i evaluate --model NAME` takes by itself
        assert cards.card(source).layout == header["layout"]
        assert "degrade" not in header, "inputs that i2i makes of single images are not those of these pairs"


@pytest.mark.parametrize("name", [name for name in SHIPPED if zoo.card(name).kind == "translate"])
def test_a_shipped_model_translates_without_a_network(name, monkeypatch, tmp_path):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "empty"))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 70, 3), np.uint8))
    made = load(name, "cpu")(image)
    scale = zoo.card(name).scale
    assert made.size == (70 * scale, 60 * scale)
    assert np.asarray(made).std() > 1
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("name", [name for name in SHIPPED if zoo.card(name).kind == "generate"])
def test_a_shipped_generator_draws_without_a_network_what_its_image_shows(name, monkeypatch, tmp_path):
    """models/NAME.png is what `i2i generate --model NAME -n N --columns C --grid NAME.png` makes."""
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "empty"))
    sheet = Image.open(zoo.get(name).with_suffix(".png")).convert("RGB")
    number, columns = SHEETS[name]
    generate(name, number, grid=tmp_path / "sheet.png", columns=columns, device="cpu")
    made = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).astype(int)
    assert made.shape == np.asarray(sheet).shape
    assert np.abs(made - np.asarray(sheet)).max() <= 2  # rounding of another processor
    assert not (tmp_path / "empty").exists()


def test_generators_are_asked_for_where_images_are_made_from_noise_and_nowhere_else():
    assert set(zoo.names("generate")) == set(SHEETS)
    assert not set(zoo.names("generate")) & set(zoo.names("translate"))
    assert sorted(zoo.names("generate") + zoo.names("translate")) == zoo.names()
    assert "(biggan_digits" in i2i("generate", code=2)[1]
    assert "biggan_digits" not in i2i("translate", "x.png", code=2)[1]
    assert "i2i generate --model biggan_digits --grid images.png" in i2i("biggan-digits", code=2)[1]
