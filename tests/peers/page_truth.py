"""The page of a real node: what it shows is what is."""

import re

from playwright.sync_api import expect

from page_browser import VIEWS, Page


def health(page, wish):
    expect(page.tab.locator("#node")).to_have_text(wish["node"])
    expect(page.tab).to_have_title(f"{wish['node']} – Culvert")
    tiles = page.tab.locator("#health")
    for state in ("Ready", "Connected", "Complete"):
        expect(tiles).to_contain_text(state)
    expect(tiles.get_by_text("Answers", exact=False)).to_have_count(2)
    expect(tiles).to_contain_text(f"{len(wish['pods'])} pods")


def pods(page, wish):
    page.choose("pods")
    assert sorted(page.cells("pods", "Pod")) == sorted(f"{name}\n{space}" for space, name in wish["pods"]), page.cells(
        "pods", "Pod"
    )
    assert set(page.cells("pods", "State")) == {"● served"}, page.cells("pods", "State")
    assert sorted(page.cells("pods", "Identity")) == sorted(wish["identities"])


def identities(page, wish):
    page.choose("identities")
    assert sorted(page.cells("identities", "Identity")) == sorted(wish["identities"])
    for left in page.cells("identities", "Lasts"):
        assert re.search(r"\d+ (h|min|d).* left", left), left


def connections(page, wish):
    """The live one is there, found and sorted; its details are the node's."""
    panel = page.choose("connections")
    live = wish["live"]
    expect(panel.locator(".pager .count")).to_contain_text(f"of {len(live)}")
    sent = lambda: page.cells("connections", "Sent")
    panel.get_by_role("button", name="Sent").click()
    expect(panel.locator('th[aria-sort="descending"]')).to_have_text(re.compile("Sent"))
    assert sent() == [one["sent"] for one in sorted(live, key=lambda one: -one["bytes"])], sent()
    panel.get_by_role("button", name="Sent").click()
    assert sent() == [one["sent"] for one in sorted(live, key=lambda one: one["bytes"])], sent()
    wanted = live[0]
    panel.get_by_role("searchbox").fill(f"{wanted['from']} {wanted['port']}")
    expect(panel.locator("tbody tr")).to_have_count(1)
    expect(panel.locator("tbody tr")).to_contain_text(wanted["from"])
    expect(panel.locator("tbody tr")).to_contain_text("mutual TLS")
    details(page, panel, wanted)
    panel.get_by_role("searchbox").fill("nobody is called so")
    expect(panel).to_contain_text("Nothing fits the search.")


def details(page, panel, wanted):
    connection = panel.locator("tbody tr code").first.inner_text()
    panel.locator("tbody tr").click()
    dialog = page.tab.get_by_role("dialog")
    expect(dialog).to_be_visible()
    for text in (connection, *wanted["details"]):
        expect(dialog).to_contain_text(text)
    expect(dialog.locator(".verdict .culprit")).to_have_text("Nothing is wrong")
    assert f"id={connection}" in page.tab.url
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).not_to_be_visible()


def refusals(page, wish):
    panel = page.choose("refusals")
    row = panel.locator("tbody tr", has_text=wish["refused"]["reason"]).first
    for text in wish["refused"]["row"]:
        expect(row).to_contain_text(text)
    row.get_by_role("button", name=re.compile("^Why")).click()
    dialog = page.tab.get_by_role("dialog")
    expect(dialog.locator(".verdict .culprit")).to_have_text("A policy")
    expect(dialog.locator(".verdict")).to_contain_text(wish["refused"]["policy"])
    page.tab.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()


def traffic(page, wish):
    """The map and its table say the same."""
    panel = page.choose("map")
    for name in wish["map"]:
        expect(panel.locator("svg.map g.box", has_text=name).first).to_be_visible()
        expect(panel.locator("tbody")).to_contain_text(name)
    expect(panel.locator("svg.map .line .refused").first).to_be_attached()
    expect(panel.locator("svg.map .refused-count").first).to_have_text(f"✕ {wish['refused']['count']}")
    expect(panel.locator("svg.map .line.plain").first).to_be_attached()
    panel.locator("svg.map g.box", has_text=wish["refused"]["caller"]).first.click()
    expect(panel.locator("tbody tr")).to_have_count(wish["refused"]["pairs"])
    panel.get_by_role("button", name="Show all").click()


def policies(page, wish):
    panel = page.choose("policies")
    for text in wish["policy"]:
        expect(panel.locator("tbody")).to_contain_text(text)


def tunnels(page, wish):
    page.choose("tunnels")
    peers = page.cells("tunnels", "Peer")
    assert any(wish["tunnelTo"] in peer for peer in peers), peers
    assert all("TLSv1_3" in tls for tls in page.cells("tunnels", "TLS"))


def why(page, wish):
    for one in wish["why"]:
        panel = page.choose("why")
        panel.get_by_label("Who calls").fill(one["source"])
        panel.get_by_label("Who is called").fill(one["destination"])
        panel.get_by_role("button", name="Why?").click()
        expect(panel.locator(".verdict .culprit")).to_have_text(one["culprit"])
        assert panel.locator(".steps li").count() > 1
    # The question is in the address: who is sent it sees the answer.
    address = page.tab.url
    page.tab.goto("about:blank")
    page.tab.goto(address)
    expect(page.panel("why").locator(".verdict .culprit")).to_have_text(wish["why"][-1]["culprit"])


def links(page):
    """All that is linked is there. What takes ten seconds to answer is not asked."""
    panel = page.choose("endpoints")
    paths = [link.get_attribute("href") for link in panel.get_by_role("link").all()]
    assert len(paths) > 10
    for path in paths:
        if "pprof" not in path:
            answer = page.context.request.get(page.url + path)
            assert answer.ok, f"{path}: {answer.status}"


def truth(browser, wish):
    page = Page(browser, wish["url"])
    page.open()
    health(page, wish)
    for look in (pods, identities, connections, refusals, traffic, policies, tunnels, why):
        look(page, wish)
    links(page)
    for view in VIEWS:
        page.choose(view)
        page.check_width(f"{view} of a real node")
        page.check_contrast(f"{view} of a real node")
    page.close()
    return "all is as it is"


def silence(browser, wish):
    """Says a word when the node shall be taken away, and another one when it shall come back."""
    page = Page(browser, wish["url"])
    # The browser's own words about what cannot be fetched.
    page.forgiven = ["Failed to load resource"]
    panel = page.open("pods")
    rows = page.cells("pods", "Pod")
    alert = page.tab.get_by_role("alert")
    expect(alert).to_be_empty()
    print("take the node away", flush=True)
    expect(alert).to_contain_text("The node has not answered since", timeout=30_000)
    expect(alert).to_contain_text("What is shown is from")
    assert page.cells("pods", "Pod") == rows, "what was known is shown on"
    page.check_contrast("a node that is silent")
    print("bring the node back", flush=True)
    expect(alert).to_be_empty(timeout=30_000)
    expect(page.tab.get_by_role("status")).to_have_text("The node answers again.")
    expect(panel.locator("tbody tr")).to_have_count(len(rows))
    page.close()
    return "said so"
