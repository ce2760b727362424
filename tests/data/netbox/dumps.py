"""What CPython's json makes of JSON documents: reads a list of texts, writes a list of json.dumps(json.loads())."""
import json
import sys

json.dump([json.dumps(json.loads(text)) for text in json.load(sys.stdin)], sys.stdout)
