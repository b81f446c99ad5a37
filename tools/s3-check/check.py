"""Starts moto's S3 server on loopback with one bucket, and runs a command that is told where it is.

The server checks signatures: the command gets the key of a user who may do in the bucket what the gateway
does, and nothing else. (It checks none of presigned URLs; these are tested against s3s, in s3-simulator.)

Exits with the command's status.
"""

import json
import logging
import os
import subprocess
import sys

import boto3
from botocore.exceptions import ClientError
from moto import settings
from moto.server import ThreadedMotoServer

BUCKET = "tests"
REGION = "us-east-1"
ACTIONS = [
    "s3:ListBucket",
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
]


def client(service: str, endpoint: str, key: tuple[str, str]):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        region_name=REGION,
    )


def make_key(endpoint: str) -> tuple[str, str]:
    """The key of a user who may do what the gateway does."""
    iam = client("iam", endpoint, ("nobody", "nothing"))
    iam.create_user(UserName="gateway")
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": ACTIONS,
            "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
        },
    }
    iam.put_user_policy(
        UserName="gateway", PolicyName="objects", PolicyDocument=json.dumps(policy)
    )
    key = iam.create_access_key(UserName="gateway")["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def check_signatures(endpoint: str, key: tuple[str, str]) -> None:
    """From now on the server checks; if it does not, the tests would show nothing."""
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    try:
        client("s3", endpoint, (key[0], "another")).list_objects_v2(Bucket=BUCKET)
    except ClientError as error:
        if error.response["Error"]["Code"] == "SignatureDoesNotMatch":
            return
        raise
    raise RuntimeError("moto takes a wrong secret")


def main() -> int:
    command = sys.argv[1:]
    if not command:
        print("usage: check.py COMMAND [ARGUMENT...]", file=sys.stderr)
        return 2
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        key = make_key(endpoint)
        client("s3", endpoint, key).create_bucket(Bucket=BUCKET)
        check_signatures(endpoint, key)
        told = {
            "S3_TEST_ENDPOINT": endpoint,
            "S3_TEST_BUCKET": BUCKET,
            "S3_TEST_REGION": REGION,
            "S3_TEST_ACCESS_KEY_ID": key[0],
            "S3_TEST_SECRET_ACCESS_KEY": key[1],
        }
        return subprocess.run(command, env=os.environ | told, check=False).returncode
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
