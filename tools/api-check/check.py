"""Starts a gateway with a stand-in inference service, feeds it a session, and has schemathesis drive it.

Started by `run`.
"""

import argparse
import base64
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ["openapi.json", "asyncapi.json"]
# The session that the document's examples name.
SESSION = "interview-42"
ROLES = ["mixed", "teacher", "students"]
SECONDS = 12
SECOND_BYTES = 32000
# Generous: only what hangs takes this long.
PATIENCE_S = 60
# With these a run takes a minute to a minute and a half on two slow cores.
SEED = 20261123
EXAMPLES = 40


class SpeakerService(http.server.BaseHTTPRequestHandler):
    """Knows one voice, and counts its samples."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        question = json.loads(self.body())
        known = {c["cluster_id"]: c for c in question["state"]["clusters"]}
        count = known.get("c1", {"sample_count": 0})["sample_count"] + 1
        cluster = {"cluster_id": "c1", "centroid": [0.25, -1.5], "sample_count": count, "bound_name": "Bob"}
        answer = {
            "session_id": question["session_id"],
            "cluster_id": "c1",
            "speaker_name": None,
            "decision": "auto",
            "evidence": {"sv_score": 0.9},
            "updated_state": {"clusters": [cluster], "bindings": {"c1": "Bob"}},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        if "content-length" in self.headers:
            return self.rfile.read(int(self.headers["content-length"]))
        # Chunked.
        chunks = []
        while length := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, *_):
        pass


def start_speaker_service():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SpeakerService)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def state_dir(scratch):
    """Empty, but for the components that the end-to-end tests have compiled."""
    state, cache = scratch / "state", ROOT / "target" / "end-to-end-cache"
    state.mkdir()
    cache.mkdir(parents=True, exist_ok=True)
    (state / "cache").symlink_to(cache)
    return state


def start_gateway(options, state, log):
    """The process and its address. No ASR key: it runs its own simulator."""
    if not options.host.is_file():
        sys.exit(f"there is no {options.host}: `cargo test --release` builds it")
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    environment["INFERENCE_BASE_URL"] = start_speaker_service()
    command = [options.host, "up", "--from", options.manifest, "--listen", "127.0.0.1:0", "--state-dir", state]
    gateway = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
    )
    # Ends with the gateway, should it fail to start.
    for line in gateway.stdout:
        if line.startswith("listening on http://"):
            # Nobody reads what follows, and nothing is to wait for that.
            threading.Thread(target=gateway.stdout.read, daemon=True).start()
            return gateway, line.split("http://", 1)[1].strip()
    raise RuntimeError("the gateway ended before it listened")


def ask(address, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}{path}", data, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def tone(seq):
    """A second with something in it: the simulator hears words in it."""
    sample = lambda i: (8000 if (i // (40 + seq % 7)) % 2 else -8000).to_bytes(2, "little", signed=True)
    return b"".join(sample(i) for i in range(SECOND_BYTES // 2))


def connected(address, role):
    return connect(f"ws://{address}/v1/audio/ws/{SESSION}/{role}", proxy=None)


def feed(address, role):
    """Sends the seconds of one stream, each when the one before is acknowledged."""
    with connected(address, role) as stream:

        def say(frame):
            stream.send(json.dumps(frame))
            return json.loads(stream.recv(PATIENCE_S))

        hello = {"type": "hello", "interviewer_name": "Ada", "teams_participants": ["Ada", {"name": "Bob"}]}
        ready = say(hello)
        assert ready["type"] == "ready", ready
        for seq in range(1, SECONDS + 1):
            chunk = {
                "type": "chunk", "meeting_id": SESSION, "seq": seq, "timestamp_ms": 1760000000000 + seq * 1000,
                "sample_rate": 16000, "channels": 1, "format": "pcm_s16le",
                "content_b64": base64.b64encode(tone(seq)).decode(),
            }
            ack = say(chunk)
            assert ack["type"] == "ack" and ack["status"] == "stored", ack
        closing = say({"type": "close"})
        assert closing["type"] == "closing", closing


def prepare(address):
    """A session in which every route has something to show."""
    for role in ROLES:
        feed(address, role)
    ask(address, "POST", f"/v1/sessions/{SESSION}/finalize", {"metadata": {"position": "engineer"}})
    state = ask(address, "GET", f"/v1/sessions/{SESSION}/state")
    counts = state["utterance_count_by_stream"]
    assert all(counts.values()) and state["event_count"], f"nothing was heard: {counts}"


def check_served(address):
    """What is served is what lies in the repository."""
    for name in DOCUMENTS:
        served = ask(address, "GET", f"/{name}")
        assert served == json.loads((ROOT / "api" / name).read_text()), f"another {name} is served"


def check_deletion(address):
    """The result is gone; the rest is as of a session that was never seen."""
    path = f"/v1/sessions/{SESSION}"
    ask(address, "POST", f"{path}/finalize", {})
    assert ask(address, "GET", f"{path}/result")["session_id"] == SESSION
    assert ask(address, "DELETE", f"{path}?force=true")["deleted"]
    try:
        ask(address, "GET", f"{path}/result")
        raise AssertionError("the result is there after the deletion")
    except urllib.error.HTTPError as error:
        assert error.code == 404, error.code
    state = ask(address, "GET", f"{path}/state")
    assert state["updated_at"] is None and state["phase"] == "idle", state


def schemathesis(options, address, scratch):
    here = Path(__file__).parent
    location = [options.document, "--url", f"http://{address}"] if options.document else [f"http://{address}/openapi.json"]
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", here / "schemathesis.toml", "run", *location,
        "--checks", "all",
        # The one check that the contract makes impossible: a session that is not there reads as one that
        # was never seen, 200 with defaults, also after DELETE. See check_deletion.
        "--exclude-checks", "use_after_free",
        "--phases", "examples,coverage,fuzzing,stateful",
        "--mode", "all",
        "--max-examples", str(options.examples),
        "--seed", str(options.seed),
        "--workers", "1",
        "--continue-on-failure",
        "--generation-database", "none",
        "--request-timeout", "60",
        *options.more,
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(here / "hooks.py")}
    # It leaves files where it runs.
    return subprocess.run(command, cwd=scratch, env=environment, check=False).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", type=Path, required=True, help="the host's program")
    parser.add_argument("--manifest", type=Path, default=ROOT / "spin.toml", help="the app")
    parser.add_argument("--document", type=Path, help="what to hold it against, instead of what it serves")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="requests a route and phase, at most")
    parser.add_argument("--seed", type=int, default=SEED, help="which requests")
    parser.add_argument("more", nargs="*", help="after `--`: more for schemathesis, such as --include-path")
    options = parser.parse_args()
    options.host = options.host.resolve()
    options.document = options.document and options.document.resolve()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, open(Path(scratch) / "gateway.log", "w+") as log:
        gateway = None
        failed = True
        try:
            gateway, address = start_gateway(options, state_dir(Path(scratch)), log)
            prepare(address)
            if not options.document:
                check_served(address)
            # While somebody records it the session is not deleted by a mere request.
            with connected(address, ROLES[0]):
                failed = schemathesis(options, address, scratch) != 0
            if not options.document:
                check_deletion(address)
            if gateway.poll() is not None:
                print(f"the gateway ended with {gateway.returncode}")
                failed = True
        finally:
            if gateway:
                gateway.terminate()
                gateway.wait(PATIENCE_S)
            if failed:
                log.seek(0)
                lines = log.readlines()
                print(f"--- the end of the gateway's log\n{''.join(lines[-60:])}---")
    print(f"{'FAILED' if failed else 'passed'} in {time.monotonic() - started:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
