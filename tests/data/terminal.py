"""Runs a program at a terminal and answers its question.

terminal.py PROMPT ANSWER PROGRAM [ARGUMENT ...]: types the answer (^D: the end of input) when the prompt is there,
and writes {"code": ..., "out": ...} when the program has ended: what the terminal showed, stdout and stderr.
"""
import json
import os
import pty
import signal
import sys

prompt, answer, *command = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
signal.alarm(60)
out = b""
while True:
    try:
        more = os.read(terminal, 65536)
    except OSError:
        # How Linux says that nobody has the terminal open any more.
        break
    out += more
    if prompt and prompt.encode() in out:
        os.write(terminal, b"\x04" if answer == "^D" else answer.encode() + b"\n")
        prompt = ""
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
json.dump({"code": code, "out": out.decode()}, sys.stdout)
