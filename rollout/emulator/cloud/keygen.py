"""Key material for CreateKeyPair: the only random values of the emulated cloud.

Passed to the cloud as an argument, so that a simulation can pass a fixed key instead.
"""


def rsa_key() -> tuple[str, str]:
    """Return an OpenSSH public line and its PKCS#8 PEM, RSA-2048 as the reference says."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return public.decode(), private.decode()
