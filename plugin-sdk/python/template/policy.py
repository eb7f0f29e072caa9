"""Finds the words of its configuration in the texts of a request, and masks them or refuses the request."""

from dataclasses import dataclass, field
from typing import Literal

from sdk.weir import Request, Verdict, policy


@dataclass
class Config:
    """What an operator may set."""

    words: list[str] = field(default_factory=list)
    action: Literal["mask", "deny"] = "mask"


@policy
def judge(config: Config, request: Request, verdict: Verdict) -> None:
    for part in request.content:
        for word in config.words:
            for span in part.find(word):
                verdict.find("words.found", "high", "a forbidden word", span)
                if config.action == "deny":
                    verdict.deny()
                else:
                    verdict.edit(span, "***")
