"""Chromium, the page in it, and what a reader would see of it. Nothing here knows what ought to be seen."""

import contextlib
import datetime
import json
import urllib.parse
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import expect, sync_playwright

import page_world

VIEWS = ["map", "connections", "refusals", "pods", "identities", "tunnels", "policies", "why", "endpoints"]
SOON = 10_000
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()

# Text, its colour and what is behind it, for all text that can be seen; the page's own styles are asked, by a canvas that knows every
# way to write a colour.
CONTRAST = """() => {
    const pen = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
    const rgba = (colour) => {
        pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = (top, below) => [0, 1, 2].map((n) => top[n] * top[3] + below[n] * (1 - top[3])).concat(1);
    const ground = (element) => {
        const box = element.closest('g.box');
        if (box) return rgba(getComputedStyle(box.querySelector('rect')).fill);
        const layers = [];
        for (let at = element; at; at = at.parentElement) {
            const layer = rgba(getComputedStyle(at).backgroundColor);
            layers.push(layer);
            if (layer[3] === 1) break;
        }
        return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
    };
    const light = (colour) => {
        const [r, g, b] = colour.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (one, two) => (Math.max(light(one), light(two)) + 0.05) / (Math.min(light(one), light(two)) + 0.05);
    const dialog = document.querySelector('dialog[open]');
    const walker = document.createTreeWalker(dialog ?? document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    const judge = (element, text, style) => {
        const below = ground(element);
        const isDrawn = element.namespaceURI.endsWith('svg');
        let colour = rgba(isDrawn ? style.fill : style.color);
        for (let at = element; at; at = at.parentElement) colour[3] *= Number(getComputedStyle(at).opacity);
        found.push({text, ratio: ratio(over(colour, below), below)});
    };
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
        const hidden = element.closest('script, style, noscript, title, option, .unseen, [hidden]');
        if (!text || hidden || !element.checkVisibility()) continue;
        judge(element, text, getComputedStyle(element));
    }
    for (const input of document.querySelectorAll('input[placeholder]')) {
        if (input.checkVisibility()) judge(input, input.placeholder, getComputedStyle(input, '::placeholder'));
    }
    return found;
}"""

# What sticks out of the window, and is in no box that scrolls.
STICKING_OUT = """() => {
    const cuts = (element) => ['auto', 'scroll', 'hidden'].includes(getComputedStyle(element).overflowX);
    const scrolls = (element) => element && (cuts(element) || scrolls(element.parentElement));
    const isApart = (element) => element.closest('.skip, .unseen, g, [hidden]') || scrolls(element.parentElement);
    const wide = [...document.querySelectorAll('body *')].filter((element) => {
        const {right, left, width} = element.getBoundingClientRect();
        return width > 0 && (right > innerWidth + 1 || left < -1) && !isApart(element);
    });
    const page = document.documentElement.scrollWidth > innerWidth ? ['the page itself'] : [];
    return page.concat(wide.map((element) => `${element.localName}.${element.className} ${element.textContent.slice(0, 40)}`));
}"""

# Whether it can be seen where the focus is.
FOCUS = """() => {
    const element = document.activeElement, style = getComputedStyle(element);
    const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
    const drawn = element.matches('g.box') && getComputedStyle(element.querySelector('rect')).strokeWidth === '2.5px';
    const name = element.id || element.getAttribute('aria-label') || element.textContent.trim().slice(0, 40);
    return {name, isSeen: outlined || drawn, isBody: element === document.body};
}"""


class Page:
    """A tab of the browser, and everything that went wrong in it."""

    def __init__(self, browser, url, **how):
        self.url = url
        self.context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **how})
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(SOON)
        self.wrong = []
        self.forgiven = []
        self.tab.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.tab.on("console", self._console)
        self.tab.on("request", self._request)

    def _console(self, message):
        if message.type in ("error", "warning") and not any(text in message.text for text in self.forgiven):
            self.wrong.append(f"{message.type}: {message.text}")

    def _request(self, request):
        if not request.url.startswith((self.url, "data:")):
            self.wrong.append(f"a request that leaves the node: {request.url}")

    def open(self, view="map", settings=None):
        """Goes to a view, as a bookmark would."""
        query = f"?{urllib.parse.urlencode(settings)}" if settings else ""
        self.tab.goto("about:blank")
        self.tab.goto(f"{self.url}#{view}{query}")
        expect(self.tab.locator("#health .tile").first).to_be_visible()
        return self.panel(view)

    def panel(self, view):
        panel = self.tab.locator(f"#panel-{view}")
        expect(panel).to_be_visible()
        expect(panel).not_to_contain_text("Asking the node")
        return panel

    def choose(self, view):
        """Goes to a view, as a click would."""
        self.tab.locator(f"#tab-{view}").click()
        return self.panel(view)

    def cells(self, view, column):
        """What a column of a view's table says, from top to bottom."""
        cells = self.tab.locator(f'#panel-{view} tbody td[data-label="{column}"]')
        return [text.strip() for text in cells.all_inner_texts()]

    def wait_for_look(self, looks=1):
        """Waits until the page has asked the node again."""
        self.tab.evaluate(
            """async (looks) => {
                const text = document.getElementById('fresh');
                for (let seen = 0; seen < looks; seen++) {
                    await new Promise((done) => {
                        const watch = new MutationObserver(() => (watch.disconnect(), done()));
                        watch.observe(text, {childList: true, characterData: true, subtree: true});
                    });
                }
            }""",
            looks,
        )

    def made_up(self, world):
        """Has the page told of a node that does not exist."""

        def reply(route):
            parts = urllib.parse.urlsplit(route.request.url)
            query = dict(urllib.parse.parse_qsl(parts.query))
            status, value = page_world.answer(world, parts.path.split("/v1/", 1)[1], query)
            route.fulfill(status=status, content_type="application/json", body=json.dumps(value))

        self.tab.route("**/v1/**", reply)

    def check_contrast(self, where):
        found = self.tab.evaluate(CONTRAST)
        assert len(found) > 10, f"{where}: nothing to read"
        faint = [one for one in found if one["ratio"] < 4.5]
        assert not faint, f"{where}: too faint: {faint[:5]}"

    def check_width(self, where):
        wide = self.tab.evaluate(STICKING_OUT)
        assert not wide, f"{where}: sticks out: {wide[:5]}"

    def check_access(self, where):
        """What an independent judge of accessibility finds."""
        self.tab.evaluate(AXE)
        found = self.tab.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        said = [(one["id"], one["help"], [node["html"][:120] for node in one["nodes"][:2]]) for one in found]
        assert not said, f"{where}: {said}"

    def close(self):
        assert not self.wrong, self.wrong
        self.context.close()


@contextlib.contextmanager
def chromium():
    expect.set_options(timeout=SOON)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def now():
    return datetime.datetime.now(datetime.timezone.utc)
