"""The policy as a plain function; cases.toml tries the component."""

import unittest

from policy import judge
from sdk.testing import tried


class Test(unittest.TestCase):
    def test_a_word_is_masked_where_it_stands_in_bytes(self):
        verdict = tried(judge, {"words": ["zebra"]}, {"content": [{"text": "für ein zebra"}]})
        self.assertEqual(verdict["effect"], "allow")
        self.assertEqual(verdict["edits"], [{"at": "/content/0/text", "start": 9, "end": 14, "replacement": "***"}])

    def test_a_setting_that_is_not_known_is_refused(self):
        with self.assertRaisesRegex(ValueError, "unknown setting `/wrds`"):
            tried(judge, {"wrds": ["zebra"]}, {})
