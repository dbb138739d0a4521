"""The page with a node that is made up: whether it behaves for everybody, whatever it is told."""

import re
import time

from playwright.sync_api import expect

import page_world
from page_browser import FOCUS, VIEWS, Page, now
from page_world import HOSTILE

ANSWERED = {"source": "test/loadgen", "destination": "payment.pay:80"}
REFUSED = "0000000000000bb1"


def made_up(browser, wish, world=None, **how):
    page = Page(browser, wish["url"], **how)
    page.made_up(world or page_world.answers(now()))
    return page


def manners(browser, wish):
    """Nothing sticks out, nothing is too faint, and nobody is kept out, at any width, in light and dark."""
    for width in (400, 1600):
        for scheme in ("light", "dark"):
            # The judge takes its time: once as cards, and once as tables.
            judged = (width == 400) == (scheme == "dark")
            page = made_up(browser, wish, viewport={"width": width, "height": 900}, color_scheme=scheme)
            for view in VIEWS:
                page.open(view, ANSWERED if view == "why" else None)
                decent(page, f"{view} at {width} in {scheme}", judged)
            page.open("refusals", {"id": REFUSED})
            expect(page.tab.get_by_role("dialog").locator(".verdict")).to_be_visible()
            decent(page, f"details at {width} in {scheme}", judged)
            page.close()
    return "well behaved"


def habits(browser, wish):
    """It stays as the reader has left it."""
    for habit in (themes, calm, pause, refused):
        habit(browser, wish)
    return "as it was left"


def decent(page, where, is_judged):
    page.check_width(where)
    page.check_contrast(where)
    if is_judged:
        page.check_access(where)


def ground(page):
    return page.tab.evaluate("getComputedStyle(document.body).backgroundColor")


def themes(browser, wish):
    """The reader's choice counts more than the system's, and is remembered."""
    page = made_up(browser, wish, color_scheme="light")
    page.open()
    light = ground(page)
    button = page.tab.locator("#theme")
    button.click()
    button.click()
    expect(button).to_have_text("Theme: Dark")
    dark = ground(page)
    assert dark != light
    page.open()
    expect(button).to_have_text("Theme: Dark")
    assert ground(page) == dark
    page.close()


def calm(browser, wish):
    """A look at the node changes what has changed, and takes nothing out of the reader's hands."""
    world = page_world.answers(now())
    page = made_up(browser, wish, world)
    panel = page.open("connections")
    page.tab.evaluate("document.querySelector('#panel-connections tbody tr').mine = true; scrollTo(0, 120)")
    marked = page.tab.evaluate(
        "getSelection().selectAllChildren(document.querySelector('#panel-connections td strong')), String(getSelection())"
    )
    page.wait_for_look(2)
    assert page.tab.evaluate("document.querySelector('#panel-connections tbody tr').mine"), "a row was made anew"
    assert page.tab.evaluate("scrollY") == 120
    assert marked and page.tab.evaluate("String(getSelection())") == marked, "what was marked is marked"
    search = panel.get_by_role("searchbox")
    search.fill("cart")
    page.wait_for_look()
    expect(search).to_be_focused()
    expect(search).to_have_value("cart")
    # Rows change places under the focus.
    last = panel.locator("td button").last
    last.focus()
    name = last.text_content()
    for connection in world["connections"]:
        connection["milliseconds"] = 1_000_000 - connection["milliseconds"]
    page.wait_for_look(2)
    expect(panel.locator("td button").first).to_have_text(name)
    expect(panel.locator("td button").first).to_be_focused()
    page.close()


def pause(browser, wish):
    """Nothing is asked while it is paused, but what the reader asks for, once."""
    page = made_up(browser, wish)
    page.open("connections")
    page.tab.locator("#pause").click()
    expect(page.tab.get_by_role("status")).to_have_text("Paused.")
    page.choose("pods")
    asked = []
    page.tab.on("request", lambda request: asked.append(request.url))
    page.tab.wait_for_timeout(3000)
    assert not asked, asked
    page.tab.locator("#pause").click()
    page.wait_for_look()
    page.close()


def refused(browser, wish):
    """What the node says no to is told where it was asked, and all else is shown."""
    page = made_up(browser, wish)
    page.forgiven = ["Failed to load resource"]
    no = {"status": 503, "title": "no", "detail": "not just now"}
    page.tab.route("**/v1/policies**", lambda route: route.fulfill(status=503, json=no))
    page.open()
    expect(page.choose("policies")).to_contain_text("not just now")
    expect(page.tab.get_by_role("alert")).to_be_empty()
    page.close()


def tab_to(page, wanted, most=60):
    """Presses Tab until that has the focus; everything on the way can be seen to have it."""
    for _ in range(most):
        page.tab.keyboard.press("Tab")
        focus = page.tab.evaluate(FOCUS)
        assert focus["isBody"] or focus["isSeen"], f"the focus cannot be seen on {focus['name']}"
        if page.tab.evaluate("(wanted) => document.activeElement.matches(wanted)", wanted):
            return
    raise AssertionError(f"{wanted} cannot be reached by keyboard")


