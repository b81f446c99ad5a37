"""Starts moto's S3 server on loopback with one bucket, and runs a command that is told where it is.

Exits with the command's status.
"""

import logging
import os
import subprocess
import sys

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "tests"
KEY = ("an-access-key", "its-secret")


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
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=KEY[0],
            aws_secret_access_key=KEY[1],
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=BUCKET)
        told = {
            "S3_TEST_ENDPOINT": endpoint,
            "S3_TEST_BUCKET": BUCKET,
            "S3_TEST_REGION": "us-east-1",
            "S3_TEST_ACCESS_KEY_ID": KEY[0],
            "S3_TEST_SECRET_ACCESS_KEY": KEY[1],
        }
        return subprocess.run(command, env=os.environ | told, check=False).returncode
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
