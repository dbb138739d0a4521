// A server of CONNECTs out of Node's http2 module: each leads to the address it names.
//
// The only argument is a JSON object: `host`, `port`, and for mutual TLS `ca`, `cert`, `key` (files); without them it speaks
// HTTP/2 in clear. If wanted `settings`, and `tls`: the one version it speaks (TLSv1.3). Prints a line of JSON for each CONNECT.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import net from "node:net";

const wish = JSON.parse(process.argv[2]);
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

async function serve(stream, headers) {
    const authority = headers[":authority"] ?? "";
    const peer = stream.session.socket.getPeerCertificate?.().subjectaltname;
    say({ method: headers[":method"], authority, peer, forwarded: headers.forwarded });
    // A stream that is broken says so with its close.
    stream.on("error", () => {});
    if (headers[":method"] !== "CONNECT") return stream.respond({ ":status": 405 }, { endStream: true });
    const { hostname, port } = new URL(`tcp://${authority}`);
    const host = hostname.replace(/^\[|\]$/g, "");
    const socket = net.connect({ host, port: Number(port), allowHalfOpen: true, noDelay: true });
    try {
        await once(socket, "connect");
    } catch {
        return stream.respond({ ":status": 503 }, { endStream: true });
    }
    // Closing it with an error would end it in order first.
    socket.on("error", (error) => stream.destroy(error));
    stream.on("close", () => stream.rstCode && socket.resetAndDestroy());
    stream.respond({ ":status": 200 });
    stream.pipe(socket).pipe(stream);
}

const read = (file) => file && readFileSync(file);
const { settings, tls: version = "TLSv1.3" } = wish;
const files = { ca: read(wish.ca), cert: read(wish.cert), key: read(wish.key) };
const tls = { ...files, requestCert: true, minVersion: version, maxVersion: version };
const server = wish.cert ? http2.createSecureServer({ ...tls, settings }) : http2.createServer({ settings });
server.on("stream", serve);
server.on("sessionError", (error) => say({ error: error.message }));
server.listen(wish.port, wish.host);
