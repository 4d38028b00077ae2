"""`benchmarks/partitions_whole.py`: generate a log, divide it, train one shard, and handle a request."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "partitions.py"


def test_each_step_has_a_cost_and_a_peak_memory(tmp_path):
    words = ["--whole", tmp_path / "logs", "--rows", 2000, "--shards", 3, "--out", tmp_path / "found.json"]
    subprocess.run([sys.executable, SCRIPT, *map(str, words)], check=True, capture_output=True)
    found = {one["step"]: one for one in json.loads((tmp_path / "found.json").read_text())}
    assert list(found) == ["load", "partition", "one shard", "one request"]
    assert found["load"]["rows"] == sum(found["partition"]["shard_rows"]) == 2000
    assert 0 < found["one shard"]["examples"] < found["partition"]["shard_rows"][0]
    answer = found["one request"]
    assert (answer["outcome"], answer["shards_hit"], answer["shards_trained"]) == ("applied", [1], 1)
    assert all(one["peak_mib"] > 0 and one["cpu"] >= 0 for one in found.values())
