"""Places: the folder, or the prefix of a bucket, in which a store or one of its datasets lies.

A place is a small frozen value that travels to workers. It holds no secret: credentials are found
in the environment, by each process for itself. This module alone imports obstore.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

from pydantic import BaseModel, Field

from fluxengine.errors import ConfigError, FluxforgeError, NotOurStore, StoreDenied
from fluxengine.outages import typed

if TYPE_CHECKING:
    from obstore.store import S3Store

UNFINISHED = ".unfinished"  # the end of a file's name while it is written
REQUEST = timedelta(seconds=30)  # after which a request that got no answer is given up
TRIES = 8
PATIENCE = timedelta(seconds=120)  # for all tries of a request together
# What obstore does not panic at: scheme, host, port and path, without anything to be escaped.
ENDPOINT = re.compile(
    r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?(/[\w.~+/-]*)?", re.I | re.ASCII
)


class StorageOptions(BaseModel, extra="forbid", frozen=True):
    """How an object store is reached. Credentials come from the environment only.

    Parameters
    ----------
    endpoint_url : str, optional
        Of an S3-compatible server; else ``AWS_ENDPOINT_URL``, else Amazon's.
    region : str, optional
        Else ``AWS_REGION`` or ``AWS_DEFAULT_REGION``.
    allow_http : bool
        Whether the endpoint may be one without encryption.
    force_path_style : bool, optional
        Bucket in the path, not in the host's name; by default so where an endpoint is given.
    anonymous : bool
        Requests are not signed: for reading public buckets.
    lease : int
        Seconds after which a run that died lets go of the store.
    """

    endpoint_url: str | None = None
    region: str | None = None
    allow_http: bool = False
    force_path_style: bool | None = None
    anonymous: bool = False
    lease: Annotated[int, Field(ge=1)] = 60

    def resolved(self) -> StorageOptions:
        """With what the environment says where nothing was said, so that workers need not look.

        Raises
        ------
        ConfigError
            Where a region is missing, or the endpoint is none, or is not encrypted and may not
            be so.
        """
        given = os.environ.get
        url = self.endpoint_url or given("AWS_ENDPOINT_URL_S3") or given("AWS_ENDPOINT_URL")
        region = self.region or given("AWS_REGION") or given("AWS_DEFAULT_REGION")
        plain = self.allow_http or given("AWS_ALLOW_HTTP", "").lower() == "true"
        _check_endpoint(url, region, plain)
        return self.model_copy(
            update={
                "endpoint_url": url,
                "region": region or "us-east-1",
                "allow_http": plain,
                "force_path_style": bool(
                    url if self.force_path_style is None else self.force_path_style
                ),
            }
        )


def _check_endpoint(url: str | None, region: str | None, plain: bool) -> None:
    if url is None and region is None:
        raise ConfigError(
            "the region of the bucket is not known.",
            where="storage.region",
            mend="Give it in the profile, or as AWS_REGION.",
        )
    if url and "@" in url:
        raise ConfigError(
            "an address may not hold a credential.",
            where="storage.endpoint_url",
            mend="Credentials come from the environment only: AWS_ACCESS_KEY_ID and the like.",
        )
    if url and ENDPOINT.fullmatch(url) is None:
        raise ConfigError(
            f"{url!r} is no address of an object store: it needs https:// or http://, the name of a"
            " host, and no white space.",
            where="storage.endpoint_url",
            mend="Such as https://s3.example.org:9000.",
        )
    if url and not url.lower().startswith("https://") and not plain:
        raise ConfigError(
            f"{url} is not encrypted.",
            where="storage.endpoint_url",
            mend="Give an https:// address, or `allow_http: true` beside it.",
        )


@dataclass(frozen=True)
class Folder:
    """A folder, or a file in one, that every worker sees.

    Parameters
    ----------
    path : Path
        Absolute.
    """

    path: Path

    def __truediv__(self, name: str) -> Folder:
        return Folder(self.path / name)

    def __str__(self) -> str:
        return str(self.path)

    def children(self) -> tuple[str, ...]:
        """Names of the folders in it, sorted."""
        if not self.path.is_dir():
            return ()
        return tuple(sorted(path.name for path in self.path.iterdir() if path.is_dir()))

    def is_empty(self) -> bool:
        """Whether nothing is there but what a killed write left.

        Raises
        ------
        NotOurStore
            Where a file is there instead of a folder.
        """
        if not self.path.exists():
            return True
        if not self.path.is_dir():
            raise NotOurStore(
                "this is a file, not a store.", where=str(self), mend="Give a folder."
            )
        return all(path.name.endswith(UNFINISHED) for path in self.path.iterdir())

    def read(self) -> str | None:
        """The text of a small file; None where there is none."""
        try:
            return self.path.read_text(errors="replace")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def write(self, text: str) -> None:
        """Put a small text in place of what was there, at once; makes the folders above."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}-{uuid4().hex[:8]}{UNFINISHED}")
        try:
            fresh.write_text(text)
            fresh.replace(self.path)
        finally:
            fresh.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the folder and all that is below it."""
        if self.path.exists():
            shutil.rmtree(self.path)


@dataclass(frozen=True)
class Version:
    """An object as it was found.

    Parameters
    ----------
    text : str
    tag : str
        Its ETag: equal as long as nothing else was written.
    modified : datetime
        When it was written, by the object store's own clock.
    """

    text: str
    tag: str
    modified: datetime


@dataclass(frozen=True)
class Prefix:
    """A prefix of a bucket, or an object under it.

    Parameters
    ----------
    bucket : str
    key : str
        Without slashes at its ends; empty for the bucket itself.
    options : StorageOptions
        Resolved.
    """

    bucket: str
    key: str
    options: StorageOptions

    def __truediv__(self, name: str) -> Prefix:
        return Prefix(self.bucket, f"{self.key}/{name}".lstrip("/"), self.options)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}".rstrip("/")

    @property
    def _client(self) -> S3Store:
        return _client(self.bucket, self.options)

    def children(self) -> tuple[str, ...]:
        """Names of the prefixes below it, sorted."""
        import obstore

        with _errors(self):
            found = obstore.list_with_delimiter(self._client, self.key or None)
        return tuple(sorted(path.rpartition("/")[2] for path in found["common_prefixes"]))

    def is_empty(self) -> bool:
        """Whether nothing is there."""
        import obstore

        with _errors(self):
            found = obstore.list_with_delimiter(self._client, self.key or None)
        return not (found["common_prefixes"] or found["objects"])

    def read(self) -> str | None:
        """The text of a small object; None where there is none."""
        found = self.look()
        return None if found is None else found.text

    def write(self, text: str) -> None:
        """Put a small text in place of what was there, at once."""
        import obstore

        with _errors(self):
            obstore.put(self._client, self.key, text.encode())

    def remove(self) -> None:
        """Delete all that is below it."""
        import obstore

        with _errors(self):
            for batch in obstore.list(self._client, self.key):
                obstore.delete(self._client, [found["path"] for found in batch])

    # --- what only an object store needs ---------------------------------------------------------

    def look(self) -> Version | None:
        """The object with its tag and time; None where there is none."""
        import obstore

        with _errors(self):
            try:
                found = obstore.get(self._client, self.key)
                text = bytes(found.bytes()).decode(errors="replace")
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
        return Version(text, str(found.meta["e_tag"]), found.meta["last_modified"])

    def put_over(self, text: str, tag: str | None) -> str | None:
        """Write only over the version of that tag, or where nothing is if it is None.

        The text must be one that nobody else writes: it tells a write that was done, but whose
        reply was lost, from one that was refused.

        Returns
        -------
        str or None
            The new tag; None where another version is there.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        problem: Exception | None = None
        with _errors(self):
            try:
                mode: Any = "create" if tag is None else {"e_tag": tag}
                return str(obstore.put(self._client, self.key, text.encode(), mode=mode)["e_tag"])
            except (AlreadyExistsError, PreconditionError):
                pass
            except Exception as error:
                problem = error
            found = self.look()
            if found is not None and found.text == text:
                return found.tag
            if problem is not None:
                raise problem
        return None

    def now(self) -> datetime:
        """The object store's own clock: the time it gives to an object written now."""
        import obstore

        probe = self / f".clock-{uuid4().hex}"
        probe.write("what time is it?")
        found = probe.look()
        with _errors(self):
            obstore.delete(self._client, probe.key)
        if found is None:
            raise NotOurStore("an object just written is not there.", where=str(self))
        return found.modified


