"""The SDK as plain Python: `python3 -m unittest python.test_weir`, one folder up."""

import enum
import json
import re
import unittest
from dataclasses import dataclass, field
from typing import Any, Literal

from .config import decoded
from .state import Taken, Window, forget, hold, settle, take
from .testing import asked, tried
from .weir import Edit, Finding, Obligation, Span, Verdict, policy, spans


class Spans(unittest.TestCase):
    def test_places_are_bytes_of_the_utf_8(self):
        text = 'für 日本 🦓 "zebra"\0 zebra'
        for pattern in ["zebra", re.compile("zebra"), re.compile(r'"?z\w+'), "🦓", "本", "ü", "nothing", ""]:
            for span in spans("/at", text, pattern):
                self.assertEqual(text.encode()[span.start : span.end].decode(), span.text)
        self.assertEqual([(span.start, span.end) for span in spans("/at", text, "zebra")], [(18, 23), (26, 31)])
        self.assertEqual(spans("/at", "aaaa", re.compile("b*")), [])
        self.assertEqual(len(spans("/at", "aaaa", "aa")), 2)


class Verdicts(unittest.TestCase):
    def test_a_verdict_allows_and_what_was_said_is_never_loosened(self):
        verdict = Verdict()
        self.assertEqual(verdict.effect, "allow")
        verdict.review()
        self.assertEqual(verdict.effect, "review")
        verdict.deny()
        verdict.review()
        self.assertEqual(verdict.effect, "deny")

    def test_a_verdict_has_all_parts(self):
        @policy
        def judge(config, request, verdict):
            verdict.find("c", "low", "m", at="/payload", measured=0.5, threshold="wire", because=["house:P-2"])
            verdict.score("injection", 1)
            verdict.obligation("disclose_ai", ["eu-aia-art50"])

        said = tried(judge, {}, {})
        finding = {"code": "c", "severity": "low", "message": "m", "at": "/payload"}
        self.assertEqual(said["findings"], [{**finding, "measured": "0.5", "threshold": "wire", "because": ["house:P-2"]}])
        self.assertEqual(said["scores"], {"injection": 1.0})
        self.assertEqual(said["obligations"], [{"name": "disclose_ai", "because": ["eu-aia-art50"]}])

    def test_what_the_host_could_not_take_is_an_error(self):
        for wrong, told in [
            (lambda verdict: verdict.find("c", "hgh", "m"), "the severity `hgh` is none of info"),
            (lambda verdict: verdict.find("c", "low", 7), "`message` is 7, not a text"),
            (lambda verdict: verdict.find("c", "low", "m", because="x"), "`because` is a text"),
            (lambda verdict: verdict.find("c", "low", "m", measured=[1]), "`measured` is \\[1\\], not a text"),
            (lambda verdict: verdict.edit(Span("/a", -1, 2), ""), "`start` is -1"),
            (lambda verdict: verdict.edit(Span("/a", 0, 1.5), ""), "`end` is 1.5"),
            (lambda verdict: verdict.score("injection", float("nan")), "the score `injection` is nan"),
        ]:
            with self.assertRaisesRegex((TypeError, ValueError), told):
                wrong(Verdict())

    def test_what_is_made_without_its_methods_is_looked_at_too(self):
        for wrong, told in [
            (lambda verdict: setattr(verdict, "effect", "block"), "the effect `block` is none of allow, review, deny"),
            (lambda verdict: verdict.findings.append(Finding("c", "low", 5)), "`message` is 5, not a text"),
            (lambda verdict: verdict.findings.append(Finding("c", "hgh", "m")), "the severity `hgh` is none of info"),
            (lambda verdict: verdict.findings.append(Finding("c", "low", "m", at=5)), "`at` is 5, not a text"),
            (lambda verdict: verdict.findings.append(Finding("c", "low", "m", start=-1)), "`start` is -1"),
            (lambda verdict: verdict.findings.append(Finding("c", "low", "m", because=[5])), "`because` is 5"),
            (lambda verdict: verdict.findings.append("text"), "'str' object has no attribute 'code'"),
            (lambda verdict: verdict.edits.append(Edit("/a", 0, "1", "x")), "`end` is '1', not an offset"),
            (lambda verdict: verdict.scores.update(injection=2), "the score `injection` is 2"),
            (lambda verdict: verdict.obligations.append(Obligation(7)), "`name` is 7, not a text"),
        ]:
            with self.assertRaisesRegex((AttributeError, TypeError, ValueError), told):
                tried(policy(lambda config, request, verdict, wrong=wrong: wrong(verdict)), {}, {})

        @policy
        def judge(config, request, verdict):
            verdict.findings.append(Finding("c", "low", json.loads(r'"\ud83e"'), measured=0.5, because=("x",)))

        found = tried(judge, {}, {})["findings"]
        self.assertEqual(found, [{"code": "c", "severity": "low", "message": "?", "measured": "0.5", "because": ["x"]}])

    def test_a_verdict_that_is_returned_is_an_error(self):
        for returned in (Verdict(effect="deny"), "deny", False):
            with self.assertRaisesRegex(TypeError, r"`judge` returns nothing: call `verdict.deny\(\)`"):
                tried(policy(lambda config, request, verdict, returned=returned: returned), {}, {})

    def test_half_of_a_pair_is_no_text(self):
        verdict = Verdict()
        verdict.find("c", "low", json.loads(r'"\ud83e"'))
        self.assertEqual(verdict.findings[0].message, "?")


