"""Sources on S3: a real client against a server on this machine."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from xp_pipeline.errors import SourceError
from xp_pipeline_tests.sources.tables import declared, kept, taken

COLUMNS = {"id": "text", "x": "integer"}

pytest.importorskip("s3fs", reason="the s3 extra is not installed")
moto = pytest.importorskip("moto.server", reason="moto is not installed")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client for a fresh bucket; the source finds the server by the usual variables."""
    import boto3
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket="data")
    yield client
    for item in client.list_objects_v2(Bucket="data").get("Contents", []):
        client.delete_object(Bucket="data", Key=item["Key"])


def _parquet(rows: dict[str, list[Any]]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(rows).write_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("path", ["s3://data/day=1/a.parquet", "s3://data/day=*/*.parquet", "s3://data"])
def test_parquet_files_globs_and_folders(tmp_path: Path, bucket: Any, path: str) -> None:
    bucket.put_object(Bucket="data", Key="day=1/a.parquet", Body=_parquet({"id": ["a"], "x": [1]}))
    bucket.put_object(Bucket="data", Key="day=2/a.parquet", Body=_parquet({"id": ["b"], "x": [2]}))
    bucket.put_object(Bucket="data", Key="day=2/_SUCCESS", Body=b"")
    version = taken(tmp_path, declared(path=path, columns=COLUMNS))
    assert kept(version, "id") == (["a"] if path.endswith("1/a.parquet") else ["a", "b"])


def test_a_new_object_makes_a_new_version(tmp_path: Path, bucket: Any) -> None:
    source = declared(path="s3://data/*.csv.gz", columns=COLUMNS)
    bucket.put_object(Bucket="data", Key="1.csv.gz", Body=gzip.compress(b"id,x\na,1\n"))
    before = taken(tmp_path, source)
    assert taken(tmp_path, source).version == before.version
    bucket.put_object(Bucket="data", Key="2.csv.gz", Body=gzip.compress(b"id,x\nb,2\n"))
    after = taken(tmp_path, source)
    assert after.version != before.version
    assert kept(after, "x") == [1, 2]
    bucket.put_object(Bucket="data", Key="2.csv.gz", Body=gzip.compress(b"id,x\nb,3\n"))
    assert kept(taken(tmp_path, source), "x") == [1, 3]


@pytest.mark.parametrize("path", ["s3://data/none.csv", "s3://nowhere/t.csv"])
def test_what_is_not_there_is_told_in_one_line(tmp_path: Path, bucket: Any, path: str) -> None:
    with pytest.raises(SourceError) as caught:
        taken(tmp_path, declared(path=path, columns=COLUMNS))
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)
