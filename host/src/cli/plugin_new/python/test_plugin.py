import json
import unittest
from pathlib import Path

from hookbox import Send, Skip, render
from plugin import transform

HERE = Path(__file__).parent
EVENT = json.loads((HERE / "event.json").read_text("utf-8"))
WEBHOOK = json.loads((HERE / "webhook.json").read_text("utf-8"))


class PluginTest(unittest.TestCase):
    def test_a_line_about_the_object_is_sent_to_the_channel(self):
        request = render(transform, EVENT, WEBHOOK, secrets={"token": "handle"}).decision
        assert isinstance(request, Send)
        body = {"channel": "#network", "text": "dcim.site Zürich: created by jstretch"}
        self.assertEqual(json.loads(request.body), body)
        self.assertEqual(request.method, "POST")
        self.assertIn(("Authorization", "Bearer handle"), request.headers)

    def test_what_the_settings_name_is_skipped(self):
        rendered = render(transform, EVENT | {"event": "deleted"}, WEBHOOK)
        self.assertEqual(rendered.decision, Skip("deleted events are skipped"))

    def test_settings_without_a_channel_are_a_failure_that_says_so(self):
        failure = render(transform, EVENT, WEBHOOK | {"settings": None}).failure
        self.assertEqual(failure.field, "settings")
        self.assertIn("channel", failure.message)


if __name__ == "__main__":
    unittest.main()
