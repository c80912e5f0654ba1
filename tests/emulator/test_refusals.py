"""Whatever is asked, the answer is one that the reference knows."""

from hypothesis import given
from hypothesis import strategies as st

from rollout.ecs import contract
from rollout.ecs.contract import Kind
from rollout.emulator import faults
from rollout.emulator.cloud.switches import Switches
from tests.emulator import fixtures
from tests.emulator.fixtures import REGION, call, ids

VALUES = st.sampled_from(
    [
        "",
        "x",
        "-1",
        "0",
        "9" * 12,
        "true",
        "Running",
        "SuccessFirst",
        "RunShellScript",
        "i-plain-1",
        "i-windows",
        "i-none",
        "i.bad",
        REGION,
        fixtures.FRESH,
        ids("i-plain-1", "i-windows", "i-none"),
        "[]",
        '["a", 1]',
        ids(*(f"i-{n}" for n in range(101))),
        "\u00e9\x00",
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    """An action with some of its parameters, each with a value that may be right or wrong."""
    action = draw(st.sampled_from(list(contract.ACTIONS.values())))
    params = {"RegionId": REGION} if draw(st.booleans()) else {}
    for param in action.params:
        if not param.required and draw(st.integers(0, 3)):
            continue
        count = draw(st.sampled_from([1, 2, 21, 101])) if param.items_max else 1
        for number in range(1, count + 1):
            name = {
                Kind.NUMBERED: f"{param.name}.{number}",
                Kind.PAIRS: f"{param.name}.{number}.{draw(st.sampled_from(['Key', 'Value']))}",
            }.get(param.kind, param.name)
            params[name] = draw(VALUES) if number == 1 else f"i-{number}"
    return action.name, params


@given(requests(), st.builds(Switches, edition=st.sampled_from(contract.Edition)))
def test_every_refusal_has_its_row(request: tuple[str, dict[str, str]], switches: Switches) -> None:
    """A code without a row would be answered with a made-up status and text."""
    action, params = request
    reply = call(fixtures.cloud(switches), action, params)
    assert reply.body.get("Message") != "An error that no table knows.", reply.code


def test_every_refusing_fault_has_its_row() -> None:
    """But for the one that is there to be unknown."""
    codes = {injection.code for injection in faults.INJECTIONS.values()} - {None, "UnheardOf.Code"}
    for code in codes:
        assert contract.error("AttachKeyPair", str(code)).code == code
