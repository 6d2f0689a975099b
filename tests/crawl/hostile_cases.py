"""More than 150 ways to answer badly, each with what must come of it."""

from __future__ import annotations

import gzip
import zlib

from tests.crawl.hostile import (
    FORBIDDEN,
    JPEG,
    PNG,
    Case,
    chunked,
    closing,
    drip,
    drip_headers,
    endless,
    http,
    raw,
    reset,
    round_and_round,
    silence,
    to,
)


def bomb() -> bytes:
    """A hundred megabytes in a hundred kilobytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()


def cases() -> list[Case]:
    """All of them."""
    made = [*_good(), *_statuses(), *_bodies(), *_broken(), *_redirects(), *_owners(), *_robots()]
    assert len({case.name for case in made}) == len(made)
    return made


def _good() -> list[Case]:
    stored = ("stored",)
    return [
        Case("plain", http(), stored),
        Case("png", http(200, PNG), stored),
        Case("gif", http(200, b"GIF89a....\x3b"), stored),
        Case("webp", http(200, b"RIFF\x10\0\0\0WEBPVP8 xxxxxxxx"), stored),
        Case("avif", http(200, b"\0\0\0\x1cftypavif\0\0\0\0"), stored),
        Case("bmp", http(200, b"BM\x40\0\0\0\0\0\0\0 pixels"), stored),
        Case("tiff", http(200, b"II*\0\x08\0\0\0"), stored),
        Case("type-says-html-bytes-say-jpeg", http(200, JPEG, "Content-Type: text/html"), stored),
        Case("type-is-not-ascii", http(200, JPEG, "Content-Type: im\udcffage/j\udce4pg"), stored),
        Case("no-type", http(200, JPEG), stored),
        Case("chunked", chunked(JPEG[:5], JPEG[5:]), stored),
        Case("ends-by-closing-whole", closing(JPEG), stored),
        Case("gzip-though-not-asked", http(200, gzip.compress(JPEG), "Content-Encoding: gzip"), stored),
        Case("deflate", http(200, zlib.compress(JPEG), "Content-Encoding: deflate"), stored),
        Case("deflate-without-header", http(200, zlib.compress(JPEG)[2:-4], "Content-Encoding: deflate"), stored),
        Case("identity", http(200, JPEG, "Content-Encoding: identity"), stored),
        Case("comma-in-the-query", http(), stored, path="/photo.jpg?sig=a%2Cb%2Fc&x=,y"),
        Case("cookie", http(200, JPEG, "Set-Cookie: a=b; Domain=other.example"), stored),
        Case("header-with-latin-1", http(200, JPEG, "X-Caf\udce9: \udce9\udcff"), ("stored", "failed", "short")),
        Case("etag-is-not-utf-8", http(200, JPEG, 'ETag: "\udcff\udcfe"'), stored),
        Case("203", http(203), stored),
        Case("a-thousand-headers", http(200, JPEG, *(f"X-{n}: {n}" for n in range(1000))), ("stored", "failed")),
    ]


def _statuses() -> list[Case]:
    return [
        Case("201", http(201), ("no_content",)),
        Case("202", http(202), ("no_content",)),
        Case("204", http(204, b""), ("no_content",)),
        Case("206", http(206, JPEG, "Content-Range: bytes 0-5/9000"), ("partial",)),
        Case("300", http(300, b""), ("refused",)),
        Case("304-not-asked-for", http(304, b""), ("refused",)),
        Case("400", http(400, b""), ("refused",)),
        Case("401", http(401, b"", "WWW-Authenticate: Basic"), ("refused",)),
        Case("403", http(403, b""), ("refused",)),
        Case("404", http(404, b"<html>not here"), ("not_found",)),
        Case("404-with-a-photo", http(404, JPEG), ("not_found",)),
        Case("410", http(410, b""), ("not_found",)),
        Case("418", http(418, JPEG), ("refused",)),
        Case("451", http(451, b""), ("refused",)),
        Case("408", http(408, b""), ("failed",)),
        Case("425", http(425, b""), ("failed",)),
        Case("429", http(429, b""), ("failed",)),
        Case("500", http(500, b""), ("failed",)),
        Case("502", http(502, b""), ("failed",)),
        Case("503", http(503, b""), ("failed",)),
        Case("520", http(520, b""), ("failed",)),
        Case("522", http(522, b""), ("failed",)),
        Case("529", http(529, b""), ("failed",)),
        Case("503-retry-after-words", http(503, b"", "Retry-After: soon"), ("failed",)),
        Case("503-retry-after-negative", http(503, b"", "Retry-After: -5"), ("failed",)),
        Case("429-retry-after-of-a-lifetime", http(429, b"", "Retry-After: 99999999999"), ("waits",)),
        Case("429-retry-after-digits", http(429, b"", f"Retry-After: {'9' * 400}"), ("waits",)),
        Case("503-retry-after-arabic-digits", http(503, b"", "Retry-After: ٣٠"), ("failed",)),
        Case("503-retry-after-date", http(503, b"", "Retry-After: Fri, 01 Jan 2100 00:00:00 GMT"), ("waits",)),
        Case("503-retry-after-odd-date", http(503, b"", "Retry-After: Mon, 99 Foo 99999 99:99:99"), ("failed",)),
        Case("status-999", http(999, b""), ("failed",)),
        Case("status-099", http("099", b""), ("failed", "refused")),
    ]


def _bodies() -> list[Case]:
    packed = "Content-Encoding: gzip"
    return [
        Case("empty", http(200, b""), ("empty",)),
        Case("empty-chunked", chunked(), ("empty",)),
        Case("html", http(200, b"<!DOCTYPE html><title>gone", "Content-Type: image/jpeg"), ("html",)),
        Case("html-with-bom", http(200, b"\xef\xbb\xbf\r\n <HTML>", "Content-Type: image/jpeg"), ("html",)),
        Case("html-by-type", http(200, b"please sign in", "Content-Type: text/html"), ("html",)),
        Case("svg", http(200, b'<svg xmlns="x"><script/></svg>', "Content-Type: image/svg+xml"), ("svg",)),
        Case("svg-in-xml", http(200, b'<?xml version="1.0"?>\n<!-- x --><svg>', "Content-Type: image/png"), ("svg",)),
        Case("json", http(200, b'{"error": 1}', "Content-Type: application/json"), ("not_image",)),
        Case("video", http(200, b"\0\0\0\x18ftypmp42\0\0\0\0"), ("not_image",)),
        Case("pdf", http(200, b"%PDF-1.7"), ("not_image",)),
        Case("zeros", http(200, bytes(1000)), ("not_image",)),
        Case("one-byte", http(200, b"\xff"), ("not_image",)),
        Case("too-large-stated", http(200, JPEG, length=10**12), ("too_large",)),
        Case("too-large-unstated", closing(JPEG + bytes(300_000)), ("too_large",)),
        Case("endless", endless, ("too_large",)),
        Case("bomb", http(200, bomb(), packed), ("too_large",)),
        Case(
            "bomb-of-deflate", http(200, zlib.compress(bytes(50 << 20), 9), "Content-Encoding: deflate"), ("too_large",)
        ),
        Case("not-gzip", http(200, JPEG, packed), ("short", "failed")),
        Case("gzip-cut", http(200, gzip.compress(JPEG + bytes(range(256)))[:60], packed), ("short",)),
        Case("brotli", http(200, JPEG, "Content-Encoding: br"), ("failed",)),
        Case(
            "encoded-twice", http(200, gzip.compress(gzip.compress(JPEG)), "Content-Encoding: gzip, gzip"), ("failed",)
        ),
        Case("encoding-unheard-of", http(200, JPEG, f"Content-Encoding: {'x' * 500}"), ("failed",)),
        Case("jpeg-without-its-end", closing(JPEG[:-2] + b"xxxx"), ("short",)),
        Case("png-without-its-end", closing(PNG[:30]), ("short",)),
        Case("webp-without-its-end", closing(b"RIFF\xff\xff\0\0WEBPVP8 x"), ("short",)),
        Case(
            "page-of-meta-tags", http(200, b"<html><head>" + b"<meta " * 20_000, "Content-Type: text/html"), ("html",)
        ),
        Case(
            "page-of-one-tag", http(200, b"<html " + b" ".join(b"a%d=1" % n for n in range(20_000)) + b">"), ("html",)
        ),
    ]


def _broken() -> list[Case]:
    two = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\n" + JPEG
    return [
        Case("silence", silence, ("failed",)),
        Case("drip", drip, ("failed",)),
        Case("drip-headers", drip_headers, ("failed",)),
        Case("reset", reset, ("short", "failed")),
        Case("closed-at-once", raw(b""), ("failed",)),
        Case("body-shorter-than-stated", http(200, JPEG, length=5000), ("short",)),
        Case("body-longer-than-stated", http(200, JPEG, length=10), ("stored", "failed", "short")),
        Case("chunks-cut", chunked(JPEG, end=b""), ("short",)),
        Case(
            "chunk-size-is-no-number",
            raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            ("short", "failed"),
        ),
        Case(
            "chunk-size-is-negative",
            raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n"),
            ("short", "failed"),
        ),
        Case(
            "chunk-size-is-huge",
            raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx"),
            ("short", "failed"),
        ),
        Case("not-http", raw(b"SSH-2.0-OpenSSH_9.0\r\n"), ("failed",)),
        Case("http-2-preface", raw(b"\0\0\x12\x04\0\0\0\0\0"), ("failed",)),
        Case("http-0.9", raw(JPEG), ("failed",)),
        Case("tls-alert", raw(b"\x15\x03\x01\0\x02\x02\x46"), ("failed",)),
        Case("two-lengths", raw(two), ("failed", "short")),
        Case("length-is-no-number", http(200, JPEG, "Content-Length: many"), ("failed",)),
        Case("length-is-negative", http(200, JPEG, length=-1), ("failed",)),
        Case("length-and-chunks", http(200, b"0\r\n\r\n", "Transfer-Encoding: chunked"), ("failed", "empty")),
        Case("header-of-a-megabyte", http(200, JPEG, f"X-Long: {'x' * (1 << 20)}"), ("failed",)),
        Case("header-without-colon", http(200, JPEG, "no colon here"), ("failed", "stored")),
        Case("nul-in-a-header", http(200, JPEG, "X-Nul: a\0b"), ("failed", "stored")),
        Case("folded-header", http(200, JPEG, "X-Folded: a\r\n b"), ("failed", "stored")),
        Case("status-line-is-long", http(200, JPEG, reason="x" * 100_000), ("failed",)),
        Case("continue-without-end", raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 50), ("failed",)),
        Case(
            "switching-protocols",
            raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
            ("failed", "refused"),
        ),
    ]


def _redirects() -> list[Case]:
    no = ("bad_url",)
    return [
        Case("to-a-byte-that-is-not-utf-8", to("/caf\udce9.jpg"), ("redirects",)),
        Case("to-nothing", to(""), ("refused",)),
        Case("to-no-url", to("http://[bad/"), no),
        Case("to-a-file", to("file:///etc/passwd"), no),
        Case("to-ftp", to("ftp://127.0.1.1/x.jpg"), no),
        Case("to-data", to("data:image/png;base64,AAAA"), no),
        Case("to-a-user-name", to("http://user:secret@127.0.1.1/"), no),
        Case("to-no-port", to("http://127.0.1.1:99999/"), no),
        Case("to-a-forbidden-address", to(f"http://{FORBIDDEN}:PORT/x.jpg"), ("address",)),
        Case("to-metadata", to("http://169.254.169.254/latest/meta-data/"), ("address",)),
        Case("to-ipv6-loopback", to("http://[::1]:PORT/x.jpg"), ("address",)),
        Case("to-ipv4-in-ipv6", to(f"http://[::ffff:{FORBIDDEN}]:PORT/x.jpg"), ("address",)),
        Case("to-nat64", to("http://[64:ff9b::7f00:909]:PORT/x.jpg"), ("address",)),
        Case("to-octal", to("http://0177.0.9.9:PORT/x.jpg"), no),
        Case("to-hexadecimal", to("http://0x7f.0x0.0x9.0x9:PORT/x.jpg"), no),
        Case("to-one-number", to("http://2130708745:PORT/x.jpg"), no),
        Case("to-a-short-address", to("http://127.2313:PORT/x.jpg"), no),
        Case("to-wide-digits", to("http://１２７.0.9.9:PORT/x.jpg"), no),
        Case("to-a-zone", to("http://[fe80::1%25lo]:PORT/x.jpg"), no),
        Case("to-zero", to("http://0.0.0.0:PORT/x.jpg"), ("address",)),
        Case("to-localhost", to("http://localhost:PORT/x.jpg"), ("address",)),
        Case("to-a-private-network", to("http://10.0.0.1/x.jpg"), ("address",)),
        Case("to-a-shared-network", to("http://100.100.100.200/x.jpg"), ("address",)),
        Case("to-a-backslash", to(f"http://{FORBIDDEN}:PORT\\@127.0.1.1/x.jpg"), no),
        Case("round-in-circles", to("/photo.jpg"), ("redirects",)),
        Case("round-with-new-paths", round_and_round, ("redirects",)),
        Case("to-a-long-url", to(f"/{'x' * 7990}.jpg?{'y' * 100}"), (*no, "failed")),
        Case("to-a-tab-and-a-newline", to("/a\tb.jpg"), ("redirects", "failed")),
    ]


def _owners() -> list[Case]:
    out = ("opted_out",)
    tdm = b'[{"location": "/*", "tdm-reservation": 1}]'
    return [
        Case("noai", http(200, JPEG, "X-Robots-Tag: noai"), out),
        Case("noimageai", http(200, JPEG, "X-Robots-Tag: noarchive, NoImageAI"), out),
        Case("noindex", http(200, JPEG, "X-Robots-Tag: noindex"), out),
        Case("noimageindex", http(200, JPEG, "X-Robots-Tag: otherbot: noimageindex"), out),
        Case("none", http(200, JPEG, "X-Robots-Tag: none"), out),
        Case("two-tags", http(200, JPEG, "X-Robots-Tag: all", "X-Robots-Tag: noai"), out),
        Case("tdm-header", http(200, JPEG, "TDM-Reservation: 1"), out),
        Case("tdm-header-of-zero", http(200, JPEG, "TDM-Reservation: 0"), ("stored",)),
        Case("tdmrep", http(), out, tdmrep=http(200, tdm)),
        Case("tdmrep-elsewhere", http(), ("stored",), tdmrep=http(200, tdm.replace(b"/*", b"/private/*"))),
        Case("tdmrep-is-no-json", http(), ("stored",), tdmrep=http(200, b"[" * 100_000)),
        Case(
            "content-signal",
            http(),
            out,
            robots=http(200, b"User-agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /\n"),
        ),
        Case(
            "content-signal-of-others",
            http(),
            ("stored",),
            robots=http(200, b"User-agent: otherbot\nContent-Signal: ai-train=no\n\nUser-agent: *\nAllow: /\n"),
        ),
        Case("not-opted-out", http(200, JPEG, "X-Robots-Tag: noarchive"), ("stored",)),
    ]


def _robots() -> list[Case]:
    no = ("disallowed",)
    close = b"User-agent: *\nDisallow: /\n"
    return [
        Case("robots-closed", http(), no, robots=http(200, close)),
        Case("robots-with-bom", http(), no, robots=http(200, b"\xef\xbb\xbf" + close)),
        Case("robots-gzip", http(), no, robots=http(200, gzip.compress(close), "Content-Encoding: gzip")),
        Case("robots-latin-1", http(), no, robots=http(200, b"# caf\xe9\n" + close)),
        Case("robots-nul", http(), no, robots=http(200, b"# \0\n" + close)),
        Case("robots-of-a-megabyte", http(), no, robots=http(200, close + b"# x\n" * (1 << 18))),
        Case("robots-with-cr-only", http(), no, robots=http(200, close.replace(b"\n", b"\r"))),
        Case("robots-403", http(), ("stored",), robots=http(403, b"")),
        Case("robots-is-a-page", http(), ("stored",), robots=http(200, b"<html>" * 1000)),
        Case("robots-500", http(), ("waits",), robots=http(500, b"")),
        Case("robots-silent", http(), ("waits",), robots=silence),
        Case("robots-endless", http(), ("stored", "waits"), robots=endless),
        Case("robots-to-a-forbidden-address", http(), ("waits",), robots=to(f"http://{FORBIDDEN}:PORT/robots.txt")),
        Case("robots-in-circles", http(), ("waits",), robots=to("/robots.txt")),
        Case("robots-with-a-long-delay", http(), no, robots=http(200, b"User-agent: *\nCrawl-delay: 86400\n")),
        Case("robots-with-an-odd-delay", http(), ("stored",), robots=http(200, b"User-agent: *\nCrawl-delay: -1e9\n")),
        Case("robots-of-many-stars", http(), no, robots=http(200, b"User-agent: *\n" + b"Disallow: /*a\n" * 30_000)),
        Case(
            "robots-of-many-lines",
            http(),
            ("stored",),
            robots=http(200, b"User-agent: *\n" + b"Disallow: /a\n" * 38_000),
        ),
        Case(
            "robots-of-stars",
            http(),
            ("stored",),
            robots=http(200, b"User-agent: *\nDisallow: /" + b"*a" * 5000 + b"$\n"),
        ),
    ]
