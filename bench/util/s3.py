"""Open s3:// URIs: any S3 endpoint, time limits on every call, and each file put by one request.

    s3://bucket/folder                                                    AWS, its region found from the bucket
    s3://bucket/folder?endpoint_override=localhost:9000&scheme=http       another endpoint (or AWS_ENDPOINT_URL)

Credentials come from where AWS's own tools find them (environment, profile, instance), never from the URI: a URI is
printed, and sent to workers.
"""

import os
from urllib.parse import parse_qs, urlsplit

from pyarrow import fs

CONNECT_SECONDS, REQUEST_SECONDS = 5.0, 20.0
"""How long one request may take to connect, and may then stand still."""

OPTIONS = ("region", "scheme", "endpoint_override", "allow_bucket_creation", "tls_ca_file_path")


def open_s3(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system and `bucket/folder` of an s3:// URI; raises ValueError for options that it does not have."""
    parts = urlsplit(uri)
    if parts.username or parts.password or "@" in parts.netloc:
        raise ValueError("credentials do not stand in the URI; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if not parts.netloc:
        raise ValueError("it names no bucket")
    given = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
    foreign = sorted(given.keys() - set(OPTIONS))
    if foreign:
        raise ValueError(f"unknown option {foreign[0]!r}; choices: {', '.join(OPTIONS)}")
    endpoint, scheme = _endpoint(given)
    # repetition is the caller's, by a deadline; the client's own counts attempts
    made = fs.S3FileSystem(
        endpoint_override=endpoint,
        scheme=scheme,
        region=_region(given, parts.netloc, endpoint),
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
        allow_bucket_creation=given.get("allow_bucket_creation", "false").lower() in ("1", "true"),
        allow_delayed_open=True,  # a small file becomes one PUT instead of a multipart upload
        tls_ca_file_path=given.get("tls_ca_file_path"),
    )
    return made, f"{parts.netloc}{parts.path}".rstrip("/")


def server(uri: str) -> str:
    """Host and port of the endpoint that an s3:// URI leads to; empty for AWS itself."""
    given = {key: values[-1] for key, values in parse_qs(urlsplit(uri).query).items()}
    return _endpoint(given)[0] or ""


def _endpoint(given: dict[str, str]) -> tuple[str | None, str]:
    """Host and port, and http or https: from the URI, else from AWS's own variables."""
    text = given.get("endpoint_override") or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not text:
        return None, given.get("scheme", "https")
    scheme, separator, host = text.rpartition("://")
    return host.rstrip("/"), given.get("scheme") or (scheme if separator else "https")


def _region(given: dict[str, str], bucket: str, endpoint: str | None) -> str:
    named = given.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if named:
        return named
    return "us-east-1" if endpoint else str(fs.resolve_s3_region(bucket))
