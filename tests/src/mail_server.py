"""A mail server for stories: python3 mail_server.py ADDRESS PORT FOLDER none|starttls|tls

Every letter is written to FOLDER/N.eml, with its envelope before it. With a certificate (tls.crt and tls.key in FOLDER)
it wants the login rack and the password sesame. It does not know who is called unknown@..., and is too busy for
busy@... recipients.
"""

import asyncio
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

address, port, folder, mode = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4]


class Keep:
    count = 0

    async def handle_RCPT(self, server, session, envelope, recipient, options):
        if recipient.startswith("unknown@"):
            return "550 no such user here"
        if recipient.startswith("busy@"):
            return "451 come again later"
        envelope.rcpt_tos.append(recipient)
        return "250 fine"

    async def handle_DATA(self, server, session, envelope):
        Keep.count += 1
        head = f"envelope: {envelope.mail_from} -> {' '.join(envelope.rcpt_tos)} tls={session.ssl is not None}\n"
        (folder / "new").write_bytes(head.encode() + envelope.content)
        (folder / "new").rename(folder / f"{Keep.count}.eml")
        return "250 taken"


def known(server, session, envelope, mechanism, data):
    # Not handled: the server itself is to answer.
    return AuthResult(success=(data.login, data.password) == (b"rack", b"sesame"), handled=False)


async def main():
    context = None
    if mode != "none":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    login = {} if mode == "none" else {"authenticator": known, "auth_required": True}
    if mode == "starttls":
        login |= {"tls_context": context, "require_starttls": True}
    elif mode == "tls":
        # aiosmtpd thinks of STARTTLS alone when it looks whether a login is safe.
        login |= {"auth_require_tls": False}
    factory = lambda: SMTP(Keep(), hostname="mail.example", **login)
    server = await asyncio.get_running_loop().create_server(
        factory, address, port, ssl=context if mode == "tls" else None
    )
    async with server:
        await server.serve_forever()


asyncio.run(main())