Place = Folder | Prefix


@lru_cache(maxsize=1)
def registry() -> Any:
    """Local files, as VirtualiZarr asks for them."""
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore

    return ObjectStoreRegistry({"file://": LocalStore()})


def at(location: str | Path | Place, options: StorageOptions | None = None) -> Place:
    """The place that a path or an address names.

    Parameters
    ----------
    location : str, Path or Place
        Such as ``./store`` or ``s3://bucket/prefix``.
    options : StorageOptions, optional
        For object stores; what is missing is taken from the environment.

    Raises
    ------
    ConfigError
        Where the address, or the options, cannot be used.
    """
    if isinstance(location, Folder | Prefix):
        return location
    scheme, found, rest = str(location).partition("://")
    if not found:
        return Folder(Path(location).expanduser().resolve())
    if scheme != "s3":
        raise ConfigError(
            f"stores on {scheme}:// are not supported.",
            where=str(location),
            mend="Give a folder that every worker sees, or s3://bucket/prefix.",
        )
    bucket, _, key = rest.partition("/")
    key = key.strip("/")
    if not bucket or any(part in ("", ".", "..") for part in key.split("/") if key):
        raise ConfigError(
            "this is no address of a store.", where=str(location), mend="Such as s3://bucket/flux."
        )
    return Prefix(bucket, key, (options or StorageOptions()).resolved())


@lru_cache(maxsize=16)
def _client(bucket: str, options: StorageOptions) -> S3Store:
    from obstore.store import S3Store

    return S3Store(
        bucket,
        endpoint=options.endpoint_url,
        region=options.region,
        skip_signature=options.anonymous,
        virtual_hosted_style_request=not options.force_path_style,
        client_options={"allow_http": options.allow_http, "timeout": REQUEST},
        retry_config={
            "max_retries": TRIES - 1,
            "retry_timeout": PATIENCE,
            "backoff": {
                "init_backoff": timedelta(seconds=0.1),
                "max_backoff": REQUEST / 3,
                "base": 2,
            },
        },
    )


@contextmanager
def _errors(where: Prefix) -> Iterator[None]:
    from obstore.exceptions import BaseError

    try:
        yield
    except FluxforgeError:
        raise
    except (BaseError, OSError) as error:
        found = typed(error, where)
        if isinstance(found, StoreDenied):
            _client.cache_clear()  # the next one looks for credentials again
        raise found from error
