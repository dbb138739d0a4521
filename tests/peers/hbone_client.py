"""An HBONE client out of libcurl, which shares no line of HTTP/2 or TLS with what it talks to.

Opens a CONNECT inside mutual TLS, posts a body to the HTTP server behind it, and checks that it comes back. With
--get it sends a GET to the HBONE server itself instead. Prints what happened as one line of `key=value` words:

    connect   status of the CONNECT, or none
    status    status of the HTTP server (with --get: of the HBONE server), or 0
    tls       the version of TLS the HBONE server agreed to speak, or none
    http      2 if that is the version the HBONE server agreed to speak, or none
    intact    whether the body came back as it went
    caller    the client's address, as the HTTP server saw it
    error     libcurl's words, spaces replaced, or none

The exit status is 0 whenever there is such a line.
"""

import argparse
import io

import pycurl

# There is no name for it in pycurl: CURLPROXY_HTTPS2, a proxy that is spoken to in HTTP/2.
HTTPS2 = 3


class Result:
    """What is learned while libcurl is at work."""

    def __init__(self):
        self.connect = "none"
        self.http = "none"
        self.tls = "none"
        self.caller = "none"
        self.body = io.BytesIO()

    def debug(self, kind, text):
        line = text.decode("latin-1").strip()
        if kind != pycurl.INFOTYPE_TEXT:
            return
        if "CONNECT Response Status" in line:
            self.connect = line.split()[-1]
        if line.startswith("SSL connection using "):
            self.tls = line.split()[3]
        if line == "ALPN: server accepted h2":
            self.http = "2"

    def header(self, line):
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "x-caller":
            self.caller = value.strip()


def body(length):
    """Bytes that do not repeat within any power of two."""
    return bytes(i * i % 251 for i in range(251)) * (length // 251 + 1)


def through_tunnel(curl, args):
    curl.setopt(pycurl.URL, f"http://{args.authority}/")
    curl.setopt(pycurl.PROXY, f"https://{args.server}")
    curl.setopt(pycurl.PROXYTYPE, HTTPS2)
    curl.setopt(pycurl.HTTPPROXYTUNNEL, 1)
    curl.setopt(pycurl.NOPROXY, "")
    curl.setopt(pycurl.PROXY_CAINFO, args.ca)
    # Workload certificates name identities, not hosts.
    curl.setopt(pycurl.PROXY_SSL_VERIFYHOST, 0)
    if args.cert:
        curl.setopt(pycurl.PROXY_SSLCERT, args.cert)
        curl.setopt(pycurl.PROXY_SSLKEY, args.key)
    if args.tls12:
        curl.setopt(pycurl.PROXY_SSLVERSION, pycurl.SSLVERSION_MAX_TLSv1_2)
    curl.setopt(pycurl.POSTFIELDS, body(args.length)[: args.length])
    curl.setopt(pycurl.HTTPHEADER, ["Expect:", "Content-Type: application/octet-stream"])


def to_server(curl, args):
    curl.setopt(pycurl.URL, f"https://{args.server}/")
    curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
    curl.setopt(pycurl.CAINFO, args.ca)
    curl.setopt(pycurl.SSL_VERIFYHOST, 0)
    if args.cert:
        curl.setopt(pycurl.SSLCERT, args.cert)
        curl.setopt(pycurl.SSLKEY, args.key)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True, help="the HBONE server, as HOST:PORT")
    parser.add_argument("--ca", required=True, help="the root to trust")
    parser.add_argument("--cert", help="the client's certificate")
    parser.add_argument("--key", help="its key")
    parser.add_argument("--length", type=int, default=300_000, help="bytes to post")
    parser.add_argument("--tls12", action="store_true", help="speak TLS 1.2 at most")
    parser.add_argument("--get", action="store_true", help="send a GET to the HBONE server itself")
    parser.add_argument("authority", nargs="?", help="where the CONNECT shall lead, as HOST:PORT")
    args = parser.parse_args()
    if args.get == bool(args.authority):
        parser.error("give either --get or an authority")

    result, curl = Result(), pycurl.Curl()
    (to_server if args.get else through_tunnel)(curl, args)
    curl.setopt(pycurl.TIMEOUT, 10)
    curl.setopt(pycurl.VERBOSE, 1)
    curl.setopt(pycurl.DEBUGFUNCTION, result.debug)
    curl.setopt(pycurl.HEADERFUNCTION, result.header)
    curl.setopt(pycurl.WRITEFUNCTION, result.body.write)
    error = "none"
    try:
        curl.perform()
    except pycurl.error as failure:
        error = str(failure.args[1]).replace(" ", "_")
    status = curl.getinfo(pycurl.RESPONSE_CODE)
    intact = "yes" if result.body.getvalue() == body(args.length)[: args.length] else "no"
    print(f"connect={result.connect} status={status} tls={result.tls} http={result.http}", end=" ")
    print(f"intact={intact} caller={result.caller} error={error}")


if __name__ == "__main__":
    main()
