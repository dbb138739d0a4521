"""Reads the page at `/` of a node's admin port in Chromium, as people do.

    page.py '{"do": "truth", "url": "http://127.0.0.1:15000/", ...}'

`do` names one of the functions below; what else there is is what that function is told to find. Says `{"result": ...}` in the last
line, and fails with the first thing that is not as it should be.
"""

import json
import sys

from page_browser import chromium
import page_manners
import page_truth

DOES = {
    "truth": page_truth.truth,
    "silence": page_truth.silence,
    "manners": page_manners.manners,
    "habits": page_manners.habits,
    "keyboard": page_manners.keyboard,
    "hostile": page_manners.hostile,
    "crowd": page_manners.crowd,
    "picture": page_manners.picture,
}


def main():
    wish = json.loads(sys.argv[1])
    with chromium() as browser:
        result = DOES[wish["do"]](browser, wish)
    print(json.dumps({"result": result}), flush=True)


if __name__ == "__main__":
    main()
