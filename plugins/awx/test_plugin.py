import json
import unittest
from pathlib import Path

from hookbox import Failure, Webhook, render
from plugin import at, check, transform

HERE = Path(__file__).parent
EVENT = {"event": "created", "object_type": "dcim.device", "data": {"id": 7, "name": "rack-1"}}
SECRETS = {"awx": "handle"}


def read(path):
    return json.loads(path.read_text("utf-8"))


def launch(settings, event=EVENT, secrets=SECRETS):
    webhook = {"payload_url": "https://awx.example.com/", "settings": settings}
    rendered = render(transform, event, webhook, secrets=secrets)
    if rendered.failure:
        raise rendered.failure
    return rendered.request, json.loads(rendered.request.body)


class PluginTest(unittest.TestCase):
    def test_the_samples_come_out_as_written(self):
        secrets = {name: f"handle_of_{name}" for name in read(HERE / "secrets.json")}
        for folder in [HERE, *sorted((HERE / "samples").iterdir())]:
            with self.subTest(folder=folder.name):
                rendered = render(transform, read(folder / "event.json"), read(folder / "webhook.json"), secrets=secrets)
                request = rendered.request
                assert request, rendered.failure
                made = {
                    "method": request.method,
                    "url": request.url,
                    "headers": [list(header) for header in request.headers],
                    "body": json.loads(request.body),
                }
                self.assertEqual(made, read(folder / "request.json"))

    def test_the_url_is_that_of_the_template(self):
        for settings, path in [
            ({"template": 7}, "/api/v2/job_templates/7/launch/"),
            ({"template": 7, "kind": "workflow"}, "/api/v2/workflow_job_templates/7/launch/"),
            ({"template": 7, "api": "/api/controller/v2"}, "/api/controller/v2/job_templates/7/launch/"),
            ({"template": "Run it/now++Default"}, "/api/v2/job_templates/Run%20it%2Fnow++Default/launch/"),
        ]:
            self.assertEqual(launch(settings)[0].url, f"https://awx.example.com{path}")

    def test_the_event_is_one_variable_unless_some_are_chosen(self):
        self.assertEqual(launch({"template": 7})[1], {"extra_vars": {"hookbox_event": EVENT}})
        chosen = {"template": 7, "extra_vars": {"device": "/data/name", "site": "/data/site/slug"}}
        self.assertEqual(launch(chosen)[1], {"extra_vars": {"device": "rack-1"}})

    def test_the_limit_and_the_inventory_are_sent_if_they_are_set(self):
        body = launch({"template": 7, "limit": "edge:&{/data/name}", "inventory": 3})[1]
        self.assertEqual((body["limit"], body["inventory"]), ("edge:&rack-1", 3))

    def test_an_object_cannot_be_named_so_that_other_hosts_are_meant(self):
        for name in ["all", "localhost", "-v", "ungrouped", "a,b", "a:b", "*", "a*", "!a", "&a", "~a.*", "a[0]", "@/etc/hosts", "a b", "", None, True, ["a"]]:
            with self.assertRaises(Exception, msg=name) as raised:
                launch({"template": 7, "limit": "{/data/name}"}, {"event": "x", "data": {"name": name}})
            self.assertIn("/data/name", str(raised.exception))

    def test_nothing_is_launched_without_a_token(self):
        with self.assertRaisesRegex(Exception, "`other`"):
            launch({"template": 7, "secret": "other"})

    def test_settings_that_do_not_fit_are_named(self):
        for settings, words in [
            (None, "`template`"),
            ([], "must be an object"),
            ({"template": ""}, "`template`"),
            ({"template": True}, ".template"),
            ({"template": 7, "tempalte": 1}, "`tempalte`"),
            ({"template": 7, "kind": "project"}, ".kind"),
            ({"template": 7, "api": "/x"}, ".api"),
            ({"template": 7, "inventory": "x"}, ".inventory"),
            ({"template": 7, "limit": "{/data/name"}, ".limit"),
            ({"template": 7, "extra_vars": {"a": "b"}}, ".extra_vars.a"),
        ]:
            with self.assertRaises(Failure) as raised:
                check(Webhook(settings=settings))
            self.assertIn(words, str(raised.exception))
            self.assertEqual(raised.exception.field, "settings")

    def test_a_pointer_finds_what_is_there_and_nothing_else(self):
        value = {"a": [{"b/c": 1}], "~": 2}
        self.assertEqual(at(value, "/a/0/b~1c"), 1)
        self.assertEqual(at(value, "/~0"), 2)
        for pointer in ["/a/1", "/a/-1", "/a/x", "/b", "/a/0/b~1c/d"]:
            self.assertIsNone(at(value, pointer))


if __name__ == "__main__":
    unittest.main()
