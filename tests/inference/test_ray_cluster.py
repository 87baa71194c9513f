"""An archive on a Ray cluster of two nodes, both on this machine."""

import json
import os
import sys

import pytest
import torch

import i2i as library
from i2i import nets
from i2i.core.errors import I2IError
from i2i.inference import manifest, ray_cluster
from i2i.inference.jobs import Job
from i2i.inference.settings import NetworkSettings
from i2i.inference.workers import Work
from i2i.models import format as model_file
from tests.cli.program import ROOT, i2i, picture


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    return model_file.save(path, {"G": nets.build("resnet", blocks=1, width=4)}, {"method": "test"})


@pytest.fixture
def two_nodes():
    """A cluster of two nodes with a processor each."""
    pytest.importorskip("ray.data")
    utils = pytest.importorskip("ray.cluster_utils")
    import ray

    with pytest.MonkeyPatch.context() as patch:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        words = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        words["RAY_raylet_start_wait_time_s"] = "180"  # a busy machine starts nodes slowly
        for key, value in words.items():
            patch.setenv(key, value)
        small = {"num_cpus": 1, "object_store_memory": 100 << 20}
        made = utils.Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
        second = made.add_node(**small)
        made.wait_for_nodes()
        yield made, second
        ray.shutdown()
        made.shutdown()


def test_without_ray_the_extra_is_named(model, tmp_path, monkeypatch):
    picture(tmp_path / "in" / "a.png", 0)
    monkeypatch.setitem(sys.modules, "ray", None)
    _, err = i2i("translate", tmp_path / "in", "-o", tmp_path / "out", "--model", model, "--ray", "local", code=1)
    assert "pip install 'i2i-toolkit[ray]'" in err
    with pytest.raises(I2IError, match="one of them"):
        library.translate(tmp_path / "in", tmp_path / "out", model, ray="local", processes=2)


@pytest.mark.slow
def test_two_nodes_make_what_one_process_makes(model, tmp_path, two_nodes, monkeypatch):
    """Bytes and record; a bad image is listed, the work is shared, and what is done is skipped."""
    for i in range(40):
        picture(tmp_path / "in" / f"{i}.png", i)
    (tmp_path / "in" / "bad.jpg").write_bytes(b"no image")
    library.translate(tmp_path / "in", tmp_path / "alone", model, device="cpu")
    monkeypatch.chdir(tmp_path)  # the nodes work elsewhere
    words = ("translate", "in", "-o", "out", "--model", model, "--device", "cpu", "--json")
    out, _ = i2i(*words, "--ray", two_nodes[0].address, code=3)
    lines = [json.loads(line) for line in out.splitlines()]
    assert (lines[-1]["done"], lines[-1]["failed"]) == (40, 1)
    (error,) = (x["error"] for x in lines if x.get("error"))
    assert "bad.jpg is not an image" in error
    for path in (tmp_path / "alone").glob("*.png"):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    entries = manifest.Manifest(tmp_path / "out", "").entries()
    assert sorted(e["state"] for e in entries.values()) == ["done"] * 40 + ["failed"]
    out, _ = i2i(*words, "--ray", two_nodes[0].address, "--resume", code=3)
    assert json.loads(out.splitlines()[-1])["skipped"] == 40


@pytest.mark.slow
def test_a_node_that_dies_leaves_its_work_to_the_other(model, tmp_path, two_nodes):
    made, second = two_nodes
    jobs = []
    for i in range(64):
        picture(tmp_path / "in" / f"{i}.png", i)
        jobs.append(Job(i, tmp_path / "in" / f"{i}.png", tmp_path / "out" / f"{i}.png", f"{i}.png"))
    told, ended = {}, []

    def tell(number, error):
        assert number not in told
        told[number] = error

    def at(*_):
        if not ended:  # with the first answer, from whichever node
            ended.append(len(told))
            made.remove_node(second)

    ray_cluster.run(Work(str(model), network=NetworkSettings(device="cpu")), jobs, made.address, None, tell, at)
    assert ended == [0]
    assert told == dict.fromkeys(range(64))
    assert len(list((tmp_path / "out").glob("*.png"))) == 64
