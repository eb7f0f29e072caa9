# Tells what it sees of the world: its time, its luck, what it may not.
import random
import socket
import sys
import time
from dataclasses import dataclass

from sdk.weir import Request, Verdict, policy


@dataclass
class Config:
    pass


@policy
def judge(config: Config, request: Request, verdict: Verdict) -> None:
    print("printed")
    print("warned", file=sys.stderr)
    first = time.time()
    time.sleep(3600)
    verdict.find("world", "info", f"{first:.6f} {time.time() - first >= 3600} {random.random():.6f}")
    if request.id == "file":
        open("/etc/passwd")
    if request.id == "socket":
        socket.socket()
