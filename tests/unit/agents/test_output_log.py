"""What an agent says stays readable, whatever it says."""

import json
import os
from pathlib import Path

import pytest

from moonmind.agents.output_log import OutputLog, OutputStream, last_words

LIMIT = 1_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def write(path: Path, *lines: tuple[str, str]) -> None:
    log = OutputLog(path, LIMIT)
    for stream, line in lines:
        log.add(stream, line=line)
    log.close()


class TestOutputStream:
    def test_joins_a_line_that_came_in_pieces(self, path: Path) -> None:
        reading, writing = os.pipe()
        log = OutputLog(path, LIMIT)
        with os.fdopen(reading, "rb", buffering=0) as pipe, os.fdopen(writing, "wb", buffering=0) as agent:
            stream = OutputStream("stdout", pipe, log)
            for piece in (b"one \xe2\x82", b"\xac li", b"ne\r\ntwo", b"\n"):
                agent.write(piece)
                assert stream.read()
            assert not stream.read()
        log.close()
        assert [json.loads(line)["line"] for line in path.read_text().splitlines()] == ["one € line", "two"]

    def test_keeps_a_line_too_deep_for_json_as_it_is(self, path: Path) -> None:
        deep = '{"a":' * 20_000
        reading, writing = os.pipe()
        log = OutputLog(path, LIMIT)
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            stream = OutputStream("stdout", pipe, log)
            for start in range(0, len(deep), 50_000):
                os.write(writing, deep[start : start + 50_000].encode())
                stream.read()
            os.close(writing)
            assert not stream.read()
        log.close()
        entry = json.loads(path.read_text())
        assert (entry["line"], entry["partial"]) == (deep, True)


class TestLastWords:
    def test_are_the_last_lines_that_say_something(self, path: Path) -> None:
        write(path, ("stdout", "one"), ("stdout", "two"), ("stdout", ""), ("stderr", "three"), ("stdout", "  "))
        assert last_words(path, lines=2) == "two\nthree"

    def test_can_be_those_of_one_stream(self, path: Path) -> None:
        write(path, ("stdout", "done"), ("stderr", "a warning"))
        assert last_words(path, stream="stdout") == "done"

    def test_are_bounded_and_keep_the_end(self, path: Path) -> None:
        write(path, ("stdout", "x" * 500 + "the end"))
        words = last_words(path, characters=100)
        assert (len(words), words[0], words[-7:]) == (100, "…", "the end")

    def test_are_read_from_a_log_whose_last_line_was_cut_off(self, path: Path) -> None:
        write(path, ("stdout", "whole"))
        with path.open("a") as log:
            log.write('{"at": "2026-01-01T00:00:00Z", "stream": "std')
        assert last_words(path) == "whole"

    def test_are_none_without_a_log(self, path: Path) -> None:
        assert last_words(path) == ""