class Policies(unittest.TestCase):
    def test_what_cannot_answer_at_once_is_refused(self):
        async def waits(config, request, verdict):
            pass

        def yields(config, request, verdict):
            yield

        for judge in (waits, yields):
            with self.assertRaisesRegex(TypeError, "neither await nor yield"):
                policy(judge)

    def test_nothing_is_judged_before_the_configuration_is_read(self):
        @policy
        def judge(config: dict, request, verdict):
            pass

        with self.assertRaisesRegex(RuntimeError, "not configured"):
            judge.evaluate(asked({}))
        with self.assertRaisesRegex(ValueError, "the configuration is 7, not dict"):
            judge.configure("7")
        with self.assertRaisesRegex(RuntimeError, "not configured"):
            judge.evaluate(asked({}))

    def test_a_request_has_its_json_read_and_as_it_was_written(self):
        request = asked(
            {
                "time": "2026-01-01T00:00:00.5Z",
                "payload": {"n": 1.5},
                "subject": {"type": "agent", "id": "a"},
                "content": [{"text": "t"}],
            }
        )
        self.assertEqual((request.payload["n"], request.payload_text), (1.5, '{"n": 1.5}'))
        self.assertEqual((request.subject.type, request.subject.properties, request.context), ("agent", {}, {}))
        self.assertEqual((request.content[0].origin, request.content[0].at), ("retrieved", "/content/0/text"))
        self.assertEqual(request.time.isoformat(), "2026-01-01T00:00:00.500000+00:00")


    def test_what_reads_do_not_point_to_is_not_there(self):
        payload = {"a": {"b": 1, "c": 2}, "x/y": 3, "z": 4}
        whole = {"time": "1970-01-01T00:00:01Z", "payload": payload, "content": [{"text": "t"}]}

        def seen(reads):
            given = asked(whole, reads)
            return given.time_ms, given.tenant, given.payload, len(given.content)

        self.assertEqual(seen(None), (1000, "default", payload, 1))
        self.assertEqual(seen([""]), seen(None))
        self.assertEqual(seen(["/content"]), (0, "", None, 1))
        self.assertEqual(seen(["/time", "/payload/a/b", "/payload/x~1y"]), (1000, "", {"a": {"b": 1}, "x/y": 3}, 0))
        self.assertEqual(seen(["/tenant", "/payload/z/deeper"]), (0, "default", {}, 0))


class Size(enum.Enum):
    SMALL = "small"


@dataclass
class Rule:
    name: str
    most: float = 0.5


@dataclass
class Config:
    rules: list[Rule] = field(default_factory=list)
    tools: set[str] = field(default_factory=set)
    by_name: dict[str, Rule] = field(default_factory=dict)
    level: int | None = None
    action: Literal["mask", "deny"] = "mask"
    size: Size = Size.SMALL
    other: Any = None


