"""Issues signed tokens (JWT) for the suites, with keys that openssl makes: `tokens.py FOLDER` makes the keys, their public
halves as FOLDER/keys.json, and a token of the user `admin` for an hour as FOLDER/admin.token.
"""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time

ISSUER = "https://issuer.example"
AUDIENCE = "kafka"
# By algorithm: the key's name and what openssl is told besides.
ALGORITHMS = {
    "RS256": ("rsa", ["-sha256"]),
    "RS384": ("rsa", ["-sha384"]),
    "RS512": ("rsa", ["-sha512"]),
    "PS256": ("rsa", ["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-1"]),
    "ES256": ("p256", ["-sha256"]),
    "ES384": ("p384", ["-sha384"]),
}
CURVES = {"p256": ("P-256", 32), "p384": ("P-384", 48)}


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


def encode(data):
    if isinstance(data, dict):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(subject, seconds=3600, **changed):
    """What a token says; a change to None leaves the claim out."""
    now = int(time.time())
    all_claims = {"sub": subject, "iss": ISSUER, "aud": [AUDIENCE], "iat": now, "exp": now + seconds, "scope": "all"}
    all_claims.update(changed)
    return {name: value for name, value in all_claims.items() if value is not None}


class Issuer:
    """With the keys in a folder, which are made where there are none."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.make("rsa", ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        self.make("p256", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
        self.make("p384", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"])

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self, name, options):
        if not os.path.exists(self.path(f"{name}.key")):
            openssl("genpkey", *options, "-out", self.path(f"{name}.key"))

    def jwks(self):
        modulus = openssl("rsa", "-in", self.path("rsa.key"), "-modulus", "-noout").decode().strip().split("=")[1]
        keys = [{"kty": "RSA", "kid": "rsa", "use": "sig", "n": encode(bytes.fromhex(modulus)), "e": "AQAB"}]
        for name, (curve, size) in CURVES.items():
            point = openssl("pkey", "-in", self.path(f"{name}.key"), "-pubout", "-outform", "DER")[-2 * size :]
            x, y = encode(point[:size]), encode(point[size:])
            keys.append({"kty": "EC", "kid": name, "use": "sig", "crv": curve, "x": x, "y": y})
        return {"keys": keys}

    def sign(self, content, algorithm="RS256", **header):
        key, options = ALGORITHMS[algorithm]
        signed = f"{encode({'alg': algorithm, 'kid': key, **header})}.{encode(content)}"
        signature = openssl("dgst", *options, "-sign", self.path(f"{key}.key"), data=signed.encode())
        if key in CURVES:
            signature = raw(signature, CURVES[key][1])
        return f"{signed}.{encode(signature)}"

    def unsigned(self, content):
        return f"{encode({'alg': 'none'})}.{encode(content)}."

    def by_hmac(self, content):
        """Signed with what everybody knows: the public key, taken for a secret."""
        public = openssl("pkey", "-in", self.path("rsa.key"), "-pubout")
        signed = f"{encode({'alg': 'HS256', 'kid': 'rsa'})}.{encode(content)}"
        return f"{signed}.{encode(hmac.new(public, signed.encode(), hashlib.sha256).digest())}"


def raw(signature, size):
    """The two numbers of a signature, which openssl wraps in DER."""
    numbers = []
    place = 3 if signature[1] & 0x80 else 2
    for _ in range(2):
        length = signature[place + 1]
        numbers.append(signature[place + 2 : place + 2 + length].lstrip(b"\0").rjust(size, b"\0"))
        place += 2 + length
    return b"".join(numbers)


if __name__ == "__main__":
    issuer = Issuer(sys.argv[1])
    with open(issuer.path("keys.json"), "w") as file:
        json.dump(issuer.jwks(), file)
    with open(issuer.path("admin.token"), "w") as file:
        file.write(issuer.sign(claims("admin")))
