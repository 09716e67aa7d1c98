"""What gives this user permission to open a port: a group, a new login, or a rule of udev.

Any thread; changes nothing.
"""

import os
import stat

SERIAL_GROUP = "dialout"  # of Debian and its kin; elsewhere the port's own group is named
RULES = "/etc/udev/rules.d/70-arduino.rules"


def how_to_permit(port: str, *, usb_ids: str | None = None) -> str:
    """The commands, for the user that this process runs as; `usb_ids` as `2341:0043`, where it is a USB device. A port
    that is not there, or a system without groups, gets the advice that is right most often."""
    try:
        import grp

        status = os.stat(port)
        group = grp.getgrgid(status.st_gid)
    except (ImportError, OSError, KeyError):
        return _join(SERIAL_GROUP)
    members_may = status.st_mode & stat.S_IRGRP and status.st_mode & stat.S_IWGRP
    if not members_may or not status.st_gid:  # to make somebody a member of root is too much
        return _rule(usb_ids)
    if _user() in group.gr_mem and status.st_gid not in os.getgroups():
        return f"log out and in again: {_user()} is in the group {group.gr_name}, and this login is older than that"
    return _join(group.gr_name)


def _join(group: str) -> str:
    return f"sudo usermod -aG {group} {_user()}, then log out and in again"


def _rule(usb_ids: str | None) -> str:
    vendor = f', ATTRS{{idVendor}}=="{usb_ids[:4]}"' if usb_ids else ""
    rule = f'SUBSYSTEM=="tty"{vendor}, GROUP="{SERIAL_GROUP}", MODE="0660"'
    return f"echo '{rule}' | sudo tee {RULES}; sudo udevadm control --reload; {_join(SERIAL_GROUP)}; plug it in anew"


def _user() -> str:
    """The name of the user that this process runs as, whoever reads this."""
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, AttributeError, KeyError):
        return "$USER"
