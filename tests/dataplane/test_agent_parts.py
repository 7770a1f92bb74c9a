"""The agent's small parts: NGINX's words, listeners, the run directory."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from tidegate.agent.errors import LogTail, listener_message, parse_errors
from tidegate.agent.ports import Listener, listeners, unix_sockets
from tidegate.agent.rundir import RunDir, RunDirError, trailer, without_agent_directives


def test_errors_of_a_test_are_split_into_message_and_place() -> None:
    output = (
        "2026/11/21 07:04:11 [warn] 1#1: something mild in /run/x/candidate.conf:3\n"
        '2026/11/21 07:04:11 [emerg] 1#1: invalid number of arguments in "root" directive in /run/x/candidate.conf:18\n'
        "nginx: configuration file /run/x/candidate.conf test failed\n"
    )
    (error,) = parse_errors(output)
    assert error.message == 'invalid number of arguments in "root" directive'
    assert (error.level, error.file, error.line) == ("emerg", "/run/x/candidate.conf", 18)


def test_lua_error_names_its_line_without_the_traceback() -> None:
    output = (
        "2026/11/21 07:04:11 [error] 7#7: init_by_lua error: init_by_lua(nginx.conf:18):1: boom\n"
        "stack traceback:\n\t[C]: in function 'error'\n"
    )
    (error,) = parse_errors(output)
    assert error.message.endswith(": boom")
    assert (error.file, error.line) == ("nginx.conf", 18)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "nginx: [emerg] bind() to [::]:80 failed (98: Address already in use)",
            "port [::]:80 is in use by another process",
        ),
        (
            "nginx: [emerg] bind() to unix:/run/x.sock failed (98: Address already in use)",
            "socket unix:/run/x.sock is in use by another process",
        ),
        ("nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)", "permission denied"),
        ("nginx: [emerg] bind() to 192.0.2.1:80 failed (99: Cannot assign requested address)", "does not have that"),
    ],
)
def test_listeners_that_cannot_be_opened(line: str, message: str) -> None:
    output = f"{line}\n{line}\nnginx: [emerg] still could not bind()\n"
    (error,) = parse_errors(output)
    assert message in error.message
    assert error.address is not None
    assert listener_message("1.2.3.4:5", errno.EIO, "words").endswith("words")


def test_log_tail_reads_whole_lines_once_and_follows_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text("2026/11/21 07:04:11 [emerg] 1#1: old\n")
    tail = LogTail(path)
    assert tail.read() == []
    with path.open("a") as log:
        log.write("2026/11/21 07:04:11 [alert] 2#2: *7 new\n2026/11/21 07:04:11 [emerg] 2#2: half")
    assert [(one.level, one.pid, one.message) for one in tail.read()] == [("alert", 2, "new")]
    with path.open("a") as log:
        log.write(" and half\n")
    assert [one.message for one in tail.read()] == ["half and half"]
    path.rename(tmp_path / "error.log.1")
    path.write_text("2026/11/21 07:04:11 [emerg] 3#3: next\n")
    assert [one.message for one in tail.read()] == ["next"]


def test_listeners_of_a_configuration() -> None:
    conf = """
    server { # listen 1;
        listen 8080 default_server reuseport;
        listen [::]:8080 ipv6only=off;
        listen 127.0.0.1:53 udp;
        listen *:81;
        listen 10.0.0.1;
        listen unix:/run/push.sock;
        listen 8080 default_server reuseport;
    """
    assert listeners(conf) == [
        Listener("0.0.0.0", 8080),
        Listener("::", 8080, v6only=False),
        Listener("127.0.0.1", 53, udp=True),
        Listener("0.0.0.0", 81),
        Listener("10.0.0.1", 80),
        Listener("", 0, path="/run/push.sock"),
    ]
    assert unix_sockets(conf) == [Path("/run/push.sock")]


def test_agent_directives_are_taken_out_of_the_top_only() -> None:
    conf = "daemon off; master_process on;\nuser x;\nevents {}\nhttp {\ndaemon off;\n}\n"
    assert without_agent_directives(conf) == "\nuser x;\nevents {}\nhttp {\ndaemon off;\n}\n"


def test_configuration_files_change_places(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "r")
    run.prepare()
    for generation in (1, 2):
        run.write_candidate(f"text {generation}\n", generation, 4)
        run.swap()
        run.commit()
    assert (trailer(run.conf.read_text()), trailer(run.previous.read_text())) == ((2, 4), (1, 4))
    run.write_candidate("text 3\n", 3, 4)
    run.swap()
    assert run.unconfirmed
    assert trailer(run.last_confirmed() or "") == (2, 4)
    assert run.restore()
    assert not run.unconfirmed
    assert trailer(run.conf.read_text()) == (2, 4)
    run.write_candidate("text 4\n", 4, 4)
    run.swap()
    run.commit()
    assert (trailer(run.conf.read_text()), trailer(run.previous.read_text())) == ((4, 4), (2, 4))


def test_run_directory_with_a_long_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match="longer than 107 bytes"):
        RunDir(tmp_path / ("x" * 120)).prepare()
