"""The configurations of the paper's Tables 3 and 4, on a tiny ImageNet in its official layout."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_networks import make_network

pytest.importorskip("PIL.Image")

from synthetic_imagenet import make_imagenet

from fcpts_ref.architectures.registry import architecture
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.cli import main
from fcpts_ref.data.preprocessing import PRESETS, Preprocessing, as_provenance, preprocessing
from fcpts_ref.experiments.grid import cells_of, grid_of
from fcpts_ref.graphs.initialise import initialise
from fcpts_ref.storage.network_files import write_network

EXAMPLES = Path(__file__).parents[2] / "examples"
TABLES = ("table3.toml", "table4.toml")


@pytest.mark.parametrize("name", [*TABLES, "photographs.toml"])
def test_every_cell_is_a_job(name: str) -> None:
    data = tomllib.loads((EXAMPLES / name).read_text())
    cells = cells_of(grid_of(data))
    assert len({cell.folder for cell in cells}) == len(cells)
    assert {cell.job.target for cell in cells} == set(data["rates"])
    for cell in cells:
        if name in TABLES:
            assert architecture(Path(cell.job.network).name)
            assert preprocessing(cell.job.preprocess) is PRESETS["fcpts"]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_runs_end_to_end(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_imagenet(tmp_path / "ILSVRC2012")
    network = make_network(resnet(8, classes=3, widths=(3, 4, 6), input_shape=(3, 16, 16)))
    network = network.astype(np.float32)
    for known in tomllib.loads((EXAMPLES / name).read_text())["networks"]:
        place = tmp_path / "home" / "models" / f"{known}.h5"
        place.parent.mkdir(parents=True, exist_ok=True)
        write_network(place, network, as_provenance(Preprocessing(20, 16)))
    words: list[Any] = [
        *("compare", f"--config={EXAMPLES / name}", f"--data=imagenet:{root}"),
        *(f"--home={tmp_path / 'home'}", f"--out={tmp_path / 'out'}", "--quiet"),
        *("--preprocess=20/16", "--rates=0.5", "--calibration=6", "--epochs=1", "--steps=2"),
        *("--batch-size=3", "--engine=numpy"),
    ]
    assert main(words) == 0, capsys.readouterr().err
    lines = json.loads((tmp_path / "out" / "table.json").read_text())
    methods = tomllib.loads((EXAMPLES / name).read_text())["method"]
    assert {line["method"] for line in lines} == set(methods)
    assert all(line["data"] == "imagenet" and line["dense"] is not None for line in lines)
    assert "FCPTS (released)" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "regnet_x_200mf", "mobilenet_v2", "deit_tiny"])
def test_the_architectures_of_the_tables_on_small_images(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_imagenet(tmp_path / "ILSVRC2012", per_class=2, validation=3)
    graph = architecture(name, classes=3, input_shape=(3, 32, 32))
    network = initialise(graph, np.random.default_rng(0), mean=[0.5] * 3, std=[0.25] * 3)
    place = tmp_path / "home" / "models" / f"{name}.h5"
    place.parent.mkdir(parents=True)
    write_network(place, network)
    table = TABLES[name.startswith("deit")]
    words: list[Any] = [
        *("compare", f"--config={EXAMPLES / table}", f"--networks={name}"),
        *(f"--data=imagenet:{root}", f"--home={tmp_path / 'home'}", f"--out={tmp_path / 'out'}"),
        *("--rates=0.6", "--calibration=4", "--epochs=1", "--steps=1", "--batch-size=2"),
        *("--preprocess=36/32", "--quiet"),
    ]
    assert main(words) == 0, capsys.readouterr().err
    lines = json.loads((tmp_path / "out" / "table.json").read_text())
    methods = tomllib.loads((EXAMPLES / table).read_text())["method"]
    assert {line["method"] for line in lines} == set(methods)
    assert all(abs(line["achieved"] - 0.6) < 1e-4 for line in lines)
    if name in tomllib.loads((EXAMPLES / table).read_text())["networks"]:
        assert all(line["paper_top1"] is not None for line in lines)
