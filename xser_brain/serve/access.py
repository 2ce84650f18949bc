"""Who may come in, by which names of this server, and who is one visitor."""

import ipaddress
import re
import socket
from collections.abc import Sequence
from pathlib import Path

from data_prep.errors import UserError
from data_prep.outside import read_bytes


def visitor(address: str) -> str:
    """Whom to count as one: an address, or for IPv6 the network of one customer.

    Arguments
    ---------
    address : str
        From which is asked.

    Returns
    -------
    str

    Example
    -------
    >>> visitor("192.0.2.7"), visitor("2001:db8::7")
    ('192.0.2.7', '2001:db8::/64')
    """
    if not is_address(address) or ipaddress.ip_address(address).version == 4:
        return address
    return str(ipaddress.ip_network((address, 64), strict=False))


def is_address(name: str) -> bool:
    """Whether this is an address, and not a name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address that is listened on."""
    host = host.strip("[]")
    if not is_address(host):
        return host == "localhost"
    return ipaddress.ip_address(host).is_loopback


def own_names(host: str, others: Sequence[str] = ()) -> list[str]:
    """What this server may be called.

    Arguments
    ---------
    host : str
        The address that it listens on.
    others : sequence of str
        From ``--host-name``.

    Returns
    -------
    list of str

    Raises
    ------
    UserError
        If one is no name.
    """
    for name in others:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", name):
            raise UserError(
                f"--host-name {name!r:.100} is not the name of a server: write it as "
                "emotions.example.org, without http:// and port"
            )
    return [host, socket.gethostname(), *others]


def read_passwords(text: str | None) -> dict[str, str]:
    """Understand ``--auth``.

    Arguments
    ---------
    text : str, optional
        ``USER:PASSWORD``, or a file with a line of that form for each user.

    Returns
    -------
    dict of str to str
        Passwords by user.

    Raises
    ------
    UserError
        If it is not of that form.

    Example
    -------
    >>> read_passwords("ann:a:b"), read_passwords(None)
    ({'ann': 'a:b'}, {})
    """
    if text is None:
        return {}
    lines, where = [text], "--auth"
    if Path(text).is_file():
        where = f"--auth={text}"
        try:
            lines = read_bytes(Path(text), "the passwords", 2**20).decode().split("\n")
        except ValueError as error:
            raise UserError(f"{where} is no text in UTF-8: write it anew") from error
    passwords = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        user, _, password = line.partition(":")
        if not line:
            continue
        if not user or not password:
            place = f", line {number}" if len(lines) > 1 else ""
            raise UserError(
                f"{where}{place}: write it as USER:PASSWORD, or name a file"
            )
        passwords[user] = password
    if not passwords:
        raise UserError(f"{where} names nobody: write a line USER:PASSWORD for each")
    return passwords
