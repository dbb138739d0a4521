#!/usr/bin/env python3
"""Runs a program of tests for so long at most, and says at its end what hung: within.py SECONDS PROGRAM [ARGUMENT]...

What the program prints is passed on as it comes, and so is its exit status (128 and the number when a signal has ended it). When its
time is up it is ended, by SIGABRT and five seconds later by SIGKILL, and the last thing that is printed is what had not ended: the
program's processes, its threads (libtest names them after their tests) with where in the kernel they wait, and the tests that libtest
has told of and that have no result; the exit status is 124 then. SIGINT and SIGTERM are passed on, and SIGKILL after them.

It needs to know nothing of the tests, and starts nothing but the program. Processes the program has left behind are not waited for.
"""

import collections
import os
import re
import select
import selectors
import signal
import subprocess
import sys
import time

TIMED_OUT = 124
# How long a program may take to end that was told to.
GRACE = 5
PIECE = 1 << 16
# A line that is longer is no line of libtest's.
LONGEST_LINE = 1 << 12
MOST_THREADS = 200
DEEPEST = 8
# Where every call into the kernel begins.
ENTRANCES = ("do_syscall_64", "entry_SYSCALL_64_after_hwframe", "el0_svc", "invoke_syscall")

SLOW = re.compile(r"^test (.+) has been running for over \d+ seconds$")
RESULT = re.compile(r"^test (.+?)(?: - should panic)? \.\.\. (?:ok|FAILED|ignored)")
# With one thread the name comes first, and the result behind it in the end.
BEGUN = re.compile(r"^test (.+?)(?: - should panic)? \.\.\. ")


class Tests:
    """Which tests have not ended, by what libtest has printed."""

    def __init__(self):
        self.slow = {}
        self.line = b""

    def read(self, piece):
        *lines, self.line = (self.line + piece).split(b"\n")
        self.line = self.line[:LONGEST_LINE]
        for line in lines:
            text = line.decode(errors="replace")
            if slow := SLOW.match(text):
                self.slow[slow[1]] = None
            elif result := RESULT.match(text):
                self.slow.pop(result[1], None)

    def not_ended(self):
        begun = BEGUN.match(self.line.decode(errors="replace"))
        return [*self.slow, *([begun[1]] if begun and begun[1] not in self.slow else [])]


class Program:
    """The program as it runs."""

    def __init__(self, command):
        # Signals and the end of the program are seen as bytes, among its output.
        self.bell, bell = os.pipe()
        for end in (self.bell, bell):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        self.tests = Tests()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.bell, selectors.EVENT_READ, None)
        for pipe, to in ((self.process.stdout, 1), (self.process.stderr, 2)):
            os.set_blocking(pipe.fileno(), False)
            self.selector.register(pipe, selectors.EVENT_READ, to)

    def run(self, seconds):
        """Passes on what is said until the program has ended, or the time is up. Says whether it has ended."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, _ in self.selector.select(left):
                if key.data is None:
                    deadline = min(deadline, self.heard())
                else:
                    self.pass_on(key)
        self.drain()
        return True

    def heard(self):
        """Passes signals on. Gives when the program has to have ended."""
        until = float("inf")
        for number in os.read(self.bell, PIECE):
            if number != signal.SIGCHLD:
                self.process.send_signal(number)
                until = time.monotonic() + GRACE
        return until

    def pass_on(self, key):
        """Passes on what there is. Says whether there was anything."""
        try:
            piece = os.read(key.fd, PIECE)
        except BlockingIOError:
            return False
        if not piece:
            self.selector.unregister(key.fileobj)
            return False
        if key.data == 1:
            self.tests.read(piece)
        write(key.data, piece)
        return True

    def drain(self):
        """What it had said before it ended; whoever else has the other end may say more for ever."""
        for key in list(self.selector.get_map().values()):
            while key.data is not None and self.pass_on(key):
                pass

    def end(self):
        for number in (signal.SIGABRT, signal.SIGKILL):
            self.process.send_signal(number)
            if self.run(GRACE):
                return


def write(to, piece):
    while piece:
        try:
            piece = piece[os.write(to, piece) :]
        except BlockingIOError:
            select.select([], [to], [])


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(PIECE)
    except OSError:
        return ""


def threads(pid):
    """A line for threads of one name that wait in the same place."""
    tasks = f"/proc/{pid}/task"
    alike = collections.Counter()
    for task in sorted(os.listdir(tasks), key=int)[:MOST_THREADS]:
        here = f"{tasks}/{task}"
        # `[<0>] futex_wait_queue+0x64/0x90`
        calls = [line.split()[-1].split("+")[0] for line in read(f"{here}/stack").splitlines()]
        where = " < ".join([call for call in calls if call not in ENTRANCES][:DEEPEST]) or read(f"{here}/wchan").strip()
        alike[f"{read(f'{here}/comm').strip()}: {where if where not in ('', '0') else 'runs'}"] += 1
    for line, count in alike.items():
        yield line if count == 1 else f"{line} ({count} of them)"


def processes(pid):
    """A line for each process that the program has started and that is there still."""
    for number in filter(str.isdigit, os.listdir("/proc")):
        # The name may hold anything; state and parent are behind it.
        fields = read(f"/proc/{number}/stat").rpartition(")")[2].split()
        if fields[1:2] == [str(pid)]:
            command = read(f"/proc/{number}/cmdline").replace("\0", " ").strip()[:200]
            yield f"{number} {fields[0]} {command or read(f'/proc/{number}/comm').strip()}"


def report(program, seconds):
    """What is to be said, of a program that is still there."""
    pid = program.process.pid
    said = [f"within: process {line}" for line in processes(pid)]
    said += [f"within: thread {line}" for line in threads(pid)]
    tests = program.tests.not_ended()
    said += [f"within: had not ended: test {name}" for name in tests] or ["within: libtest has told of no test that took long"]
    said += [f"within: {program.process.args[0]} had not ended after {seconds} s, and was ended"]
    return "\n".join(said) + "\n"


def main():
    if len(sys.argv) < 3:
        sys.exit("within: say for how many seconds to run which program: within.py SECONDS PROGRAM [ARGUMENT]...")
    seconds, command = int(sys.argv[1]), sys.argv[2:]
    try:
        program = Program(command)
    except OSError as error:
        sys.exit(f"within: {command[0]} cannot be run: {error.strerror}")
    hung = None
    begun = time.monotonic()
    try:
        if not program.run(seconds):
            # Or it was told to end by a signal, and has not.
            if time.monotonic() - begun >= seconds:
                hung = report(program, seconds)
            program.end()
    finally:
        program.process.kill()
    if hung:
        sys.stderr.write(hung)
        return TIMED_OUT
    status = program.process.returncode
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
