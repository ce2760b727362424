import json
import unittest
from pathlib import Path

from hookbox import Failure, Webhook, render
from plugin import check, transform

HERE = Path(__file__).parent
EVENT = json.loads((HERE / "event.json").read_text("utf-8"))
WEBHOOK = json.loads((HERE / "webhook.json").read_text("utf-8"))


class PluginTest(unittest.TestCase):
    def test_a_line_about_the_object_is_sent_to_the_channel(self):
        request = render(transform, EVENT, WEBHOOK, secrets={"token": "handle"}).request
        assert request
        body = {"channel": "#network", "text": "dcim.site Zürich: created by jstretch"}
        self.assertEqual(json.loads(request.body), body)
        self.assertEqual(request.method, "POST")
        self.assertIn(("Authorization", "Bearer handle"), request.headers)

    def test_what_the_settings_name_is_skipped(self):
        rendered = render(transform, EVENT | {"event": "deleted"}, WEBHOOK)
        self.assertEqual(rendered.skip, "deleted events are skipped")

    def test_settings_without_a_channel_or_misspelt_are_refused_when_the_webhook_is_saved(self):
        for settings, named in [(None, "channel"), ({"channel": "ops", "skp": []}, "`skp`")]:
            with self.assertRaisesRegex(Failure, named) as raised:
                check(Webhook(settings=settings))
            self.assertEqual(raised.exception.field, "settings")


if __name__ == "__main__":
    unittest.main()
