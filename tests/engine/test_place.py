"""Places: the addresses of object stores that are none, before the library under them panics."""

import pytest

from fluxengine import place
from fluxengine.errors import ConfigError
from fluxengine.place import StorageOptions


@pytest.mark.parametrize(
    "address",
    [
        "localhost:9000",
        "http://local host:9000",
        "http://host:9000 ",
        " ",
        "http://host:9000\n",
        "http://",
        "http://:9000",
        "http://ho^st",
        "http://höst:1",
        "http://host:x",
        "http://host:9000?x=y",
        "ftp://host",
    ],
)
@pytest.mark.parametrize("by_environment", [False, True])
def test_an_endpoint_that_is_no_address_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, address: str, by_environment: bool
) -> None:
    options = {} if by_environment else {"endpoint_url": address}
    if by_environment:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    match = r"^storage\.endpoint_url: '.*' is no address of an object store: it needs https://"
    with pytest.raises(ConfigError, match=match):
        place.at("s3://bucket/flux", StorageOptions(**options, allow_http=True))


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:9000",
        "https://s3.example.org",
        "HTTPS://minio_1:9000/",
        "http://[::1]:9000",
        "https://name.supabase.co/storage/v1/s3",
    ],
)
def test_an_endpoint_may_have_a_port_and_a_path(address: str) -> None:
    found = place.at("s3://bucket/flux", StorageOptions(endpoint_url=address, allow_http=True))
    assert isinstance(found, place.Prefix) and found.options.endpoint_url == address
    if address.lower().startswith("https"):
        place.at("s3://bucket/flux", StorageOptions(endpoint_url=address))
