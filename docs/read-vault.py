#!/usr/bin/env python3
"""read-vault.py VAULT IDENTITY: the names in a kb vault, without kb.

Written from docs/format.md alone. It needs the age command, and checks the
signature if Python's cryptography package is there. It prints names, never a
secret, and says what it did not check: whether the signer is one that you
trust, whether this is your vault, and whether an older one was put in its
place. Only a device that remembers the vault can know that.
"""
import base64, datetime, hashlib, json, re, subprocess, sys


class Malformed(Exception):
    pass


def canonical(value):
    """The one form of docs/format.md, "Canonical JSON"."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def unique(pairs):
    if len({key for key, _ in pairs}) != len(pairs):
        raise Malformed("a key stands twice")
    return dict(pairs)


def no_number(text):
    raise Malformed(f"{text} is no integer")


def read(vault, identity):
    done = subprocess.run(["age", "-d", "-i", identity, vault], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(done.returncode)  # age has said why
    payload = done.stdout
    box = json.loads(payload, object_pairs_hook=unique, parse_float=no_number, parse_constant=no_number)
    if set(box) - {"name"} != {"clock", "format", "records", "sig", "signer", "vault_id"}:
        raise Malformed("the envelope has other keys")
    if box["format"] != 1:
        raise Malformed(f"format {box['format']} needs a newer reader")
    # sort_keys goes by code points and the format by UTF-16 code units: the
    # same for all keys that kb writes.
    if canonical(box) != payload:
        raise Malformed("not canonical")
    ids = [r["id"] for r in box["records"]]
    if ids != sorted(set(ids), key=str.encode):
        raise Malformed("records are not in order")
    for r in box["records"]:
        if set(r) - {"stamps"} != {"deleted", "device", "hlc", "id", "type", "value"} or not r["id"].startswith(r["type"] + "/"):
            raise Malformed(f"record {r['id']!r}")
    return payload, box


def signature(payload, box):
    """What can be said of the signature, in words."""
    devices = {r["id"]: r["value"] for r in box["records"] if r["type"] == "device" and not r["deleted"]}
    key = devices.get("device/" + box["signer"], {}).get("grant", {}).get("sign_key")
    if key is None:
        raise Malformed("the signer is no device of this vault")
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return "not checked: python3-cryptography is not installed"
    unsigned = payload.replace(b',"sig":' + canonical(box["sig"]), b"", 1)
    message = b"kb vault v1\n" + hashlib.sha256(unsigned).digest()
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(base64.b64decode(box["sig"]), message)
    except InvalidSignature:
        raise Malformed("bad signature") from None
    return "good; whether to trust the signer is not checked"


def clean(text):
    """Others may have written it: nothing that moves a cursor."""
    return re.sub(r"[^\x20-\x7e\u00a0-\u2027\u2030-\ud7ff]", "\ufffd", text)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        payload, box = read(sys.argv[1], sys.argv[2])
        verdict = signature(payload, box)
    except (Malformed, ValueError, KeyError, TypeError, AttributeError) as e:
        sys.exit(f"read-vault.py: malformed vault: {clean(str(e))}")
    names = {r["id"][7:]: r["value"].get("name", "") for r in box["records"] if r["type"] == "device"}
    print("vault", box["vault_id"], clean(box.get("name", "")))
    print("saved by", clean(names[box["signer"]]), sum(box["clock"].values()), "times in all")
    print("signature", verdict)
    for r in box["records"]:
        if not r["deleted"]:
            when = datetime.datetime.fromtimestamp(r["hlc"] // 1024 / 1000, datetime.timezone.utc)
            what = f"device/{names[r['id'][7:]]}" if r["type"] == "device" else r["id"]
            print(f"{when:%Y-%m-%d} {clean(what)}")


if __name__ == "__main__":
    main()
