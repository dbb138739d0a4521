// An HBONE client out of Node's http2 module: nghttp2 and OpenSSL, and many streams on one session.
//
// The only argument is a JSON object: `server` (HOST:PORT), `ca`, `cert`, `key` (files), `does` (one of those below) and what that
// needs; if wanted `settings` (of the session), `window` (of the connection), `padding` (true: as much as there can be). Prints
// lines of JSON; the last one is the result. The exit status is 0 whenever there is a result; `error` in it says that it failed.

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import { pipeline } from "node:stream/promises";

const wish = JSON.parse(process.argv[2]);
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const read = (file) => file && readFileSync(file);
const { PADDING_STRATEGY_NONE, PADDING_STRATEGY_MAX, NGHTTP2_CANCEL } = http2.constants;
const DEADLINE_MS = 60_000;

async function connect() {
    const session = http2.connect(`https://${wish.server}`, {
        ca: read(wish.ca),
        cert: read(wish.cert),
        key: read(wish.key),
        // Workload certificates name identities, not hosts.
        checkServerIdentity: () => undefined,
        minVersion: "TLSv1.3",
        settings: wish.settings,
        // In megabytes. Over the default of 10 it gives up itself.
        maxSessionMemory: 1000,
        paddingStrategy: wish.padding ? PADDING_STRATEGY_MAX : PADDING_STRATEGY_NONE,
    });
    await once(session, "connect");
    // From here on the streams tell what happens.
    session.on("error", () => {});
    if (wish.window) session.setLocalWindowSize(wish.window);
    return session;
}

/** Opens a stream that was let through. */
async function tunnel(session, authority) {
    const stream = session.request({ ":method": "CONNECT", ":authority": authority });
    const [headers] = await once(stream, "response");
    if (headers[":status"] !== 200) throw new Error(`status ${headers[":status"]}`);
    return stream;
}

const digest = () => createHash("sha256");

async function receive(stream) {
    const hash = digest();
    for await (const piece of stream) hash.update(piece);
    return hash.digest("hex");
}

/** Sends bytes nobody else sends, and says whether they come back. */
async function echo(session, authority, length) {
    const stream = await tunnel(session, authority);
    const bytes = randomBytes(length);
    stream.end(bytes);
    return (await receive(stream)) === digest().update(bytes).digest("hex");
}

const text = async (stream) => {
    let all = "";
    for await (const piece of stream) all += piece.toString("latin1");
    return all.trim();
};

/** Sends a little on an open stream and waits until it comes back. */
async function exchange(stream, words) {
    stream.write(words);
    let seen = "";
    while (seen.length < words.length) {
        const piece = stream.read();
        if (piece) seen += piece.toString("latin1");
        else await once(stream, "readable");
    }
    return seen === words;
}

const closed = (stream) =>
    new Promise((resolve) => {
        stream.on("error", () => {});
        stream.once("close", () => resolve(stream.rstCode));
        stream.resume();
    });

const deeds = {
    /** `authority`, `streams` and `bytes` of each: all at once, with pings between. */
    async echo(session) {
        const echoes = Array.from({ length: wish.streams }, () => echo(session, wish.authority, wish.bytes));
        const ping = new Promise((resolve) => session.ping(Buffer.from("culverts"), (_, __, back) => resolve(back)));
        const good = (await Promise.all(echoes)).filter(Boolean).length;
        return { good, pong: (await ping).toString() };
    },
    /** Everything that comes `from` there goes `to` here; says what is answered. `resize` shrinks and widens windows meanwhile. */
    async relay(session) {
        const [from, to] = await Promise.all([tunnel(session, wish.from), tunnel(session, wish.to)]);
        const answer = text(to);
        if (wish.resize) {
            const sizes = [100, 70_000, 0, 1, 65_535];
            from.on("data", () => sizes.length && session.settings({ initialWindowSize: sizes.shift() }));
        }
        from.end();
        await pipeline(from, to);
        return { answer: await answer };
    },
    /** The application ends first; then `bytes` are sent to it. */
    async speakLast(session) {
        const stream = await tunnel(session, wish.authority);
        const heard = await text(stream);
        stream.end(Buffer.alloc(wish.bytes, "x"));
        await once(stream, "close");
        return { heard, code: stream.rstCode };
    },
    /** Takes a stream back in the middle; others go on. */
    async cancel(session) {
        const [one, other] = await Promise.all([1, 2].map(() => tunnel(session, wish.authority)));
        const before = (await exchange(one, "before")) && (await exchange(other, "before"));
        const over = closed(one);
        one.close(NGHTTP2_CANCEL);
        await over;
        const after = await exchange(other, "after");
        other.end();
        return { before, after, next: await echo(session, wish.authority, 1000) };
    },
    /** The application resets its connection; others go on. */
    async beReset(session) {
        const stream = await tunnel(session, wish.authority);
        stream.write("x".repeat(wish.bytes));
        const code = await closed(stream);
        return { code, next: await echo(session, wish.other, 1000) };
    },
    /** What is answered to each of `requests`. */
    async ask(session) {
        const status = async (headers) => {
            const stream = session.request(headers);
            stream.on("error", () => {});
            const [answer] = await once(stream, "response");
            stream.close();
            return answer[":status"];
        };
        return { statuses: await Promise.all(wish.requests.map(status)) };
    },
    /** What is said of the destination with the answer to a CONNECT. */
    async beTold(session) {
        const stream = session.request({ ":method": "CONNECT", ":authority": wish.authority });
        const [answer] = await once(stream, "response");
        stream.close();
        return { status: answer[":status"], baggage: answer.baggage ?? null };
    },
    /** Goes on with a stream after the server has said that it leaves, and tries another one. */
    async beLeft(session) {
        const stream = await tunnel(session, wish.authority);
        const before = await exchange(stream, "before");
        const left = once(session, "goaway");
        say({ open: true });
        const [code] = await left;
        const after = await exchange(stream, "after");
        let next = "opened";
        try {
            session.request({ ":method": "CONNECT", ":authority": wish.authority });
        } catch (error) {
            next = error.code;
        }
        const over = closed(stream);
        const gone = once(session, "close");
        stream.end();
        const last = await over;
        await gone;
        return { before, code, after, next, last };
    },
};

setTimeout(() => {
    say({ error: "too slow" });
    process.exit();
}, DEADLINE_MS).unref();
let result;
try {
    const session = await connect();
    result = await deeds[wish.does](session);
    // What was sent last is on its way only then.
    const over = session.destroyed || once(session, "close");
    session.close();
    await over;
} catch (error) {
    result = { error: `${error.code}: ${error.message}` };
}
say(result);
process.exit();
