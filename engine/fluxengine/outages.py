"""What a storage says when it fails, as typed errors in plain words.

Object stores and the libraries before them say why only in the text of their errors. Where its
meaning is known the text itself is not shown: it may hold the name of a key.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fluxengine.errors import (
    ChangedFile,
    ConfigError,
    FluxforgeError,
    NoBucket,
    NoSpace,
    StoreDenied,
    StoreError,
    StoreUnreachable,
)

GOES_ON = "run the same command again: it goes on where it stopped."
BRING_BACK = "Bring the file back; to do without it, give the run a new store."
FULL = {  # what the operating system says of a place that takes nothing more
    errno.ENOSPC: "No space left on device",
    errno.EDQUOT: "Disk quota exceeded",
}
NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
BAD_PLACES = (
    *NO_RIGHT,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENOENT,  # as in /proc, where no folder can be made
    errno.ENAMETOOLONG,
    errno.ELOOP,
)
# The first that is found decides: an answer may name several.
KNOWN: tuple[tuple[str, type[FluxforgeError], str, str], ...] = (
    (
        r"object owning the virtual chunk has changed \((?P<file>[^)]*)\)",
        ChangedFile,
        "{file}, which its values are read from, changed since it was ingested.",
        "Run again: the file is taken as it is now.",
    ),
    (
        r"fetching virtual reference.*Object at location (?P<file>.+?) not found",
        ChangedFile,
        "{file}, which its values are read from, is gone from its archive.",
        BRING_BACK,
    ),
    (
        r'fetching virtual reference.*with key="(?P<chunk>[^"]+)".*NoSuchKey',
        ChangedFile,
        "the file that the chunk {chunk} is read from is gone from its archive.",
        BRING_BACK,
    ),
    (
        "No space left",
        NoSpace,
        "the disk is full. What was published is untouched.",
        f"Free some space and {GOES_ON}",
    ),
    (
        r"Dis[ck] quota exceeded|\(os error 122\)",
        NoSpace,
        "the quota of disk space or of files is used up. What was published is untouched.",
        f"Free some of it or have it raised, and {GOES_ON}",
    ),
    (
        r"\(os error 13\)|\[Errno 13\]",
        StoreDenied,
        "a folder of the store may not be read or written by whoever runs this process.",
        f"Give it the right to (on a cluster, each worker's user needs it), then {GOES_ON}",
    ),
    (
        "ExpiredToken|TokenRefreshRequired|RequestExpired",
        StoreDenied,
        "the credentials have expired. What was published is untouched.",
        f"Renew them in the environment, then {GOES_ON}",
    ),
    (
        r"169\.254\.(169\.254|170\.)|loading credentials|[Mm]issing ?[Cc]redentials",
        StoreDenied,
        "no credentials were found in the environment.",
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for a public bucket that is only read,"
        " `storage: {anonymous: true}` in the profile.",
    ),
    (
        "NoSuchBucket",
        NoBucket,
        "there is no such bucket.",
        "Correct `store`, or `storage.endpoint_url`, in the run file; buckets are not made here.",
    ),
    (
        "PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint",
        StoreError,
        "the bucket lies in another region.",
        "Give its `storage.region` in the profile, or AWS_REGION.",
    ),
    (
        "InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|InvalidToken|RequestTimeTooSkewed"
        "|lacked the necessary privileges|403 Forbidden|401 Unauthorized"
        # An answer to HEAD has no text: so S3 says of a token that has expired.
        r"|performing HEAD \S+ in \S+ - Server returned non-2xx status code: 400",
        StoreDenied,
        "the object store refuses these credentials, or this right to read or write.",
        "Look at AWS_ACCESS_KEY_ID in the environment and at the rights of its owner.",
    ),
    (
        r"\b(429|500|502|503|504) [A-Z]|SlowDown|timed out|error sending request|onnection"
        "|end of file before|body error|dns error",
        StoreUnreachable,
        "the object store does not answer, or not as it should, again and again."
        " What was published is untouched.",
        f"When it answers again, {GOES_ON}",
    ),
    (
        # Zarr takes a record that could not be read for one that is not there.
        "No group found",
        StoreUnreachable,
        "the first record of the dataset is lost, or the storage did not give it.",
        f"Look whether the storage answers, then {GOES_ON}",
    ),
)


def is_full(error: BaseException) -> bool:
    """Whether the operating system says that a disk, or a quota of it, is used up."""
    return getattr(error, "errno", None) in FULL


def understood(error: Exception, where: object) -> FluxforgeError | None:
    """The typed error for what a storage raised; None where its words are not known."""
    said = FULL.get(getattr(error, "errno", None) or 0) or str(error)
    text = re.sub(r"[\s|]+", " ", said)  # icechunk breaks lines, and draws a rule before each
    for pattern, kind, what, mend in KNOWN:
        found = re.search(pattern, text)
        if found:
            return kind(what.format(**found.groupdict()), where=str(where), mend=mend)
    return None


def unusable(error: BaseException, where: object) -> ConfigError | None:
    """What a place on the disk is no good for; None of what no other place would mend."""
    number = getattr(error, "errno", None)
    if number not in BAD_PLACES:
        return None
    what = f"this place cannot be used: {os.strerror(number)}."
    right = ", or the right to write there" if number in NO_RIGHT else ""
    return ConfigError(what, where=str(where), mend=f"Give another one{right}.")


def typed(error: Exception, where: object) -> FluxforgeError:
    """The typed error for what a storage raised, at worst in its own words."""
    told = unusable(error, where) or understood(error, where)
    what = f"the storage failed: {first_line(error)}"
    return told or StoreError(what, where=str(where), mend="Run it again.")


def check_folder(folder: Path) -> None:
    """Refuse a folder that no files can be made in, before anything is computed for them.

    Nothing is left there: of a folder that is still to be made, the one above it is tried.

    Raises
    ------
    ConfigError
    """
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with TemporaryDirectory(prefix=".unfinished-", dir=there):
            pass
    except OSError as error:
        raise typed(error, folder) from error


def check_file(path: Path) -> None:
    """Refuse a place where no file can be made, as `check_folder` does.

    Raises
    ------
    ConfigError
    """
    if path.is_dir():
        what = "it is a folder; a file is written."
        raise ConfigError(what, where=str(path), mend="Name a file in it.")
    check_folder(path.parent)


@contextmanager
def stored_values(where: object) -> Iterator[None]:
    """Turn whatever reading stored values raises into a `StoreError`: damaged, lost or refused."""
    try:
        yield
    except (FluxforgeError, MemoryError):
        raise
    except Exception as error:  # codecs raise what they like
        raise understood(error, where) or StoreError(
            f"stored values are damaged or lost: {first_line(error)}",
            where=str(where),
            mend="Bring the store back from a copy, or make the dataset anew in another store.",
        ) from error


def first_line(error: Exception) -> str:
    """What an error says before it goes into details."""
    lines = (line.partition("<")[0].strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)
