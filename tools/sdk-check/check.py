"""Drives the ASR simulator with dashscope.audio.asr.Recognition and compares what comes of it.

Started by `run`, which sets DASHSCOPE_WEBSOCKET_BASE_URL.
"""

import argparse
import json
import logging
import re
import sys
import threading
import time
import traceback
import wave

import dashscope
from dashscope.audio.asr import Recognition, RecognitionCallback, RecognitionResult

FRAME_BYTES = 3200
SECOND_BYTES = 32000
# Generous: only a simulator that hangs takes this long.
PATIENCE_S = 30


def fnv1a(data):
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def marked_second(stream, seq):
    """As tools/asr-simulator/src/mark.rs describes it, without the noise."""
    pcm = bytearray()
    for tenth in range(10):
        name = stream.to_bytes(2, "little") + seq.to_bytes(4, "little") + bytes([tenth])
        mark = b"\xa7\x5c\xe3\x19" + name + fnv1a(name).to_bytes(4, "little")
        samples = b"".join(bytes([value, 0]) for value in mark)
        pcm += samples + bytes(SECOND_BYTES // 10 - len(samples))
    return bytes(pcm)


class Recorder(RecognitionCallback):
    """Keeps the calls of the SDK in their order."""

    def __init__(self):
        self.calls = []
        self.sentences = []
        self.usages = []
        self.error = None
        self.over = threading.Event()

    def on_open(self):
        self.calls.append("open")

    def on_event(self, result):
        self.calls.append("event")
        sentence = result.get_sentence()
        self.sentences.append(sentence)
        self.usages.append(result.get_usage(sentence))

    def on_complete(self):
        self.calls.append("complete")

    def on_error(self, result):
        self.calls.append("error")
        self.error = result
        self.over.set()

    def on_close(self):
        self.calls.append("close")
        self.over.set()

    def finals(self):
        return [s for s in self.sentences if RecognitionResult.is_sentence_end(s)]

    def interims(self):
        return [s for s in self.sentences if not RecognitionResult.is_sentence_end(s)]


def recognition(recorder, **parameters):
    return Recognition(
        model="fun-asr-realtime-2025-11-07",
        format="pcm",
        sample_rate=16000,
        callback=recorder,
        **parameters,
    )


def send(task, pcm):
    for start in range(0, len(pcm), FRAME_BYTES):
        task.send_audio_frame(pcm[start : start + FRAME_BYTES])


def recognize(pcm, **parameters):
    recorder = Recorder()
    task = recognition(recorder, **parameters)
    task.start()
    send(task, pcm)
    task.stop()
    assert recorder.over.wait(PATIENCE_S), f"no end: {recorder.calls}"
    return recorder


def equal(found, expected):
    assert found == expected, f"{found!r} instead of {expected!r}"


def check_calls(recorder):
    equal(recorder.error, None)
    equal(recorder.calls[0], "open")
    equal(recorder.calls[-2:], ["complete", "close"])
    equal(set(recorder.calls[1:-2]), {"event"})


def check_sentences(recorder, audio_ms):
    """What holds for every task, whatever was said."""
    finals, interims = recorder.finals(), recorder.interims()
    assert finals and interims
    equal([s["sentence_id"] for s in finals], list(range(1, len(finals) + 1)))
    before = 0
    for sentence in finals:
        assert before <= sentence["begin_time"] < sentence["end_time"] <= audio_ms, sentence
        before = sentence["end_time"]
        assert sentence["text"].endswith("."), sentence
    for sentence, usage in zip(recorder.sentences, recorder.usages):
        is_final = sentence["end_time"] is not None
        equal(sentence["sentence_end"], is_final)
        equal(usage is not None, is_final)
        if usage:
            assert 0 < usage["duration"] <= (audio_ms + 999) // 1000, usage
        words = sentence["words"]
        equal(" ".join(w["text"] + w["punctuation"] for w in words), sentence["text"])
        equal(words[0]["begin_time"], sentence["begin_time"])
        if is_final:
            equal(words[-1]["end_time"], sentence["end_time"])
        for word in words:
            assert word["begin_time"] < word["end_time"] <= audio_ms, word
        for one, next_one in zip(words, words[1:]):
            assert one["end_time"] <= next_one["begin_time"], (one, next_one)


def seconds_in(sentences):
    text = " ".join(sentence["text"] for sentence in sentences)
    return [(int(s), int(t)) for s, t in re.findall(r"\bs(\d+)t(\d+)e\b", text)]


def check_speech(options):
    with wave.open(options.sample) as sample:
        equal((sample.getframerate(), sample.getnchannels(), sample.getsampwidth()), (16000, 1, 2))
        pcm = sample.readframes(sample.getnframes())
    recorder = recognize(pcm)
    check_calls(recorder)
    check_sentences(recorder, len(pcm) // 32)
    assert len(recorder.finals()) >= 4, "the pauses of the sample end sentences"
    again = recognize(pcm)
    equal(again.finals(), recorder.finals())
    for sentence in recorder.finals():
        print(f"  {sentence['begin_time']:6}..{sentence['end_time']:<6} {sentence['text']}")


def check_marked(options):
    seqs = range(1, 8)
    pcm = b"".join(marked_second(1, seq) for seq in seqs)
    recorder = recognize(pcm)
    check_calls(recorder)
    check_sentences(recorder, len(pcm) // 32)
    finals = recorder.finals()
    equal(seconds_in(finals), [(1, seq) for seq in seqs])
    equal([s["end_time"] for s in finals], [3000, 6000, 7000])
    for sentence in recorder.sentences:
        state = "final" if sentence["sentence_end"] else "interim"
        print(f"  {state:7} {sentence['text']}")


def check_live(options):
    """Results come while the task is still being sent."""
    recorder = Recorder()
    task = recognition(recorder)
    task.start()
    send(task, b"".join(marked_second(7, seq) for seq in range(1, 4)))
    deadline = time.monotonic() + PATIENCE_S
    # This SDK receives only while it sends.
    while not recorder.finals() and time.monotonic() < deadline:
        task.send_audio_frame(bytes(FRAME_BYTES))
        time.sleep(0.01)
    equal(seconds_in(recorder.finals()), [(7, 1), (7, 2), (7, 3)])
    equal(recorder.calls.count("complete"), 0)
    task.stop()
    check_calls(recorder)


def check_second_task(options):
    """The same object runs another task after the first."""
    recorder = Recorder()
    task = recognition(recorder)
    for stream in (3, 4):
        task.start()
        send(task, marked_second(stream, 1))
        task.stop()
    equal(seconds_in(recorder.finals()), [(3, 1), (4, 1)])
    equal(recorder.calls.count("complete"), 2)


def check_parameters(options):
    pcm = marked_second(5, 1) + bytes(1000 * 32) + marked_second(5, 2)
    wanted = {
        "max_sentence_silence": 2000,
        "language_hints": ["en"],
        "semantic_punctuation_enabled": False,
        "vocabulary_id": "vocab-check",
    }
    equal(len(recognize(pcm).finals()), 2)
    equal(len(recognize(pcm, **wanted).finals()), 1)


def check_bad_parameters(options):
    recorder = Recorder()
    recognition(recorder, max_sentence_silence=10).start()
    assert recorder.over.wait(PATIENCE_S)
    equal(recorder.error.code, "InvalidParameter")
    assert "max_sentence_silence" in recorder.error.message, recorder.error.message
    print(f"  {recorder.error.code}: {recorder.error.message}")


def check_wrong_key(options):
    dashscope.api_key = "wrong"
    recorder = Recorder()
    recognition(recorder).start()
    assert recorder.over.wait(PATIENCE_S)
    equal(recorder.error.status_code, 401)
    equal(recorder.sentences, [])
    print(f"  {recorder.error.status_code}: {recorder.error.message}")


def check_log(options):
    """The program wrote down what the tasks above were sent."""
    with open(options.log_file, encoding="utf-8") as lines:
        tasks = [json.loads(line) for line in lines]
    marked = [t for t in tasks if [h["stream"] for h in t["heard"]] == [1] * 7]
    equal(len(marked), 1)
    task = marked[0]
    equal((task["outcome"], task["audio_bytes"]), ("finished", 7 * SECOND_BYTES))
    equal([(h["seq"], h["tenths"]) for h in task["heard"]], [(seq, 10) for seq in range(1, 8)])
    equal(task["parameters"]["sample_rate"], 16000)


CHECKS = [
    check_speech,
    check_marked,
    check_live,
    check_second_task,
    check_parameters,
    check_bad_parameters,
    check_log,
    check_wrong_key,
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", required=True)
    parser.add_argument("--log-file", required=True)
    parser.add_argument("--sample", required=True)
    options = parser.parse_args()
    # The SDK logs the failures that are provoked here, with their stacks.
    logging.getLogger("dashscope").setLevel(logging.CRITICAL)
    failed = 0
    for check in CHECKS:
        dashscope.api_key = options.key
        name = check.__name__.removeprefix("check_").replace("_", " ")
        try:
            check(options)
            print(f"ok: {name}")
        except Exception:  # One that fails does not keep the others from running.
            failed += 1
            traceback.print_exc()
            print(f"FAILED: {name}")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    sys.stdout.flush()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
