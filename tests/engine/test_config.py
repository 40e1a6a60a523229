"""Run files: what is wrong in one is named, with the nearest right word."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from toyworld import World

from fluxengine import api, config
from fluxengine.clusters import executor
from fluxengine.config import ClusterConfig
from fluxengine.errors import ConfigError, FluxforgeError, UnknownName
from fluxengine.registry import recipe

GOOD = """\
product: toy
period: {first: 2020-01-01, last: 2020-01-12}
options: {gain: 2}
archives: {toy: ../archive}
profiles:
  local: {store: ./store, cluster: {kind: local, workers: 2, memory: 2GiB}}
  serial: {store: ~/store, cluster: {kind: serial}}
"""


class Anything(BaseModel, extra="allow"):
    """Part of a run file."""


def load(folder: Path, text: str) -> config.RunFile:
    (folder / "run.yaml").write_text(text)
    return config.load(folder / "run.yaml")


def test_paths_are_relative_to_the_run_file_and_the_first_profile_is_the_default(
    tmp_path: Path,
) -> None:
    run_file = load(tmp_path, GOOD)
    assert run_file.archives["toy"].root == str(tmp_path / "../archive")
    assert run_file.profile(None).store == str(tmp_path / "store")
    assert run_file.profile("serial").store == str(Path.home() / "store")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("options:", "opitons:", "unknown key 'opitons'. Did you mean 'options'?"),
        ("first:", "fist:", "unknown key 'period.fist'. Did you mean 'first'?"),
        ("store: ./", "stor: ./", "unknown key 'profiles.local.stor'. Did you mean 'store'?"),
        (
            "./store,",
            "s3://b/x, storage: {regio: y},",
            "unknown key 'profiles.local.storage.regio'. Did you mean 'region'?",
        ),
        (
            "cluster: {kind: local",
            "clustr: {kind: local",
            "unknown key 'profiles.local.clustr'. Did you mean 'cluster'?",
        ),
        (
            "workers: 2",
            "wrokers: 2",
            "unknown key 'profiles.local.cluster.wrokers'. Did you mean 'workers'?",
        ),
        (
            "workers: 2",
            "zzz: 2",
            "Known: address, kind, memory, options, security, threads, wait, workers.",
        ),
        ("product: toy\n", "", "the key 'product' is missing."),
        (", last: 2020-01-12", "", "the key 'period.last' is missing."),
        ("workers: 2", "workers: 0", "'profiles.local.cluster.workers': Input should be greater"),
        ("kind: local", "kind: lokal", "'profiles.local.cluster.kind': Input should be 'serial'"),
        ("2020-01-12", "2019-01-12", "the period ends on 2019-01-12, before it starts on 2020"),
        ("2020-01-12", "2020-02-30", "it cannot be read as YAML: day is out of range for month"),
        ("2020-01-12", "January", "'period.last': Input should be a valid date"),
        ("{gain: 2}", "{gain: 2", "line 4: it cannot be read as YAML"),
        ("product: toy", "- toy\n- run\n", "it cannot be read as YAML"),
        (GOOD, "", "a run file is a table of keys"),
        (GOOD[GOOD.index("profiles") :], "profiles: {}\n", "'profiles' is empty"),
    ],
)
def test_a_wrong_run_file_is_told_what_and_where(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert str(caught.value).startswith(f"{tmp_path}/run.yaml: ")
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "secret: abc",
        "options: {aws_secret_access_key: abc}",
        "archives: {toy: 'https://me:word@host/path'}",
        "password: x",
        "token: x",
        "credentials: localhost-abc",
        "credentials: {local: abc}",
        "passphrase: abc",
        "api_key: abc",
        "access-key: abc",
        "private_key: abc",
        'job_script_prologue: ["#!/bin/sh", "export AWS_SECRET_ACCESS_KEY=abc"]',
        "job_script_prologue: ['export PGPASS=abc']",
        "worker_extra_args: ['--api-key', 'abc']",
        'options: {"pass#": 1, password: abc}',
        "options: {password: abc.yaml}",
        "archives: {toy: secret-abc}",
        "archives: {toy: 'http://ghp_abc@host/path'}",
        "archives: {toy: 's3://KEY:abc/abc@bucket'}",
        "archives: {toy: 'sftp://me:word@host/path'}",
        "archives: {toy: 'abfss://me:word@account/path'}",
        "archives: {toy: 's3://abc@bucket/path'}",
        "archives: {toy: 'ftp://anonymous@abc@host'}",
        "worker_extra_args: ['--db-pass=abc']",
        "archives: {toy: 'https://host/path?token=abc'}",
        "archives: {toy: 'https://host/path?sig=abc'}",
        "auth: Bearer abc",
        "key: AKIAIOSFODNN7EXAMPLE",
        '"-----BEGIN RSA PRIVATE KEY-----": abc',
    ],
)
def test_a_credential_in_a_run_file_is_refused_and_not_repeated(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match="line 8 looks like a credential") as caught:
        load(tmp_path, GOOD + line + "\n")
    assert "word" not in str(caught.value).replace("password", "")
    assert "abc" not in str(caught.value)


def test_a_comment_may_speak_of_credentials(tmp_path: Path) -> None:
    load(tmp_path, GOOD + "# the token comes from the environment\n")
    load(tmp_path, GOOD.replace("product: toy", 'product: "toy" # no password: x'))


@pytest.mark.parametrize(
    "line",
    [
        "options: {custom_cluster_spec: infra/kubernetes/with-secret.yaml}",
        "options: {custom_cluster_spec: with-secret.yaml}",
        "security: {tls_client_key: private_key.pem}",
        "options: {connect_options: {client_keys: ~/.ssh/id_ed25519, username: me}}",
        "options: {hosts: [me@head, me@node]}",
        "security: {tls_ca_file: ca.pem, tls_client_key: /home/me/key.pem}",
        "options: {job_script_prologue: ['#!/bin/sh', 'module load gcc']}",
        "options: {worker_extra_args: ['--bypass=1']}",
    ],
)
def test_places_and_names_are_no_credentials(tmp_path: Path, line: str) -> None:
    load(tmp_path, GOOD.replace("kind: serial", f"kind: ssh, {line}"))


def test_the_path_of_a_manifest_counts_from_the_run_file(tmp_path: Path) -> None:
    def found(manifest: str) -> object:
        spec = f"kind: kubernetes, workers: 3, options: {{custom_cluster_spec: {manifest}}}"
        cluster = load(tmp_path, GOOD.replace("kind: serial", spec)).profile("serial").cluster
        assert cluster.workers == 3
        return cluster.options["custom_cluster_spec"]

    assert found("with-secret.yaml") == str(tmp_path / "with-secret.yaml")
    assert found("/shared/own.yaml") == "/shared/own.yaml"
    assert found("~/own.yaml") == str(Path.home() / "own.yaml")
    assert found("{kind: DaskCluster}") == {"kind": "DaskCluster"}


@pytest.mark.parametrize(
    ("cluster", "complaint"),
    [
        (
            "address: 'tcp://10.0.0.9:8786'",
            "kind 'local' takes no `address`; write `kind: address`",
        ),
        ("kind: serial, address: 'tcp://10.0.0.9:8786'", "kind 'serial' takes no `address`"),
        ("kind: serial, options: {procesess: 4}", "'serial' .* takes no `options`; take it out"),
        ("kind: serial, security: true", "'serial' .* takes no `security`; take it out"),
    ],
)
def test_what_a_kind_of_cluster_would_leave_aside_is_refused(
    tmp_path: Path, cluster: str, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=rf"'profiles\.serial\.cluster': .*{complaint}"):
        load(tmp_path, GOOD.replace("kind: serial", cluster))
    load(tmp_path, GOOD.replace("kind: serial", "kind: serial, workers: 3, threads: 2"))


@pytest.mark.parametrize(
    "place",
    [
        "https://host:8443/a@b",
        "sftp://me@host/data",
        "s3://my-token-bucket/x",
        "/data/a@b",
        "abfs://container@account.dfs.core.windows.net/rss",
        "wasbs://container@account.blob.core.windows.net/rss",
        "ftp://anonymous@host/pub",
        "https://host/path?overpass=1",
    ],
)
def test_a_place_that_names_nobody_or_only_who_logs_in_is_accepted(
    tmp_path: Path, place: str
) -> None:
    assert load(tmp_path, GOOD.replace("../archive", f"'{place}'")).archives["toy"].root == place


def test_a_file_may_refer_to_a_part_of_itself(tmp_path: Path) -> None:
    text = GOOD.replace("options: {gain: 2}", "options: &o {gain: 2, self: *o}")
    assert load(tmp_path, text).options["gain"] == 2
    with pytest.raises(ConfigError, match="line 3 looks like a credential"):
        load(tmp_path, text.replace("gain: 2", "api_key: 2"))


def test_the_run_files_that_pages_show_hold_no_credentials(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    shown = [
        text
        for page in (root / "README.md", *(root / "infra").rglob("*.md"))
        for text in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S)
    ]
    assert shown
    for text in shown:
        (tmp_path / "shown.yaml").write_text(text)
        config.read(tmp_path / "shown.yaml", Anything, "page", "")


@pytest.mark.parametrize("which", ["local", "null"])
def test_which_credentials_coiled_takes_may_be_said(tmp_path: Path, which: str) -> None:
    coiled = f"kind: coiled, options: {{credentials: {which}}}"
    run_file = load(tmp_path, GOOD.replace("kind: serial", coiled))
    assert "credentials" in run_file.profile("serial").cluster.options


@pytest.mark.parametrize("content", [b"\x89PNG\xff", None])
def test_what_cannot_be_read_is_said_so(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "run.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cannot be read: .*fluxforge products NAME --run-file"):
        config.load(path)


def test_an_unknown_profile_is_told_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no profile 'lcal'\. Did you mean 'local'"):
        load(tmp_path, GOOD).profile("lcal")


def test_an_unknown_product_is_told_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"no product 'toi'\. Did you mean 'toy'"):
        recipe("toi")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"gian": 2}, "options of toy: unknown key 'gian'. Did you mean 'gain'?"),
        ({"gain": "much"}, "options of toy: 'gain': Input should be a valid number"),
    ],
)
def test_a_wrong_option_is_told_what_and_where(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        recipe("toy").product(options)
    assert complaint in str(caught.value)


def test_a_misspelt_option_of_the_cluster_is_refused_not_swallowed() -> None:
    wrong = ClusterConfig(options={"n_wrokers": 3})
    with pytest.raises(ConfigError, match="LocalCluster has no option n_wrokers"), executor(wrong):
        pass


@pytest.mark.parametrize(
    ("address", "complaint"),
    [(None, "needs one"), ("tcp://127.0.0.1:9", "no scheduler answers")],
)
def test_a_cluster_that_is_not_there_is_said_so(
    monkeypatch: pytest.MonkeyPatch, address: str | None, complaint: str
) -> None:
    monkeypatch.setattr("fluxengine.clusters.CONNECT", "1s")
    wrong = ClusterConfig(kind="address", address=address)
    with pytest.raises(ConfigError, match=complaint), executor(wrong):
        pass


def test_a_store_on_unknown_storage_is_refused_before_anything_runs(world: World) -> None:
    with pytest.raises(FluxforgeError, match="stores on gs:// are not supported"):
        api.run(world.run_file(store="gs://bucket/store"))


def test_an_archive_of_files_made_on_request_has_to_be_named(tmp_path: Path) -> None:
    """The provider's address is that of a shop: no file would ever be found below it."""
    from fluxengine.describe import run_file

    text = run_file(recipe("deepflux-reanalysis"))
    assert "era5: ./era5  # what you asked for at https://cds" in text
    (tmp_path / "run.yaml").write_text(text.replace("era5: ./era5", "oisst: ./oisst"))
    with pytest.raises(ConfigError, match=r"'era5' are made on request.*archives: \{era5: …\}"):
        api.plan(tmp_path / "run.yaml")


