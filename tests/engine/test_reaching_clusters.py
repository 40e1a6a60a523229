"""What a cluster is told by: addresses, certificates, and why it did not start."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from fluxengine import clusters, machines
from fluxengine.clusters import ClusterConfig, executor
from fluxengine.deployments import Deployment
from fluxengine.errors import ClusterFailed, ConfigError


def checked(kind: str, options: dict[str, object] | None = None, **settings: Any) -> Deployment:
    config = ClusterConfig(kind=kind, options=options or {}, **settings)
    return clusters.KINDS[kind](config).checked()


def refused(match: str, kind: str, **settings: Any) -> None:
    with pytest.raises(ConfigError, match=match):
        checked(kind, **settings)


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """Files of a client's certificates, and of nobody else's."""
    from distributed import Security

    made = Security.temporary()
    names = ("tls_ca_file", "tls_client_cert", "tls_client_key")
    for name in names:
        (tmp_path / name).write_text(getattr(made, name))
    return {name: str(tmp_path / name) for name in names}


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        (None, "needs one"),
        ("http://127.0.0.1:8786", "'http://.*' is no address.*unknown address scheme 'http'"),
        ("localhost", "'localhost' is no address of a scheduler: missing port number"),
        ("tcp://127.0.0.1", "missing port number.*Such as tcp://127.0.0.1:8786"),
        ("tcp://:8786", "missing host"),
        ("tcp://127.0.0.1:1/ x", "is no address of a scheduler"),
        ("tls://127.0.0.1:8786", r"answers only to certificates.*Name their files: tls_ca_file"),
    ],
)
def test_an_address_that_is_none_is_refused_with_its_reason(
    address: str | None, complaint: str
) -> None:
    refused(complaint, "address", address=address)


def test_addresses_that_dask_understands_are_accepted(certificates: dict[str, str]) -> None:
    for address in ("tcp://127.0.0.1:8786", "127.0.0.1:8786", "[::1]:8786", "ws://node:8786"):
        assert checked("address", address=address).options == {"address": address}
    checked("address", address="tls://127.0.0.1:8786", security=certificates)


def test_certificates_that_are_not_there_or_are_none_are_named(
    certificates: dict[str, str], tmp_path: Path
) -> None:
    there, gone = {"address": "tls://127.0.0.1:9"}, {"tls_client_key": "/nowhere/key.pem"}
    match = r"cluster\.security\.tls_client_key: there is no file /nowhere/key\.pem"
    refused(match, "address", security=certificates | gone, **there)
    refused(match, "local", security=certificates | gone)
    of_workers = {"tls_worker_cert": "/nowhere/on/this/machine.pem"}
    checked("ssh", {"hosts": ["localhost"]}, security=certificates | of_workers)
    refused("tls_worker_cert: there is no file", "local", security=certificates | of_workers)
    (tmp_path / "tls_client_cert").write_text("nothing")
    match = "the certificates cannot be used: .*PEM format"
    refused(match, "address", security=certificates, **there)


@pytest.mark.parametrize("version", [1.3, "1.3", 772])
def test_versions_and_ciphers_of_tls_are_no_files(
    certificates: dict[str, str], version: object
) -> None:
    options = {"tls_min_version": version, "tls_max_version": version, "tls_ciphers": "HIGH"}
    made = checked("local", security=certificates | options).security
    assert made.tls_min_version == made.tls_max_version == ssl.TLSVersion.TLSv1_3
    match = r"tls_min_version='new' is not supported.*Known: .*tls_min_version"
    refused(match, "local", security=certificates | {"tls_min_version": "new"})


def test_certificates_are_of_the_scheduler_that_runs_already(
    certificates: dict[str, str],
) -> None:
    match = "does not know certificates made for this run"
    refused(match, "address", address="tls://127.0.0.1:9", security=True)
    match = "`security` is given, and tcp://127.0.0.1:9 has none. Such as tls://"
    refused(match, "address", address="tcp://127.0.0.1:9", security=certificates)


def test_why_a_local_cluster_did_not_start_is_told() -> None:
    config = ClusterConfig(workers=1, options={"host": "nowhere.invalid"})
    match = r"Scheduler failed to start \(.*(resolution|not known)\)"
    with pytest.raises(ClusterFailed, match=match), executor(config):
        pass


def test_what_was_behind_an_error_is_told_once_and_without_end() -> None:
    words = machines.Local(ClusterConfig()).words
    error, cause = RuntimeError("it did not start."), OSError("no room")
    assert words(error) == "it did not start."
    error.__cause__ = cause
    assert words(error) == "it did not start (no room)"
    cause.__cause__ = error
    assert words(error) == "it did not start (no room)"
    error.args = ("it did not start: no room",)
    assert words(error) == "it did not start: no room"
    assert words(TimeoutError()) == "TimeoutError"


def test_what_was_tried_is_told_without_commands_and_variables() -> None:
    options = {
        "hosts": ["head", "node"],
        "queue": "short",
        "cores": 4,
        "job_script_prologue": ["export KEY=hidden"],
        "worker_extra_args": ["--key", "hidden"],
        "worker_command": "dask worker --key hidden",
        "env_extra": "KEY=hidden",
        "env": {"KEY": "hidden"},
    }
    told = clusters._tried(ClusterConfig(options=options))
    assert "hidden" not in told
    assert "queue short" in told and "cores 4" in told and "['head', 'node']" in told
    assert "job_script_prologue …" in told