def keyboard(browser, wish):
    """Everything can be done without a mouse."""
    page = made_up(browser, wish)
    page.open()
    press = page.tab.keyboard.press
    tab_to(page, "#skip", 1)
    press("Enter")
    expect(page.tab.locator("#main")).to_be_focused()
    page.open()
    tab_to(page, "#pause")
    press("Space")
    expect(page.tab.locator("#pause")).to_have_attribute("aria-pressed", "true")
    press("Space")
    tab_to(page, "#tab-map")
    for view in VIEWS[1:]:
        press("ArrowRight")
        expect(page.tab.locator(f"#tab-{view}")).to_be_focused()
        expect(page.tab.locator(f"#tab-{view}")).to_have_attribute("aria-selected", "true")
        page.panel(view)
    press("ArrowRight")
    expect(page.tab.locator("#tab-map")).to_be_focused()
    page.panel("map")
    # The map's parties are buttons.
    tab_to(page, "g.box")
    press("Enter")
    expect(page.tab.locator("g.box.chosen")).to_have_count(1)
    expect(page.tab.locator("g.box.chosen")).to_be_focused()
    press("Enter")
    expect(page.tab.locator("g.box.chosen")).to_have_count(0)
    page.choose("connections")
    press("/")
    expect(page.tab.locator("#panel-connections input")).to_be_focused()
    page.tab.keyboard.type("checkout/")
    expect(page.tab.locator("#panel-connections")).to_contain_text("Nothing fits")
    press("Backspace")
    tab_to(page, "th button")
    press("Enter")
    expect(page.tab.locator("#panel-connections th[aria-sort]")).to_have_count(1)
    tab_to(page, "td button")
    focused = page.tab.evaluate("document.activeElement.textContent")
    press("Enter")
    dialog = page.tab.get_by_role("dialog")
    expect(dialog).to_contain_text(focused)
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    press("Escape")
    expect(dialog).not_to_be_visible()
    assert page.tab.evaluate("document.activeElement.textContent") == focused, "the focus is where it was"
    page.open("why")
    tab_to(page, "[name=source]")
    page.tab.keyboard.type("test/loadgen")
    tab_to(page, "[name=destination]", 2)
    page.tab.keyboard.type("payment.pay:80")
    press("Enter")
    expect(page.tab.locator("#panel-why .verdict")).to_contain_text("A policy")
    page.close()
    return "done by hand"


def hostile(browser, wish):
    """What others call themselves is text, wherever it is shown, and in the address."""
    page = made_up(browser, wish)
    for view in VIEWS[:-1]:
        panel = page.open(view, {"q": "", **(ANSWERED if view == "why" else {})})
        if view != "connections":
            expect(panel).to_contain_text(HOSTILE)
    page.open("why", {"source": HOSTILE, "destination": HOSTILE})
    expect(page.tab.get_by_label("Who calls")).to_have_value(HOSTILE)
    page.open("refusals", {"q": HOSTILE})
    page.tab.locator("#panel-refusals tbody tr").click()
    expect(page.tab.get_by_role("dialog")).to_contain_text(HOSTILE)
    page.open("connections", {"id": HOSTILE, "sort": HOSTILE, "page": "-7", "show": HOSTILE})
    expect(page.tab.get_by_role("dialog")).to_contain_text("No such connection is known")
    expect(page.tab.get_by_role("dialog")).to_contain_text(HOSTILE)
    assert page.tab.locator("img").count() == 0
    assert page.tab.evaluate("window.hurt") is None
    page.wrong = [wrong for wrong in page.wrong if "404" not in wrong]
    page.close()
    return "text"


def crowd(browser, wish):
    """Five thousand connections are found, sorted and turned over without a wait, and few of them are in the page."""
    world = page_world.answers(now())
    world["connections"] = page_world.crowd(now(), 5000)
    page = made_up(browser, wish, world)
    panel = page.open("connections")
    expect(panel.locator(".pager .count")).to_have_text("1–50 of 5,000")
    assert panel.locator("tbody tr").count() == 50
    slowest = page.tab.evaluate("""async () => {
            const search = document.querySelector('#panel-connections input');
            let slowest = 0;
            for (const text of ['c', 'ca', 'cart', 'cart 10.244.1.7', '']) {
                const began = performance.now();
                search.value = text;
                search.dispatchEvent(new Event('input', {bubbles: true}));
                document.body.offsetHeight;
                slowest = Math.max(slowest, performance.now() - began);
            }
            return slowest;
        }""")
    assert slowest < 500, f"a key press takes {slowest} ms"
    panel.get_by_role("button", name="Received").click()
    first = page.cells("connections", "Received")[0]
    assert first == "284 MB", first
    began = time.monotonic()
    panel.get_by_role("button", name="Next").click()
    expect(panel.locator(".pager .count")).to_have_text("51–100 of 5,000")
    assert time.monotonic() - began < 2
    panel.get_by_role("searchbox").fill("c0ffee")
    expect(panel.locator(".pager .count")).to_have_text(re.compile("^1–1 of 1$"))
    page.close()
    return f"a key press takes {slowest:.0f} ms"


def picture(browser, wish):
    """A picture of the page as it is, for the README."""
    page = Page(browser, wish["url"], viewport={"width": 1400, "height": wish.get("height", 900)})
    page.open(wish.get("view", "map"))
    page.wait_for_look()
    page.tab.screenshot(path=wish["file"])
    page.close()
    return wish["file"]