class Configurations(unittest.TestCase):
    def test_types_are_made_of_json(self):
        given = {"rules": [{"name": "a", "most": 1}], "tools": ["x", "x"], "by_name": {"b": {"name": "b"}}, "level": 3}
        config = decoded(Config, {**given, "size": "small", "other": [1]})
        self.assertEqual(config.rules, [Rule("a", 1.0)])
        self.assertEqual((config.tools, config.by_name["b"].most, config.level), ({"x"}, 0.5, 3))
        self.assertEqual((config.size, config.other), (Size.SMALL, [1]))
        self.assertEqual(decoded(Config, None), Config())

    def test_what_does_not_fit_is_named(self):
        for given, told in [
            ({"wrds": 1}, "unknown setting `/wrds`"),
            ({"by_name": {"a/b": {"nme": 1}}}, "unknown setting `/by_name/a~1b/nme`"),
            ({"rules": [{}]}, "`/rules/0/name` is missing"),
            ({"rules": [{"name": 7}]}, "`/rules/0/name` is 7, not str"),
            ({"rules": {}}, "`/rules` is {}, not list"),
            ({"level": True}, "`/level` is True, not int"),
            ({"action": "drop"}, "`/action` is 'drop', not one of 'mask', 'deny'"),
            ({"size": "big"}, "`/size` is 'big', not one of 'small'"),
            ([], "the configuration is \\[\\], not an object"),
        ]:
            with self.assertRaisesRegex(ValueError, told):
                decoded(Config, given)


class Budgets(unittest.TestCase):
    HOUR = Window.sliding_ms(Window.parse_ms("1h"))

    def setUp(self):
        forget()

    def test_what_does_not_fit_is_not_taken(self):
        self.assertEqual(take("k", 7, 10, self.HOUR), Taken(True, 7, 3_600_000))
        self.assertEqual(take("k", 4, 10, self.HOUR), Taken(False, 7, 3_600_000))
        self.assertTrue(take("k", 4, 10, Window.tumbling_ms(3_600_000)).granted)

    def test_an_estimate_is_settled_once(self):
        self.assertTrue(hold("k", "call-1", 80, 100, self.HOUR).granted)
        self.assertFalse(hold("k", "call-2", 30, 100, self.HOUR).granted)
        self.assertEqual(settle("k", "call-1", 20, self.HOUR).used, 20)
        self.assertEqual(settle("k", "call-1", 5, self.HOUR).used, 25)

    def test_what_was_settled_is_seen_at_once(self):
        self.assertEqual(hold("k", "before", 20, 100, self.HOUR).used, 20)
        self.assertEqual(hold("k", "own", 5, 100, self.HOUR).used, 25)
        self.assertEqual(settle("k", "own", 4, self.HOUR).used, 24)
        self.assertEqual(settle("k", "before", 30, self.HOUR).used, 34)
        self.assertEqual(settle("k", "own", 6, self.HOUR).used, 40)
        self.assertEqual(take("k", 61, 100, self.HOUR), Taken(False, 40, 3_600_000))
        self.assertEqual(take("k", 60, 100, self.HOUR).used, 100)
        self.assertFalse(take("k", 1, 100, self.HOUR).granted)

    def test_what_is_no_amount_or_no_time_is_an_error(self):
        for wrong in (lambda: take("k", 1.5, 10, self.HOUR), lambda: take("k", -1, 10, self.HOUR)):
            with self.assertRaisesRegex(ValueError, "not a whole number"):
                wrong()
        for bad in (0, -1, 366 * 86_400_000 + 1, "60", 1.5):
            with self.assertRaisesRegex(ValueError, "a window has 1 ms|not a whole number"):
                Window(bad)
        with self.assertRaisesRegex(TypeError, "60000 is no Window"):
            take("k", 1, 10, 60_000)
        for bad in ["", "m", "0m", "-1m", "1.5h", "367d", "99999999999999999999d", "1w"]:
            with self.assertRaises(ValueError, msg=bad):
                Window.parse_ms(bad)