def test_plan_and_run_from_python(world: World) -> None:
    path = world.run_file()
    assert len(api.plan(path).datasets) == 4
    assert not world.store.exists()  # a plan makes nothing
    assert api.run(path, profile="serial").published["toy"] == "v1"
    assert api.plan(path).is_empty


def test_a_run_from_python_knows_what_its_workers_have(world: World) -> None:
    path = world.run_file()
    path.write_text(path.read_text().replace("memory: 2GiB", "memory: 1MB"))
    with pytest.raises(ConfigError, match=r"a worker needs .* has"):
        api.run(path, profile="local")


def test_the_bundled_run_file_of_every_product_loads(tmp_path: Path) -> None:
    from fluxengine.describe import run_file
    from fluxengine.registry import product_names

    for name in product_names():
        assert load(tmp_path, run_file(recipe(name))).product == name


def test_a_misspelt_archive_is_not_looked_for_at_its_provider(world: World) -> None:
    path = world.run_file()
    path.write_text(path.read_text().replace("archives: {toy:", "archives: {ndbc: x, toyy:"))
    with pytest.raises(ConfigError, match="'toyy' is the archive of no source"):
        api.plan(path)
    path.write_text(path.read_text().replace("toyy:", "toy:"))
    assert not api.plan(path).is_empty  # `ndbc` is what another command reads
