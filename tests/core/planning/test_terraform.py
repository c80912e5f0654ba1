"""What the next apply of Terraform reverses of a rotation."""

from __future__ import annotations

from rollout.core.planning.terraform import reversals
from rollout.model.terraform import ApplyEffect, Managed, ResourceKind, Reversal

ROTATED = {"i-1": ("old", "new"), "i-2": ("old", "new"), "i-3": ("older", "newer")}


def found(*managed: Managed) -> list[Reversal]:
    """The reversals of this rotation."""
    return list(reversals(ROTATED, managed))


def test_an_instance_that_names_another_key_pair_is_replaced() -> None:
    """Also one with a key pair that is not its former one; other instances do not count."""
    before = Managed("a.former", ResourceKind.INSTANCE, "key_name", "old", ("i-1",))
    other = Managed("a.other", ResourceKind.INSTANCE, "key_name", "console", ("i-2",))
    after = Managed("a.new", ResourceKind.INSTANCE, "key_name", "newer", ("i-3",))
    foreign = Managed("a.foreign", ResourceKind.INSTANCE, "key_name", "old", ("i-9",))

    assert [
        (one.address, one.effect, one.change) for one in found(before, other, after, foreign)
    ] == [
        ("a.former", ApplyEffect.REPLACES, 'key_name = "new"'),
        ("a.other", ApplyEffect.REPLACES, 'key_name = "new"'),
    ]


def test_an_attachment_is_listed_with_its_instances_of_the_rotation() -> None:
    """One whose instances get different key pairs is listed for each of them."""
    ids = ("i-0", "i-1", "i-2", "i-3")
    one = Managed("b", ResourceKind.ATTACHMENT, "key_pair_name", "old", ids, force=True)

    assert [(each.wanted, each.instances, each.force) for each in found(one)] == [
        ("new", ("i-1", "i-2"), True),
        ("newer", ("i-3",), True),
    ]


def test_a_template_with_a_former_key_pair_creates_instances_with_it() -> None:
    """A template with any other key pair has nothing to do with the rotation."""
    former = Managed("c", ResourceKind.TEMPLATE, "key_name", "older")
    other = Managed("d", ResourceKind.TEMPLATE, "key_name", "console")

    assert [(one.address, one.effect, one.wanted) for one in found(former, other)] == [
        ("c", ApplyEffect.CREATES, "newer")
    ]
