"""What a benchmark saves says where it was measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import results


def test_figures_are_saved_with_machine_date_commit_and_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    path = results.save("sample", {"ratio": np.float32(1.5), "rounds": np.arange(3)})
    saved = json.loads(path.read_text())
    assert path == tmp_path / "results" / "sample.json"
    assert saved["figures"] == {"ratio": 1.5, "rounds": [0, 1, 2]}
    assert saved["machine"]["cores"] >= 1
    assert saved["libraries"]["numpy"] == np.__version__
    assert set(saved) == {"date", "commit", "machine", "python", "libraries", "figures"}


def test_what_json_cannot_say_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    with pytest.raises(TypeError, match="no JSON form"):
        results.save("sample", {"ratio": object()})
