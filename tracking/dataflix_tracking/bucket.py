"""The bucket that MLflow keeps artefacts in."""

from __future__ import annotations

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from dataflix_contract import Settings
from dataflix_tracking.mlflow_config import REGION

_SECONDS = 5
_THERE = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


class BucketError(Exception):
    """The bucket cannot be made; the message says why and what to do."""


def ensure_bucket(settings: Settings) -> bool:
    """Make the bucket unless it is there; returns whether it was made.

    Raises:
        BucketError: the store does not answer, or refuses.
    """
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_url,
        region_name=REGION,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
        config=Config(connect_timeout=_SECONDS, read_timeout=_SECONDS, proxies={}),
    )
    try:
        client.create_bucket(Bucket=settings.s3_bucket)
    except ClientError as fault:
        if fault.response["Error"]["Code"] in _THERE:
            return False
        raise _told(settings, fault) from fault
    except BotoCoreError as fault:
        raise _told(settings, fault) from fault
    return True


def _told(settings: Settings, fault: Exception) -> BucketError:
    return BucketError(
        f"cannot make the bucket {settings.s3_bucket} at {settings.s3_url}: {fault}."
        " Does the store run (bin/dataflix-status), and are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in"
        " the settings file its own?"
    )
