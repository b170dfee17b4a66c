"""Who works in the account [pure]: the users as `GET /api/v4/users` lists them.

Their e-mails and names are such that people would know the extensions of `traffic` by them. Form of the answer: the vendor's
page "Users" of the API v4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_EVERYTHING = dict.fromkeys(("view", "edit", "add", "delete", "export"), "A")


@dataclass(frozen=True, slots=True)
class Employee:
    id: int
    name: str
    email: str
    admin: bool = False
    active: bool = True

    def listed(self, users: str) -> dict[str, Any]:
        """`users` is the address of the list."""
        rights = dict.fromkeys(("leads", "contacts", "companies"), _EVERYTHING) | {
            "tasks": {"edit": "A", "delete": "A"},
            "mail_access": False,
            "catalog_access": False,
            "status_rights": None,
            "is_admin": self.admin,
            "is_free": False,
            "is_active": self.active,
            "group_id": None,
            "role_id": None,
        }
        return {
            "id": self.id,
            "name": self.name,
            "email": self.email,
            "lang": "en",
            "rights": rights,
            "_links": {"self": {"href": f"{users}/{self.id}"}},
            "_embedded": {"roles": [], "groups": []},
        }


STAFF = (
    Employee(700_001, "Vera Sokolova", "vera@rehearsal.example", admin=True),
    Employee(700_101, "Anna Petrova", "101@rehearsal.example"),
    Employee(700_102, "Boris Orlov", "102@rehearsal.example"),
    Employee(700_104, "Galina Kuznetsova (104)", "galina@rehearsal.example"),
    Employee(700_109, "Dmitry Volkov", "110@rehearsal.example", active=False),
    Employee(700_110, "Elena Morozova", "elena.morozova@rehearsal.example"),
)
"""The extension 110 was that of somebody who has left."""
